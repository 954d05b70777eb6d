"""Conversations that outlive connections and runs: entered, left, adopted, listed, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from acprelay.config import Limits
from acprelay.errors import AgentError, StoreError, Unavailable
from acprelay.runtime.ports import ConversationStore
from acprelay.runtime.system import MonotonicClock, RandomIds
from acprelay.session.models import SessionKey
from acprelay.storage.disk import SystemDisk
from acprelay.storage.files import FileStorage
from acprelay.storage.memory import MemoryStorage
from acprelay.testing.agents import FakeAgent, Message
from acprelay.testing.outlet import MemoryOutlet

if TYPE_CHECKING:
    from tests.runtime.conftest import Client, World

KEY = SessionKey("task", "main")
ATTACH = "_acprelay/attach"

AFTERWARDS = 60
"""Rounds of the event loop in which everything that may come has come."""

OpenWorld = Callable[..., AbstractAsyncContextManager["World"]]
OpenStorage = Callable[[], AbstractAsyncContextManager[ConversationStore]]


def code(answer: Message) -> object:
    return answer["error"]["data"]["code"]


def credentials(answer: Message) -> dict[str, str]:
    """What a client is told of its attachment."""
    told: dict[str, str] = answer["result"]["_meta"]["acprelay"]
    return told


def seen(client: Client) -> str:
    """The position of the last entry that a client has seen."""
    stamps = [m["params"]["_meta"]["acprelay"] for m in client.messages if "params" in m]
    last = next(stamp for stamp in reversed(stamps) if "seq" in stamp)
    return f"{last['generation']}:{last['seq']}"


def promising(agent: FakeAgent) -> None:
    agent.promise("session/resume")


@pytest.fixture(params=["memory", "files"])
def open_storage(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStorage:
    """Opens the same storage again and again."""
    memory = MemoryStorage(ids=RandomIds(), history_bytes=1 << 20)

    @asynccontextmanager
    async def open_it() -> AsyncIterator[ConversationStore]:
        if request.param == "memory":
            yield memory
            return
        async with FileStorage(
            directory=tmp_path, ids=RandomIds(), clock=MonotonicClock(), disk=SystemDisk()
        ) as files:
            yield files

    return open_it


@asynccontextmanager
async def stored(
    open_world: OpenWorld, open_storage: OpenStorage, **options: Any
) -> AsyncIterator[World]:
    async with (
        asyncio.timeout(30),
        open_storage() as storage,
        open_world(storage=storage, **options) as world,
    ):
        world.program = promising
        yield world


# --- coming in


async def test_whoever_opens_a_session_is_told_of_its_attachment(client: Client) -> None:
    answer = await client.answer(client.begin_session())
    told = credentials(answer)
    assert set(told) == {"attachment", "secret", "position"}
    assert told["attachment"] == "connection-1/1"
    assert told["position"].endswith(":0")


@pytest.mark.requirement("replay.load-answers-last", "order.replayed-before-live")
async def test_a_conversation_is_loaded_whole_then_answered_then_live(
    open_world: OpenWorld, open_storage: OpenStorage
) -> None:
    async with stored(open_world, open_storage) as world:
        first = await world.greeted()
        session = await first.open_session()
        world.agent.update("one")
        await first.answer(first.prompt(session))
        world.agent.update("two")
        other = await world.greeted()
        other.outlet.payloads.clear()
        load = other.request("session/load", {"sessionId": session})
        await other.answer(load)
        world.agent.update("three")
        assert other.kinds() == [
            "session/update",
            "_acprelay/turn_started",
            "session/update",
            "_acprelay/turn_ended",
            "session/update",
            load,
            "session/update",
        ]
        assert other.texts() == ["one", "two", "three"]
        # What it is shown of its own prompt is all that the first one was not.
        own = [m for m in other.messages if m not in first.messages]
        assert [m.get("method", m.get("id")) for m in own] == ["session/update", load]


async def test_a_conversation_is_loaded_once_more_over_the_same_attachment(
    world: World, client: Client, session: str
) -> None:
    world.agent.update("one")
    first = await client.call("session/load", {"sessionId": session})
    second = await client.call("session/load", {"sessionId": session})
    assert credentials(first)["attachment"] == credentials(second)["attachment"]
    assert client.texts() == ["one"] * 3
    world.agent.update("two")
    assert client.texts()[3:] == ["two"]


async def test_whoever_resumes_gets_what_comes_and_nothing_of_the_past(
    world: World, session: str
) -> None:
    world.agent.update("one")
    other = await world.greeted()
    await other.call("session/resume", {"sessionId": session})
    world.agent.update("two")
    assert other.texts() == ["two"]


@pytest.mark.requirement("positions.return-gets-the-rest")
async def test_whoever_attaches_behind_a_position_gets_exactly_the_rest(
    open_world: OpenWorld, open_storage: OpenStorage
) -> None:
    async with stored(open_world, open_storage) as world:
        first = await world.greeted()
        session = await first.open_session()
        world.agent.update("one")
        other = await world.greeted()
        await other.call(ATTACH, {"sessionId": session, "after": "start"})
        place = seen(other)
        await other.leave()
        world.agent.update("two")
        for key in ("close", "list"):
            await first.call(f"session/{key}", {"sessionId": session})
        again = await world.greeted()
        await again.call(ATTACH, {"sessionId": session, "after": place})
        assert other.texts() == ["one"]
        assert again.texts() == ["two"]
        assert [notice["code"] for notice in again.markers("_acprelay/notice")] == ["session_ended"]


async def test_a_position_that_never_was_is_refused_and_nobody_attached(
    world: World, client: Client, session: str
) -> None:
    other = await world.greeted()
    for after, error in (("nobody:7", "cursor_expired"), ("what?", "invalid_params")):
        answer = await other.call(ATTACH, {"sessionId": session, "after": after})
        assert code(answer) == error
    assert other.connection._sessions.places == []
    await client.leave()
    assert not world.driver().attendance.has_clients


# --- coming back


@pytest.mark.requirement("sharing.adopted-attachments-get-their-reply")
async def test_a_client_that_comes_back_has_missed_nothing(
    open_world: OpenWorld, open_storage: OpenStorage
) -> None:
    async with stored(open_world, open_storage) as world:
        lost = await world.greeted()
        opened = await lost.answer(lost.begin_session())
        session, told = opened["result"]["sessionId"], credentials(opened)
        world.agent.ignore("session/prompt")
        prompt = lost.prompt(session)
        world.agent.update("heard")
        await lost.leave()
        world.agent.update("missed")
        [asked] = world.agent.requests("session/prompt")
        world.agent.answer(asked, {"stopReason": "end_turn"})
        back = await world.greeted()
        back.outlet.payloads.clear()
        attach = back.request(
            ATTACH,
            {
                "sessionId": session,
                "attachment": told["attachment"],
                "secret": told["secret"],
                "after": seen(lost),
                "pending": [prompt],
            },
            request_id="attach",
        )
        await back.answer(prompt)
        assert back.kinds() == [attach, "session/update", "_acprelay/turn_ended", prompt]
        assert lost.texts() + back.texts() == ["heard", "missed"]
        assert lost.answers(prompt) == []
        assert "result" in back.answers(prompt)[0]
        # It is its own again: it is not shown its own words.
        world.agent.answer_with("session/prompt", {"stopReason": "end_turn"})
        await back.answer(back.prompt(session))
        chunks = [
            m["params"]["update"]["sessionUpdate"]
            for m in back.messages
            if m.get("method") == "session/update"
        ]
        assert "user_message_chunk" not in chunks


async def test_an_attachment_is_taken_from_a_connection_that_only_seems_to_be_there(
    world: World, client: Client
) -> None:
    opened = await client.answer(client.begin_session())
    session, told = opened["result"]["sessionId"], credentials(opened)
    world.agent.update("one")
    thief = await world.greeted()
    params = {"sessionId": session, "attachment": told["attachment"], "secret": told["secret"]}
    answer = await thief.call(ATTACH, {**params, "after": seen(client)})
    assert credentials(answer)["attachment"] == told["attachment"]
    world.agent.update("two")
    assert client.texts() == ["one"]
    assert thief.texts() == ["two"]
    late = client.prompt(session)
    assert code(await client.answer(late)) == "session_not_found"
    await client.leave()  # which loses nothing of what it no longer has
    world.agent.update("three")
    assert thief.texts() == ["two", "three"]
    assert "result" in await thief.answer(thief.prompt(session))


async def test_a_connection_adopts_its_own_attachment_as_if_it_were_another(
    world: World, client: Client
) -> None:
    opened = await client.answer(client.begin_session())
    session, told = opened["result"]["sessionId"], credentials(opened)
    world.agent.update("one")
    params = {"sessionId": session, "attachment": told["attachment"], "secret": told["secret"]}
    await client.call(ATTACH, {**params, "after": "start"})
    world.agent.update("two")
    assert client.texts() == ["one", "one", "two"]


async def test_an_attachment_is_not_given_to_whoever_does_not_know_its_secret(
    world: World, client: Client
) -> None:
    opened = await client.answer(client.begin_session())
    session, told = opened["result"]["sessionId"], credentials(opened)
    thief = await world.greeted()
    params = {"sessionId": session, "attachment": told["attachment"], "secret": "guessed"}
    assert code(await thief.call(ATTACH, params)) == "forbidden"
    assert "result" in await client.answer(client.prompt(session))


async def test_an_attachment_is_given_up_when_nobody_has_come_back_for_it(
    open_world: OpenWorld,
) -> None:
    async with open_world(limits=Limits(linger_s=1e-9)) as world:
        client = await world.greeted()
        opened = await client.answer(client.begin_session())
        session, told = opened["result"]["sessionId"], credentials(opened)
        await client.leave()
        await world.steps(AFTERWARDS)
        late = await world.greeted()
        params = {"sessionId": session, "attachment": told["attachment"], "secret": told["secret"]}
        assert code(await late.call(ATTACH, params)) == "forbidden"
        assert "result" in await late.call("session/load", {"sessionId": session})


async def test_a_slow_client_whose_attachment_is_taken_is_written_nothing_of_it_any_more(
    world: World,
) -> None:
    slow = await world.greeted(outlet=MemoryOutlet())
    opened = await slow.answer(slow.begin_session())
    session, told = opened["result"]["sessionId"], credentials(opened)
    slow.outlet.pause()
    world.agent.update("unread")
    thief = await world.greeted()
    params = {"sessionId": session, "attachment": told["attachment"], "secret": told["secret"]}
    await thief.call(ATTACH, params)
    slow.outlet.resume()
    await world.steps(AFTERWARDS)
    assert slow.texts() == []
    assert thief.texts() == ["unread"]


# --- the list, and turns


async def test_every_conversation_is_listed_whether_it_runs_or_not(
    open_world: OpenWorld, open_storage: OpenStorage
) -> None:
    async with stored(open_world, open_storage) as world:
        client = await world.greeted(session_id=None)
        first, second = [await client.open_session() for _ in range(2)]
        world.agent.say(
            {
                "jsonrpc": "2.0",
                "method": "session/update",
                "params": {
                    "sessionId": "agent-session",
                    "update": {"sessionUpdate": "session_info_update", "title": "Weather"},
                },
            }
        )
        await client.call("session/close", {"sessionId": first})
        await world.host.keep_house()
        listed = (await client.call("session/list"))["result"]["sessions"]
        by_id = {each["sessionId"]: each for each in listed}
        assert set(by_id) == {first, second}
        assert by_id[second]["title"] == "Weather"
        assert by_id[first]["cwd"] == "/repo"
        live = {name: each["_meta"]["acprelay"]["live"] for name, each in by_id.items()}
        assert live == {first: False, second: True}


@pytest.mark.requirement(
    "turns.one-prompt-in-flight", "turns.queue-is-listed", "turns.queued-prompts-are-cancelled"
)
async def test_prompts_wait_for_each_other_and_can_be_listed_and_cancelled(
    world: World, client: Client, session: str
) -> None:
    world.agent.ignore("session/prompt")
    other = await world.greeted()
    await other.call("session/resume", {"sessionId": session})
    running, waiting, last = client.prompt(session), other.prompt(session), client.prompt(session)
    turns = (await other.call("_acprelay/turns", {"sessionId": session}))["result"]
    assert turns["running"]["mine"] is False
    assert [turn["mine"] for turn in turns["queued"]] == [True, False]
    cancelled = await client.call(
        "_acprelay/cancel_turn", {"sessionId": session, "turn": turns["queued"][0]["turn"]}
    )
    assert cancelled["result"] == {"cancelled": True}
    assert other.answers(waiting)[0]["result"] == {"stopReason": "cancelled"}
    unknown = await client.call("_acprelay/cancel_turn", {"sessionId": session, "turn": "x"})
    assert unknown["result"] == {"cancelled": False}
    world.agent.answer_with("session/prompt", {"stopReason": "end_turn"})
    world.agent.answer(world.agent.requests("session/prompt")[0], {"stopReason": "end_turn"})
    for prompt in (running, last):
        assert "result" in await client.answer(prompt)
    assert len(world.agent.requests("session/prompt")) == 2


# --- deleting


async def test_a_conversation_that_is_deleted_is_gone_for_everybody(
    open_world: OpenWorld, open_storage: OpenStorage
) -> None:
    async with stored(open_world, open_storage) as world:
        client, other = await world.greeted(), await world.greeted()
        session = await client.open_session()
        await other.call("session/load", {"sessionId": session})
        world.agent.ignore("session/prompt")
        prompt = other.prompt(session)
        deleted = await client.call("session/delete", {"sessionId": session})
        assert deleted["result"] == {}
        assert other.answers(prompt)[0]["result"] == {"stopReason": "cancelled"}
        for each in (client, other):
            assert each.markers("_acprelay/notice")[-1]["code"] == "session_not_found"
            assert each.connection._sessions.places == []
            assert list(each.outbox._sources) == []
            late = await each.answer(each.prompt(session))
            assert code(late) == "session_not_found"
        for method in ("session/load", "session/resume", "session/close", "session/delete", ATTACH):
            assert code(await client.call(method, {"sessionId": session})) == "session_not_found"
        assert (await client.call("session/list"))["result"]["sessions"] == []
        await world.storage.flush()
        assert list(world.storage.records()) == []
        assert world.archive._drivers == {}
        assert world.is_gone()
        world.agent.update("from beyond")
        again = await client.open_session()
        assert again == session
        await other.call("session/load", {"sessionId": session})
        assert other.texts() == []


async def test_whoever_reads_slowly_learns_of_the_deletion_behind_what_its_lane_holds(
    world: World, client: Client, session: str
) -> None:
    world.agent.ignore("session/prompt")
    client.outlet.pause()
    prompt = client.prompt(session)
    other = await world.greeted()
    assert (await other.call("session/delete", {"sessionId": session}))["result"] == {}
    assert client.messages == []
    client.outlet.resume()
    await client.called("_acprelay/notice")
    assert client.kinds()[-2:] == [prompt, "_acprelay/notice"]
    assert client.markers("_acprelay/notice")[-1]["code"] == "session_not_found"
    assert list(client.outbox._sources) == []


async def test_nobody_begins_anything_in_a_conversation_that_is_being_deleted(
    world: World, client: Client, session: str
) -> None:
    other = await world.greeted()
    await other.call("session/resume", {"sessionId": session})
    world.agent.hold_end()
    delete = client.request("session/delete", {"sessionId": session})
    await world.steps(AFTERWARDS)
    launched = len(world.launcher.launched)
    for method in ("session/prompt", "session/load", "session/delete"):
        answer = await other.call(method, {"sessionId": session, "prompt": []})
        assert code(answer) == "session_not_found"
    listed = await other.call("session/list")
    assert listed["result"]["sessions"] == []
    world.agent.release_end()
    assert (await client.answer(delete))["result"] == {}
    assert len(world.launcher.launched) == launched
    assert len(client.answers(delete)) == 1


async def test_a_conversation_at_rest_is_deleted_without_a_word_to_any_agent(
    world: World, client: Client, session: str
) -> None:
    await client.call("session/close", {"sessionId": session})
    await world.host.keep_house()
    launched = len(world.launcher.launched)
    assert (await client.call("session/delete", {"sessionId": session}))["result"] == {}
    assert len(world.launcher.launched) == launched
    assert world.storage.records() == ()


async def test_a_conversation_whose_agent_survives_its_deletion_is_still_there(
    world: World, client: Client, session: str
) -> None:
    world.agent.fail_to_end(*[AgentError("cannot end it")] * 20)
    answer = await client.call("session/delete", {"sessionId": session})
    assert code(answer) == "agent_error"
    world.agent.fail_to_end()
    assert "result" in await client.call("session/load", {"sessionId": session})
    assert (await client.call("session/delete", {"sessionId": session}))["result"] == {}
    assert world.storage.records() == ()


async def test_a_conversation_that_cannot_be_removed_is_still_there(
    world: World, client: Client, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def delete(_key: object) -> None:
        raise Unavailable("cannot remove its files")

    with monkeypatch.context() as patch:
        patch.setattr(world.storage, "delete", delete)
        assert code(await client.call("session/delete", {"sessionId": session})) == "unavailable"
    assert "result" in await client.call("session/load", {"sessionId": session})
    assert (await client.call("session/delete", {"sessionId": session}))["result"] == {}


async def test_many_may_delete_at_once(world: World, client: Client, session: str) -> None:
    other = await world.greeted()
    requests = [
        (each, each.request("session/delete", {"sessionId": session}))
        for each in (client, other, client)
    ]
    answers = [await each.answer(request) for each, request in requests]
    assert [answer.get("result") for answer in answers].count({}) == 1
    assert {code(each) for each in answers if "error" in each} == {"session_not_found"}
    assert world.trace.count("agent: ended") == 1


# --- a store that cannot


async def test_a_conversation_that_cannot_be_stored_is_not_opened(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_log(*_: object, **__: object) -> None:
        raise Unavailable("cannot read what is stored")

    with monkeypatch.context() as patch:
        patch.setattr(world.storage, "open_log", open_log)
        assert code(await client.answer(client.begin_session())) == "unavailable"
    await world.gone()
    assert world.storage.records() == ()
    assert await client.open_session() == "task:main"


async def test_a_conversation_that_cannot_be_read_is_told_and_can_be_read_later(
    world: World, client: Client, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.call("session/close", {"sessionId": session})
    await world.host.keep_house()

    def open_log(*_: object, **__: object) -> None:
        raise StoreError("cannot read what is stored")

    with monkeypatch.context() as patch:
        patch.setattr(world.storage, "open_log", open_log)
        for method in ("session/load", "session/resume", "session/close", "session/delete"):
            assert code(await client.call(method, {"sessionId": session})) == "store_error"
        assert len((await client.call("session/list"))["result"]["sessions"]) == 1
    assert "result" in await client.call("session/load", {"sessionId": session})
