"""A conversation without a run that is wanted again: the next run takes up what there is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import pytest

from acprelay.config import Limits
from acprelay.errors import AgentError, SpawnFailed, Unavailable
from acprelay.runtime.agent_pool import AgentPool
from acprelay.runtime.archive import Archive
from acprelay.session.models import Session, SessionKey, SessionSpec, SessionState
from acprelay.testing.agents import FakeAgent, Message

if TYPE_CHECKING:
    from tests.runtime.conftest import Client, World

KEY = SessionKey("task", "main")
PATIENCE_S = 30.0

AFTERWARDS = 60
"""Rounds of the event loop in which everything that may come has come."""

OpenWorld = Callable[..., AbstractAsyncContextManager["World"]]
Program = Callable[[FakeAgent], object]


def code(answer: Message) -> object:
    return answer["error"]["data"]["code"]


def resuming(agent: FakeAgent) -> None:
    agent.promise("session/resume", "session/load")


def loading(agent: FakeAgent) -> None:
    agent.promise("session/load")


async def program(world: World, how: Program) -> None:
    """Lets every process from now on behave like this."""
    world.program = how
    for agent in world.launcher.living:
        agent.die()
    await world.steps(AFTERWARDS)


@pytest.fixture
async def dormant(world: World, client: Client) -> str:
    """A session whose run has been closed, and which its client has loaded; agents can resume."""
    return await close_one(world, client)


async def close_one(world: World, client: Client) -> str:
    await program(world, resuming)
    session = await client.open_session()
    await client.call("session/close", {"sessionId": session})
    await client.call("session/load", {"sessionId": session})
    client.outlet.payloads.clear()
    world.trace.clear()
    assert world.launcher.living == []
    return session


# --- how it goes


async def test_a_restoration_goes_its_documented_way(
    world: World, client: Client, dormant: str
) -> None:
    assert "result" in await client.answer(client.prompt(dormant))
    await world.steps_until(lambda: "activate" in world.trace)
    assert world.trace == [
        "create run 2",
        "spawn task registered",
        "begin_spawn",
        "agent: initialize",
        "attach_agent",
        "agent: session/resume",
        "agent: session/prompt",
        "activate",
    ]
    session = await world.manager.get(KEY)
    assert (session.state, session.run) == (SessionState.ACTIVE, 2)
    assert world.record().run == 2


async def test_an_agent_that_can_resume_is_asked_to_resume_what_it_called_its_session(
    world: World, client: Client, dormant: str
) -> None:
    await client.answer(client.prompt(dormant))
    [asked] = world.agent.requests("session/resume")
    assert asked["params"] == {"cwd": "/repo", "mcpServers": [], "sessionId": "agent-session"}
    assert world.agent.requests("session/load") == []
    assert world.agent.requests("session/new") == []


async def test_what_an_agent_replays_when_it_loads_is_told_to_nobody(
    world: World, client: Client, dormant: str
) -> None:
    def replay(agent: FakeAgent, asked: Message) -> None:
        agent.update("long ago")
        agent.answer(asked, {})
        agent.update("news")

    def replaying(agent: FakeAgent) -> None:
        loading(agent)
        agent.react("session/load", replay)

    await program(world, replaying)
    assert "result" in await client.answer(client.prompt(dormant))
    assert client.texts() == ["news"]
    other = await world.greeted()
    await other.call("session/load", {"sessionId": dormant})
    assert other.texts() == ["news"]


async def test_clients_are_told_what_is_otherwise_than_the_last_run_left_it(
    world: World, client: Client, dormant: str
) -> None:
    modes = {"currentModeId": "plan", "availableModes": [{"id": "plan", "name": "Plan"}]}

    def in_another_mode(agent: FakeAgent) -> None:
        loading(agent)
        agent.react("session/load", lambda agent, asked: agent.answer(asked, {"modes": modes}))

    await program(world, in_another_mode)
    await client.answer(client.prompt(dormant))
    updates = [
        message["params"]["update"]
        for message in client.messages
        if "params" in message and "update" in message["params"]
    ]
    told = [update for update in updates if "currentModeId" in update]
    assert told == [{"sessionUpdate": "current_mode_update", "currentModeId": "plan"}]


async def test_what_an_agent_replays_of_its_sub_agents_is_not_the_sessions_state(
    world: World, client: Client, dormant: str
) -> None:
    def replay(agent: FakeAgent, asked: Message) -> None:
        for session, mode in [("agent-session", "ask"), ("agent-session/sub", "yolo")]:
            update = {"sessionUpdate": "current_mode_update", "currentModeId": mode}
            params = {"sessionId": session, "update": update}
            agent.say({"jsonrpc": "2.0", "method": "session/update", "params": params})
        agent.answer(asked, {})

    def replaying(agent: FakeAgent) -> None:
        loading(agent)
        agent.react("session/load", replay)

    await program(world, replaying)
    assert "result" in await client.answer(client.prompt(dormant))
    told = [
        message["params"].get("update", {}) for message in client.messages if "params" in message
    ]
    assert [each["currentModeId"] for each in told if "currentModeId" in each] == ["ask"]


async def test_whatever_is_asked_of_the_agent_waits_for_the_run_in_order(
    world: World, client: Client, dormant: str
) -> None:
    def with_modes(agent: FakeAgent) -> None:
        resuming(agent)
        agent.answer_with("session/set_mode", {})

    await program(world, with_modes)
    world.launcher.hold()
    mode = client.request("session/set_mode", {"sessionId": dormant, "modeId": "x"})
    prompts = [client.prompt(dormant) for _ in range(3)]
    await world.steps(AFTERWARDS)
    assert client.messages == []
    world.launcher.release()
    for request in (mode, *prompts):
        assert "result" in await client.answer(request)
    assert world.trace.count("create run 2") == 1
    assert [m["id"] for m in client.messages if "method" not in m] == [mode, *prompts]


async def test_two_clients_that_prompt_at_once_get_one_run(
    world: World, client: Client, dormant: str
) -> None:
    other = await world.greeted()
    await other.call("session/resume", {"sessionId": dormant})
    world.trace.clear()
    prompts = [(each, each.prompt(dormant)) for each in (client, other, client)]
    for each, prompt in prompts:
        assert "result" in await each.answer(prompt)
    assert world.trace.count("create run 2") == 1
    assert len(world.agent.requests("session/prompt")) == 3


async def test_every_run_has_a_number_of_its_own(
    world: World, client: Client, dormant: str
) -> None:
    for number in (2, 3, 4):
        assert "result" in await client.answer(client.prompt(dormant))
        assert (await world.manager.get(KEY)).run == number
        await world.host.runs.end(KEY, reason="over")
    assert world.record().run == 4


async def test_nothing_is_begun_by_whoever_only_looks(
    world: World, client: Client, dormant: str
) -> None:
    launched = len(world.launcher.launched)
    other = await world.greeted()
    for method in ("session/load", "session/resume", "session/load"):
        assert "result" in await other.call(method, {"sessionId": dormant})
    await other.call("session/list")
    await other.call("_acprelay/turns", {"sessionId": dormant})
    other.notify("session/cancel", sessionId=dormant)
    await world.steps(AFTERWARDS)
    assert len(world.launcher.launched) == launched
    assert world.trace == []
    assert client.messages == []


async def test_a_prompt_that_comes_while_the_last_run_is_ending_waits_for_its_end(
    world: World, client: Client
) -> None:
    await program(world, resuming)
    session = await client.open_session()
    first = world.agent
    first.hold_end()
    await world.host.runs.terminate(KEY, reason="over")
    await world.steps_until(lambda: first.end_calls > 0)
    prompt = client.prompt(session)
    await world.steps(AFTERWARDS)
    assert world.launcher.living == [first]
    first.release_end()
    assert "result" in await client.answer(prompt)
    assert first.requests("session/prompt") == []


async def test_a_prompt_right_behind_the_death_of_the_agent_gets_the_next_run(
    world: World, client: Client
) -> None:
    await program(world, resuming)
    session = await client.open_session()
    world.agent.die()
    prompt = client.prompt(session)
    assert "result" in await client.answer(prompt)
    assert (await world.manager.get(KEY)).run == 2


# --- what cannot be restored


async def test_an_agent_that_can_do_neither_is_the_answer(
    world: World, client: Client, dormant: str
) -> None:
    await program(world, lambda _agent: None)
    prompts = [client.prompt(dormant) for _ in range(2)]
    for prompt in prompts:
        assert code(await client.answer(prompt)) == "not_restorable"
    await world.gone()
    await world.steps(AFTERWARDS)
    assert world.launcher.living == []
    [notice] = client.markers("_acprelay/notice")
    assert notice["code"] == "not_restorable"
    assert client.markers("_acprelay/turn_started") == []
    assert "result" in await client.call("session/load", {"sessionId": dormant})


async def test_an_agent_that_refuses_is_the_answer_in_its_own_words(
    world: World, client: Client, dormant: str
) -> None:
    def refusing(agent: FakeAgent) -> None:
        resuming(agent)
        agent.refuse("session/resume", message="no such session")

    await program(world, refusing)
    answer = await client.answer(client.prompt(dormant))
    assert code(answer) == "not_restorable"
    assert "no such session" in answer["error"]["message"]
    await world.gone()
    await program(world, resuming)
    assert "result" in await client.answer(client.prompt(dormant))


@pytest.mark.parametrize("method", ["initialize", "session/resume"])
async def test_an_agent_that_dies_while_it_restores_is_the_answer(
    world: World, client: Client, dormant: str, method: str
) -> None:
    def short_lived(agent: FakeAgent) -> None:
        resuming(agent)
        agent.die_on(method)

    await program(world, short_lived)
    answer = await client.answer(client.prompt(dormant))
    assert code(answer) == "agent_exited"
    await world.gone()
    await world.steps(AFTERWARDS)
    assert len(client.markers("_acprelay/notice")) == 1


async def test_an_agent_that_dies_right_behind_its_answer_fails_the_prompt_once(
    world: World, client: Client, dormant: str
) -> None:
    def answer_and_die(agent: FakeAgent, asked: Message) -> None:
        agent.answer(asked, {})
        agent.die()

    def short_lived(agent: FakeAgent) -> None:
        resuming(agent)
        agent.react("session/resume", answer_and_die)

    await program(world, short_lived)
    prompt = client.prompt(dormant)
    assert code(await client.answer(prompt)) == "agent_exited"
    # The next one is on its way before the first is known to be lost everywhere.
    await program(world, resuming)
    again = client.prompt(dormant)
    assert "result" in await client.answer(again)
    await world.steps(AFTERWARDS)
    assert len(client.answers(prompt)) == len(client.answers(again)) == 1
    assert [notice["code"] for notice in client.markers("_acprelay/notice")] == ["agent_exited"]


async def test_a_prompt_at_the_instant_at_which_a_restored_run_is_lost_gets_the_next_run(
    world: World, client: Client, dormant: str
) -> None:
    """What follows for the lost one must not be taken for the end of the next."""
    agents: list[FakeAgent] = []
    prompts: list[object] = []

    def answer_and_die(agent: FakeAgent, asked: Message) -> None:
        agent.answer(asked, {})
        agent.die()
        prompts.append(client.prompt(dormant))

    def first_short_lived(agent: FakeAgent) -> None:
        resuming(agent)
        if not agents:
            agent.react("session/resume", answer_and_die)
        agents.append(agent)

    await program(world, first_short_lived)
    lost = client.prompt(dormant)
    assert code(await client.answer(lost)) == "agent_exited"
    await world.steps_until(lambda: bool(prompts))
    assert "result" in await client.answer(prompts[0])
    await world.steps(AFTERWARDS)
    assert len(world.launcher.living) == 1
    assert len(agents) == 2


async def test_an_agent_that_cannot_be_started_is_the_answer(
    world: World, client: Client, dormant: str
) -> None:
    world.launcher.fail_with(SpawnFailed("cannot start agent 'fake'"))
    assert code(await client.answer(client.prompt(dormant))) == "spawn_failed"
    await world.gone()
    assert "result" in await client.answer(client.prompt(dormant))


async def test_silence_ends_with_the_deadline(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(limits=Limits(start_s=1e-9)) as world:
        patient = AgentPool(launcher=world.launcher, deadline_s=PATIENCE_S)
        for method in ("describe", "take", "hold", "aclose"):
            monkeypatch.setattr(world.pool, method, getattr(patient, method))
        monkeypatch.setattr(world.host, "_limits", Limits())
        client = await world.greeted()
        session = await close_one(world, client)
        monkeypatch.setattr(world.host, "_limits", Limits(start_s=1e-9))
        await program(world, silent)
        answer = await client.answer(client.prompt(session))
        assert code(answer) == "agent_unresponsive"
        assert answer["error"]["data"]["method"] == "session/resume"
        await world.gone()


async def test_a_process_of_the_last_run_that_survives_is_the_answer(
    world: World, client: Client
) -> None:
    await program(world, resuming)
    session = await client.open_session()
    first = world.agent
    first.fail_to_end(*[AgentError("cannot end it")] * 20)
    await world.host.runs.terminate(KEY, reason="over")
    await world.steps(AFTERWARDS)
    assert code(await client.answer(client.prompt(session))) == "agent_error"
    first.fail_to_end()
    assert "result" in await client.answer(client.prompt(session))


async def test_a_store_out_of_reach_is_the_answer(
    world: World, client: Client, dormant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def insert(_session: object) -> None:
        raise Unavailable("cannot reach the store")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "insert", insert)
        assert code(await client.answer(client.prompt(dormant))) == "unavailable"
    assert "result" in await client.answer(client.prompt(dormant))


@pytest.mark.parametrize("where", ["create", "begin_spawn"])
async def test_a_defect_is_answered_and_logged(
    world: World,
    client: Client,
    dormant: str,
    *,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(world.manager, where, fail)
        answer = await client.answer(client.prompt(dormant))
        await world.steps(AFTERWARDS)
    assert code(answer) == "relay_error"
    assert "defect" not in answer["error"]["message"]
    assert "a defect" in caplog.text
    assert "result" in await client.answer(client.prompt(dormant))


async def test_a_session_that_is_gone_at_once_is_the_answer(
    world: World, client: Client, dormant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = world.manager.create

    async def create_and_end(spec: SessionSpec, *, run: int = 1) -> Session:
        session = await create(spec, run=run)
        await world.manager.mark_terminating(session.key, reason="at once")
        await world.manager.complete_cleanup(session.key)
        return session

    with monkeypatch.context() as patch:
        patch.setattr(world.manager, "create", create_and_end)
        assert code(await client.answer(client.prompt(dormant))) == "session_ended"
    assert "result" in await client.answer(client.prompt(dormant))


# --- whatever happens meanwhile, at whatever instant


Disturbance = Callable[["World", "Client", str], Awaitable[None]]


async def close(_world: World, client: Client, session: str) -> None:
    client.request("session/close", {"sessionId": session}, request_id="disturbance")


async def delete(_world: World, client: Client, session: str) -> None:
    client.request("session/delete", {"sessionId": session}, request_id="disturbance")


async def terminate(world: World, _client: Client, _session: str) -> None:
    await world.host.runs.terminate(KEY, reason="disturbed")


async def end(world: World, _client: Client, _session: str) -> None:
    await world.host.runs.end(KEY, reason="disturbed")


async def kill(world: World, _client: Client, _session: str) -> None:
    for agent in world.launcher.living:
        agent.die()


async def cancel(_world: World, client: Client, session: str) -> None:
    client.notify("session/cancel", sessionId=session)


async def keep_house(world: World, client: Client, session: str) -> None:
    client.notify("session/cancel", sessionId=session)
    await client.leave()
    await world.host.keep_house()


async def stop(world: World, _client: Client, _session: str) -> None:
    await world.host.aclose(reason="the relay is stopping")
    assert await world.store.count() == 0


def silent(agent: FakeAgent) -> None:
    resuming(agent)
    agent.ignore("session/resume")


def dying(agent: FakeAgent) -> None:
    resuming(agent)
    agent.die_on("session/resume")


def incapable(_agent: FakeAgent) -> None:
    pass


@pytest.mark.parametrize("how", [resuming, loading, silent, dying, incapable])
@pytest.mark.parametrize("disturb", [close, delete, terminate, end, kill, cancel, keep_house, stop])
async def test_every_prompt_is_answered_once_and_nothing_is_left_behind(
    disturb: Disturbance, how: Program, open_world: OpenWorld
) -> None:
    for instant in range(AFTERWARDS // 2):
        async with open_world(limits=Limits(linger_s=1e-9)) as world:
            client, witness = await world.greeted(), await world.greeted(agent="other")
            session = await close_one(world, client)
            await witness.call("session/resume", {"sessionId": session})
            await program(world, how)
            prompt = client.prompt(session)
            await world.steps(instant)
            await disturb(world, client, session)
            await world.steps(3 * AFTERWARDS)
            await check(world, client, witness, prompt=prompt, disturb=disturb, how=how)


async def check(
    world: World,
    client: Client,
    witness: Client,
    *,
    prompt: object,
    disturb: Disturbance,
    how: Program,
) -> None:
    living = [agent for agent in world.launcher.living if agent.name == "fake"]
    session = await world.store.get(KEY)
    if disturb in (close, delete):
        [answer] = client.answers("disturbance")
        assert answer["result"] == {}
        assert session is None
        assert (KEY in world.archive) == (disturb is close)
    if disturb in (close, delete, stop, end):
        # An end before the session is created ends nothing.
        assert session is None or disturb is end
    if disturb is not keep_house and (how is not silent or session is None):
        assert len(client.answers(prompt)) == 1
    assert len(living) == (session is not None)
    assert (session is not None) == (world.registry.get(KEY) is not None)
    if KEY in world.archive:
        driver = world.driver()
        assert driver.is_live == (session is not None and session.state is SessionState.ACTIVE)
        await world.at_rest()
        turns = (await witness.call("_acprelay/turns", {"sessionId": str(KEY)}))["result"]
        assert turns["running"] is None
    else:
        assert world.storage.records() == ()
    assert len(world.archive._drivers) <= 1


async def test_a_session_that_is_closed_while_it_is_restored_can_be_prompted_at_once(
    world: World, client: Client, dormant: str
) -> None:
    other = await world.greeted()
    await other.call("session/resume", {"sessionId": dormant})
    for instant in range(AFTERWARDS // 2):
        prompt = client.prompt(dormant)
        await world.steps(instant)
        close = client.request("session/close", {"sessionId": dormant})
        again = other.prompt(dormant)
        assert (await client.answer(close))["result"] == {}
        assert len(client.answers(prompt)) == 1
        await other.answer(again)
        await world.steps(AFTERWARDS)
        assert len(other.answers(again)) == 1
        await world.host.runs.end(KEY, reason="over")
        await client.call("session/load", {"sessionId": dormant})


async def test_the_relay_stops_while_the_last_run_is_ending_and_the_next_is_wanted(
    open_world: OpenWorld,
) -> None:
    async with open_world() as world:
        client = await world.greeted()
        await program(world, resuming)
        session = await client.open_session()
        first = world.agent
        first.hold_end()
        await world.host.runs.terminate(KEY, reason="over")
        await world.steps_until(lambda: first.end_calls > 0)
        prompt = client.prompt(session)
        stopping = asyncio.get_running_loop().create_task(world.host.aclose(reason="stopping"))
        await world.steps(AFTERWARDS)
        late = client.prompt(session)
        first.release_end()
        await stopping
        assert await world.store.count() == 0
        assert code(await client.answer(prompt)) == "session_ended"
        assert code(await client.answer(late)) in ("session_ended", "unavailable")
        assert world.launcher.living == []


async def test_a_conversation_that_is_being_restored_stays_in_memory(
    open_world: OpenWorld,
) -> None:
    async with open_world(limits=Limits(linger_s=1e-9)) as world:
        client = await world.greeted()
        session = await close_one(world, client)
        await program(world, silent)
        client.prompt(session)
        await world.steps(AFTERWARDS)
        client.notify("session/cancel", sessionId=session)
        await client.leave()
        await world.steps(AFTERWARDS)
        archive: Archive = world.archive
        await world.host.keep_house()
        assert KEY in archive._drivers
        driver = world.driver()
        [asked] = world.agent.requests("session/resume")
        world.agent.answer(asked, {})
        await world.steps(AFTERWARDS)
        assert world.driver() is driver
        assert driver.is_live
