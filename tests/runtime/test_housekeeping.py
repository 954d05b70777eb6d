"""What time and a restart do to conversations, and what is written down of them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, cast

import pytest
from msgspec.structs import replace

from acprelay.config import Limits
from acprelay.errors import RelayError, StoreError, Unavailable
from acprelay.routing.building import Rules
from acprelay.routing.frames import TURN_ENDED, TURN_STARTED, marker
from acprelay.routing.log import PublicLog
from acprelay.routing.log_memory import MemoryLog
from acprelay.routing.records import ConversationRecord
from acprelay.runtime import archive
from acprelay.runtime.conversation_driver import ConversationDriver
from acprelay.runtime.log_context import FIELDS
from acprelay.session.models import SessionKey, SessionState
from acprelay.storage.memory import MemoryStorage
from acprelay.testing.agents import FakeAgent
from acprelay.testing.session import FakeIds
from acprelay.wire import text_frame

if TYPE_CHECKING:
    from tests.runtime.conftest import Client, World

KEY = SessionKey("task", "main")
PATIENCE_S = 30.0
AT_ONCE = Limits(idle_s=1e-9, linger_s=1e-9)

AFTERWARDS = 60
"""Rounds of the event loop in which everything that may come has come."""

OpenWorld = Callable[..., AbstractAsyncContextManager["World"]]


def promising(agent: FakeAgent) -> None:
    agent.promise("session/resume")


def ask_permission(agent: FakeAgent) -> None:
    options = [
        {"optionId": "yes", "kind": "allow_once"},
        {"optionId": "no", "kind": "reject_once"},
    ]
    agent.ask(41, "session/request_permission", sessionId="agent-session", options=options)


def due_at(driver: ConversationDriver) -> float | None:
    """When a driver's timer rings."""
    timer = driver._alarm._timer
    return None if timer is None else timer.when()


async def keep_house(world: World, times: int = 3) -> None:
    for _ in range(times):
        await world.host.keep_house()
        await world.steps(AFTERWARDS)


# --- runs that nobody uses


@pytest.mark.requirement("lifecycle.idle-runs-are-reaped")
async def test_a_run_that_nobody_uses_is_ended_and_its_conversation_stays(
    open_world: OpenWorld,
) -> None:
    async with open_world(limits=AT_ONCE) as world:
        world.program = promising
        client = await world.greeted()
        session = await client.open_session()
        world.agent.update("hello")
        await client.leave()
        await keep_house(world)
        assert world.is_gone()
        assert world.reason() == "nobody has used it for 1e-09 s"
        assert world.archive._drivers == {}
        back = await world.greeted()
        await back.call("session/load", {"sessionId": session})
        assert back.texts() == ["hello"]
        assert "result" in await back.answer(back.prompt(session))


@pytest.mark.requirement("lifecycle.busy-runs-are-not-reaped")
async def test_a_run_is_used_while_somebody_is_connected_or_its_agent_is_busy(
    open_world: OpenWorld,
) -> None:
    async with open_world(limits=AT_ONCE) as world:
        client = await world.greeted()
        session = await client.open_session()
        await keep_house(world)
        world.agent.ignore("session/prompt")
        client.prompt(session)
        await client.leave()
        await keep_house(world)
        assert (await world.manager.get(KEY)).state is SessionState.ACTIVE
        ask_permission(world.agent)
        world.agent.answer(world.agent.requests("session/prompt")[0], {"stopReason": "end_turn"})
        await keep_house(world)
        assert (await world.manager.get(KEY)).state is SessionState.ACTIVE


async def test_time_without_use_begins_anew_whenever_somebody_comes(
    open_world: OpenWorld,
) -> None:
    async with open_world(limits=Limits(idle_s=10.0, linger_s=1e-9)) as world:
        client = await world.greeted()
        session = await client.open_session()
        await client.leave()
        now = asyncio.get_running_loop().time()
        await world.archive.keep_house(now, idle_s=10.0)
        await world.archive.keep_house(now + 9.0, idle_s=10.0)
        back = await world.greeted()
        await back.call("session/resume", {"sessionId": session})
        await world.archive.keep_house(now + 11.0, idle_s=10.0)
        await back.leave()
        await world.archive.keep_house(now + 12.0, idle_s=10.0)
        await world.archive.keep_house(now + 21.0, idle_s=10.0)
        await world.steps(AFTERWARDS)
        assert not world.is_gone()
        await world.archive.keep_house(now + 22.0, idle_s=10.0)
        await world.gone()


