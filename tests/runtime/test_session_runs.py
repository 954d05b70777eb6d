"""One run of an agent for one session: how it comes up, and how it is taken down."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from acprelay.agents.models import AgentExit
from acprelay.config import Limits
from acprelay.errors import (
    AgentError,
    LocalProtocolError,
    SessionNotFound,
    SpawnFailed,
    Unavailable,
)
from acprelay.routing.conversation import Conversation
from acprelay.routing.opening import SessionOpening
from acprelay.runtime.agent_pool import AgentPool
from acprelay.runtime.agent_run import AgentRun
from acprelay.runtime.handshake import Handshake
from acprelay.runtime.measurements import Traffic
from acprelay.runtime.opening import Opening
from acprelay.session.cleanup import NoOpCleaner
from acprelay.session.models import Handle, Session, SessionKey, SessionSpec, SessionState
from acprelay.storage import MemoryStorage
from acprelay.testing.agents import FakeAgent, Message, encode
from acprelay.testing.session import FakeScheduler
from acprelay.wire import OversizedFrame

if TYPE_CHECKING:
    from tests.runtime.conftest import Client, World

    from acprelay.runtime.run_ports import Purpose
from acprelay.runtime.service_desk import ServiceDesk

KEY = SessionKey("task", "main")
PATIENCE_S = 30.0

OpenWorld = Callable[..., AbstractAsyncContextManager["World"]]


@pytest.fixture
async def client(world: World) -> Client:
    client = await world.greeted()
    world.trace.clear()
    return client


def code(answer: Message) -> object:
    return answer["error"]["data"]["code"]


# --- the start


async def test_a_start_goes_its_documented_way(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, launch = client.outlet.write, world.launcher.launch

    def trace_and_write(data: bytes) -> None:
        world.trace.append("client: reply")
        write(data)

    async def launch_and_trace(name: str) -> FakeAgent:
        agent = await launch(name)
        world.trace.append("launch")
        return agent

    monkeypatch.setattr(client.outlet, "write", trace_and_write)
    monkeypatch.setattr(world.launcher, "launch", launch_and_trace)
    world.agent.die()  # so that this start launches the process
    await client.open_session()
    assert world.trace == [
        "create",
        "spawn task registered",
        "begin_spawn",
        "launch",
        "agent: initialize",
        "attach_agent",
        "agent: session/new",
        "activate",
        "client: reply",
    ]


async def test_an_open_session_is_active_and_its_handle_is_filled(
    world: World, client: Client
) -> None:
    assert await client.open_session() == "task:main"
    session = await world.manager.get(KEY)
    assert session.state is SessionState.ACTIVE
    assert (session.spec.agent, session.spec.cwd) == ("fake", "/repo")
    handle = world.registry.get(KEY)
    assert handle is not None
    assert handle.agent is not None
    [place] = client.connection._sessions.places
    assert place.attachment.id == "connection-1/1"
    assert [name for name, _ in world.hooks.calls] == ["on_activate"]


async def test_the_agent_is_asked_for_a_session_under_an_id_it_has_not_seen(
    world: World, client: Client
) -> None:
    answer = await client.answer(client.request("session/new", {"cwd": "/x"}, request_id="mine"))
    assert answer["result"]["sessionId"] == "task:main"
    asked = world.agent.requests("session/new")[0]
    assert asked["params"] == {"cwd": "/x"}
    assert [message["id"] for message in world.agent.messages] == [1, 2]


@pytest.mark.requirement(
    "order.early-updates-follow-the-answer", "order.nothing-before-the-session-id"
)
async def test_what_an_agent_said_before_its_session_follows_the_reply(
    world: World, client: Client
) -> None:
    def speak_first(agent: FakeAgent, asked: Message) -> None:
        agent.update("before the answer")
        agent.answer(asked, {"sessionId": "agent-session"})
        agent.update("after the answer")

    world.agent.update("before session/new")
    world.agent.react("session/new", speak_first)
    await client.open_session()
    await world.steps_until(lambda: len(client.texts()) == 3)
    assert client.texts() == ["before session/new", "before the answer", "after the answer"]
    kinds = [message.get("method", "reply") for message in client.messages[1:]]
    assert kinds == ["reply", "session/update", "session/update", "session/update"]


SAID = b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"agent-session"}}'


async def test_what_is_over_the_limit_around_the_agents_answer_is_told_in_its_place(
    world: World, client: Client
) -> None:
    def speak(agent: FakeAgent, asked: Message) -> None:
        result = {"sessionId": "agent-session"}
        answer = encode({"jsonrpc": "2.0", "id": asked["id"], "result": result})
        head = b'{"jsonrpc":"2.0","method":"session/update","params":{"x":"'
        sizes_and_places = [(11, 0), (22, 1), (33, 2), (44, 3)]
        assert agent._sink is not None
        agent._sink.lines_received(
            [SAID + b"\n", answer + b"\n", SAID + b"\n"],
            [OversizedFrame(size, head, b'"}}', place) for size, place in sizes_and_places],
        )

    world.agent.react("session/new", speak)
    await client.open_session()
    await world.steps_until(lambda: len(client.messages) == 2 + 6)
    told = [each["params"].get("size", "said") for each in client.messages if "params" in each]
    assert told == [11, "said", 22, 33, "said", 44]


async def test_a_session_without_a_group_gets_a_minted_one(world: World) -> None:
    client = await world.greeted(session_id=None)
    first, second = await client.open_session(), await client.open_session()
    assert (first, second) == ("id-1:main", "id-2:main")


async def test_the_session_of_a_client_that_has_authenticated_gets_such_an_agent(
    world: World, client: Client
) -> None:
    answer = await client.call("authenticate", {"methodId": "key"})
    assert answer["result"] == {}
    world.agent.die()
    await client.open_session()
    assert world.agent.requests("authenticate")[0]["params"] == {"methodId": "key"}


# --- a start that fails


async def test_an_agent_that_cannot_be_started_is_the_answer(world: World, client: Client) -> None:
    world.agent.die()
    world.launcher.fail_with(SpawnFailed("cannot start agent 'fake'", hint="install it"))
    answer = await client.answer(client.begin_session())
    assert code(answer) == "spawn_failed"
    assert answer["error"]["data"]["hint"] == "install it"
    await world.gone()
    assert world.reason() == "cannot start agent 'fake'"


async def test_a_refusal_of_the_agent_reaches_the_client_as_it_was_said(
    world: World, client: Client
) -> None:
    world.agent.refuse("session/new", code=-32000, message="log in first")
    answer = await client.answer(client.begin_session())
    assert answer["error"] == {"code": -32000, "message": "log in first"}
    await world.gone()
    assert world.reason() == "the agent refused session/new"
    assert world.agent.exit is not None


async def test_a_session_that_its_agent_refuses_leaves_nothing_and_its_name_free(
    world: World, client: Client
) -> None:
    world.agent.refuse("session/new", code=-32000, message="log in first")
    await client.answer(client.begin_session())
    await world.gone()
    await world.steps_until(lambda: KEY not in world.archive)
    assert world.storage.records() == ()
    assert isinstance(world.storage, MemoryStorage)
    assert world.storage._logs == {}
    assert await client.open_session() == str(KEY)


async def test_a_conversation_is_made_while_its_agent_opens_the_session_and_not_on_record_before(
    world: World, client: Client
) -> None:
    world.agent.ignore("session/new")
    opening = client.begin_session()
    await world.steps_until(lambda: bool(world.agent.requests("session/new")))
    assert isinstance(world.storage, MemoryStorage)
    assert list(world.storage._logs) == [KEY]
    assert world.storage.records() == ()
    world.agent.answer(world.agent.requests("session/new")[0], {"sessionId": "its-own"})
    assert "result" in await client.answer(opening)
    assert [each.agent_session_id for each in world.storage.records()] == ["its-own"]


async def test_a_session_without_an_id_is_refused(world: World, client: Client) -> None:
    world.agent.answer_with("session/new", {})
    assert code(await client.answer(client.begin_session())) == "agent_refused"
    await world.gone()


async def test_silence_about_the_session_ends_with_the_deadline(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(limits=Limits(start_s=1e-9)) as world:
        # Only session/new has no time here.
        patient = AgentPool(launcher=world.launcher, deadline_s=PATIENCE_S)
        for method in ("describe", "take", "hold", "aclose"):
            monkeypatch.setattr(world.pool, method, getattr(patient, method))
        world.program = lambda agent: agent.ignore("session/new")
        client = await world.greeted()
        answer = await client.answer(client.begin_session())
        assert code(answer) == "agent_unresponsive"
        assert answer["error"]["data"]["method"] == "session/new"
        await world.gone()


async def test_a_store_out_of_reach_is_the_answer(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def insert(_session: object) -> None:
        raise Unavailable("cannot reach the store")

    monkeypatch.setattr(world.store, "insert", insert)
    assert code(await client.answer(client.begin_session())) == "unavailable"
    monkeypatch.undo()
    await client.open_session()


async def test_a_defect_while_a_session_is_created_is_answered_and_logged(
    world: World,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def insert(_session: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(world.store, "insert", insert)
    answer = await client.answer(client.begin_session())
    assert code(answer) == "relay_error"
    assert answer["error"]["code"] == -32603
    assert "defect" not in answer["error"]["message"]
    await world.steps(3)
    assert "a defect" in caplog.text


async def test_a_defect_while_a_session_starts_is_answered_logged_and_ends_it(
    world: World,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def take(_name: str, **_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(world.pool, "take", take)
    answer = await client.answer(client.begin_session())
    assert code(answer) == "relay_error"
    await world.gone()
    assert "a defect" in caplog.text
    assert world.reason() == "the relay failed"


async def test_a_session_that_is_gone_before_its_start_begins_is_answered(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = world.manager.create

    async def create_and_end(spec: SessionSpec, *, run: int = 1) -> Session:
        session = await create(spec, run=run)
        await world.host.runs.end(session.key, reason="at once")
        return session

    monkeypatch.setattr(world.manager, "create", create_and_end)
    assert code(await client.answer(client.begin_session())) == "session_ended"
    assert world.trace == ["create", "mark_terminating"]


async def test_a_start_that_gives_up_a_session_that_is_gone_is_no_failure(
    world: World,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def begin_spawn(key: SessionKey) -> None:
        await world.host.runs.end(key, reason="faster")
        raise SpawnFailed("cannot start agent 'fake'")

    with monkeypatch.context() as patch:
        patch.setattr(world.manager, "begin_spawn", begin_spawn)
        patch.setattr(world.manager, "_cleaner", NoOpCleaner())
        answer = await client.answer(client.begin_session())
    assert code(answer) == "spawn_failed"
    await world.steps(20)
    assert caplog.text == ""


def run_without_agent(world: World) -> AgentRun:
    purpose = SimpleNamespace(agent="fake", on_lost=None, credentials=None)
    return AgentRun(
        key=KEY,
        purpose=cast("Purpose", purpose),
        manager=world.manager,
        pool=world.source,
        limits=Limits(),
        desk=cast("ServiceDesk", None),
        traffic=Traffic(),
    )


def test_nothing_can_be_sent_to_an_agent_that_is_not_there_yet(world: World) -> None:
    with pytest.raises(LocalProtocolError):
        run_without_agent(world).send(b"{}\n")


async def test_a_run_is_started_once(world: World) -> None:
    run = run_without_agent(world)
    handle: Handle[AgentRun, object] = Handle()
    with pytest.raises(SessionNotFound):  # nobody has created the session
        await run.start(handle)
    with pytest.raises(LocalProtocolError):
        await run.start(handle)


async def test_a_session_that_is_open_keeps_nothing_that_only_its_opening_needed(
    world: World, client: Client
) -> None:
    await client.open_session()
    handle = world.registry.get(KEY)
    assert handle is not None
    await world.steps_until(lambda: handle.spawn_task is None)
    gc.collect()
    kept = [each for each in gc.get_objects() if isinstance(each, Opening | SessionOpening)]
    assert kept == []


# --- the end


async def test_an_end_goes_its_documented_way(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await client.open_session()
    world.trace.clear()
    end = world.agent.end

    async def look_and_end() -> AgentExit:
        world.trace.append(f"session {(await world.manager.get(KEY)).state}")
        world.trace.append("handle registered" if world.registry.get(KEY) else "no handle")
        return await end()

    monkeypatch.setattr(world.agent, "end", look_and_end)
    answer = await client.call("session/close", {"sessionId": session_id})
    assert answer["result"] == {}
    assert list(dict.fromkeys(world.trace)) == [
        "mark_terminating",
        "session TERMINATING",
        "handle registered",
        "agent: ended",
    ]
    assert world.is_gone()
    assert world.reason() == "a client closed it"


async def test_an_end_in_the_middle_of_a_start_awaits_the_start_before_it_ends_the_agent(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.agent.ignore("session/new")
    client.begin_session()
    await world.steps_until(lambda: bool(world.agent.requests("session/new")))
    handle = world.registry.get(KEY)
    assert handle is not None
    spawning = handle.spawn_task
    assert spawning is not None
    end = world.agent.end
    spawn_task_was_done: list[bool] = []

    async def look_and_end() -> AgentExit:
        spawn_task_was_done.append(spawning.done())
        return await end()

    monkeypatch.setattr(world.agent, "end", look_and_end)
    await world.host.runs.end(KEY, reason="over")
    assert spawn_task_was_done == [True]


async def test_a_session_that_is_terminated_tells_its_client(world: World, client: Client) -> None:
    session_id = await client.open_session()
    world.agent.ignore("session/prompt")
    prompt = client.prompt(session_id)
    await world.host.runs.terminate(KEY, reason="the administrator said so")
    assert code(await client.answer(prompt)) == "session_ended"
    notice = await client.called("_acprelay/notice")
    assert notice["params"]["code"] == "session_ended"
    assert notice["params"]["reason"] == "the administrator said so"
    await world.gone()
    [ended] = client.markers("_acprelay/turn_ended")
    assert (ended["outcome"], ended["error"]["code"]) == ("failed", "session_ended")


async def test_requests_that_arrive_while_the_agent_is_being_ended_are_for_the_next_run(
    world: World, client: Client
) -> None:
    world.program = lambda agent: agent.promise("session/resume")
    world.agent.die()
    session_id = await client.open_session()
    world.agent.ignore("session/prompt")
    world.agent.hold_end()
    first = world.agent
    ending = asyncio.get_running_loop().create_task(world.host.runs.end(KEY, reason="over"))
    prompts = []
    # From the call that asks the agent to end until it takes nothing any more, and beyond.
    for _ in range(20):
        prompts.append(client.prompt(session_id))
        await world.steps(1)
    await world.steps_until(lambda: first.end_calls > 0)
    first.release_end()
    await ending
    outcomes = [await client.answer(prompt) for prompt in prompts]
    failed = [outcome for outcome in outcomes if "error" in outcome]
    assert 0 < len(failed) < len(outcomes)
    assert outcomes[: len(failed)] == failed
    assert {code(outcome) for outcome in failed} <= {"session_ended", "limit_reached"}
    assert len(world.launcher.living) == 1


async def test_an_agent_that_exits_while_idle_ends_its_session(
    world: World, client: Client
) -> None:
    await client.open_session()
    world.agent.stderr_tail = "out of memory"
    world.agent.die(returncode=137)
    notice = await client.called("_acprelay/notice")
    assert notice["params"]["code"] == "agent_exited"
    assert notice["params"]["stderr"] == "out of memory"
    await world.gone()
    assert world.reason() == "cannot reach agent 'fake': it ended with exit status 137"


@pytest.mark.requirement("turns.death-fails-what-waits", "turns.death-closes-dialogs")
async def test_an_agent_that_exits_in_a_turn_fails_the_prompt_behind_its_last_words(
    world: World, client: Client
) -> None:
    session_id = await client.open_session()

    def last_words(agent: FakeAgent, _asked: Message) -> None:
        agent.update("I must go")
        options = [{"optionId": "yes", "kind": "allow_once"}]
        agent.ask("perm", "session/request_permission", sessionId="agent-session", options=options)
        agent.die()

    world.agent.react("session/prompt", last_words)
    answer = await client.answer(client.prompt(session_id))
    assert code(answer) == "agent_exited"
    assert answer["error"]["data"]["status"] == "exit status 3"
    await world.steps(20)
    kinds = [message.get("method", "reply") for message in client.messages[2:]]
    assert kinds == [
        "_acprelay/turn_started",
        "session/update",
        "session/request_permission",
        "_acprelay/notice",
        "_acprelay/turn_ended",
        "reply",
        "$/cancel_request",
        "_acprelay/permission_settled",
    ]
    ask, closed = client.messages[4], client.messages[-2]
    assert closed["params"]["requestId"] == ask["id"]
    [settled] = client.markers("_acprelay/permission_settled")
    assert (settled["outcome"], settled["by"]) == ("cancelled", "agent")
    await world.gone()


async def test_an_agent_that_exits_before_initialize_is_the_answer(
    world: World, client: Client
) -> None:
    world.agent.die()
    world.program = lambda agent: agent.die_on("initialize")
    assert code(await client.answer(client.begin_session())) == "agent_exited"
    await world.gone()


async def test_an_agent_that_exits_instead_of_opening_a_session_is_the_answer(
    world: World, client: Client
) -> None:
    world.agent.die_on("session/new", returncode=9)
    answer = await client.answer(client.begin_session())
    assert code(answer) == "agent_exited"
    assert answer["error"]["data"]["status"] == "exit status 9"
    await world.gone()
    assert world.reason() == "cannot reach agent 'fake': it ended with exit status 9"


async def test_an_agent_that_exits_right_behind_its_session_is_the_answer(
    world: World, client: Client
) -> None:
    def answer_and_die(agent: FakeAgent, asked: Message) -> None:
        agent.answer(asked, {"sessionId": "agent-session"})
        agent.die()

    world.agent.react("session/new", answer_and_die)
    request = client.begin_session()
    assert code(await client.answer(request)) == "agent_exited"
    await world.gone()
    assert len(client.answers(request)) == 1


async def test_an_agent_that_is_gone_when_its_session_takes_it_over_is_the_answer(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = world.pool.take

    async def take_and_kill(name: str, *, credentials: bytes | None) -> Handshake:
        handshake = await take(name, credentials=credentials)
        world.agent.die()
        return handshake

    monkeypatch.setattr(world.pool, "take", take_and_kill)
    request = client.begin_session()
    assert code(await client.answer(request)) == "agent_exited"
    await world.gone()
    assert len(client.answers(request)) == 1


async def test_what_an_agent_writes_after_the_end_reaches_nobody(
    world: World, client: Client
) -> None:
    await client.open_session()
    world.agent.hold_end()
    ending = asyncio.get_running_loop().create_task(world.host.runs.end(KEY, reason="over"))
    await world.steps_until(lambda: world.agent.end_calls > 0)
    world.agent.update("too late")
    world.agent.release_end()
    await ending
    assert client.texts() == []


async def test_a_defect_in_the_routing_ends_the_session_with_a_word(
    world: World,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    session_id = await client.open_session()
    world.agent.ignore("session/prompt")
    prompt = client.prompt(session_id)

    def receive_agent(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(Conversation, "receive_agent", receive_agent)
        world.agent.update("lost")
    assert code(await client.answer(prompt)) == "relay_error"
    await world.gone()
    assert "a defect" in caplog.text
    assert world.reason() == "cannot go on with the session"


# --- several ends


@pytest.mark.requirement("lifecycle.terminate-is-idempotent")
async def test_a_session_may_be_ended_by_many_at_once(world: World, client: Client) -> None:
    session_id = await client.open_session()
    reply = client.request("session/close", {"sessionId": session_id})
    ends = [world.host.runs.end(KEY, reason=f"end {number}") for number in range(10)]
    await asyncio.gather(*ends, client.leave())
    await world.steps_until(world.is_gone)
    assert world.trace.count("agent: ended") == 1
    assert len([name for name, _ in world.hooks.calls if name == "on_terminate"]) == 1
    assert len(client.answers(reply)) == 0  # it has left


async def test_ending_a_session_that_never_was_does_nothing(world: World) -> None:
    await world.host.runs.end(SessionKey("nobody", "main"), reason="over")
    await world.host.runs.terminate(SessionKey("nobody", "main"), reason="over")


async def test_ending_a_session_does_not_meddle_with_the_next_under_its_key(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.open_session()
    mark_terminating = world.manager.mark_terminating

    async def mark_and_lose_the_race(key: SessionKey, *, reason: str) -> Session:
        session = await mark_terminating(key, reason=reason)
        await world.manager.complete_cleanup(key)
        await world.manager.create(session.spec)
        return session

    with monkeypatch.context() as patch:
        patch.setattr(world.manager, "mark_terminating", mark_and_lose_the_race)
        await world.host.runs.end(KEY, reason="over")
    assert (await world.manager.get(KEY)).state is SessionState.CREATED


async def test_the_end_of_one_run_leaves_the_next_under_its_key_alone(
    world: World, client: Client
) -> None:
    """Its agent's exit is noticed late, as its output was held back."""
    world.program = lambda agent: agent.promise("session/resume")
    world.agent.die()
    session_id = await client.open_session()
    first = world.agent
    first.pause_reading()
    await world.host.runs.end(KEY, reason="over")
    assert "result" in await client.answer(client.prompt(session_id))
    first.resume_reading()  # only now is its sink told of the exit
    await world.steps(50)
    session = await world.manager.get(KEY)
    assert (session.state, session.run) == (SessionState.ACTIVE, 2)


