"""The sessions of one client: several, one under each key, closed, cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from acprelay.errors import SpawnFailed
from acprelay.session.models import SessionKey, SessionState

if TYPE_CHECKING:
    from tests.runtime.conftest import Client, World


KEY = SessionKey("task", "main")

AFTERWARDS = 60
"""Rounds of the event loop in which everything that may come has come."""


# --- sessions of one connection


async def test_one_connection_may_have_several_sessions(world: World) -> None:
    client = await world.greeted(session_id=None)
    ids = [await client.open_session() for _ in range(3)]
    for number, agent in enumerate(world.launcher.launched):
        agent.update(f"from {number}")
    updates = [message for message in client.messages if message.get("method")]
    assert [update["params"]["sessionId"] for update in updates] == ids
    assert client.texts() == ["from 0", "from 1", "from 2"]


async def test_an_extension_without_a_session_id_goes_to_the_only_session(
    world: World, client: Client, session: str
) -> None:
    client.notify("_x/hello", a=1)
    world.agent.answer_with("_x/ask", {"b": 2})
    assert (await client.call("_x/ask", {"a": 1}))["result"] == {"b": 2}
    assert world.agent.requests("_x/hello")[0]["params"] == {"a": 1}
    assert session == "task:main"


async def test_an_extension_without_a_session_id_goes_to_none_of_several(world: World) -> None:
    client = await world.greeted(session_id=None)
    await client.open_session()
    await client.open_session()
    answer = await client.call("_x/ask", {"a": 1})
    assert answer["error"]["data"]["code"] == "method_not_found"
    assert [agent.requests("_x/ask") for agent in world.launcher.launched] == [[], []]


async def test_what_only_the_agent_can_tell_is_told_by_the_agent(
    world: World, client: Client, session: str
) -> None:
    answer = await client.call("no/such", {"sessionId": session})
    assert answer["error"] == {"code": -32601, "message": "Method not found"}
    assert world.agent.requests("no/such")[0]["params"] == {"sessionId": "agent-session"}


async def test_a_client_cannot_reach_the_session_of_another(
    world: World, client: Client, session: str
) -> None:
    other = await world.greeted(session_id="other")
    for method in ("session/prompt", "session/close"):
        answer = await other.call(method, {"sessionId": session})
        assert answer["error"]["data"]["code"] == "session_not_found"
    other.notify("session/cancel", sessionId=session)
    await world.steps(AFTERWARDS)
    assert world.agent.requests("session/prompt") == []
    assert world.agent.requests("session/cancel") == []
    assert not world.is_gone()
    assert client.messages == []


async def test_sessions_that_were_closed_leave_nothing_with_their_connection(world: World) -> None:
    client = await world.greeted(session_id=None)
    tasks = len(asyncio.all_tasks())
    for _ in range(50):
        session = await client.open_session()
        world.agent.update("hello")
        await client.call("session/close", {"sessionId": session})
    refused = world.launcher
    for _ in range(50):
        refused.fail_with(SpawnFailed("cannot start agent 'fake'"))
        assert "error" in await client.answer(client.begin_session())
    await world.steps(AFTERWARDS)
    assert client.connection._sessions.drivers == []
    assert client.connection._sessions._awaited == {}
    assert list(client.connection._outbox._sources) == []
    assert len(asyncio.all_tasks()) == tasks
    assert len(world.registry) == 0


# --- one key, one session


async def test_a_key_that_lives_is_taken(world: World, client: Client, session: str) -> None:
    other = await world.greeted()
    for each in (client, other):
        answer = await each.answer(each.begin_session())
        assert answer["error"]["code"] == -32010
        assert answer["error"]["data"]["code"] == "session_exists"
        assert "session/load" in answer["error"]["data"]["hint"]
    assert "result" in await client.answer(client.prompt(session))


async def test_a_key_is_free_again_once_its_session_is_closed(
    world: World, client: Client, session: str
) -> None:
    for _ in range(3):
        closed = await client.call("session/close", {"sessionId": session})
        assert closed["result"] == {}
        assert world.is_gone()
        assert await client.open_session() == session


async def test_a_key_is_taken_until_the_old_session_is_gone(
    world: World, client: Client, session: str
) -> None:
    world.agent.hold_end()
    close = client.request("session/close", {"sessionId": session})
    await world.steps(AFTERWARDS)
    answer = await client.answer(client.begin_session())
    assert answer["error"]["data"]["code"] == "session_exists"
    world.agent.release_end()
    assert (await client.answer(close))["result"] == {}


async def test_a_client_whose_start_failed_does_not_end_the_session_of_the_next(
    world: World,
) -> None:
    unlucky = await world.greeted()
    world.agent.die()
    world.launcher.fail_with(SpawnFailed("cannot start agent 'fake'"))
    assert "error" in await unlucky.answer(unlucky.begin_session())
    await world.gone()
    lucky = await world.greeted()
    await lucky.open_session()
    await unlucky.leave()
    await world.steps(AFTERWARDS)
    assert (await world.manager.get(KEY)).state is SessionState.ACTIVE


async def test_a_client_that_has_closed_its_session_does_not_end_the_next(
    world: World, client: Client, session: str
) -> None:
    await client.call("session/close", {"sessionId": session})
    other = await world.greeted()
    await other.open_session()
    await client.leave()
    await world.steps(AFTERWARDS)
    assert (await world.manager.get(KEY)).state is SessionState.ACTIVE


# --- closing


async def test_closing_cancels_the_turn_first_and_answers_last(
    world: World, client: Client, session: str
) -> None:
    world.agent.ignore("session/prompt")
    prompt = client.prompt(session)
    world.agent.update("thinking")
    close = client.request("session/close", {"sessionId": session})
    await client.answer(close)
    said = [message.get("method", message.get("id")) for message in client.messages]
    assert said == ["session/update", prompt, "_acprelay/notice", close]
    assert client.answers(prompt)[0]["result"] == {"stopReason": "cancelled"}


async def test_closing_twice_closes_once(world: World, client: Client, session: str) -> None:
    first = client.request("session/close", {"sessionId": session})
    second = client.request("session/close", {"sessionId": session})
    assert (await client.answer(first))["result"] == {}
    answer = await client.answer(second)
    assert answer["error"]["data"]["code"] == "session_not_found"
    assert world.trace.count("agent: ended") == 1


async def test_closing_what_the_agent_has_left_already_succeeds(
    world: World, client: Client, session: str
) -> None:
    world.agent.die()
    close = client.request("session/close", {"sessionId": session})
    assert (await client.answer(close))["result"] == {}
    assert world.is_gone()


async def test_a_client_that_vanishes_while_its_session_closes_leaves_nothing(
    world: World, client: Client, session: str
) -> None:
    world.agent.hold_end()
    client.request("session/close", {"sessionId": session})
    await client.leave()
    world.agent.release_end()
    await world.gone()


async def test_a_defect_while_a_session_closes_is_answered(
    world: World,
    client: Client,
    session: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def end(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(world.host, "end", end)
        await client.call("session/close", {"sessionId": session})
    assert client.refusals()[-1][1:] == (-32603, "relay_error")
    await world.steps(2)
    assert "a defect" in caplog.text
    await world.host.end(KEY, reason="after all")


# --- cancelling a request


async def test_cancelling_a_request_tells_the_agent_under_its_own_id(
    world: World, client: Client, session: str
) -> None:
    world.agent.ignore("session/prompt")
    client.prompt(session, request_id="mine")
    client.notify("$/cancel_request", requestId="mine")
    minted = world.agent.requests("session/prompt")[0]["id"]
    assert minted == 3  # the relay itself has asked the agent twice
    assert world.agent.requests("$/cancel_request")[0]["params"] == {"requestId": minted}


async def test_cancelling_session_new_ends_the_start(world: World, client: Client) -> None:
    world.agent.ignore("session/new")
    request_id = client.begin_session()
    await world.steps_until(lambda: bool(world.agent.requests("session/new")))
    client.notify("$/cancel_request", requestId=request_id)
    answer = await client.answer(request_id)
    assert (answer["error"]["code"], answer["error"]["data"]["code"]) == (
        -32800,
        "request_cancelled",
    )
    await world.gone()
    assert world.reason() == "its client cancelled session/new"
    assert await client.open_session() == "task:main"
