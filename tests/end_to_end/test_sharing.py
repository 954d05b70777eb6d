"""Several editors in one conversation, leaving and coming back: what each of them gets to see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import acp
import pytest
from acp import schema
from tests.end_to_end.editors import Desk, position, sit_down, stamp
from tests.end_to_end.joining import AnyRelay
from tests.end_to_end.relays import until_gone, until_no_session_is_left
from tests.server.peers import PATIENCE_S, Message
from tests.server.relays import Complaints

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_factories=["asyncio"])]


class Room:
    """Editors at one relay; everything that they began is over when they leave it."""

    def __init__(self, relay: AnyRelay, stack: AsyncExitStack) -> None:
        self._relay = relay
        self._stack = stack

    async def seat(self) -> Desk:
        """An editor that is initialized."""
        desk = await self._stack.enter_async_context(sit_down(self._relay.url))
        await desk.initialize()
        return desk

    async def opener(self) -> tuple[Desk, str]:
        """An editor that has opened a session."""
        desk = await self.seat()
        session = await desk.agent.new_session(cwd="/", mcp_servers=[])
        return desk, session.session_id

    async def joiner(self, session_id: str) -> Desk:
        """An editor that has loaded a session."""
        desk = await self.seat()
        await desk.load(session_id)
        return desk

    def begin(self, desk: Desk, session_id: str, text: str) -> asyncio.Task[schema.PromptResponse]:
        """Prompts, and gives the turn."""
        turn = asyncio.get_running_loop().create_task(desk.prompt(session_id, text))
        self._stack.callback(turn.cancel)
        return turn

    async def close(self, desk: Desk, session_id: str) -> None:
        """Ends what a test has begun."""
        await desk.agent.close_session(session_id=session_id)
        await until_no_session_is_left(self._relay.base_url)


@asynccontextmanager
async def enter(relay: AnyRelay) -> AsyncIterator[Room]:
    async with AsyncExitStack() as stack:
        yield Room(relay, stack)


@pytest.fixture
async def room(any_relay: AnyRelay) -> AsyncIterator[Room]:
    """Editors at the relay with the demo agent."""
    async with enter(any_relay) as it:
        yield it


def seqs(desk: Desk) -> list[int]:
    return [stamp(entry)["seq"] for entry in desk.log]


# -- permissions


@pytest.mark.requirement(
    "permissions.all-who-may-approve-are-asked",
    "permissions.first-valid-answer-wins",
    "permissions.losers-are-told",
    "permissions.outcomes-are-marked",
    "identity.ask-ids-are-shared",
)
async def test_two_editors_are_asked_one_answers_and_both_see_how_it_ended(
    room: Room, complaints: Complaints
) -> None:
    first, session_id = await room.opener()
    second = await room.joiner(session_id)
    first.editor.may_answer.clear()
    second.editor.may_answer.clear()
    turn = room.begin(first, session_id, "/tool Ask both")
    ask = await first.hears("session/request_permission")
    assert (await second.hears("session/request_permission"))["id"] == ask["id"]

    second.editor.may_answer.set()
    assert (await turn).stop_reason == "end_turn"
    withdrawn = await first.hears("$/cancel_request")
    assert withdrawn["params"]["requestId"] == ask["id"]
    for desk in (first, second):
        settled = (await desk.hears("_acprelay/permission_settled"))["params"]
        assert settled["ask"] == ask["id"]
        assert (settled["outcome"], settled["optionId"], settled["by"]) == (
            *("selected", "allow"),
            "client",
        )
        await desk.hears("_acprelay/turn_ended")
    assert second.all_of("$/cancel_request") == []
    await room.close(first, session_id)
    await first.agent.close()
    # The package knows no such notification, and says so.
    assert {record.getMessage() for record in complaints.records} <= {
        "Unhandled error while handling notification method=$/cancel_request"
    }
    complaints.records.clear()


@pytest.mark.requirement("permissions.only-offered-options-count")
async def test_an_option_that_was_never_offered_decides_nothing(room: Room) -> None:
    first, session_id = await room.opener()
    second = await room.joiner(session_id)
    first.editor.answer = lambda _: "never-offered"
    second.editor.answer = lambda _: "reject"
    second.editor.may_answer.clear()
    turn = room.begin(first, session_id, "/tool Ask both")
    refusal = (await first.hears("_acprelay/notice"))["params"]
    assert refusal["code"] == "invalid_params"
    assert "never-offered" in refusal["message"]
    assert refusal["ask"] == first.all_of("session/request_permission")[0]["id"]
    assert first.all_of("_acprelay/permission_settled") == []

    second.editor.may_answer.set()
    assert (await turn).stop_reason == "end_turn"
    settled = await first.hears("_acprelay/permission_settled")
    assert settled["params"]["optionId"] == "reject"
    assert "The permission was not given" in "".join(first.editor.texts[session_id])
    await room.close(first, session_id)


@pytest.mark.requirement(
    "permissions.asks-wait-with-nobody-attached", "permissions.asked-once-on-attach"
)
async def test_with_nobody_attached_a_permission_waits_for_who_comes_next(room: Room) -> None:
    first, session_id = await room.opener()
    first.editor.may_answer.clear()
    turn = room.begin(first, session_id, "/tool Ask whoever is there")
    ask = await first.hears("session/request_permission")
    await first.agent.close()
    with pytest.raises(ConnectionError):
        await turn

    second = await room.joiner(session_id)
    ended = (await second.hears("_acprelay/turn_ended"))["params"]
    assert (ended["outcome"], ended["stopReason"]) == ("ended", "end_turn")
    assert [each["id"] for each in second.all_of("session/request_permission")] == [ask["id"]]
    assert "The tool call is completed." in "".join(second.editor.texts[session_id])
    await room.close(second, session_id)


# -- leaving and coming back


@pytest.mark.requirement(
    "sharing.adopted-attachments-get-their-reply", "positions.return-gets-the-rest"
)
async def test_an_editor_that_drops_in_its_turn_and_adopts_its_attachment_gets_its_reply(
    room: Room,
) -> None:
    first, session_id = await room.opener()
    opened = first.answers_to(first.said[-1]["id"])[0]
    credentials = opened["result"]["_meta"]["acprelay"]
    first.editor.may_answer.clear()
    turn = room.begin(first, session_id, "before\n/tool\nafter")
    await first.hears("session/request_permission")
    request = first.said[-1]
    assert request["method"] == "session/prompt"
    seen = first.log
    await first.agent.close()
    with pytest.raises(ConnectionError):
        await turn

    second = await room.seat()
    result = await second.ask(
        "acprelay/attach",
        {
            "sessionId": session_id,
            "after": position(seen[-1]),
            "attachment": credentials["attachment"],
            "secret": credentials["secret"],
            "pending": [request["id"]],
        },
    )
    adopted = result["_meta"]["acprelay"]
    assert (adopted["attachment"], adopted["position"]) == (
        credentials["attachment"],
        position(seen[-1]),
    )
    answer = await second.answer_to(request["id"])
    assert answer["result"] == {"stopReason": "end_turn"}
    assert second.heard[-2]["method"] == "_acprelay/turn_ended"

    whole = await room.joiner(session_id)
    assert len(own_prompts(whole)) == 1
    assert [*seen, *second.log] == [each for each in whole.log if each not in own_prompts(whole)]
    await room.close(whole, session_id)


def own_prompts(desk: Desk) -> list[Message]:
    """The entries that show a prompt."""
    return [
        entry
        for entry in desk.log
        if entry["params"].get("update", {}).get("sessionUpdate") == "user_message_chunk"
    ]


@pytest.mark.requirement("sharing.loads-show-how-a-turn-ended")
async def test_an_editor_that_drops_in_its_turn_and_loads_sees_how_the_turn_ended(
    room: Room,
) -> None:
    first, session_id = await room.opener()
    first.editor.may_answer.clear()
    turn = room.begin(first, session_id, "/tool\n/stop max_tokens")
    await first.hears("session/request_permission")
    await first.agent.close()
    with pytest.raises(ConnectionError):
        await turn
    second = await room.joiner(session_id)
    ended = (await second.hears("_acprelay/turn_ended"))["params"]
    assert (ended["outcome"], ended["stopReason"]) == ("ended", "max_tokens")
    (prompt,) = own_prompts(second)  # it is a new attachment, which is shown its own words too
    assert prompt["params"]["update"]["content"]["text"] == "/tool\n/stop max_tokens"
    await room.close(second, session_id)


@pytest.mark.requirement("replay.load-answers-last", "replay.live-loads-reach-no-agent")
async def test_loads_on_one_connection_give_a_whole_history_each(
    room: Room, any_relay: AnyRelay
) -> None:
    first, session_id = await room.opener()
    await first.prompt(session_id, "hello there")
    processes = any_relay.tree()
    second = await room.seat()
    histories = []
    for _ in range(3):
        before = len(second.log)
        await second.load(session_id)
        assert "result" in second.heard[-1]  # nothing of it comes after the reply
        histories.append(second.log[before:])
    assert histories[0] == histories[1] == histories[2]
    assert [stamp(entry)["seq"] for entry in histories[0]] == list(range(1, len(histories[0]) + 1))
    assert [each for each in histories[0] if each not in own_prompts(second)] == first.log
    assert any_relay.tree() == processes
    await room.close(first, session_id)


@pytest.mark.requirement("replay.resume-answers-first")
async def test_an_editor_that_resumes_late_knows_the_agents_commands_and_mode(room: Room) -> None:
    first, session_id = await room.opener()
    await first.agent.set_session_mode(session_id=session_id, mode_id="auto")
    await first.prompt(session_id, "/plan")
    second = await room.seat()
    resumed = await second.agent.resume_session(session_id=session_id, cwd="/")
    assert resumed.modes is not None
    assert resumed.modes.current_mode_id == "auto"
    await second.hears("session/update", times=3)
    assert [kind for _, kind in second.editor.shown] == [
        *("available_commands_update", "current_mode_update", "plan")
    ]
    assert second.log == []
    await first.prompt(session_id, "hello")  # and from now on it sees what comes
    await second.hears("_acprelay/turn_ended")
    assert seqs(second) == list(range(seqs(second)[0], seqs(second)[-1] + 1))
    await room.close(first, session_id)


@pytest.mark.requirement("replay.dormant-loads-start-nothing")
@pytest.mark.parametrize("any_relay", ["stdio"], indirect=True)
async def test_a_load_of_a_dormant_conversation_starts_nothing_and_the_next_prompt_does(
    room: Room, any_relay: AnyRelay
) -> None:
    first, session_id = await room.opener()
    await first.prompt(session_id, "hello there")
    processes = any_relay.tree()
    await room.close(first, session_id)
    await until_gone(processes)

    second = await room.joiner(session_id)
    history = second.log
    assert [each for each in history if each not in own_prompts(second)][: len(first.log)] == (
        first.log
    )
    listed = await second.agent.list_sessions()
    assert session_id in [session.session_id for session in listed.sessions]
    assert any_relay.tree() == []

    assert (await second.prompt(session_id, "and again")).stop_reason == "end_turn"
    assert len(any_relay.tree()) == 1
    assert "".join(second.editor.texts[session_id]).count("You wrote") == 2
    assert seqs(second)[: len(history) + 1] == list(range(1, len(history) + 2))
    await room.close(second, session_id)


@pytest.mark.requirement(
    "sharing.prompts-are-shown-to-the-others",
    "sharing.prompts-are-not-shown-to-their-author",
    "sharing.turns-are-marked",
    "order.one-contiguous-slice",
)
async def test_editors_see_each_others_prompts_and_every_turn(room: Room) -> None:
    first, session_id = await room.opener()
    second = await room.joiner(session_id)
    await first.prompt(session_id, "from the first")
    await second.prompt(session_id, "from the second")
    for desk, others in ((first, "from the second"), (second, "from the first")):
        await desk.hears("_acprelay/turn_ended", times=2)
        (prompt,) = own_prompts(desk)
        assert prompt["params"]["update"]["content"] == {"type": "text", "text": others}
        started, ended = (
            [each["params"]["turn"] for each in desk.all_of(f"_acprelay/turn_{what}")]
            for what in ("started", "ended")
        )
        assert started == ended
        assert len(set(started)) == 2
    both = {position(each): each for each in (*first.log, *second.log)}
    assert len(both) == max(seqs(first)[-1], seqs(second)[-1])
    assert sorted(set(seqs(first)) ^ set(seqs(second))) == [
        stamp(own_prompts(desk)[0])["seq"] for desk in (second, first)
    ]
    await room.close(first, session_id)


async def test_a_deleted_conversation_is_gone_for_everybody(room: Room) -> None:
    first, session_id = await room.opener()
    second = await room.joiner(session_id)
    async with asyncio.timeout(PATIENCE_S):
        await first.agent.ext_method("acprelay/turns", {"sessionId": session_id})
        await first.agent._conn.send_request("session/delete", {"sessionId": session_id})
    listed = await second.agent.list_sessions()
    assert session_id not in [session.session_id for session in listed.sessions]
    with pytest.raises(acp.RequestError) as raised:
        await (await room.seat()).load(session_id)
    assert raised.value.code == -32002
