"""Which relay a command talks to, and what it shows there."""

from __future__ import annotations

import argparse
import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from acprelay.cli.credentials import Reach, meant_url, reach_of
from acprelay.cli.running_relays import announced
from acprelay.client.own_relays import OwnRelay, own_relays
from acprelay.errors import ConfigError


class Place:
    """Where relays of one user are found."""

    def __init__(self, home: Path, relays: ExitStack) -> None:
        self.environ: dict[str, str] = {"HOME": str(home)}
        self.directory = home / ".local/state/acprelay/relays"
        self._relays = relays

    def run(self, *urls: str, token: str | None = "acpr_a_found") -> None:
        """Runs a relay, as far as others can tell."""
        relay = OwnRelay(urls=urls, token=token, pid=os.getpid())
        self._relays.enter_context(announced(relay, self.environ))

    def reach(
        self, url: str | None = None, *, token_file: Path | None = None, **environ: str
    ) -> Reach:
        arguments = argparse.Namespace(
            url=url, token_file=None if token_file is None else str(token_file), ca_file=None
        )
        return reach_of(arguments, {**self.environ, **environ})


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as relays:
        yield Place(tmp_path, relays)


@pytest.mark.requirement("access.commands-find-the-token")
@pytest.mark.parametrize("form", ["ws://{}:9000/acp", "http://{}:9000", "ws://{}:9000/acp?agent=a"])
def test_a_relay_of_ones_own_is_known_by_its_address_and_as_localhost(
    place: Place, form: str
) -> None:
    place.run("http://127.0.0.1:9000")
    own = form.format("127.0.0.1")
    for host in ("127.0.0.1", "localhost"):
        assert place.reach(form.format(host)) == Reach(url=own, token="acpr_a_found")
        assert place.reach(form.format(host).replace("9000", "9001")).token is None


@pytest.mark.requirement("access.tokens-travel-in-private")
@pytest.mark.parametrize("host", ["[::1]", "127.0.0.9"])
def test_whoever_listens_on_the_same_port_of_another_address_is_shown_nothing(
    place: Place, host: str
) -> None:
    place.run("http://127.0.0.1:9000")
    assert place.reach(f"ws://{host}:9000") == Reach(url=f"ws://{host}:9000")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_relay_that_listens_as_localhost_is_reached_as_that(place: Place, host: str) -> None:
    place.run("http://localhost:9000")
    expected = Reach(url="ws://localhost:9000/acp", token="acpr_a_found")
    assert place.reach(f"ws://{host}:9000/acp") == expected


def test_of_two_relays_the_one_is_meant_whose_address_it_is(place: Place) -> None:
    place.run("http://[::1]:9000", token="acpr_a_other")
    place.run("http://127.0.0.1:9000")
    assert place.reach("ws://[::1]:9000").token == "acpr_a_other"
    assert place.reach("ws://127.0.0.1:9000").token == "acpr_a_found"
    assert place.reach("ws://localhost:9000").url == "ws://127.0.0.1:9000"
    assert place.reach("ws://localhost:9001").url == "ws://localhost:9001"


@pytest.mark.requirement("access.commands-find-the-token")
def test_the_only_relay_that_runs_is_meant(place: Place) -> None:
    place.run("http://127.0.0.1:9000")
    assert place.reach() == Reach(url="http://127.0.0.1:9000", token="acpr_a_found")


def test_without_one_the_usual_address_is_meant(place: Place) -> None:
    assert place.reach() == Reach(url="ws://127.0.0.1:8137/acp")


def test_of_several_one_has_to_be_named(place: Place) -> None:
    place.run("http://127.0.0.1:9000")
    place.run("http://127.0.0.1:9001")
    with pytest.raises(ConfigError, match=r"2 run here: http://127\.0\.0\.1:9000, ") as caught:
        place.reach()
    assert "--url" in caught.value.hint
    assert place.reach("ws://localhost:9001/acp").token == "acpr_a_found"
    assert place.reach(ACPRELAY_URL="ws://localhost:9001").url == "ws://127.0.0.1:9001"


def test_an_agent_joins_the_relay_that_other_commands_reach(place: Place) -> None:
    assert meant_url(None, place.environ) == "ws://127.0.0.1:8137/acp"
    place.run("http://127.0.0.1:9000")
    assert meant_url(None, place.environ) == "http://127.0.0.1:9000"
    named = {**place.environ, "ACPRELAY_URL": "wss://relay.example"}
    assert meant_url(None, named) == "wss://relay.example"
    assert meant_url("ws://127.0.0.1:9001", named) == "ws://127.0.0.1:9001"


