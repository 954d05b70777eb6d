"""What a turn of the demo agent consists of: talk, and each directive."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from acprelay.testing.demo_agent.directives import DIRECTIVES

if TYPE_CHECKING:
    from tests.demo_agent.conftest import DemoClient, Start

pytestmark = pytest.mark.process


async def test_a_plain_prompt_gets_a_thought_a_plan_and_an_answer_with_its_words(
    client: DemoClient,
) -> None:
    answer = await client.ask("hello, world")
    assert answer.result == {"stopReason": "end_turn"}
    assert answer.kinds == [
        "agent_thought_chunk",
        "plan",
        "agent_message_chunk",
        "agent_message_chunk",
        "agent_message_chunk",
        "agent_message_chunk",
        "plan",
    ]
    assert answer.text == "You wrote 2 words: hello, world\nSend /help for what else I can do.\n"


async def test_the_same_conversation_gives_the_same_bytes(start: Start) -> None:
    written = []
    for _ in range(2):
        agent = await start()
        await agent.initialize()
        await agent.new_session(agent.cwd)
        agent.prompt(1, "one two", "/plan", "/stream 3", "/help")
        written.append([await agent.line()])
        while b'"result"' not in written[-1][-1]:
            written[-1].append(await agent.line())
    assert written[0] == written[1]


async def test_the_chunks_of_a_long_answer_are_few_and_lose_nothing(client: DemoClient) -> None:
    words = [f"w{number}" for number in range(1000)]
    answer = await client.ask(" ".join(words))
    assert " ".join(words) in answer.text
    assert len(answer.kinds) < 40


async def test_text_beyond_ascii_is_sent_as_utf8_and_a_lone_surrogate_as_an_escape(
    client: DemoClient,
) -> None:
    client.prompt(1, "/think über 🦉", "/think \ud800")
    assert "über 🦉".encode() in await client.line()
    assert b'"\\ud800"' in await client.line()


async def test_the_blocks_of_a_prompt_are_lines_and_a_linked_resource_is_its_name(
    client: DemoClient,
) -> None:
    answer = await client.call(
        1,
        "session/prompt",
        sessionId="demo-1",
        prompt=[
            {"type": "text", "text": "read"},
            {"type": "resource_link", "name": "notes.txt", "uri": "file:///notes.txt"},
        ],
    )
    assert "read\nnotes.txt" in answer.text


async def test_an_empty_prompt_is_a_turn_without_updates(client: DemoClient) -> None:
    answer = await client.ask("", "  ", "\t")
    assert answer.result == {"stopReason": "end_turn"}
    assert "You wrote 0 words" in answer.text


async def test_directives_and_talk_are_carried_out_in_their_order(client: DemoClient) -> None:
    answer = await client.ask("/think first", "then", "this", "/think last")
    assert answer.kinds[0] == answer.kinds[-1] == "agent_thought_chunk"
    assert "then\nthis" in answer.text


async def test_help_lists_every_directive(client: DemoClient) -> None:
    answer = await client.ask("/help")
    for directive in DIRECTIVES:
        assert directive.usage in answer.text
        assert directive.summary in answer.text


async def test_a_plan_is_carried_out_entry_by_entry(client: DemoClient) -> None:
    answer = await client.ask("/plan")
    plans = [update["entries"] for update in answer.updates if update["sessionUpdate"] == "plan"]
    states = [
        [entry["status"] for entry in plan] if isinstance(plan, list) else None for plan in plans
    ]
    assert states == [
        ["in_progress", "pending", "pending"],
        ["completed", "in_progress", "pending"],
        ["completed", "completed", "in_progress"],
        ["completed", "completed", "completed"],
    ]


async def test_a_stream_has_so_many_chunks_of_so_many_bytes(client: DemoClient) -> None:
    answer = await client.ask("/stream 100 32 0.1")
    assert answer.kinds == ["agent_message_chunk"] * 100
    assert answer.text == "".join(f"{number:031d}\n" for number in range(100))


@pytest.mark.parametrize("size", [1000, 70_000, 5_000_000])
async def test_a_big_update_is_a_line_of_exactly_that_size(client: DemoClient, size: int) -> None:
    client.prompt(1, f"/big {size}")
    assert len(await client.line()) == size + 1
    assert (await client.answer(1)).result == {"stopReason": "end_turn"}


async def test_noise_is_a_line_of_its_own_that_is_no_message(client: DemoClient) -> None:
    client.prompt(1, "/noise", "/noise Warning: 7 rules", "/think done")
    assert await client.line() == b"this line is not JSON\n"
    assert await client.line() == b"Warning: 7 rules\n"
    assert (await client.answer(1)).kinds == ["agent_thought_chunk"]


async def test_the_agent_changes_the_mode_of_its_own_accord(client: DemoClient) -> None:
    answer = await client.ask("/mode auto")
    assert answer.updates == [{"sessionUpdate": "current_mode_update", "currentModeId": "auto"}]


@pytest.mark.parametrize(
    ("directive", "reason"),
    [
        ("/refuse", "refusal"),
        ("/stop refusal", "refusal"),
        ("/stop max_tokens", "max_tokens"),
        ("/stop max_turn_requests", "max_turn_requests"),
        ("/stop end_turn", "end_turn"),
    ],
)
async def test_a_stop_reason_ends_the_turn_there(
    client: DemoClient, directive: str, reason: str
) -> None:
    answer = await client.ask(directive, "/think too late")
    assert answer.result == {"stopReason": reason}
    assert "agent_thought_chunk" not in answer.kinds


async def test_an_error_answers_the_prompt_and_the_next_turn_is_a_new_one(
    client: DemoClient,
) -> None:
    answer = await client.ask("/think first", "/error -32050 no more today", "/think too late")
    assert answer.error == {"code": -32050, "message": "no more today"}
    assert answer.kinds == ["agent_thought_chunk"]
    assert (await client.ask("/error 7")).error["code"] == 7
    assert (await client.ask("hello")).result == {"stopReason": "end_turn"}


@pytest.mark.parametrize(
    ("directive", "status"), [("/crash", 1), ("/crash 0", 0), ("/crash 77", 77)]
)
async def test_a_crash_ends_the_process_with_that_status_and_a_last_word(
    client: DemoClient, directive: str, status: int
) -> None:
    client.prompt(1, "/think first", directive)
    assert b"first" in await client.line()
    assert await client.line() == b""
    assert await client.exit_code() == status
    assert f"status {status}".encode() in await client.stderr.read()


@pytest.mark.parametrize(
    "line",
    [
        "/write",
        "/mode",
        "/mode loud",
        "/stream",
        "/stream many",
        "/stream -1",
        "/stream 1 1",
        "/stream 1 2 3 4",
        "/stream 1 2 nan",
        "/stream 99999999999",
        "/slow",
        "/slow soon",
        "/slow -1",
        "/slow inf",
        "/big 10",
        "/big",
        "/stop",
        "/stop cancelled",
        "/error",
        "/error many",
        "/error 99999999999",
        "/crash 256",
    ],
)
async def test_arguments_that_do_not_fit_are_answered_with_the_usage(
    client: DemoClient, line: str
) -> None:
    answer = await client.ask(line, "/think next")
    assert answer.text.startswith(f"I cannot do {line}: ")
    assert f"Usage: {line.split(maxsplit=1)[0]}" in answer.text
    assert answer.kinds == ["agent_message_chunk", "agent_thought_chunk"]
    assert answer.result == {"stopReason": "end_turn"}


@pytest.mark.parametrize("line", ["/", "/unknown", "/etc/passwd is what?", "/HELP"])
async def test_an_unknown_directive_is_answered_with_where_help_is(
    client: DemoClient, line: str
) -> None:
    answer = await client.ask(line)
    assert "Send /help" in answer.text
    assert answer.result == {"stopReason": "end_turn"}


async def test_a_slow_turn_keeps_no_other_session_waiting(client: DemoClient) -> None:
    second = await client.new_session(client.cwd)
    client.prompt("slow", "/think started", "/slow 3600")
    await client.update("agent_thought_chunk")
    client.prompt("quick", "hello", session=second)
    assert (await client.answer("quick")).result == {"stopReason": "end_turn"}
    client.notify("session/cancel", sessionId="demo-1")
    assert (await client.answer("slow")).result == {"stopReason": "cancelled"}


async def test_a_slow_turn_that_is_left_alone_comes_to_its_end(client: DemoClient) -> None:
    answer = await client.ask("/slow 0.001")
    assert answer.text == "That took a while.\n"
    assert answer.result == {"stopReason": "end_turn"}


async def test_a_second_prompt_in_a_running_turn_is_refused(client: DemoClient) -> None:
    client.prompt("first", "/slow 3600")
    client.prompt("second", "hello")
    assert (await client.answer("second")).error["code"] == -32600
    client.notify("session/cancel", sessionId="demo-1")
    assert (await client.answer("first")).result == {"stopReason": "cancelled"}


async def test_turns_of_many_sessions_interleave_without_tearing_a_line(
    client: DemoClient,
) -> None:
    sessions = [await client.new_session(client.cwd) for _ in range(8)]
    for session in sessions:
        client.prompt(session, "/stream 200 64", session=session)
    open_turns = set(sessions)
    async with asyncio.timeout(60):
        while open_turns:
            message = await client.receive()
            open_turns.discard(str(message.get("id")))
