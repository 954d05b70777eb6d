"""What a relay may be started with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from acprelay.config import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    Limits,
    RelayConfig,
    Tls,
    is_loopback,
    origin_of,
)
from acprelay.errors import ConfigError

TLS = Tls(certificate=Path("relay.crt"), key=Path("relay.key"))

LOOPBACK = [
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "::1",
    "0:0:0:0:0:0:0:1",
    "localhost",
    "LOCALHOST",
]

ELSEWHERE = [
    "",
    "0.0.0.0",
    "::",
    "128.0.0.1",
    "126.255.255.255",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.0.1",
    "255.255.255.255",
    "::2",
    "fe80::1",
    "::ffff:192.168.1.1",
    "127.1",
    "127.0.0.1.",
    "2130706433",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "localhost.",
    "localhost.evil.example",
    "evil.example",
    "ip6-localhost",
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_a_loopback_address_may_be_listened_on(host: str) -> None:
    assert is_loopback(host)
    assert RelayConfig(host=host).host == host


@pytest.mark.parametrize("host", ELSEWHERE)
def test_no_other_address_may_be_listened_on(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(ConfigError, match=r"^cannot listen on .* without TLS") as caught:
        RelayConfig(host=host)
    assert caught.value.data["host"] == host
    assert "127.0.0.1" in caught.value.hint


@pytest.mark.parametrize(
    "host",
    [
        "*",
        "[::]",
        "[::1]",
        "127.0.0.1:8137",
        "127.0.0.1 ",
        "a b",
        "http://h",
        "a/b",
        "a..b",
        "a" * 64,
    ],
)
def test_what_is_no_address_to_listen_on_is_told_as_that_with_or_without_tls(host: str) -> None:
    for tls in (None, TLS):
        with pytest.raises(ConfigError, match="neither an address nor a name") as caught:
            RelayConfig(host=host, tls=tls)
        assert caught.value.data["host"] == host
        assert "--port" in caught.value.hint


@pytest.mark.requirement("edges.open-bind-needs-a-token")
@pytest.mark.parametrize("tls", [None, TLS])
def test_an_address_that_others_reach_needs_tokens(tls: Tls | None) -> None:
    with pytest.raises(ConfigError, match=r"without tokens: .*run commands here") as caught:
        RelayConfig(host="0.0.0.0", auth=False, tls=tls, insecure_without_tls=True)
    assert "127.0.0.1" in caught.value.hint


@pytest.mark.requirement("edges.open-bind-needs-tls")
@pytest.mark.parametrize(
    "said",
    [
        {"tls": TLS},
        {"insecure_without_tls": True},
        {"tls": TLS, "auth": False, "insecure_without_auth": True},
        {"insecure_without_tls": True, "auth": False, "insecure_without_auth": True},
    ],
)
def test_an_address_that_others_reach_is_listened_on_with_tls_or_where_it_is_said_twice(
    said: dict[str, Any],
) -> None:
    assert RelayConfig(host="0.0.0.0", **said).host == "0.0.0.0"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://relay.example.org", "https://relay.example.org"),
        ("https://Relay.Example.org:443/acp", "https://relay.example.org"),
        ("http://relay.example.org:8137/", "http://relay.example.org:8137"),
        ("http://[2001:DB8::1]:80", "http://[2001:db8::1]"),
    ],
)
def test_a_public_address_has_the_origin_that_browsers_write(url: str, origin: str) -> None:
    assert origin_of(url) == origin
    assert RelayConfig(public_urls=(url,), insecure_without_tls=True).public_urls == (url,)


@pytest.mark.requirement("edges.open-bind-needs-a-token")
def test_a_relay_that_a_proxy_shows_to_others_needs_tokens() -> None:
    public = ("http://localhost:80", "https://relay.example.org")
    with pytest.raises(ConfigError, match=r"cannot be reached at 'https://relay.* without tokens"):
        RelayConfig(public_urls=public, auth=False)
    assert RelayConfig(public_urls=public[:1], auth=False).auth is False
    assert RelayConfig(public_urls=public, auth=False, insecure_without_auth=True).auth is False


@pytest.mark.requirement("edges.open-bind-needs-tls")
def test_a_public_address_of_others_has_tls_unless_it_is_said_twice() -> None:
    with pytest.raises(ConfigError, match=r"cannot be reached at 'http://relay.* without TLS"):
        RelayConfig(public_urls=("https://relay.example.org", "http://relay.example.org"))
    assert RelayConfig(public_urls=("http://127.0.0.1:80",)).tls is None


@pytest.mark.parametrize(
    "url",
    [
        *("", "relay", "relay.example.org", "ws://relay", "https://", "https://a:b@c"),
        *("https://a:x", "https://a b", "https://*.x.org", "https://h?x=1", "https://h#x"),
    ],
)
def test_what_is_no_public_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="cannot use the public address"):
        RelayConfig(public_urls=(url,))


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Limits)])
def test_a_negative_limit_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^cannot use -1 as limit {name}$"):
        dataclasses.replace(Limits(), **{name: -1})


def test_a_limit_that_lets_nothing_through_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^cannot use 0 as limit max_frame$"):
        Limits(max_frame=0)


@pytest.mark.parametrize("port", [0, 1, 80, 8137, 65_535])
def test_a_port_may_be_chosen_or_left_to_the_system(port: int) -> None:
    assert RelayConfig(port=port).port == port


@pytest.mark.parametrize("port", [-1, 65_536, 1_000_000])
def test_what_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(ConfigError, match=f"^cannot listen on port {port}$") as caught:
        RelayConfig(port=port)
    assert caught.value.hint == "a port is a number from 0 to 65535"


def test_by_default_the_relay_listens_on_the_loopback_and_offers_no_agent_of_its_own() -> None:
    config = RelayConfig()
    assert (config.host, config.port, config.agents) == ("127.0.0.1", 8137, ())
    assert (DEFAULT_HOST, DEFAULT_PORT) == ("127.0.0.1", 8137)
    assert config.limits == Limits()


def test_configurations_share_nothing_that_could_change() -> None:
    config = RelayConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.port = 1  # type: ignore[misc]  # this is what is refused
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.limits.max_frame = 1  # type: ignore[misc]  # likewise
