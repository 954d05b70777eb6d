"""Connections are known by their principals, and end with them."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import replace

import pytest

from acprelay.errors import Unauthorized
from acprelay.routing.access import Grant, Principal
from acprelay.runtime.live_connections import LiveConnections

PATIENCE_S = 30.0

ANN = Principal(id="ann", name="Ann", grants=frozenset(Grant))
BOB = Principal(id="bob", name="Bob", grants=frozenset(Grant))


class Desk:
    """Live connections, and what they are told to give up."""

    def __init__(self) -> None:
        self.forsaken: list[str] = []
        self.connections = LiveConnections(forsake=self.forsaken.append)
        self.closed: list[str] = []
        self.closing = asyncio.Event()

    def close(self, name: str) -> None:
        self.closed.append(name)
        self.closing.set()

    async def connect(self, principal: Principal, name: str, leave: asyncio.Event) -> None:
        with self.connections.enter(principal, lambda: self.close(name)):
            await self.closing.wait()
            await leave.wait()


@pytest.fixture
async def desk() -> Desk:
    return Desk()


@pytest.mark.requirement("access.severed-connections-end")
async def test_severing_returns_once_every_connection_of_the_principal_has_left(desk: Desk) -> None:
    leave = [asyncio.Event(), asyncio.Event()]
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        waiting = [
            tasks.create_task(desk.connect(ANN, f"ann {number}", each))
            for number, each in enumerate(leave)
        ]
        await asyncio.sleep(0)  # both tasks have begun
        assert desk.connections.count == len(leave)
        severing = tasks.create_task(desk.connections.sever("ann"))
        await desk.closing.wait()
        assert desk.closed == ["ann 0", "ann 1"]
        leave[1].set()
        await waiting[1]
        assert desk.connections.of("ann") == 1
        assert not severing.done()
        assert desk.forsaken == []
        leave[0].set()
        assert await severing == len(leave)
    assert desk.forsaken == ["ann"]
    assert desk.connections.count == 0


async def test_others_stay(desk: Desk) -> None:
    with desk.connections.enter(BOB, lambda: desk.close("bob")):
        assert await desk.connections.sever("ann") == 0
        assert desk.closed == []
        assert desk.connections.of("bob") == 1


async def test_who_was_severed_is_not_let_in_any_more(desk: Desk) -> None:
    await desk.connections.sever("ann")
    with pytest.raises(Unauthorized), desk.connections.enter(ANN, lambda: None):
        pytest.fail("it was let in")


async def test_many_may_sever_the_same_principal(desk: Desk) -> None:
    leave = asyncio.Event()
    leave.set()
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(desk.connect(ANN, "ann", leave))
        await asyncio.sleep(0)
        counts = await asyncio.gather(*(desk.connections.sever("ann") for _ in range(3)))
    assert counts == [1, 1, 1]
    assert await desk.connections.sever("ann") == 0


async def test_one_that_left_by_itself_is_not_closed(desk: Desk) -> None:
    with ExitStack() as stack:
        stack.enter_context(desk.connections.enter(ANN, lambda: desk.close("first")))
    assert await desk.connections.sever("ann") == 0
    assert desk.closed == []


async def test_a_login_that_is_severed_ends_what_came_by_it_and_no_more(desk: Desk) -> None:
    by_login = replace(ANN, login="phone")
    with desk.connections.enter(ANN, lambda: desk.close("token")):
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            with desk.connections.enter(by_login, lambda: desk.close("phone")):
                severing = tasks.create_task(desk.connections.sever_login("ann", "phone"))
                await desk.closing.wait()
                assert not severing.done()
        assert severing.result() == 1
        assert desk.closed == ["phone"]
        assert desk.forsaken == []
        with pytest.raises(Unauthorized), desk.connections.enter(by_login, lambda: None):
            pytest.fail("it was let in")
        assert desk.connections.of("ann") == 1


async def test_a_connection_is_closed_once_however_many_sever_it(desk: Desk) -> None:
    by_login = replace(ANN, login="phone")
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        with desk.connections.enter(by_login, lambda: desk.close("phone")):
            first = tasks.create_task(desk.connections.sever_login("ann", "phone"))
            second = tasks.create_task(desk.connections.sever("ann"))
            await asyncio.sleep(0)  # both have begun
    assert (first.result(), second.result()) == (1, 1)
    assert desk.closed == ["phone"]