async def test_an_idle_agent_that_dies_when_the_next_run_is_there_already_does_not_end_it(
    world: World, client: Client
) -> None:
    world.program = lambda agent: agent.promise("session/resume")
    world.agent.die()
    session_id = await client.open_session()
    handle = world.registry.get(KEY)
    assert handle is not None
    assert handle.agent is not None
    first = handle.agent
    await client.answer(client.request("session/close", {"sessionId": session_id}))
    await client.call("session/resume", {"sessionId": session_id})
    assert "result" in await client.answer(client.prompt(session_id))
    world.host.abandon(first, "what is long over")
    await world.steps(50)
    assert (await world.manager.get(KEY)).state is SessionState.ACTIVE


# --- the relay's end


@pytest.mark.requirement(
    "lifecycle.shutdown-takes-no-sessions", "lifecycle.shutdown-ends-every-agent"
)
async def test_closing_ends_every_session_and_refuses_new_ones(
    world: World, client: Client
) -> None:
    await client.open_session()
    other = await world.greeted(role="other", agent="other")
    await other.open_session()
    await world.host.aclose(reason="the relay is stopping")
    assert await world.store.count() == 0
    assert world.reason() == "the relay is stopping"
    answer = await client.answer(client.begin_session())
    assert code(answer) == "unavailable"
    await world.host.aclose(reason="once more")


