"""What is shown at an address: the environment's token, else that of a relay that runs here."""

from __future__ import annotations

from pathlib import Path

import pytest

from acprelay.cli.running_relays import announced
from acprelay.client import find_token
from acprelay.client.own_relays import OwnRelay
from acprelay.errors import ConfigError

RELAY = OwnRelay(urls=("http://127.0.0.1:8137",), token="own", pid=1)


def test_a_relay_that_runs_here_is_found_by_its_own_address_alone(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    assert find_token("http://127.0.0.1:8137", environ) is None
    with announced(RELAY, environ):
        assert find_token("ws://127.0.0.1:8137/acp", environ) == "own"
        for url in ("ws://localhost:8137/acp", "http://[::1]:8137", "https://127.0.0.1:8137"):
            assert find_token(url, environ) is None, "another user may listen there"
        assert find_token("http://127.0.0.1:8138", environ) is None
        assert find_token("http://127.0.0.1:8137", {**environ, "ACPRELAY_TOKEN": "t"}) == "t"
    assert find_token("http://127.0.0.1:8137", environ) is None


@pytest.mark.parametrize(
    ("url", "token", "says"),
    [
        ("http://relay.example", "t", "without TLS"),
        ("https://relay.example", "t\u00e9", "cannot use the token"),
        ("ftp://relay.example", "t", "cannot use the address"),
    ],
)
def test_a_token_that_cannot_be_sent_is_refused(url: str, token: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        find_token(url, {"ACPRELAY_TOKEN": token})


def test_a_token_goes_anywhere_over_tls() -> None:
    assert find_token("wss://relay.example/acp", {"ACPRELAY_TOKEN": "t"}) == "t"


def test_a_token_is_not_shown_where_its_relay_is() -> None:
    assert "own" not in repr(RELAY).replace("OwnRelay", "")
