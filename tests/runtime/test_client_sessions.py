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


async def test_a_client_prompts_in_no_session_that_it_has_not_entered(
    world: World, client: Client, session: str
) -> None:
    other = await world.greeted(session_id="other")
    answer = await other.call("session/prompt", {"sessionId": session})
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
    assert client.connection._sessions.places == []
    assert client.connection._sessions._awaited == {}
    assert list(client.outbox._sources) == []
    assert len(asyncio.all_tasks()) == tasks
    assert len(world.registry) == 0
    await world.host.keep_house()
    assert world.archive._drivers == {}
    assert len(world.storage.records()) == 50


# --- one key, one session


async def test_a_key_that_lives_is_taken(world: World, client: Client, session: str) -> None:
    other = await world.greeted()
    for each in (client, other):
        answer = await each.answer(each.begin_session())
        assert answer["error"]["code"] == -32010
        assert answer["error"]["data"]["code"] == "session_exists"
        assert "session/load" in answer["error"]["data"]["hint"]
    assert "result" in await client.answer(client.prompt(session))


async def test_a_key_is_taken_while_its_conversation_is_there_and_free_once_it_is_deleted(
    world: World, client: Client, session: str
) -> None:
    for _ in range(3):
        await client.call("session/close", {"sessionId": session})
        assert world.is_gone()
        answer = await client.answer(client.begin_session())
        assert answer["error"]["data"]["code"] == "session_exists"
        deleted = await client.call("session/delete", {"sessionId": session})
        assert deleted["result"] == {}
        assert await client.open_session() == session


async def test_a_key_is_taken_until_the_conversation_that_is_deleted_is_gone(
    world: World, client: Client, session: str
) -> None:
    world.agent.hold_end()
    delete = client.request("session/delete", {"sessionId": session})
    await world.steps(AFTERWARDS)
    answer = await client.answer(client.begin_session())
    assert answer["error"]["data"]["code"] == "session_exists"
    assert client.answers(delete) == []
    world.agent.release_end()
    assert (await client.answer(delete))["result"] == {}
    assert await client.open_session() == session


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


async def test_a_client_that_has_deleted_its_session_does_not_end_the_next(
    world: World, client: Client, session: str
) -> None:
    await client.call("session/delete", {"sessionId": session})
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
    assert client.kinds() == [
        "_acprelay/turn_started",
        "session/update",
        "_acprelay/turn_ended",
        prompt,
        "_acprelay/notice",
        close,
    ]
    assert client.answers(prompt)[0]["result"] == {"stopReason": "cancelled"}
    [ended] = client.markers("_acprelay/turn_ended")
    assert (ended["outcome"], ended["stopReason"]) == ("ended", "cancelled")


async def test_closing_twice_closes_once(world: World, client: Client, session: str) -> None:
    closes = [client.request("session/close", {"sessionId": session}) for _ in range(2)]
    for close in closes:
        assert (await client.answer(close))["result"] == {}
    assert world.trace.count("agent: ended") == 1
    assert (await client.call("session/close", {"sessionId": session}))["result"] == {}


async def test_whoever_closes_a_session_leaves_it_and_the_others_stay(
    world: World, client: Client, session: str
) -> None:
    other = await world.greeted()
    await other.call("session/load", {"sessionId": session})
    await client.call("session/close", {"sessionId": session})
    prompt = client.prompt(session)
    assert client.answers(prompt)[0]["error"]["data"]["code"] == "session_not_found"
    assert [notice["code"] for notice in other.markers("_acprelay/notice")] == ["session_ended"]
    answer = await other.answer(other.prompt(session))
    assert answer["error"]["data"]["code"] == "not_restorable"


async def test_a_client_that_loads_a_session_right_behind_its_closing_is_told_everything_once(
    world: World, client: Client, session: str
) -> None:
    world.agent.ignore("session/prompt")
    client.prompt(session)
    close = client.request("session/close", {"sessionId": session})
    load = client.request("session/load", {"sessionId": session})
    await client.answer(close)
    await client.answer(load)
    await world.steps(AFTERWARDS)
    behind = client.kinds()[client.kinds().index(load) :]
    assert sorted(map(str, behind)) == sorted(map(str, [load, close]))
    notices = [
        str(m["params"]["_meta"]) for m in client.messages if "notice" in m.get("method", "")
    ]
    assert len(notices) == 2  # before its load, and in it
    assert len(set(notices)) == 1
    assert len(client.connection._sessions.places) == 1
    assert "error" in await client.answer(client.prompt(session))


async def test_a_client_need_not_be_in_the_session_that_it_closes(
    world: World, client: Client, session: str
) -> None:
    other = await world.greeted()
    assert (await other.call("session/close", {"sessionId": session}))["result"] == {}
    assert world.is_gone()
    assert [notice["code"] for notice in client.markers("_acprelay/notice")] == ["session_ended"]


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
    await world.steps(AFTERWARDS)
    assert not world.driver().attendance.has_clients