async def test_whoever_closes_can_give_up_waiting_and_the_ends_go_on(
    world: World, client: Client
) -> None:
    await client.open_session()
    world.agent.hold_end()
    closing = asyncio.get_running_loop().create_task(world.host.aclose(reason="over"))
    await world.steps_until(lambda: world.agent.end_calls > 0)
    closing.cancel()
    await asyncio.wait({closing})
    assert closing.cancelled()
    world.agent.release_end()
    await world.gone()


async def test_closing_ends_the_others_though_one_session_cannot_be_ended(
    world: World, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    await client.open_session()
    stubborn = world.agent
    other = await world.greeted(role="other", agent="other")
    await other.open_session()
    stubborn.fail_to_end(*[AgentError("cannot end it")] * 20)
    with caplog.at_level(logging.ERROR):
        await world.host.aclose(reason="the relay is stopping")
    assert "cannot end a session: cannot end it" in caplog.text
    assert world.is_gone(SessionKey("task", "other"))
    assert world.launcher.living == [stubborn]
    stubborn.fail_to_end()


async def test_a_scheduler_that_does_nothing_is_no_trouble_to_whoever_waits_for_the_end(
    world: World, client: Client
) -> None:
    await client.open_session()
    world.manager._scheduler = FakeScheduler()
    await world.host.runs.end(KEY, reason="over")
    assert world.is_gone()


# --- counting


async def test_what_passes_is_told_to_the_manager_in_batches(world: World, client: Client) -> None:
    session_id = await client.open_session()
    await world.host.keep_house()
    world.manager.heartbeats.clear()
    for number in range(10):
        world.agent.update(str(number))
    await client.answer(client.prompt(session_id))
    assert world.manager.heartbeats == []
    await world.host.keep_house()
    await world.host.keep_house()
    assert world.manager.heartbeats == [(11, 1)]
    session = await world.manager.get(KEY)
    assert (session.messages_received, session.messages_sent) == (12, 2)
    assert session.last_heartbeat_at is not None


async def test_every_line_to_the_agent_counts(world: World, client: Client) -> None:
    await client.open_session()
    await world.host.keep_house()
    world.manager.heartbeats.clear()
    refused = [
        {"jsonrpc": "2.0", "id": n, "method": "fs/read_text_file", "params": {}} for n in range(3)
    ]
    world.agent.say(*refused)
    assert len(world.agent.replies) == 3
    await world.host.keep_house()
    assert world.manager.heartbeats == [(3, 3)]


async def test_a_message_that_could_not_be_sent_does_not_count(
    world: World, client: Client
) -> None:
    session_id = await client.open_session()
    await world.host.keep_house()
    world.manager.heartbeats.clear()
    world.agent.stop_reading()
    client.request("session/prompt", {"sessionId": session_id, "x": "x" * (1 << 20)})
    refused = client.request("session/set_mode", {"sessionId": session_id, "modeId": "x"})
    assert code(await client.answer(refused)) == "agent_backed_up"
    await world.host.keep_house()
    assert world.manager.heartbeats == [(0, 1)]


async def test_a_session_that_starts_or_is_idle_is_not_reported(world: World) -> None:
    client = await world.greeted()
    world.agent.ignore("session/new")
    client.begin_session()
    await world.steps_until(lambda: world.registry.get(KEY) is not None)
    await world.host.keep_house()
    assert world.manager.heartbeats == []


async def test_a_store_out_of_reach_costs_one_report_and_not_the_next(
    world: World,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await client.open_session()

    async def replace(*_: object, **__: object) -> None:
        raise Unavailable("cannot reach the store")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "replace", replace)
        await world.host.keep_house()
    assert "cannot reach the store" in caplog.text
    world.agent.update("one more")
    await world.host.keep_house()
    assert (await world.manager.get(KEY)).messages_received == 1


# --- what is said of it


@pytest.mark.requirement("processes.noise-is-told")
async def test_what_an_agent_wrote_besides_messages_is_told_once_when_its_session_ends(
    world: World, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    session_id = await client.open_session()
    world.agent.say(b"Loading the model ...", b"[1, 2]")
    await client.answer(client.request("session/close", {"sessionId": session_id}))
    (record,) = [entry for entry in caplog.records if "no messages" in entry.message]
    assert record.levelno == logging.WARNING
    assert f"session {session_id}: its agent wrote lines that are no messages: 2" in record.message
    assert "b'[1, 2]'" in record.message