async def test_a_prompt_right_behind_the_decision_to_end_a_run_gets_the_next_one(
    open_world: OpenWorld,
) -> None:
    async with open_world(limits=AT_ONCE) as world:
        world.program = promising
        client = await world.greeted()
        session = await client.open_session()
        first = world.agent
        await client.leave()
        await world.steps(AFTERWARDS)
        back = await world.greeted()
        await world.host.keep_house()
        await world.host.keep_house()
        await back.call("session/resume", {"sessionId": session})
        assert "result" in await back.answer(back.prompt(session))
        assert first.requests("session/prompt") == []
        assert (await world.manager.get(KEY)).run == 2


# --- conversations that nobody uses


async def test_a_conversation_that_nobody_uses_is_not_kept_in_memory(
    open_world: OpenWorld,
) -> None:
    async with open_world(limits=AT_ONCE) as world:
        client = await world.greeted()
        session = await client.open_session()
        await client.call("session/close", {"sessionId": session})
        await client.call("session/load", {"sessionId": session})
        await keep_house(world)
        assert KEY in world.archive._drivers  # its client is there
        await client.leave()
        await keep_house(world)
        assert world.archive._drivers == {}
        assert KEY in world.archive
        other = await world.greeted()
        assert "result" in await other.call("session/resume", {"sessionId": session})


async def test_a_conversation_is_kept_in_memory_while_somebody_may_come_back(
    open_world: OpenWorld,
) -> None:
    async with open_world(limits=Limits(idle_s=1e-9)) as world:
        client = await world.greeted()
        await client.open_session()
        await client.leave()
        await keep_house(world)
        assert world.is_gone()
        assert KEY in world.archive._drivers


