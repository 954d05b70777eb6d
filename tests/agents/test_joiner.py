"""A joiner and relays that are not as they should be; no program is started for those."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

import pytest
from tests.agents.cable import FakeObserver

from acprelay.agents.joiner import Joiner
from acprelay.errors import RelayError, RelayUnreachable, RemoteProtocolError, RequestRefused
from acprelay.wire.link_greeting import Claim


class Scripted:
    """A relay that says one thing, or nothing, over every connection."""

    def __init__(self, *, says: bytes | RelayError | None) -> None:
        self.dialled = 0
        self._says = says

    @asynccontextmanager
    async def dial(self, _claim: Claim | None) -> AsyncIterator[Scripted]:
        self.dialled += 1
        yield self

    async def send(self, message: bytes) -> None:
        raise AssertionError(message)

    async def receive(self) -> bytes | None:
        if isinstance(self._says, RelayError):
            raise self._says
        if self._says == b"silence":
            await asyncio.Event().wait()
        return self._says


def no_program() -> NoReturn:
    raise AssertionError("nothing may be started")


def joiner(relay: Scripted, observer: FakeObserver | None = None) -> Joiner:
    return Joiner(
        dial=relay.dial, start=no_program, observer=observer or FakeObserver(), wait_s=0.15
    )


def give_up_once_dialled(monkeypatch: pytest.MonkeyPatch, relay: Scripted, *, times: int) -> None:
    """Has the time that a relay is tried for be over once it was dialled so often."""
    monkeypatch.setattr("acprelay.agents.joiner._now", lambda: float(relay.dialled >= times))


async def test_a_relay_that_refuses_is_asked_once() -> None:
    relay = Scripted(says=RequestRefused("cannot connect: no", hint="ask"))
    with pytest.raises(RequestRefused):
        await joiner(relay).run()
    assert relay.dialled == 1


async def test_a_relay_that_cannot_be_reached_is_tried_for_a_while_and_people_are_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    relay = Scripted(says=RelayUnreachable("cannot reach it", hint="wait"))
    give_up_once_dialled(monkeypatch, relay, times=2)
    observer = FakeObserver()
    with pytest.raises(RelayUnreachable):
        await joiner(relay, observer).run()
    assert relay.dialled == 2
    assert observer.told == ["waiting"]


@pytest.mark.parametrize("says", [b"{}", b"\x01x", b""])
async def test_what_greets_in_another_way_is_no_relay(says: bytes) -> None:
    relay = Scripted(says=says)
    with pytest.raises(RemoteProtocolError, match="cannot read the greeting"):
        await joiner(relay).run()
    assert relay.dialled == 1


@pytest.mark.parametrize("says", [None, b"silence"])
async def test_what_does_not_greet_is_tried_again_and_then_given_up(
    monkeypatch: pytest.MonkeyPatch, says: bytes | None
) -> None:
    monkeypatch.setattr("acprelay.agents.joiner._GREETING_S", 0.01)
    relay = Scripted(says=says)
    give_up_once_dialled(monkeypatch, relay, times=2)
    with pytest.raises(RelayUnreachable, match="does not greet"):
        await joiner(relay).run()
    assert relay.dialled == 2


async def test_stopping_one_that_has_not_joined_does_nothing() -> None:
    joiner(Scripted(says=None)).stop()
