"""How turns and the process end early: cancellation, the end of its streams, SIGTERM."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.demo_agent.conftest import DemoClient, Json

pytestmark = pytest.mark.process

PROGRAM = (sys.executable, "-m", "acprelay.testing.demo_agent")
CANCELLED = {"result": {"outcome": {"outcome": "cancelled"}}}


def _cancel(how: str) -> Json:
    """Gives a message that cancels the turn of the prompt with id 1."""
    if how == "session/cancel":
        return {"method": how, "params": {"sessionId": "demo-1"}}
    return {"method": "$/cancel_request", "params": {"requestId": 1}}


@pytest.mark.parametrize("how", ["session/cancel", "$/cancel_request"])
@pytest.mark.parametrize("directive", ["/slow 3600", "/stream 1000 16 100", "/stream 10000000"])
async def test_a_turn_is_cancelled_where_it_waits_or_streams(
    client: DemoClient, directive: str, how: str
) -> None:
    client.prompt(1, "/think started", directive, "/think too late")
    await client.update("agent_thought_chunk")
    client.send(_cancel(how))
    answer = await client.answer(1)
    assert answer.result == {"stopReason": "cancelled"}
    assert "agent_thought_chunk" not in answer.kinds
    assert (await client.ask("hello")).result == {"stopReason": "end_turn"}


@pytest.mark.parametrize("stranger", ["1", 1.0, 2, None, [1]])
async def test_only_the_very_id_of_a_request_cancels_it(
    client: DemoClient, stranger: object
) -> None:
    client.prompt(1, "/tool")
    question = await client.question()
    client.notify("$/cancel_request", requestId=stranger)
    client.choose(question, "allow")
    assert (await client.answer(1)).result == {"stopReason": "end_turn"}


async def test_a_permission_answered_cancelled_ends_the_turn_as_cancelled(
    client: DemoClient,
) -> None:
    client.prompt(1, "/write file.txt text", "/think too late")
    question = await client.question()
    client.send({"id": question["id"], **CANCELLED})
    answer = await client.answer(1)
    assert [update["sessionUpdate"] for update in answer.updates] == ["tool_call_update"]
    assert answer.updates[0]["status"] == "failed"
    assert answer.result == {"stopReason": "cancelled"}
    assert list(client.cwd.iterdir()) == []


@pytest.mark.parametrize("how", ["session/cancel", "$/cancel_request"])
async def test_cancelling_withdraws_the_open_question_without_waiting_for_its_answer(
    client: DemoClient, how: str
) -> None:
    client.prompt(1, "/tool")
    question = await client.question()
    client.send(_cancel(how))
    answer = await client.answer(1)
    assert answer.before[0] == {
        "method": "$/cancel_request",
        "params": {"requestId": question["id"]},
    }
    assert answer.updates[-1]["status"] == "failed"
    assert answer.result == {"stopReason": "cancelled"}

    client.send({"id": question["id"], **CANCELLED})
    client.prompt(2, "/tool")
    second = await client.question()
    assert second["id"] != question["id"]
    client.choose(second, "allow")
    assert (await client.answer(2)).result == {"stopReason": "end_turn"}


async def test_closing_a_session_cancels_its_turn(client: DemoClient) -> None:
    client.prompt(1, "/slow 3600")
    client.send({"id": 2, "method": "session/close", "params": {"sessionId": "demo-1"}})
    answers = {}
    for _ in range(2):
        message = await client.receive()
        answers[message["id"]] = message["result"]
    assert answers == {1: {"stopReason": "cancelled"}, 2: {}}


@pytest.mark.parametrize("prompt", [None, "/slow 3600", "/tool", "/stream 1000 16 100", "hello"])
async def test_it_answers_what_runs_and_ends_with_status_0_when_its_input_ends(
    client: DemoClient, prompt: str | None
) -> None:
    if prompt is not None:
        client.prompt(1, "/think started", prompt)
        await client.update("agent_thought_chunk")
    client.stdin.close()
    if prompt is not None:
        reason = "end_turn" if prompt == "hello" else "cancelled"
        assert (await client.answer(1)).result == {"stopReason": reason}
    assert await client.exit_code() == 0
    assert await client.stderr.read() == b""


def _requests(cwd: Path, prompt: str) -> bytes:
    """Gives the lines that lead to a turn."""
    session = {"cwd": str(cwd), "mcpServers": []}
    turn = {"sessionId": "demo-1", "prompt": [{"type": "text", "text": prompt}]}
    requests = [
        {"id": 1, "method": "initialize", "params": {"protocolVersion": 1}},
        {"id": 2, "method": "session/new", "params": session},
        {"id": 3, "method": "session/prompt", "params": turn},
    ]
    return b"".join(json.dumps(request).encode() + b"\n" for request in requests)


def test_it_ends_when_its_input_ends_although_nobody_reads_its_output(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    try:
        agent = subprocess.run(
            PROGRAM,
            # One line that no pipe holds: the turn is stuck in writing it.
            input=_requests(tmp_path, "/big 10000000"),
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )
    finally:
        os.close(reading)
        os.close(writing)
    assert (agent.returncode, agent.stderr) == (0, b"")


def test_it_ends_without_a_word_when_its_output_is_closed_although_its_input_goes_on(
    tmp_path: Path,
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        with subprocess.Popen(
            PROGRAM, stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE
        ) as agent:
            assert agent.stdin is not None
            assert agent.stderr is not None
            agent.stdin.write(_requests(tmp_path, "hello"))
            agent.stdin.flush()
            assert agent.wait(timeout=30) == 0
            assert agent.stderr.read() == b""
    finally:
        os.close(writing)


@pytest.mark.parametrize(
    ("prompt", "number", "status"),
    [
        ("/slow 3600", signal.SIGTERM, 0),
        ("/tool", signal.SIGTERM, 0),
        ("/stream 10000000 1000", signal.SIGTERM, 0),
        ("/slow 3600", signal.SIGINT, 130),
    ],
)
async def test_a_signal_ends_it_at_once_in_the_middle_of_a_turn(
    client: DemoClient, prompt: str, number: signal.Signals, status: int
) -> None:
    client.prompt(1, "/think started", prompt)
    await client.update("agent_thought_chunk")
    client.process.send_signal(number)
    async with asyncio.timeout(30):
        await client.stdout.read()
    assert await client.exit_code() == status
    assert await client.stderr.read() == b""


async def test_a_last_line_without_a_newline_is_still_served(fresh: DemoClient) -> None:
    fresh.stdin.write(b'{"jsonrpc":"2.0","id":5,"method":"nothing"}')
    fresh.stdin.close()
    assert (await fresh.receive())["id"] == 5
    assert await fresh.exit_code() == 0