async def test_a_client_that_does_not_read_and_vanishes_once_its_session_is_closed_leaves_nothing(
    world: World, client: Client, session: str
) -> None:
    client.outlet.pause()
    client.request("session/close", {"sessionId": session})
    await world.gone()
    await world.steps(AFTERWARDS)
    await client.leave()
    assert not world.driver().attendance.has_clients
    await world.host.keep_house()
    assert world.archive._drivers == {}


async def test_a_close_is_answered_though_the_session_is_deleted_meanwhile(
    world: World, client: Client, session: str
) -> None:
    world.agent.hold_end()
    close = client.request("session/close", {"sessionId": session})
    delete = client.request("session/delete", {"sessionId": session})
    await world.steps(AFTERWARDS)
    world.agent.release_end()
    for request in (close, delete):
        assert (await client.answer(request))["result"] == {}
    assert client.connection._sessions.places == []
    assert list(client.outbox._sources) == []


async def test_a_client_whose_connection_is_lost_while_its_session_closes_is_answered_over_the_next(
    world: World, client: Client
) -> None:
    opened = await client.answer(client.begin_session())
    told = opened["result"]["_meta"]["acprelay"]
    session = opened["result"]["sessionId"]
    world.agent.hold_end()
    close = client.request("session/close", {"sessionId": session}, request_id="close")
    await client.leave()
    back = await world.greeted()
    params = {"sessionId": session, "attachment": told["attachment"], "secret": told["secret"]}
    await back.call("_acprelay/attach", {**params, "pending": [close]})
    world.agent.release_end()
    assert (await back.answer(close))["result"] == {}
    assert client.answers(close) == []
    answer = await back.answer(back.prompt(session))
    assert answer["error"]["data"]["code"] == "not_restorable"


async def test_an_attachment_that_is_adopted_while_its_session_closes_stays_with_its_new_connection(
    world: World, client: Client
) -> None:
    opened = await client.answer(client.begin_session())
    told = opened["result"]["_meta"]["acprelay"]
    session = opened["result"]["sessionId"]
    world.agent.hold_end()
    client.request("session/close", {"sessionId": session}, request_id="close")
    thief = await world.greeted()
    params = {"sessionId": session, "attachment": told["attachment"], "secret": told["secret"]}
    await thief.call("_acprelay/attach", params)
    world.agent.release_end()
    assert (await thief.answer("close"))["result"] == {}
    assert world.driver().attendance.has_clients
    await client.leave()
    assert "error" in await thief.answer(thief.prompt(session))
    await thief.leave()
    assert not world.driver().attendance.has_clients


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
        patch.setattr(world.host.runs, "end", end)
        answer = await client.call("session/close", {"sessionId": session})
    assert (answer["error"]["code"], answer["error"]["data"]["code"]) == (-32603, "relay_error")
    await world.steps(2)
    assert "a defect" in caplog.text
    await world.host.runs.end(KEY, reason="after all")


# --- cancelling a request


@pytest.mark.requirement("identity.cancelled-ids-are-translated")
async def test_cancelling_a_request_tells_the_agent_under_its_own_id(
    world: World, client: Client, session: str
) -> None:
    world.agent.ignore("session/prompt")
    client.prompt(session, request_id="mine")
    client.notify("$/cancel_request", requestId="mine")
    await world.steps(AFTERWARDS)
    [asked] = world.agent.requests("session/prompt")
    assert asked["id"] == 3  # the relay itself has asked the agent twice
    assert world.agent.requests("session/cancel")[0]["params"] == {"sessionId": "agent-session"}
    client.request("session/set_mode", {"sessionId": session, "modeId": "x"}, request_id="also")
    client.notify("$/cancel_request", requestId="also")
    assert world.agent.requests("$/cancel_request")[0]["params"] == {"requestId": 4}


@pytest.mark.parametrize(
    ("session_id", "reason"),
    [(None, "without sessionId"), ("", "without sessionId"), ("a\ud83d", "half a character")],
)
async def test_a_session_of_which_the_agent_gives_no_id_that_can_be_kept_is_none(
    world: World, client: Client, session_id: str | None, reason: str
) -> None:
    world.agent.ignore("session/new")
    request_id = client.begin_session()
    await world.steps_until(lambda: bool(world.agent.requests("session/new")))
    world.agent.answer(world.agent.requests("session/new")[0], {"sessionId": session_id})
    answer = await client.answer(request_id)
    assert answer["error"]["data"]["code"] == "agent_refused"
    assert reason in answer["error"]["message"]
    await world.gone()
    assert world.storage.records() == ()
    assert await client.open_session() == "task:main"


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
