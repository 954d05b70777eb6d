"""A client from its first message until it has left."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from acprelay import __version__
from acprelay.errors import SpawnFailed
from acprelay.session.models import SessionKey, SessionState
from acprelay.testing.agents import FakeAgent, Message
from acprelay.testing.outlet import MemoryOutlet

if TYPE_CHECKING:
    from tests.runtime.conftest import Client, World


AFTERWARDS = 60
"""Rounds of the event loop in which everything that may come has come."""


# --- initialize


@pytest.mark.requirement("handshake.one-answer-per-client")
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
            "loadSession": True,
            "promptCapabilities": {"image": True},
            "sessionCapabilities": {"list": {}, "resume": {}, "close": {}, "delete": {}},
        },
        "_meta": {"x": 1, "acprelay": {"version": __version__, "attach": True}},
        "y": 2,
    }


async def test_initialize_starts_no_process_that_is_not_used_by_the_first_session(
    world: World,
) -> None:
    client = await world.greeted()
    await client.open_session()
    assert len(world.launcher.launched) == 1


@pytest.mark.usefixtures("client")
async def test_an_initialize_whose_answer_is_known_waits_for_nothing(world: World) -> None:
    second = await world.connect()
    asked = second.request("initialize", {"protocolVersion": 1})
    assert "result" in second.answers(asked)[0]  # the event loop has not gone round since


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


@pytest.mark.requirement("handshake.versions-are-negotiated-per-hop")
@pytest.mark.parametrize(
    "params", [None, {}, [], {"protocolVersion": "one"}, {"protocolVersion": 0}, {"x": 1}]
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


@pytest.mark.requirement("identity.ids-come-back-as-sent", "identity.zero-is-an-id")
@pytest.mark.parametrize("raw", [b"1", b'"1"', b"1.0", b"0", b"-7", b"null", b'"\\u00e9"', b'""'])
async def test_ids_come_back_as_they_were_sent(client: Client, session: str, raw: bytes) -> None:
    client.send(
        b'{"id":%b,"method":"session/prompt","params":{"sessionId":"task:main","prompt":[]}}' % raw
    )
    async with asyncio.timeout(30):
        await client.outlet.wait_for(lambda message: "result" in message)
    replies = [payload for payload in client.outlet.payloads if b'"method"' not in payload]
    assert replies == [b'{"jsonrpc":"2.0","id":%b,"result":{"stopReason":"end_turn"}}' % raw]
    assert session == "task:main"


async def test_a_second_request_with_an_id_in_flight_is_refused(
    world: World, client: Client, session: str
) -> None:
    long_id = "é" * 200  # cut between the bytes of one letter, it would be no UTF-8
    world.agent.ignore("session/prompt")
    client.prompt(session, request_id=long_id)
    client.prompt(session, request_id=long_id)
    [refused] = client.answers(long_id)
    assert refused["error"]["data"]["code"] == "invalid_request"
    assert "in flight" in refused["error"]["data"]["hint"]
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


def ask_permission(agent: FakeAgent, request_id: object = 41) -> None:
    agent.ask(request_id, "session/request_permission", sessionId="agent-session", options=OPTIONS)


def choice(option_id: str) -> Message:
    return {"outcome": {"outcome": "selected", "optionId": option_id}}


OPTIONS = [{"optionId": option, "kind": "allow_once", "name": option} for option in ("a", "b")]


async def test_an_ask_reaches_the_client_and_its_answer_the_agent(
    world: World, client: Client, session: str
) -> None:
    ask_permission(world.agent)
    ask = await client.called("session/request_permission")
    assert isinstance(ask["id"], str)
    assert ask["params"]["sessionId"] == session
    assert ask["params"]["options"] == OPTIONS
    client.send({"jsonrpc": "2.0", "id": ask["id"], "result": choice("b")})
    await world.steps(1)
    assert world.agent.replies == [{"jsonrpc": "2.0", "id": 41, "result": choice("b")}]


async def test_an_ask_is_answered_once(world: World, client: Client, session: str) -> None:
    ask_permission(world.agent)
    ask = await client.called("session/request_permission")
    for option in ("a", "b", "a"):
        client.send({"jsonrpc": "2.0", "id": ask["id"], "result": choice(option)})
    await world.steps(1)
    assert [reply["result"] for reply in world.agent.replies] == [choice("a")]
    assert session == "task:main"


@pytest.mark.requirement("identity.answers-count-from-the-asked")
async def test_only_who_was_asked_can_answer(world: World, client: Client, session: str) -> None:
    asked = world.agent
    intruder = await world.greeted(session_id="other")
    await intruder.open_session()
    ask_permission(asked)
    ask = await client.called("session/request_permission")
    intruder.send({"jsonrpc": "2.0", "id": ask["id"], "result": choice("a")})
    await world.steps(1)
    assert asked.replies == []
    client.send({"jsonrpc": "2.0", "id": ask["id"], "result": choice("b")})
    await world.steps(1)
    assert [reply["result"] for reply in asked.replies] == [choice("b")]
    assert session == "task:main"


@pytest.mark.requirement(
    "permissions.all-who-may-approve-are-asked",
    "permissions.first-valid-answer-wins",
    "permissions.losers-are-told",
)
async def test_everybody_in_a_session_is_asked_and_the_first_answer_counts(
    world: World, client: Client, session: str
) -> None:
    other = await world.greeted()
    await other.call("session/resume", {"sessionId": session})
    ask_permission(world.agent)
    asks = [await each.called("session/request_permission") for each in (client, other)]
    assert asks[0]["id"] == asks[1]["id"]
    other.send({"jsonrpc": "2.0", "id": asks[1]["id"], "result": choice("b")})
    client.send({"jsonrpc": "2.0", "id": asks[0]["id"], "result": choice("a")})
    await world.steps(1)
    assert [reply["result"] for reply in world.agent.replies] == [choice("b")]
    assert client.markers("$/cancel_request") == [{"requestId": asks[0]["id"]}]
    assert other.markers("$/cancel_request") == []


async def test_an_answer_finds_the_session_that_asked(world: World) -> None:
    client = await world.greeted(session_id=None)
    for _ in range(3):
        await client.open_session()
    for agent in world.launcher.launched:
        ask_permission(agent, 1)
    asks = [m for m in client.messages if m.get("method") == "session/request_permission"]
    assert len({ask["id"] for ask in asks}) == 3
    for option, ask in zip("aba", reversed(asks), strict=True):
        client.send({"jsonrpc": "2.0", "id": ask["id"], "result": choice(option)})
    await world.steps(1)
    results = [agent.replies[0]["result"] for agent in world.launcher.launched]
    assert results == [choice("a"), choice("b"), choice("a")]


async def test_an_answer_to_an_agent_that_is_gone_goes_nowhere(
    world: World, client: Client, session: str, caplog: pytest.LogCaptureFixture
) -> None:
    ask_permission(world.agent)
    ask = await client.called("session/request_permission")
    world.agent.hold_end()
    closing = client.request("session/close", {"sessionId": session})
    client.send({"jsonrpc": "2.0", "id": ask["id"], "result": choice("a")})
    await world.steps(AFTERWARDS)
    client.send({"jsonrpc": "2.0", "id": ask["id"], "result": choice("b")})
    world.agent.release_end()
    await client.answer(closing)
    assert caplog.text == ""


async def test_an_answer_to_an_agent_whose_input_is_full_waits_until_it_reads(
    world: World, client: Client, session: str
) -> None:
    ask_permission(world.agent)
    ask = await client.called("session/request_permission")
    world.agent.stop_reading()
    client.request("session/prompt", {"sessionId": session, "x": "x" * (1 << 20)})
    client.send({"jsonrpc": "2.0", "id": ask["id"], "result": choice("a")})
    world.agent.go_on_reading()
    await world.steps(AFTERWARDS)
    answers = [json.loads(line) for line in world.agent.sent if b'"result"' in line]
    assert [answer["result"] for answer in answers] == [choice("a")]


# --- an agent that does not read


@pytest.mark.requirement("processes.stdin-is-bounded")
async def test_an_input_that_is_full_fails_that_request_only(
    world: World, client: Client, session: str
) -> None:
    world.agent.stop_reading()
    world.agent.ignore("session/prompt")
    large = client.request("session/prompt", {"sessionId": session, "x": "x" * (1 << 20)})
    refused = client.request("session/set_mode", {"sessionId": session, "modeId": "x"})
    [answer] = client.answers(refused)
    assert (answer["error"]["code"], answer["error"]["data"]["code"]) == (-32024, "agent_backed_up")
    client.notify("session/cancel", sessionId=session)  # which cannot be answered
    world.agent.go_on_reading()
    await world.steps(AFTERWARDS)
    world.agent.answer(world.agent.requests("session/prompt")[0], {"stopReason": "refusal"})
    assert client.answers(large)[0]["result"] == {"stopReason": "refusal"}
    world.agent.answer_with("session/prompt", {"stopReason": "end_turn"})
    assert "result" in await client.answer(client.prompt(session))


async def test_what_a_prompt_begins_waits_for_the_answer_that_comes_at_once(
    world: World, client: Client, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    write = client.outlet.write

    def count_and_write(data: bytes) -> None:
        written.append(len(data))
        write(data)

    monkeypatch.setattr(client.outlet, "write", count_and_write)
    world.agent.ignore("session/prompt")
    prompt = client.prompt(session)
    assert written == []
    world.agent.answer(world.agent.requests("session/prompt")[0], {"stopReason": "end_turn"})
    assert len(written) == 1
    assert client.answers(prompt)
    client.prompt(session)
    waiting = client.prompt(session)
    assert len(client.markers("_acprelay/turn_started")) == 1
    client.notify("session/cancel", sessionId=session)
    assert client.answers(waiting)
    assert len(client.markers("_acprelay/turn_started")) == 2


async def test_a_prompt_that_the_agent_does_not_take_fails_and_the_next_one_is_begun(
    world: World, client: Client, session: str
) -> None:
    world.agent.stop_reading()
    client.request("session/set_mode", {"sessionId": session, "modeId": "x" * (1 << 20)})
    refused = [client.prompt(session) for _ in range(2)]
    for prompt in refused:
        assert client.answers(prompt)[0]["error"]["data"]["code"] == "agent_backed_up"
    await world.at_rest()
    world.agent.go_on_reading()
    assert "result" in await client.answer(client.prompt(session))


@pytest.mark.requirement("processes.asking-without-reading-ends")
async def test_an_agent_that_asks_on_and_on_and_reads_no_answer_loses_its_run(
    world: World, client: Client, session: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.agent.stop_reading()
    prompt = client.prompt(session)
    for _ in range(10):
        ask = {"jsonrpc": "2.0", "id": 7, "method": "_acprelay/nothing"}
        world.agent.say(*[ask] * 1000)
    error = (await client.answer(prompt))["error"]
    assert error["data"]["code"] == "session_ended"
    assert "its agent asks on and on, and reads no answer" in error["message"]
    await world.steps(AFTERWARDS)
    assert world.agent.exit is not None
    assert len(world.agent.sent) < 8000  # what followed was not even answered
    assert caplog.text == ""


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


@pytest.mark.requirement("turns.leaving-changes-nothing")
async def test_leaving_changes_nothing_for_the_agent(
    world: World, client: Client, session: str
) -> None:
    world.agent.ignore("session/prompt")
    client.prompt(session)
    before = list(world.agent.sent)
    await client.leave()
    await world.steps(AFTERWARDS)
    assert world.agent.sent == before
    assert (await world.manager.get(SessionKey("task", "main"))).state is SessionState.ACTIVE
    assert not world.driver().attendance.has_clients


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


async def test_leaving_ends_every_start_though_whoever_waits_for_that_is_cancelled(
    world: World,
) -> None:
    client = await world.greeted(session_id=None)
    world.program = lambda agent: agent.ignore("session/new")
    world.agent.die()
    for _ in range(3):
        client.begin_session()
    await world.steps_until(lambda: len(world.launcher.living) == 3)
    leaving = asyncio.get_running_loop().create_task(client.leave())
    await world.steps(1)
    leaving.cancel()
    await asyncio.wait({leaving})
    await world.steps_until(lambda: not world.launcher.living and not len(world.registry))


async def test_nothing_is_said_to_a_client_that_has_left(world: World) -> None:
    outlet = MemoryOutlet()
    client = await world.greeted(outlet=outlet)
    await client.open_session()
    [attachment] = world.driver().attendance._clients
    said = list(outlet.payloads)
    await client.connection.__aexit__(None, None, None)  # its socket would take it
    world.agent.update("to nobody")
    client.connection.say(b"{}")
    client.connection.flush(attachment)
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
    assert client.connection.backlog_bytes == 0
    assert not world.driver().attendance.has_clients