async def test_a_conversation_that_fails_does_not_keep_the_others_in_memory(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world(limits=AT_ONCE) as world:
        client = await world.greeted(session_id=None)
        first, second = [await client.open_session() for _ in range(2)]
        await client.leave()

        def fail(*_: object, **__: object) -> bool:
            raise ZeroDivisionError("a defect")

        with monkeypatch.context() as patch:
            patch.setattr(world.driver(SessionKey.parse(first)), "keep_house", fail)
            await keep_house(world)
        assert set(world.archive._drivers) == {SessionKey.parse(first)}
        assert second not in {str(key) for key in world.registry}
        assert "a defect" in caplog.text


async def test_closing_the_archive_leaves_no_timer_and_no_driver(world: World) -> None:
    client = await world.greeted()
    await client.open_session()
    world.agent.update("hello")
    await client.leave()  # it may come back for some minutes
    driver = world.driver()
    assert due_at(driver) is not None
    world.archive.close()
    world.archive.close()
    assert due_at(driver) is None
    assert world.archive._drivers == {}


# --- what is stored


async def test_what_an_agent_tells_of_its_state_is_stored(world: World, client: Client) -> None:
    await client.open_session()
    world.clock.advance(5.0)
    params = {
        "sessionId": "agent-session",
        "update": {"sessionUpdate": "session_info_update", "title": "Weather"},
    }
    world.agent.say({"jsonrpc": "2.0", "method": "session/update", "params": params})
    await world.host.keep_house()
    record = world.record()
    assert (record.title, record.updated_at - record.created_at) == ("Weather", 5.0)
    await world.host.keep_house()
    assert world.record() is record


async def test_a_turn_is_on_record_before_the_agent_hears_of_it_and_until_it_has_ended(
    world: World, client: Client, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[str | None] = []
    send = world.agent.send

    def look_and_send(data: bytes, *, is_owed: bool = False) -> None:
        turns.append(world.record().turn)
        send(data, is_owed=is_owed)

    monkeypatch.setattr(world.agent, "send", look_and_send)
    await client.answer(client.prompt(session))
    [started] = client.markers("_acprelay/turn_started")
    assert turns == [started["turn"]]
    await world.at_rest()


async def test_the_record_of_fast_turns_is_stored_now_and_then_and_at_the_end(
    world: World, client: Client, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[str | None] = []
    save = world.storage.save

    def note_and_save(record: ConversationRecord) -> None:
        stored.append(record.turn)
        save(record)

    monkeypatch.setattr(world.storage, "save", note_and_save)
    loop = asyncio.get_running_loop()
    with monkeypatch.context() as moment:
        now = loop.time()
        moment.setattr(loop, "time", lambda: now)
        for _ in range(20):
            await client.answer(client.prompt(session))
    turns = [turn["turn"] for turn in client.markers("_acprelay/turn_ended")]
    assert (len(turns), stored) == (20, turns[:1])
    await world.at_rest()
    assert stored == [turns[0], None]


async def test_what_is_not_stored_yet_is_stored_as_the_conversation_is_let_go_of(
    world: World, client: Client, session: str
) -> None:
    await client.answer(client.prompt(session))
    world.archive.close()
    assert world.record().turn is None


@pytest.mark.requirement("policy.decisions-are-audited")
async def test_every_decision_is_written_down_with_the_time_of_day(
    world: World, client: Client, session: str
) -> None:
    ask_permission(world.agent)
    ask = await client.called("session/request_permission")
    outcome = {"outcome": {"outcome": "selected", "optionId": "yes"}}
    client.send({"jsonrpc": "2.0", "id": ask["id"], "result": outcome})
    await world.steps(1)
    storage = world.storage
    assert isinstance(storage, MemoryStorage)
    [line] = storage.audited
    written = json.loads(line)
    assert (written["sessionId"], written["optionId"]) == (session, "yes")
    # The world's clock stands still; the event loop's does not, and tells another time.
    assert abs(written["at"] - world.clock.now()) < PATIENCE_S
    assert written["askedAt"] <= written["at"]


# --- deadlines


@pytest.mark.requirement("permissions.deadline-refuses")
async def test_a_permission_that_nobody_answers_is_refused_at_its_deadline(
    open_world: OpenWorld,
) -> None:
    async with open_world(rules=Rules(permission_s=1e-9)) as world:
        client = await world.greeted()
        await client.open_session()
        ask_permission(world.agent)
        settled = await client.called("_acprelay/permission_settled")
        assert settled["params"]["by"] == "deadline"
        assert settled["params"]["optionId"] == "no"
        assert len(world.agent.replies) == 1


@pytest.mark.requirement(
    "turns.ignored-cancel-answers-the-owner", "turns.ignored-cancel-ends-the-run"
)
async def test_an_agent_that_ignores_a_cancel_loses_its_turn_then_its_run(
    open_world: OpenWorld,
) -> None:
    async with open_world(rules=Rules(cancel_answer_s=1e-9, cancel_end_s=2e-9)) as world:
        world.program = promising
        client = await world.greeted()
        session = await client.open_session()
        world.agent.ignore("session/prompt")
        prompt = client.prompt(session)
        client.notify("session/cancel", sessionId=session)
        assert (await client.answer(prompt))["result"] == {"stopReason": "cancelled"}
        await world.gone()
        assert world.reason() == "its agent did not stop its turn when it was told to"
        assert "result" in await client.answer(client.prompt(session))
        assert (await world.manager.get(KEY)).run == 2


async def test_one_deadline_follows_the_other_as_each_is_met(open_world: OpenWorld) -> None:
    rules = Rules(cancel_answer_s=1e-9, cancel_end_s=3600.0, permission_s=1800.0)
    async with open_world(rules=rules) as world:
        client = await world.greeted()
        session = await client.open_session()
        driver = world.driver()
        assert due_at(driver) is None
        world.agent.ignore("session/prompt")
        prompt = client.prompt(session)
        client.notify("session/cancel", sessionId=session)
        await client.answer(prompt)
        now = asyncio.get_running_loop().time()
        assert (due_at(driver) or now) - now > 3000.0
        world.agent.answer(world.agent.requests("session/prompt")[0], {"stopReason": "cancelled"})
        assert due_at(driver) is None
        ask_permission(world.agent)
        assert 1000.0 < (due_at(driver) or now) - now < 2000.0


# --- a relay that died


def left_behind(**changes: object) -> ConversationRecord:
    record = ConversationRecord(
        key=KEY,
        agent="fake",
        cwd="/repo",
        params=b'{"cwd":"/repo"}',
        agent_session_id="agent-session",
        run=4,
        turn="turn-7",
        created_at=1.0,
        updated_at=2.0,
    )
    return replace(record, **changes)


async def test_a_turn_that_a_relay_has_left_is_marked_interrupted_once(
    open_world: OpenWorld,
) -> None:
    storage = MemoryStorage(ids=FakeIds(), history_bytes=1 << 20)
    storage.save(left_behind())
    for _ in range(2):
        async with open_world(storage=storage) as world:
            world.program = promising
            assert world.record().turn is None
            client = await world.greeted()
            await client.call("session/load", {"sessionId": "task:main"})
            assert client.markers("_acprelay/turn_ended") == [
                {"sessionId": "task:main", "turn": "turn-7", "outcome": "interrupted"}
            ]
            assert world.launcher.launched != []
            assert len(world.registry) == 0
            await world.host.keep_house()
    async with open_world(storage=storage) as world:
        world.program = promising
        client = await world.greeted()
        await client.call("session/resume", {"sessionId": "task:main"})
        assert "result" in await client.answer(client.prompt("task:main"))
        assert (await world.manager.get(KEY)).run == 5


async def test_a_conversation_without_a_turn_is_not_touched_when_a_relay_starts(
    open_world: OpenWorld,
) -> None:
    storage = MemoryStorage(ids=FakeIds(), history_bytes=1 << 20)
    record = left_behind(turn=None)
    storage.save(record)
    async with open_world(storage=storage) as world:
        assert world.record() is record
        assert world.archive._drivers == {}


async def test_a_conversation_that_cannot_be_read_does_not_keep_a_relay_from_starting(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    storage = MemoryStorage(ids=FakeIds(), history_bytes=1 << 20)
    other = SessionKey("other", "main")
    storage.save(left_behind())
    storage.save(left_behind(key=other))
    open_log = storage.open_log

    def open_or_fail(key: SessionKey, **callbacks: object) -> object:
        if key == KEY:
            raise StoreError("cannot read what is stored", hint="look at the disk")
        return open_log(key, **callbacks)  # type: ignore[arg-type] # handed through

    monkeypatch.setattr(storage, "open_log", open_or_fail)
    with caplog.at_level(logging.WARNING):
        async with open_world(storage=storage) as world:
            assert world.record(other).turn is None
            assert world.record(KEY).turn == "turn-7"
    (said,) = caplog.records
    assert said.getMessage() == "session task:main: cannot read what is stored; look at the disk"
    assert getattr(said, FIELDS) == {"code": "store_error"}


class LendingStorage(MemoryStorage):
    """It takes account of which logs are open."""

    def __init__(self) -> None:
        super().__init__(ids=FakeIds(), history_bytes=1 << 20)
        self.lent: set[SessionKey] = set()

    def open_log(self, key: SessionKey, **more: object) -> MemoryLog:
        assert key not in self.lent
        self.lent.add(key)
        return super().open_log(key, **more)  # type: ignore[arg-type] # handed through

    def close_log(self, key: SessionKey) -> None:
        self.lent.discard(key)


async def test_what_goes_wrong_with_one_conversation_does_not_keep_a_relay_from_starting(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    storage = LendingStorage()
    other = SessionKey("other", "main")
    storage.save(left_behind())
    storage.save(left_behind(key=other))
    take_up, broken = ConversationDriver.take_up, {KEY}

    def take_up_or_fail(driver: ConversationDriver) -> None:
        if driver.key in broken:
            raise KeyError("turn-7")
        take_up(driver)

    monkeypatch.setattr(ConversationDriver, "take_up", take_up_or_fail)
    async with open_world(storage=storage) as world:
        assert storage.lent == {other}
        assert world.record(other).turn is None
        assert world.record(KEY).turn == "turn-7"
        broken.clear()
        client = await world.greeted()
        await client.call("session/load", {"sessionId": str(KEY)})
        [over] = client.markers("_acprelay/turn_ended")
        assert over["outcome"] == "interrupted"
    (said,) = [line for line in caplog.records if line.levelno >= logging.WARNING]
    assert said.getMessage() == (
        "session task:main: cannot take up what an earlier relay has left; "
        "report this as a defect: it is tried again when somebody comes to the session"
    )
    assert said.exc_info is not None
    assert getattr(said, FIELDS) == {"code": "store_error"}


def with_a_turn_that_is_not_on_record() -> tuple[MemoryStorage, PublicLog]:
    """A turn has begun, and the relay has died before its record was stored."""
    storage = MemoryStorage(ids=FakeIds(), history_bytes=1 << 20)
    log = storage.open_log(KEY, on_relief=lambda: None, on_trouble=lambda _: None)
    storage.save(left_behind(turn=None, position=str(log.position(0))))
    log.append(text_frame(marker(TURN_STARTED, str(KEY), {"turn": "turn-7"}, stamp=b"{}")), 1)
    return storage, log


async def test_a_turn_that_is_not_on_record_is_marked_interrupted_when_somebody_looks(
    open_world: OpenWorld,
) -> None:
    storage, _ = with_a_turn_that_is_not_on_record()
    for _ in range(2):
        async with open_world(storage=storage) as world:
            assert world.archive._drivers == {}
            client = await world.greeted()
            await client.call("session/load", {"sessionId": str(KEY)})
            assert client.markers("_acprelay/turn_ended") == [
                {"sessionId": str(KEY), "turn": "turn-7", "outcome": "interrupted"}
            ]


async def test_a_turn_that_has_ended_before_its_relay_died_is_not_ended_again(
    open_world: OpenWorld,
) -> None:
    storage, log = with_a_turn_that_is_not_on_record()
    storage.save(left_behind(turn="turn-7", position=str(log.position(1))))
    over = {"turn": "turn-7", "outcome": "ended"}
    log.append(text_frame(marker(TURN_ENDED, str(KEY), over, stamp=b"{}")), 1)
    async with open_world(storage=storage) as world:
        assert world.record().turn is None
        client = await world.greeted()
        await client.call("session/load", {"sessionId": str(KEY)})
        assert [told["outcome"] for told in client.markers("_acprelay/turn_ended")] == ["ended"]


async def test_a_conversation_that_cannot_be_looked_through_is_looked_through_the_next_time(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, log = with_a_turn_that_is_not_on_record()

    def fail(*_: object, **__: object) -> object:
        raise Unavailable("cannot read it", hint="try again")

    async with open_world(storage=storage) as world:
        client = await world.greeted()
        with monkeypatch.context() as patch:
            patch.setattr(log, "read", fail)
            answer = await client.answer(client.request("session/load", {"sessionId": str(KEY)}))
        assert answer["error"]["data"]["code"] == "unavailable"
        assert world.archive._drivers == {}
        await client.call("session/load", {"sessionId": str(KEY)})
        [over] = client.markers("_acprelay/turn_ended")
        assert over["outcome"] == "interrupted"


# --- a log that cannot keep up, or cannot be stored


class CongestedStorage(MemoryStorage):
    """Its logs are congested when a test says so."""

    def __init__(self) -> None:
        super().__init__(ids=FakeIds(), history_bytes=1 << 20)
        self.is_congested = False
        self.on_relief: Callable[[], None] = lambda: None
        self.on_trouble: Callable[[RelayError], None] = lambda _: None

    def open_log(  # type: ignore[override] # a log all the same
        self,
        key: SessionKey,
        *,
        is_new: bool = False,
        on_relief: Callable[[], None],
        on_trouble: Callable[[RelayError], None],
    ) -> PublicLog:
        self.on_relief, self.on_trouble = on_relief, on_trouble
        log = super().open_log(key, is_new=is_new, on_relief=on_relief, on_trouble=on_trouble)
        return cast("PublicLog", CongestedLog(self, log))


class CongestedLog:
    """Another log, but for its congestion."""

    def __init__(self, storage: CongestedStorage, log: PublicLog) -> None:
        self._storage = storage
        self.log = log

    @property
    def is_congested(self) -> bool:
        return self._storage.is_congested

    def __getattr__(self, name: str) -> object:
        return getattr(self.log, name)


class CountingAgent(FakeAgent):
    """Counts how often its output is held back."""

    def __init__(self, *, name: str) -> None:
        super().__init__(name=name)
        self.calls: list[str] = []

    def pause_reading(self) -> None:
        self.calls.append("pause")
        super().pause_reading()

    def resume_reading(self) -> None:
        self.calls.append("resume")
        super().resume_reading()


async def test_an_agent_waits_for_the_log_and_goes_on_once(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = CongestedStorage()
    async with open_world(storage=storage) as world:
        agents: list[CountingAgent] = []

        def make(name: str) -> FakeAgent:
            agents.append(CountingAgent(name=name))
            return agents[-1]

        monkeypatch.setattr(world.launcher, "_make", make)
        client = await world.greeted()
        session = await client.open_session()
        [agent] = agents
        agent.update("one")
        storage.on_relief()
        assert agent.calls == []
        storage.is_congested = True
        agent.update("two")
        agent.update("three")
        await client.answer(client.request("session/list"))
        assert agent.calls == ["pause"]
        assert client.texts() == ["one", "two"]
        storage.is_congested = False
        storage.on_relief()
        storage.on_relief()
        assert agent.calls == ["pause", "resume"]
        assert client.texts() == ["one", "two", "three"]
        assert "result" in await client.answer(client.prompt(session))


async def test_an_agent_that_waits_for_the_log_can_be_ended_and_the_next_one_speaks(
    open_world: OpenWorld,
) -> None:
    storage = CongestedStorage()
    async with open_world(storage=storage) as world:
        world.program = promising
        client = await world.greeted()
        session = await client.open_session()
        first = world.agent
        storage.is_congested = True
        first.update("one")
        assert first.is_paused
        await world.host.runs.end(KEY, reason="over")
        storage.is_congested = False
        storage.on_relief()
        assert "result" in await client.answer(client.prompt(session))
        assert not world.agent.is_paused
        assert world.agent is not first


async def test_everybody_is_told_that_a_conversation_cannot_be_stored(
    open_world: OpenWorld, caplog: pytest.LogCaptureFixture
) -> None:
    storage = CongestedStorage()
    async with open_world(storage=storage) as world:
        clients = [await world.greeted() for _ in range(2)]
        session = await clients[0].open_session()
        await clients[1].call("session/resume", {"sessionId": session})
        storage.on_trouble(Unavailable("cannot store the conversation: the disk is full"))
        for client in clients:
            assert [n["code"] for n in client.markers("_acprelay/notice")] == ["unavailable"]
        assert "the disk is full" in caplog.text
        await clients[0].call("session/delete", {"sessionId": session})
        storage.on_trouble(Unavailable("cannot store the conversation: too late"))
        assert len(clients[1].markers("_acprelay/notice")) == 3  # its end, and its deletion


async def test_a_conversation_that_goes_while_the_house_is_kept_is_left_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_HOUSES_AT_ONCE", 1)  # others have their turn in between
    client = await world.greeted()
    await client.open_session()
    driver = world.driver()
    looked_at: list[float] = []
    monkeypatch.setattr(driver, "keep_house", lambda now, **_: looked_at.append(now))
    keeping = asyncio.get_running_loop().create_task(world.archive.keep_house(1.0, idle_s=10.0))
    await world.steps(1)
    world.host.withdraw(driver)
    await keeping
    assert looked_at == []
