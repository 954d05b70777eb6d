"""What an agent sees of the relay's environment."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.agents.environment import child_environment
from acprelay.agents.models import AgentSpec

SPEC = AgentSpec(name="a", argv=("x",))


@pytest.mark.parametrize(
    "variable",
    [
        "PATH",
        "HOME",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "TZ",
        "TMPDIR",
        "XDG_CACHE_HOME",
        "SSL_CERT_FILE",
    ],
)
def test_what_the_allowlist_names_passes(variable: str) -> None:
    assert child_environment({variable: "1"}, spec=SPEC, run="r") == {
        variable: "1",
        "ACPRELAY_RUN": "r",
    }


@pytest.mark.requirement("processes.environment-is-an-allowlist")
@pytest.mark.parametrize(
    "variable",
    [
        "ANTHROPIC_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "SSH_AUTH_SOCK",
        "LD_PRELOAD",
        "PYTHONPATH",
        "ACPRELAY_TOKEN",
        "path",
        "LC",
    ],
)
def test_nothing_else_passes(variable: str) -> None:
    assert child_environment({variable: "1"}, spec=SPEC, run="r") == {"ACPRELAY_RUN": "r"}


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "all_proxy"])
def test_a_proxy_passes_unless_it_holds_credentials(variable: str) -> None:
    plain = {variable: "http://proxy.example:3128"}
    secret = {variable: "http://user:password@proxy.example:3128"}
    assert child_environment(plain, spec=SPEC, run="r") == plain | {"ACPRELAY_RUN": "r"}
    assert child_environment(secret, spec=SPEC, run="r") == {"ACPRELAY_RUN": "r"}


def test_what_the_entry_names_passes_and_its_values_win() -> None:
    spec = AgentSpec(
        name="a",
        argv=("x",),
        env={"HOME": "/agent", "MODE": "entry"},
        pass_env=("API_KEY", "MODE", "UNSET", "HTTPS_PROXY"),
    )
    parent = {
        "HOME": "/me",
        "API_KEY": "k",
        "MODE": "relay",
        "OTHER": "o",
        "HTTPS_PROXY": "http://u:p@h",
    }
    assert child_environment(parent, spec=spec, run="r") == {
        "HOME": "/agent",
        "API_KEY": "k",
        "MODE": "entry",
        "HTTPS_PROXY": "http://u:p@h",
        "ACPRELAY_RUN": "r",
    }


def test_the_marker_is_this_runs_also_where_the_relay_runs_in_an_agent() -> None:
    assert child_environment({"ACPRELAY_RUN": "outer"}, spec=SPEC, run="r") == {"ACPRELAY_RUN": "r"}


@given(parent=st.dictionaries(st.text(), st.text()))
def test_what_passes_is_unchanged(parent: Mapping[str, str]) -> None:
    seen = child_environment({"PATH": "/bin", **parent}, spec=SPEC, run="r")
    assert seen.pop("ACPRELAY_RUN") == "r"
    assert seen.items() <= {"PATH": "/bin", **parent}.items()
