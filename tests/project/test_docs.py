"""What the pages for users have to say, whatever else they say."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import acprelay
from acprelay.agents.models import AgentSpec
from acprelay.cli.config_file import parse_config
from acprelay.client import RelayClient
from acprelay.config import Limits

DOCS = Path(__file__).parents[2] / "docs"


def sentences(page: str) -> list[str]:
    """The sentences of a page's prose, each on one line and without emphasis."""
    prose = re.sub(r"```.*?```", "", (DOCS / page).read_text(), flags=re.DOTALL)
    words = " ".join(prose.replace("*", "").split())
    return re.split(r"(?<=[.:;]) ", words)


@pytest.mark.requirement("policy.claims-are-documented")
def test_the_page_on_permissions_says_that_paths_and_commands_are_what_the_agent_claims() -> None:
    said = sentences("permissions.md")
    (claim,) = (each for each in said if "the agent's claim" in each)
    assert "paths" in claim
    assert "commands" in claim
    assert any("does not confine" in each for each in said)


def test_the_settings_that_the_page_on_supervision_shows_can_be_used() -> None:
    page = (DOCS / "supervision.md").read_text()
    (shown,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    config = parse_config(shown.encode(), path=DOCS / "shown.toml")
    assert config.agents["claude"].prewarm == 2
    assert config.values["limits.sessions"].value == 50


def test_the_page_on_supervision_names_the_defaults_that_there_are() -> None:
    said = " ".join(sentences("supervision.md"))
    limits = Limits()
    for name in ("start_s", "stall_s", "silence_s", "heartbeat_s"):
        assert f"`{name}` ({getattr(limits, name):g} s)" in said
    for name in ("sessions", "processes"):
        assert f"| `{name}` | {getattr(limits, name)} |" in said
    assert f"`restarts` ({AgentSpec(name='a', argv=('a',)).restarts};" in said


def test_the_page_on_limits_names_limits_that_there_are_and_their_defaults() -> None:
    page = (DOCS / "limits.md").read_text()
    rows = re.findall(
        r"^\| `([a-z-]+)` \| ([^|]+?) \| ([^|]+?) \| ([^|]+?) \|$", page, re.MULTILINE
    )
    limits = Limits()
    for key, default, _, code in rows:
        assert f"{getattr(limits, key.replace('-', '_')):g}" == f"{float(default):g}", key
        assert code in ("\N{EN DASH}", "`limit_reached`", "`frame_too_large`")
    named = {key for key, *_ in rows}
    assert len(named) == len(rows), "a limit stands twice"
    since = [bound.name.replace("_", "-") for bound in fields(Limits)]
    assert set(since[since.index("connections") :]) <= named


def test_each_limit_of_the_page_that_is_reached_is_named_by_what_refuses() -> None:
    source = Path(acprelay.__file__).parent
    code = "".join(module.read_text() for module in source.rglob("*.py"))
    named = set(re.findall(r'setting="([a-z-]+)"', code))
    assert named <= {bound.name.replace("_", "-") for bound in fields(Limits)}
    page = (DOCS / "limits.md").read_text()
    told = re.findall(r"^\| `([a-z-]+)` .*`limit_reached` \|$", page, re.MULTILINE)
    assert [key for key in told if key not in named] == []


def test_the_page_on_configuration_has_a_row_for_each_limit() -> None:
    page = (DOCS / "configuration.md").read_text()
    missing = [b.name for b in fields(Limits) if f"| `{b.name.replace('_', '-')}` |" not in page]
    assert missing == []


def test_the_page_on_the_client_names_every_method() -> None:
    page = (DOCS / "client.md").read_text()
    methods = [name for name in dir(RelayClient) if not name.startswith("_")]
    assert [name for name in methods if f"`{name}`" not in page] == []


@pytest.mark.requirement("files.confinement-is-documented")
def test_the_page_on_services_says_that_the_agent_itself_is_not_confined() -> None:
    said = sentences("services.md")
    assert any("The agent itself is not confined by this" in each for each in said)
    (rights,) = (each for each in said if "with your rights" in each)
    assert "commands" in rights


@pytest.mark.requirement("http.order-across-connections-is-documented")
def test_the_page_on_http_says_that_writes_are_ordered_and_arrival_is_not() -> None:
    said = sentences("http.md")
    (order,) = (each for each in said if "what is written, not what arrives" in each)
    assert "orders" in order


def test_the_page_on_http_names_the_defaults_that_there_are() -> None:
    said = " ".join(sentences("http.md"))
    assert f"`http-idle-s` ({Limits().http_idle_s:g} s)" in said