def test_what_is_named_wins_over_what_is_found(place: Place, tmp_path: Path) -> None:
    place.run("http://127.0.0.1:9000")
    file = tmp_path / "token"
    file.write_text("acpr_a_file\n")
    assert place.reach(ACPRELAY_TOKEN="acpr_a_named").token == "acpr_a_named"
    assert place.reach(token_file=file, ACPRELAY_TOKEN="acpr_a_named").token == "acpr_a_file"


@pytest.mark.requirement("access.tokens-travel-in-private")
@pytest.mark.parametrize(
    ("url", "is_sent"),
    [
        ("ws://127.0.0.1:1", True),
        ("http://localhost:1", True),
        ("wss://relay.example.org", True),
        ("https://relay.example.org", True),
        ("ws://relay.example.org", False),
        ("http://10.0.0.1:1", False),
        ("ws://127.0.0.1.evil.example:1", False),
    ],
)
def test_a_token_goes_to_this_machine_or_over_tls_unless_its_file_is_named(
    place: Place, tmp_path: Path, url: str, is_sent: bool
) -> None:
    file = tmp_path / "token"
    file.write_text("acpr_a_file")
    assert place.reach(url, token_file=file).token == "acpr_a_file"
    assert place.reach(url).token is None
    if is_sent:
        assert place.reach(url, ACPRELAY_TOKEN="acpr_a_named").token == "acpr_a_named"
    else:
        with pytest.raises(ConfigError, match="without TLS") as caught:
            place.reach(url, ACPRELAY_TOKEN="acpr_a_named")
        assert "acpr_a" not in caught.value.message + caught.value.hint


def test_a_relay_is_known_by_its_public_address_too(place: Place) -> None:
    place.run("https://relay.example.org", "https://127.0.0.1:9000")
    assert place.reach().url == "https://relay.example.org"
    for url in ("wss://relay.example.org/acp", "wss://localhost:9000"):
        assert place.reach(url).token == "acpr_a_found"


def test_a_relay_that_lets_everybody_in_is_shown_nothing(place: Place) -> None:
    place.run("http://127.0.0.1:9000", token=None)
    assert place.reach() == Reach(url="http://127.0.0.1:9000")


def test_what_a_relay_leaves_is_for_its_user_alone_and_gone_with_it(place: Place) -> None:
    relay = OwnRelay(urls=("http://[::1]:9000",), token="acpr_a_secret", pid=1)
    before = os.umask(0)
    try:
        with announced(relay, place.environ):
            [path] = place.directory.iterdir()
            assert path.stat().st_mode & 0o777 == 0o600
            assert path.parent.stat().st_mode & 0o777 == 0o700
            assert own_relays(place.environ) == [relay]
    finally:
        os.umask(before)
    assert list(place.directory.iterdir()) == []
    assert "secret" not in repr(relay)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[]"])
def test_what_a_relay_left_that_was_killed_counts_for_nothing(place: Place, content: bytes) -> None:
    place.run("http://127.0.0.1:9000")
    [path] = place.directory.iterdir()
    left = path.with_name("127.0.0.1-9001.json")
    left.write_bytes(path.read_bytes())
    assert len(own_relays(place.environ)) == 1
    left.write_bytes(content)
    with left.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert len(own_relays(place.environ)) == 1
    place.run("http://127.0.0.1:9002")
    assert sorted(path.name for path in place.directory.iterdir()) == [
        "127.0.0.1-9000.json",
        "127.0.0.1-9002.json",
    ]


def test_a_relay_does_not_remove_what_its_successor_has_put_there(place: Place) -> None:
    relay = OwnRelay(urls=("http://127.0.0.1:9000",), token=None, pid=1)
    with ExitStack() as later:
        with announced(relay, place.environ):
            later.enter_context(announced(relay, place.environ))
        assert own_relays(place.environ) == [relay]


def test_without_a_home_nothing_is_left_and_nothing_found() -> None:
    environ: Mapping[str, str] = {}
    with announced(OwnRelay(urls=("http://a:1",), token=None, pid=1), environ):
        assert own_relays(environ) == []


@pytest.mark.parametrize("content", [b"", b"\xff", b"a\x00b", "é".encode()])
def test_what_is_no_token_is_not_sent(place: Place, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="the token"):
        place.reach(token_file=file)


def test_a_file_that_is_not_there_is_told(place: Place, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the token in"):
        place.reach(token_file=tmp_path / "none")


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_certificates_that_cannot_be_used_are_told(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_bytes(content)
    arguments = argparse.Namespace(url="wss://h", token_file=None, ca_file=str(file))
    with pytest.raises(ConfigError, match="cannot trust the certificates in"):
        reach_of(arguments, {})
