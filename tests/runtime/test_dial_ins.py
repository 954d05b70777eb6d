"""Agents that have dialled in, and whoever waits for one, without sockets or processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TypeAlias

import pytest
from tests.runtime.conftest import KEY, World

from acprelay.agents.dialled import LOST
from acprelay.agents.link_connection import LinkConnection
from acprelay.config import Limits
from acprelay.errors import (
    AgentAbsent,
    AgentRefused,
    LimitReached,
    LinkGone,
    RoleTaken,
    Unauthorized,
    Unavailable,
)
from acprelay.runtime.application import Application
from acprelay.session.models import SessionKey
from acprelay.testing.agents import Message
from acprelay.wire.link_greeting import read_claim

OpenWorld: TypeAlias = Callable[..., AbstractAsyncContextManager[World]]


class BareAgent:
    """An agent at the other end of a connection, which a test speaks for."""

    def __init__(self, connection: LinkConnection) -> None:
        self._connection = connection
        self._unread: list[bytes] = []

    @classmethod
    async def joins(cls, world: World, key: SessionKey = KEY) -> BareAgent:
        ticket = await world.desk.invite(key, ttl_s=60.0)
        connection, greeting = world.dial_ins.admit(application(ticket.token, key))
        assert greeting is None
        return cls(connection)

    async def hears(self, method: str) -> Message:
        while not self._unread:
            self._unread += await self._connection.outgoing()
        message: Message = json.loads(self._unread.pop(0))
        assert message["method"] == method
        return message

    async def answers(self, method: str, result: object) -> None:
        asked = await self.hears(method)
        self.says({"id": asked["id"], "result": result})

    def says(self, message: Message) -> None:
        self._connection.receive(json.dumps({"jsonrpc": "2.0", **message}).encode())

    def leaves(self) -> None:
        self._connection.lost()

    async def is_dismissed(self) -> bool:
        return await self._connection.outgoing() == []


INITIALIZED = {"protocolVersion": 1, "agentCapabilities": {}}


def application(token: str | None, key: SessionKey = KEY) -> Application:
    return Application(key=key, token=token, claim=None, is_resumable=False)


async def test_a_run_takes_the_agent_that_waits_and_is_its_end(world: World) -> None:
    agent = await BareAgent.joins(world)
    await agent.answers("initialize", INITIALIZED)
    client = await world.greeted(agent="joined")
    new_id = client.begin_session()
    await agent.answers("session/new", {"sessionId": "own"})
    assert "result" in await client.answer(new_id)
    await client.answer(client.request("session/close", {"sessionId": str(KEY)}))
    assert await agent.is_dismissed()


async def test_a_client_that_wants_no_session_any_more_leaves_the_agent_waiting(
    world: World,
) -> None:
    client = await world.connect(agent="joined")
    take = asyncio.get_running_loop().create_task(world.dial_ins.take(KEY, credentials=None))
    agent = await BareAgent.joins(world)
    asked = await agent.hears("initialize")
    await world.steps(5)
    take.cancel()
    with pytest.raises(asyncio.CancelledError):
        await take
    agent.says({"id": asked["id"], "result": INITIALIZED})
    handshake = await world.dial_ins.take(KEY, credentials=None)
    assert handshake.agent.exit is None
    del client


async def test_what_authenticates_a_client_reaches_the_agent_that_its_run_takes(
    world: World,
) -> None:
    agent = await BareAgent.joins(world)
    await agent.answers("initialize", INITIALIZED)
    client = await world.greeted(agent="joined")
    for method in ("authenticate", "logout", "authenticate"):
        request_id = client.request(method, {"methodId": "key"})
        await agent.answers(method, {})
        assert "result" in await client.answer(request_id)
    new_id = client.begin_session()
    await agent.answers("session/new", {"sessionId": "own"})
    assert "result" in await client.answer(new_id)


async def test_an_agent_that_joins_later_is_authenticated_by_what_its_client_said_before(
    world: World,
) -> None:
    agent = await BareAgent.joins(world)
    await agent.answers("initialize", INITIALIZED)
    client = await world.greeted(agent="joined")
    request_id = client.request("authenticate", {"methodId": "key"})
    await agent.answers("authenticate", {})
    await client.answer(request_id)
    agent.leaves()
    client.begin_session()
    second = await BareAgent.joins(world)
    await second.answers("initialize", INITIALIZED)
    assert (await second.hears("authenticate"))["params"] == {"methodId": "key"}


async def test_an_agent_that_refuses_to_be_greeted_is_dismissed_and_whoever_waits_is_told(
    world: World,
) -> None:
    describing = asyncio.get_running_loop().create_task(world.dial_ins.describe(KEY))
    await world.steps(3)
    agent = await BareAgent.joins(world)
    asked = await agent.hears("initialize")
    agent.says({"id": asked["id"], "error": {"code": -32000, "message": "no"}})
    with pytest.raises(AgentRefused):
        await describing
    assert await agent.is_dismissed()


async def test_an_agent_is_remembered_for_clients_that_only_read(world: World) -> None:
    agent = await BareAgent.joins(world)
    await agent.answers("initialize", INITIALIZED)
    described = await world.dial_ins.describe(KEY)
    agent.leaves()
    assert await world.dial_ins.describe(KEY) == described
    assert json.loads(described) == INITIALIZED


async def test_only_so_many_are_remembered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acprelay.runtime.dial_ins._MOST_DESCRIBED", 1)
    for role in ("main", "other"):
        agent = await BareAgent.joins(world, SessionKey("task", role))
        await agent.answers("initialize", INITIALIZED)
        await world.dial_ins.describe(SessionKey("task", role))
        agent.leaves()
    assert list(world.dial_ins._described) == [SessionKey("task", "other")]


@pytest.mark.requirement("joining.absence-is-told")
async def test_whoever_waits_too_long_is_told_how_an_agent_joins(open_world: OpenWorld) -> None:
    async with open_world(limits=Limits(start_s=1e-9)) as world:
        for waiting in (
            world.dial_ins.describe(KEY),
            world.dial_ins.take(KEY, credentials=None),
            world.dial_ins.authenticate(KEY, b"{}"),
            world.dial_ins.logout(KEY, b"{}"),
        ):
            with pytest.raises(AgentAbsent, match="none has joined task:main") as caught:
                await waiting
            assert "acprelay join --session task --role main" in caught.value.hint
        client = await world.connect(agent="joined")
        assert (await client.initialize())["error"]["data"]["code"] == "agent_absent"


@pytest.mark.parametrize("method", ["authenticate", "logout"])
async def test_an_agent_that_works_already_is_not_authenticated_in_between(
    world: World, method: str
) -> None:
    agent = await BareAgent.joins(world)
    await agent.answers("initialize", INITIALIZED)
    handshake = await world.dial_ins.take(KEY, credentials=None)
    call = getattr(world.dial_ins, method)(
        KEY, b'{"methodId":"login"}' if method == "authenticate" else b"{}"
    )
    waiting = asyncio.get_running_loop().create_task(call)
    await world.steps(10)
    assert not waiting.done()
    agent.leaves()
    assert handshake.agent.exit == LOST
    second = await BareAgent.joins(world)
    await second.answers("initialize", INITIALIZED)
    await second.answers(method, {})
    assert not (await waiting).is_error


async def test_who_is_refused_changes_nothing(open_world: OpenWorld) -> None:
    async with open_world(limits=Limits(dialled_agents=1)) as world:
        with pytest.raises(Unauthorized):
            world.dial_ins.admit(application(None))
        await BareAgent.joins(world)
        ticket = await world.desk.invite(KEY, ttl_s=60.0)
        with pytest.raises(RoleTaken):
            world.dial_ins.admit(application(ticket.token))
        with pytest.raises(LimitReached):
            await BareAgent.joins(world, SessionKey("task", "other"))
        await world.dial_ins.aclose()
        with pytest.raises(Unavailable):
            world.dial_ins.check(application(ticket.token))


async def test_an_agent_is_let_go_at_once_where_its_role_is_revoked(world: World) -> None:
    assert not world.dial_ins.sever(KEY)
    agent = await BareAgent.joins(world)
    assert world.dial_ins.sever(KEY)
    assert await agent.is_dismissed()


async def test_a_claim_that_is_no_text_is_of_a_link_that_is_not_there(world: World) -> None:
    ticket = await world.desk.invite(KEY, ttl_s=60.0)
    first = Application(key=KEY, token=ticket.token, claim=None, is_resumable=True)
    world.dial_ins.admit(first)
    header = b"link \xff 0".decode(errors="surrogateescape")  # as the HTTP server gives it
    with pytest.raises(LinkGone):
        world.dial_ins.check(replace(first, claim=read_claim(header)))


async def test_an_invitation_that_cannot_be_stored_is_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_invitations: object) -> None:
        raise Unavailable("cannot keep an invitation: full", hint="make room")

    monkeypatch.setattr(world.desk._store, "save", fail)
    with pytest.raises(Unavailable):
        await world.desk.invite(KEY, ttl_s=60.0)
    with pytest.raises(Unauthorized):
        world.desk.check(KEY, "token-1")
