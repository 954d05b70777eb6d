"""Who may talk to the relay: tables of Host and Origin."""

from __future__ import annotations

import pytest

from acprelay.errors import Forbidden
from acprelay.server.guard import check_headers, check_same_page

PORT = 8137

OWN = [
    "127.0.0.1:8137",
    "127.0.0.2:8137",
    "localhost:8137",
    "LOCALHOST:8137",
    "LocalHost:8137",
    "[::1]:8137",
    "[0:0:0:0:0:0:0:1]:8137",
]

NOT_OWN = [
    # Names that their owner may point at the loopback (DNS rebinding).
    "evil.example:8137",
    "localhost.evil.example:8137",
    "127.0.0.1.evil.example:8137",
    "127.0.0.1.nip.io:8137",
    "evil-localhost:8137",
    "localhost6:8137",
    "localhost.localdomain:8137",
    "a.localhost:8137",
    "rebind.localhost:8137",
    # Other addresses of this machine, and other spellings of its loopback.
    "0.0.0.0:8137",
    "192.168.0.2:8137",
    "10.0.0.1:8137",
    "169.254.169.254:8137",
    "[::]:8137",
    "[fe80::1]:8137",
    "[::ffff:192.168.0.2]:8137",
    "2130706433:8137",
    "0x7f000001:8137",
    "0177.0.0.1:8137",
    "127.1:8137",
    "127.0.0.1.:8137",
    "localhost.:8137",
    # Another port, or none, or none that can be read.
    "127.0.0.1",
    "127.0.0.1:",
    "localhost",
    "localhost:80",
    "localhost:0",
    "localhost:8138",
    "localhost:08137x",
    "localhost:-8137",
    "localhost:+8137",
    "localhost:8_137",
    "localhost:8137.0",
    "localhost:99999999",
    "localhost:8137:8137",
    "localhost:\uff18\uff11\uff13\uff17",
    "[::1]",
    "::1:8137",
    "[::1:8137",
    "::1]:8137",
    # Tricks with what else an address may hold.
    "localhost:8137@evil.example",
    "localhost:8137@evil.example:8137",
    "evil.example@localhost:8137",
    "evil.example:80@localhost:8137",
    "@localhost:8137",
    ":@localhost:8137",
    "localhost:8137/",
    "localhost:8137/evil",
    "localhost:8137?",
    "localhost:8137#",
    "localhost:8137?evil",
    "localhost:8137#evil",
    "localhost:8137\\evil",
    "evil.example\\localhost:8137",
    "evil.example#@localhost:8137",
    "localhost:8137,evil.example",
    "localhost:8137 evil.example",
    "local\thost:8137",
    "localhost%00.evil.example:8137",
    "//localhost:8137",
    "http://localhost:8137",
    # Nothing.
    "",
    ":8137",
    ":",
    " ",
]


@pytest.mark.parametrize("host", OWN)
def test_a_program_that_names_this_machine_and_port_is_served(host: str) -> None:
    check_headers(host=host, origin=None, port=PORT)


@pytest.mark.requirement("edges.upgrades-check-origin-and-host")
@pytest.mark.parametrize("host", NOT_OWN)
def test_any_other_host_is_refused(host: str) -> None:
    with pytest.raises(Forbidden, match=r"^cannot serve host ") as caught:
        check_headers(host=host, origin=None, port=PORT)
    assert caught.value.hint.startswith("connect to 127.0.0.1:8137 or localhost:8137;")


def test_a_request_without_a_host_is_refused() -> None:
    with pytest.raises(Forbidden, match=r"^cannot serve host ''"):
        check_headers(host=None, origin=None, port=PORT)


@pytest.mark.parametrize("host", ["localhost", "localhost:", "127.0.0.1", "[::1]", "localhost:80"])
def test_no_port_means_the_port_of_http(host: str) -> None:
    check_headers(host=host, origin=None, port=80)


@pytest.mark.parametrize("host", ["localhost:0", "localhost:8137", "localhost:443"])
def test_only_no_port_means_the_port_of_http(host: str) -> None:
    with pytest.raises(Forbidden):
        check_headers(host=host, origin=None, port=80)


@pytest.mark.parametrize("scheme", ["http", "HTTP"])
@pytest.mark.parametrize("host", OWN)
def test_the_relays_own_pages_are_served(scheme: str, host: str) -> None:
    check_headers(host="localhost:8137", origin=f"{scheme}://{host}", port=PORT)


