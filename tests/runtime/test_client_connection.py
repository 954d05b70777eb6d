"""A client from its first message until it has left."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from acprelay import __version__
from acprelay.errors import SpawnFailed
from acprelay.session.models import SessionKey
from acprelay.testing.outlet import MemoryOutlet

if TYPE_CHECKING:
    from tests.runtime.conftest import Client, World


AFTERWARDS = 60
"""Rounds of the event loop in which everything that may come has come."""


# --- initialize


async def test_initialize_is_answered_with_what_the_agent_and_the_relay_can_do(
    world: World,
) -> None:
    capabilities = {
        "loadSession": True,
        "promptCapabilities": {"image": True},
        "sessionCapabilities": {"fork": {}, "list": {}},
    }
    world.program = lambda agent: agent.answer_with(
        "initialize",
        {"protocolVersion": 1, "agentCapabilities": capabilities, "_meta": {"x": 1}, "y": 2},
    )
    client = await world.connect()
    answer = await client.initialize()
    assert answer["result"] == {
        "protocolVersion": 1,
        "agentCapabilities": {
            "loadSession": False,
            "promptCapabilities": {"image": True},
            "sessionCapabilities": {"close": {}},
        },
        "_meta": {"x": 1, "acprelay": {"version": __version__}},
        "y": 2,
    }


async def test_initialize_starts_no_process_that_is_not_used_by_the_first_session(
    world: World,
) -> None:
    client = await world.greeted()
    await client.open_session()
    assert len(world.launcher.launched) == 1


async def test_an_initialize_that_failed_may_be_repeated(world: World) -> None:
    world.launcher.fail_with(SpawnFailed("cannot start agent 'fake'", hint="install it"))
    client = await world.connect()
    failed = await client.initialize()
    assert failed["error"]["data"]["code"] == "spawn_failed"
    assert "result" in await client.initialize()


async def test_an_initialize_that_met_a_defect_may_be_repeated(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def describe(_name: str) -> bytes:
        raise ZeroDivisionError("a defect")

    client = await world.connect()
    with monkeypatch.context() as patch:
        patch.setattr(world.pool, "describe", describe)
        failed = await client.initialize()
    assert failed["error"]["code"] == -32603
    assert "defect" not in failed["error"]["message"]
    assert "result" in await client.initialize()
    assert "a defect" in caplog.text


async def test_a_second_initialize_is_refused_while_the_first_is_under_way(world: World) -> None:
    client = await world.connect()
    world.launcher.hold()
    first = client.request("initialize", {"protocolVersion": 1})
    second = client.request("initialize", {"protocolVersion": 1})
    assert client.refusals() == [(second, -32600, "invalid_request")]
    assert client.hint() == "wait for the first answer"
    world.launcher.release()
    assert "result" in await client.answer(first)


@pytest.mark.parametrize(
    "params", [None, {}, [], {"protocolVersion": "1"}, {"protocolVersion": 0}, {"x": 1}]
)
async def test_an_initialize_without_a_version_that_is_spoken_is_refused(
    world: World, params: object
) -> None:
    client = await world.connect()
    client.send({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
    await client.answer(1)
    assert client.refusals() == [(1, -32602, "invalid_params")]
    assert "protocolVersion" in client.hint()
    assert world.launcher.launched == []


# --- ids


@pytest.mark.parametrize("raw", [b"1", b'"1"', b"1.0", b"0", b"-7", b"null", b'"\\u00e9"', b'""'])
async def test_ids_come_back_as_they_were_sent(client: Client, session: str, raw: bytes) -> None:
    client.send(
        b'{"id":%b,"method":"session/prompt","params":{"sessionId":"task:main","prompt":[]}}' % raw
    )
    async with asyncio.timeout(30):
        await client.outlet.wait_for(lambda message: "result" in message)
    assert client.outlet.payloads == [
        b'{"jsonrpc":"2.0","id":%b,"result":{"stopReason":"end_turn"}}' % raw
    ]
    assert session == "task:main"


async def test_a_second_request_with_an_id_in_flight_is_refused(
    world: World, client: Client, session: str
) -> None:
    long_id = "é" * 200  # cut between the bytes of one letter, it would be no UTF-8
    world.agent.ignore("session/prompt")
    client.prompt(session, request_id=long_id)
    client.prompt(session, request_id=long_id)
    assert client.refusals() == [(long_id, -32600, "invalid_request")]
    assert "in flight" in client.hint()
    assert len(world.agent.requests("session/prompt")) == 1
    asked = world.agent.requests("session/prompt")[0]
    world.agent.answer(asked, {"stopReason": "end_turn"})
    assert "result" in client.answers(long_id)[1]


async def test_a_second_session_new_with_an_id_in_flight_is_refused(
    world: World, client: Client
) -> None:
    world.agent.ignore("session/new")
    first = client.begin_session()
    client.request("session/new", {"cwd": "/"}, request_id=first)
    assert client.refusals() == [(first, -32600, "invalid_request")]
    await world.steps_until(lambda: bool(world.agent.requests("session/new")))
    world.agent.answer(world.agent.requests("session/new")[0], {"sessionId": "agent-session"})
    await world.steps_until(lambda: len(client.answers(first)) == 2)
    assert "result" in client.answers(first)[1]


async def test_an_id_may_be_used_again_once_it_is_answered(client: Client, session: str) -> None:
    for _ in range(3):
        client.outlet.payloads.clear()
        assert "result" in await client.answer(client.prompt(session, request_id="one"))


async def test_the_id_of_a_cancelled_session_new_may_be_used_again_at_once(world: World) -> None:
    client = await world.greeted(session_id=None)
    client.request("session/new", {"cwd": "/"}, request_id="five")
    client.notify("$/cancel_request", requestId="five")
    client.request("session/new", {"cwd": "/"}, request_id="five")
    await world.steps(AFTERWARDS)
    cancelled, opened = client.answers("five")
    assert cancelled["error"]["data"]["code"] == "request_cancelled"
    assert opened["result"]["sessionId"] == "id-2:main"
    assert list(world.registry) == [SessionKey("id-2", "main")]


# --- asks


async def test_an_ask_reaches_the_client_and_its_answer_the_agent(
    world: World, client: Client, session: str
) -> None:
    world.agent.ask(41, "session/request_permission", sessionId="agent-session", options=[])
    ask = await client.called("session/request_permission")
    assert isinstance(ask["id"], str)
    assert ask["params"] == {"sessionId": session, "options": []}
    outcome = {"outcome": {"outcome": "selected", "optionId": "yes"}}
    client.send({"jsonrpc": "2.0", "id": ask["id"], "result": outcome})
    assert world.agent.replies == [{"jsonrpc": "2.0", "id": 41, "result": outcome}]


async def test_an_ask_is_answered_once(world: World, client: Client, session: str) -> None:
    world.agent.ask(41, "session/request_permission", sessionId="agent-session")
    ask = await client.called("session/request_permission")
    for number in range(3):
        client.send({"jsonrpc": "2.0", "id": ask["id"], "result": number})
    assert [reply["result"] for reply in world.agent.replies] == [0]
    assert session == "task:main"


async def test_only_who_was_asked_can_answer(world: World, client: Client, session: str) -> None:
    asked = world.agent
    intruder = await world.greeted(session_id="other")
    await intruder.open_session()
    asked.ask(41, "session/request_permission", sessionId="agent-session")
    ask = await client.called("session/request_permission")
    intruder.send({"jsonrpc": "2.0", "id": ask["id"], "result": "mine"})
    assert asked.replies == []
    client.send({"jsonrpc": "2.0", "id": ask["id"], "result": "hers"})
    assert [reply["result"] for reply in asked.replies] == ["hers"]
    assert session == "task:main"


async def test_an_answer_finds_the_session_that_asked(world: World) -> None:
    client = await world.greeted(session_id=None)
    for _ in range(3):
        await client.open_session()
    for agent in world.launcher.launched:
        agent.ask(1, "session/request_permission", sessionId="agent-session")
    asks = [m for m in client.messages if m.get("method") == "session/request_permission"]
    assert len({ask["id"] for ask in asks}) == 3
    for number, ask in reversed(list(enumerate(asks))):
        client.send({"jsonrpc": "2.0", "id": ask["id"], "result": number})
    results = [agent.replies[0]["result"] for agent in world.launcher.launched]
    assert results == [0, 1, 2]


async def test_an_answer_to_an_agent_that_is_gone_goes_nowhere(
    world: World, client: Client, session: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.agent.ask(41, "session/request_permission", sessionId="agent-session")
    ask = await client.called("session/request_permission")
    world.agent.hold_end()
    closing = client.request("session/close", {"sessionId": session})
    client.send({"jsonrpc": "2.0", "id": ask["id"], "result": 1})
    await world.steps(AFTERWARDS)
    client.send({"jsonrpc": "2.0", "id": ask["id"], "result": 2})
    world.agent.release_end()
    await client.answer(closing)
    assert caplog.text == ""


async def test_an_answer_that_the_agent_does_not_take_is_told_in_the_log(
    world: World, client: Client, session: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.agent.ask(41, "session/request_permission", sessionId="agent-session")
    ask = await client.called("session/request_permission")
    world.agent.stop_reading()
    client.request("session/prompt", {"sessionId": session, "x": "x" * (1 << 20)})
    client.send({"jsonrpc": "2.0", "id": ask["id"], "result": 1})
    assert "session task:main: cannot send to agent" in caplog.text


# --- an agent that does not read


async def test_an_input_that_is_full_fails_that_request_only(
    world: World, client: Client, session: str
) -> None:
    world.agent.stop_reading()
    world.agent.ignore("session/prompt")
    large = client.request("session/prompt", {"sessionId": session, "x": "x" * (1 << 20)})
    refused = client.prompt(session, request_id="again")
    assert client.refusals() == [(refused, -32603, "agent_error")]
    client.notify("session/cancel", sessionId=session)  # which cannot be answered
    world.agent.go_on_reading()
    await world.steps(AFTERWARDS)
    world.agent.answer_with("session/prompt", {"stopReason": "end_turn"})
    client.outlet.payloads.clear()
    assert "result" in await client.answer(client.prompt(session, request_id="again"))
    world.agent.answer(world.agent.requests("session/prompt")[0], {"stopReason": "refusal"})
    assert client.answers(large)[0]["result"] == {"stopReason": "refusal"}


# --- authentication


async def test_an_authentication_is_answered_by_the_agent_without_the_relays_own_stamp(
    world: World, client: Client
) -> None:
    meta = {"acprelay": {"forged": True}, "x": 1}
    world.agent.answer_with("authenticate", {"ok": True})
    answer = await client.call("authenticate", {"methodId": "key", "_meta": meta})
    assert answer["result"] == {"ok": True}
    asked = world.agent.requests("authenticate")[0]
    assert asked["params"] == {"methodId": "key", "_meta": {"x": 1}}


async def test_a_refused_authentication_is_not_repeated_for_sessions(
    world: World, client: Client
) -> None:
    world.agent.refuse("authenticate", message="wrong key")
    answer = await client.call("authenticate", {"methodId": "key"})
    assert answer["error"] == {"code": -32000, "message": "wrong key"}
    world.agent.die()
    await client.open_session()
    assert world.agent.requests("authenticate") == []


async def test_after_a_logout_sessions_are_not_authenticated(world: World, client: Client) -> None:
    await client.call("authenticate", {"methodId": "key"})
    assert (await client.call("logout"))["result"] == {}
    world.agent.die()
    await client.open_session()
    assert world.agent.requests("authenticate") == []


async def test_an_agent_that_dies_while_it_authenticates_fails_that_request_only(
    world: World, client: Client
) -> None:
    world.agent.die_on("authenticate")
    answer = await client.call("authenticate", {"methodId": "key"})
    assert answer["error"]["data"]["code"] == "agent_exited"
    assert await client.open_session() == "task:main"


# --- coming and going


async def test_leaving_ends_the_sessions_of_the_client_and_no_other(
    world: World, client: Client, session: str
) -> None:
    other = await world.greeted(session_id="other")
    await other.open_session()
    await client.leave()
    await world.gone()
    assert world.reason() == "its client left"
    assert not world.is_gone(SessionKey("other", "main"))
    assert session == "task:main"


async def test_leaving_gives_up_what_is_under_way(world: World) -> None:
    client = await world.connect()
    world.launcher.hold()
    client.request("initialize", {"protocolVersion": 1})
    await world.steps(3)
    await client.leave()
    world.launcher.release()
    await world.steps(AFTERWARDS)
    assert world.launcher.launched == []
    assert client.messages == []


async def test_leaving_is_not_held_up_by_another_client_of_the_same_agent(world: World) -> None:
    world.launcher.hold()
    waiting, leaving = await world.connect(), await world.connect()
    waiting.request("initialize", {"protocolVersion": 1})
    leaving.request("initialize", {"protocolVersion": 1})
    await world.steps(3)
    async with asyncio.timeout(30):
        await leaving.leave()
    world.launcher.release()


async def test_leaving_ends_all_of_it_though_whoever_waits_for_that_is_cancelled(
    world: World,
) -> None:
    client = await world.greeted(session_id=None)
    for _ in range(3):
        await client.open_session()
    leaving = asyncio.get_running_loop().create_task(client.leave())
    await world.steps(1)
    leaving.cancel()
    await asyncio.wait({leaving})
    await world.steps_until(lambda: not world.launcher.living and not len(world.registry))


async def test_nothing_is_said_to_a_client_that_has_left(world: World) -> None:
    outlet = MemoryOutlet()
    client = await world.greeted(outlet=outlet)
    await client.open_session()
    said = list(outlet.payloads)
    await client.connection.__aexit__(None, None, None)  # its socket would take it
    await world.gone()
    client.connection.say(b"{}")
    client.connection.flush()
    assert outlet.payloads == said


async def test_the_backlog_counts_what_belongs_to_no_session(world: World) -> None:
    client = await world.connect()
    client.outlet.pause()
    client.send(b"{")
    assert client.connection.backlog_bytes > 0
    client.outlet.resume()
    await world.steps_until(lambda: client.connection.backlog_bytes == 0)
    assert len(client.messages) == 1


async def test_a_client_that_is_lost_while_it_does_not_read_leaves_nothing(world: World) -> None:
    client = await world.greeted()
    await client.open_session()
    client.outlet.pause()
    world.agent.update("unread")
    client.outlet.lose()
    await world.steps(AFTERWARDS)
    await client.leave()
    await world.gone()
