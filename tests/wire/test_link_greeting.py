"""How a connection of a link begins, and how its last parcel is read."""

from __future__ import annotations

import pytest

from acprelay.errors import InvalidRequest, RemoteProtocolError
from acprelay.wire.link_greeting import (
    Claim,
    Exit,
    Greeting,
    read_claim,
    read_exit,
    read_greeting,
    write,
)


def test_a_claim_is_read_as_it_was_written() -> None:
    claim = Claim(link="a", secret="b", received=7)
    assert claim.header() == "a b 7"
    assert read_claim("a b 7") == claim


@pytest.mark.parametrize("header", ["", "a", "a b", "a b c", "a b -1", "a b 1 2", "a b ²", "a b ٣"])
def test_a_malformed_claim_is_refused(header: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot read the header"):
        read_claim(header)


def test_a_claim_of_more_than_can_be_is_refused_before_it_is_counted() -> None:
    with pytest.raises(InvalidRequest):
        read_claim("a b " + "9" * 5000)


def test_a_greeting_is_read_as_it_was_written() -> None:
    greeting = Greeting(link="a", secret="b", received=7, grace_s=60.0)
    assert read_greeting(write(greeting)) == greeting


@pytest.mark.parametrize("message", [b"", b"{}", b"[]", b"\xff", b'{"link":1}', b"[" * 100_000])
def test_what_is_no_greeting_is_refused(message: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="cannot read the greeting"):
        read_greeting(message)


@pytest.mark.parametrize(
    "how", [Exit(returncode=0), Exit(returncode=3), Exit(signal=9, closed="input")]
)
def test_an_exit_is_read_as_it_was_written(how: Exit) -> None:
    assert read_exit(write(how)) == how


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"returncode":1,"signal":9}',
        b'{"signal":"KILL"}',
        b'{"signal":9,"closed":"x"}',
        b"",
    ],
)
def test_what_does_not_say_how_an_agent_ended_is_refused(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="cannot read how the agent ended"):
        read_exit(body)
