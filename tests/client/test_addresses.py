"""A relay's address, as people write it."""

from __future__ import annotations

import pytest

from acprelay.client.addresses import agent_endpoint, endpoint
from acprelay.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "connected"),
    [
        ("ws://127.0.0.1:8137/acp", "ws://127.0.0.1:8137/acp"),
        ("wss://relay.example/acp", "wss://relay.example/acp"),
        ("http://127.0.0.1:8137", "ws://127.0.0.1:8137/acp"),
        ("https://relay.example/", "wss://relay.example/acp"),
        ("ws://[::1]:8137", "ws://[::1]:8137/acp"),
        ("ws://relay.example/proxied/acp", "ws://relay.example/proxied/acp"),
        ("ws://relay.example/acp?a=b%20c&d=", "ws://relay.example/acp?a=b+c&d="),
        ("ws://relay.example/acp#top", "ws://relay.example/acp"),
    ],
)
def test_an_address_is_completed(written: str, connected: str) -> None:
    assert endpoint(written) == connected


def test_what_is_chosen_stands_in_the_query() -> None:
    chosen = endpoint("ws://h/acp", agent="a b", role="r", session="s&t")
    assert chosen == "ws://h/acp?agent=a+b&role=r&session=s%26t"


def test_what_is_chosen_replaces_what_the_address_says() -> None:
    assert endpoint("ws://h/acp?agent=x&role=y&z=1", agent="a") == "ws://h/acp?role=y&z=1&agent=a"
    assert endpoint("ws://h/acp?agent=x") == "ws://h/acp?agent=x"


@pytest.mark.parametrize(
    "written",
    [
        "",
        "127.0.0.1:8137",
        "localhost",
        "ftp://h/acp",
        "ws://",
        "ws:///acp",
        "ws://h:0/acp",
        "ws://h:x/acp",
        "ws://h:99999/acp",
        "ws://[::1/acp",
        "://h",
    ],
)
def test_an_address_that_cannot_be_used_is_a_configuration_error(written: str) -> None:
    with pytest.raises(ConfigError) as caught:
        endpoint(written)
    assert caught.value.message.startswith("cannot use the address")
    assert caught.value.hint == "an address looks like ws://127.0.0.1:8137/acp"


@pytest.mark.parametrize("written", ["ws://ann:secret@h/acp", "http://ann@h", "ws://@h/acp"])
def test_an_address_with_a_user_is_refused_without_telling_the_password(written: str) -> None:
    with pytest.raises(ConfigError, match="it names a user") as caught:
        endpoint(written)
    assert "secret" not in caught.value.message
    assert caught.value.hint == "leave the user out; --token-file shows who you are"


@pytest.mark.parametrize(
    ("written", "joined"),
    [
        ("ws://127.0.0.1:8137", "ws://127.0.0.1:8137/agents/task/db"),
        ("ws://127.0.0.1:8137/acp", "ws://127.0.0.1:8137/agents/task/db"),
        ("https://relay.example/", "wss://relay.example/agents/task/db"),
        ("ws://relay.example/proxied/acp?agent=x", "ws://relay.example/proxied/agents/task/db"),
        ("ws://relay.example/proxied/", "ws://relay.example/proxied/agents/task/db"),
    ],
)
def test_an_agent_joins_beside_where_clients_connect(written: str, joined: str) -> None:
    assert agent_endpoint(written, session="task", role="db") == joined