@pytest.mark.requirement("edges.upgrades-check-origin-and-host")
@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "Null",
        "",
        " ",
        "http:",
        "http://",
        "localhost:8137",
        "//localhost:8137",
        "https://localhost:8137",
        "ws://localhost:8137",
        "file://localhost:8137",
        "file://",
        "chrome-extension://abcdefgh",
        "vscode-webview://abcdefgh",
        "http://localhost:8137 https://evil.example",
        "javascript:alert(1)",
        *(f"http://{host}" for host in NOT_OWN),
    ],
)
def test_a_page_of_any_other_origin_is_refused(origin: str) -> None:
    with pytest.raises(Forbidden, match=r"^cannot serve a page of ") as caught:
        check_headers(host="localhost:8137", origin=origin, port=PORT)
    assert caught.value.hint.startswith("connect from a program instead of a web page;")


def test_the_relays_own_origin_does_not_excuse_a_foreign_host() -> None:
    with pytest.raises(Forbidden, match=r"^cannot serve host "):
        check_headers(host="evil.example:8137", origin="http://localhost:8137", port=PORT)


def test_a_foreign_origin_is_not_excused_by_being_the_same_as_the_host() -> None:
    with pytest.raises(Forbidden):
        check_headers(host="evil.example:8137", origin="http://evil.example:8137", port=PORT)


@pytest.mark.parametrize("header", ["host", "origin"])
def test_a_long_header_is_cut_in_the_refusal(header: str) -> None:
    headers = {"host": "localhost:8137", "origin": None, header: "x" * 100_000}
    with pytest.raises(Forbidden) as caught:
        check_headers(host=headers["host"], origin=headers["origin"], port=PORT)
    assert len(caught.value.message) < 250


@pytest.mark.parametrize("host", ["localhost:8137", "127.0.0.1:8137", "[::1]:8137"])
def test_over_tls_own_pages_are_those_of_https(host: str) -> None:
    check_headers(host=host, origin=f"https://{host}", port=PORT, scheme="https")
    with pytest.raises(Forbidden, match="cannot serve a page of"):
        check_headers(host=host, origin=f"http://{host}", port=PORT, scheme="https")


PUBLIC = ("https://relay.example.org", "http://10.0.0.1:8137")


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("relay.example.org", "https://relay.example.org"),
        ("relay.example.org:443", "https://relay.example.org:443"),
        ("Relay.Example.org", None),
        ("10.0.0.1:8137", "http://10.0.0.1:8137"),
        ("localhost:8137", "https://relay.example.org"),
        ("relay.example.org", "http://localhost:8137"),
    ],
)
def test_further_addresses_are_the_relays_own(host: str, origin: str | None) -> None:
    check_headers(host=host, origin=origin, port=PORT, further=PUBLIC)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("relay.example.org:80", None),
        ("relay.example.org:8137", None),
        ("a.relay.example.org", None),
        ("relay.example.org.evil.example", None),
        ("10.0.0.1", None),
        ("relay.example.org", "http://relay.example.org"),
        ("relay.example.org", "https://relay.example.org:8443"),
        ("relay.example.org", "https://a.relay.example.org"),
        ("relay.example.org", "https://relay.example.org/"),
        ("relay.example.org", "null"),
    ],
)
def test_what_only_resembles_a_further_address_is_not(host: str, origin: str | None) -> None:
    with pytest.raises(Forbidden):
        check_headers(host=host, origin=origin, port=PORT, further=PUBLIC)


@pytest.mark.parametrize(
    ("origin", "site"),
    [("http://localhost:8137", None), (None, "same-origin"), ("http://a", "same-origin")],
)
def test_a_page_of_the_relay_shows_itself(origin: str | None, site: str | None) -> None:
    check_same_page(origin=origin, fetch_site=site)


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        (None, None),
        (None, "cross-site"),
        (None, "same-site"),
        (None, "none"),
        (None, ""),
        ("http://localhost:8137", "cross-site"),
    ],
)
def test_whatever_shows_no_page_of_the_relay_does_nothing_with_a_cookie(
    origin: str | None, site: str | None
) -> None:
    with pytest.raises(Forbidden, match="with a cookie"):
        check_same_page(origin=origin, fetch_site=site)
