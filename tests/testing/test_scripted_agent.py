"""An agent that does what a script says: in this process, and as a program."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from acprelay.errors import ConfigError
from acprelay.testing.channels import memory_channels
from acprelay.testing.scripted_agent import ScriptedAgent, main
from acprelay.testing.steps import (
    Answer,
    Ask,
    Exit,
    Expect,
    Notify,
    Refuse,
    Say,
    Step,
    Update,
    parse,
    to_json,
)

Message = dict[str, Any]

CHUNK = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "hi"}}


def call(method: str, request_id: int | None = None, **params: object) -> bytes:
    message: Message = {"jsonrpc": "2.0", "method": method, "params": params}
    return json.dumps(message if request_id is None else {**message, "id": request_id}).encode()


def told(agent: ScriptedAgent, *lines: bytes) -> list[Message]:
    """What an agent says once it was told something."""
    for line in lines:
        agent.take(line)
    return [json.loads(line) for line in agent.due()]


def test_what_comes_first_is_answered_without_a_step() -> None:
    agent = ScriptedAgent()
    answers = told(
        agent,
        call("initialize", 0, protocolVersion=1),
        call("session/new", 1),
        call("session/load", 2),
        call("session/resume", 3),
    )
    assert [answer["id"] for answer in answers] == [0, 1, 2, 3]
    assert answers[0]["result"]["protocolVersion"] == 1
    assert answers[1]["result"] == {"sessionId": "scripted"}


def test_what_no_step_expects_is_refused_and_a_notification_passed_over() -> None:
    answers = told(ScriptedAgent(), call("session/prompt", 7), call("session/cancel"))
    assert [(answer["id"], answer["error"]["code"]) for answer in answers] == [(7, -32601)]


def test_a_turn_goes_as_the_script_says() -> None:
    agent = ScriptedAgent(
        Expect("session/prompt"), Update(CHUNK), Answer({"stopReason": "end_turn"})
    )
    assert told(agent, call("session/new", 1)) != []
    assert told(agent, call("session/prompt", 2, sessionId="mine")) == [
        {
            "jsonrpc": "2.0",
            "method": "session/update",
            "params": {"sessionId": "mine", "update": CHUNK},
        },
        {"jsonrpc": "2.0", "id": 2, "result": {"stopReason": "end_turn"}},
    ]
    assert agent.is_done
    assert [each["method"] for each in agent.heard] == ["session/new", "session/prompt"]


def test_the_script_may_answer_what_comes_first_itself() -> None:
    agent = ScriptedAgent(
        Expect("session/new"), Answer({"sessionId": "s-1"}), Update(CHUNK), Notify("_x/y", {"z": 1})
    )
    said = told(agent, call("session/new", 1))
    assert said[0]["result"] == {"sessionId": "s-1"}
    assert said[1]["params"]["sessionId"] == "s-1"
    assert said[2] == {"jsonrpc": "2.0", "method": "_x/y", "params": {"z": 1}}


def test_after_a_question_it_waits_for_the_answer() -> None:
    agent = ScriptedAgent(
        Expect("session/prompt"),
        Ask("session/request_permission", {"options": []}),
        Answer({"stopReason": "end_turn"}),
    )
    (asked,) = told(agent, call("session/prompt", 5, sessionId="s"))
    assert (asked["id"], asked["params"]) == (0, {"sessionId": "s", "options": []})
    assert told(agent, b'{"jsonrpc":"2.0","id":9,"result":{}}') == []
    (answer,) = told(agent, b'{"jsonrpc":"2.0","id":0,"result":{}}')
    assert answer["id"] == 5


def test_an_earlier_request_is_answered_by_its_method() -> None:
    agent = ScriptedAgent(
        Expect("session/prompt"),
        Expect("session/cancel"),
        Expect("session/set_mode"),
        Refuse({"code": -32602, "message": "no"}),
        Answer({"stopReason": "cancelled"}, to="session/prompt"),
    )
    said = told(
        agent, call("session/prompt", 1), call("session/cancel"), call("session/set_mode", 2)
    )
    assert [(each["id"], "error" in each) for each in said] == [(2, True), (1, False)]


def test_an_answer_to_nothing_is_an_error_of_the_script() -> None:
    agent = ScriptedAgent(Answer({}, to="session/prompt"))
    with pytest.raises(ConfigError, match="has not expected it"):
        agent.due()


def test_it_writes_what_no_agent_should_and_takes_what_no_client_should() -> None:
    agent = ScriptedAgent(Say("Starting up..."), Exit(3))
    for line in (b"no json", b"[1]", b"[" * 100_000):
        agent.take(line)
    assert agent.due() == [b"Starting up..."]
    assert (agent.exit_status, agent.heard) == (3, [])


async def test_it_serves_a_client_in_the_same_process() -> None:
    agent = ScriptedAgent(Expect("_x/end"), Exit(0))
    ours, its = memory_channels()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(agent.serve(its))
        await ours.send(call("initialize", 1, protocolVersion=1))
        answer = await ours.receive()
        assert answer is not None
        assert json.loads(answer)["id"] == 1
        await ours.send(call("_x/end"))


async def test_it_leaves_with_its_client() -> None:
    ours, its = memory_channels()
    await ours.close()
    async with asyncio.timeout(10):
        await ScriptedAgent().serve(its)
        assert await its.receive() is None


@pytest.mark.process
def test_as_a_program_it_does_the_same() -> None:
    agent = ScriptedAgent(Expect("session/prompt"), Say("noise"), Exit(4))
    done = subprocess.run(
        agent.command,
        input=call("session/prompt", 1) + b"\n",
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (4, b"noise\n", b"")


@pytest.mark.process
def test_a_script_in_a_file_is_carried_out_until_the_client_leaves(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(to_json([Say("one")]))
    command = [*ScriptedAgent().command[:3], str(script)]
    done = subprocess.run(command, input=b"", capture_output=True, check=False, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"one\n", b"")


@pytest.mark.parametrize(
    ("script", "told_why"),
    [
        ("no json", "it is no JSON"),
        ("{}", "it is no array"),
        ("[1]", "step 1 is no object"),
        ('[{"expect": "a"}, {"wait": 1}]', "step 2 is none of expect, answer"),
        ('[{"expect": 1}]', "'expect' is of the wrong type"),
        ('[{"exit": true}]', "'exit' is of the wrong type"),
        ('[{"exit": 1, "why": "no"}]', "has a member 'why' that is not known"),
        ('[{"answer": {}}]', "cannot answer 'anything'"),
    ],
)
def test_a_script_that_cannot_be_is_refused_in_one_line(
    script: str, told_why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--steps", script]) == 2
    errors = capsys.readouterr().err
    assert told_why in errors
    assert "Traceback" not in errors


def test_a_file_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["/nowhere/script.json"]) == 2
    assert "cannot read /nowhere/script.json" in capsys.readouterr().err


def test_a_script_is_the_same_once_written_and_read() -> None:
    steps: list[Step] = [
        Expect("a"),
        Answer({"b": 1}, to="a"),
        Refuse({"code": 1, "message": ""}),
        Update(CHUNK),
        Notify("c", {"d": 2}),
        Ask("e"),
        Say("f"),
        Exit(1),
    ]
    assert parse(to_json(steps)) == steps
