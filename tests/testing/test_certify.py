"""The certifier finds what is wrong with an agent, says it in a line, and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

import psutil
import pytest

from acprelay.testing.certify.checks import CHECKS
from acprelay.testing.scripted_agent import ScriptedAgent
from acprelay.testing.steps import Answer, Ask, Exit, Expect, Notify, Refuse, Say, Step, Update

pytestmark = pytest.mark.process

CERTIFY = (sys.executable, "-m", "acprelay.testing.certify")
DEMO = (sys.executable, "-m", "acprelay.testing.demo_agent")
MISBEHAVING = (sys.executable, "-m", "acprelay.testing.misbehaving_agent")
CHUNK = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "hi"}}
OPTION = {"optionId": "a", "name": "A", "kind": "allow_once"}
PROMPTED = Expect("session/prompt")
CANCELLED = Expect("session/cancel")
ENDED = Answer({"stopReason": "end_turn"}, to="session/prompt")


def certify(command: Sequence[str], *options: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*CERTIFY, *options, "--", *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert "Traceback" not in done.stderr
    assert [each for each in psutil.Process().children() if each.is_running()] == []
    return done


def test_the_demo_agent_passes_every_check() -> None:
    done = certify(DEMO, "--prompt", "/tool")
    passed = [line.split() for line in done.stdout.splitlines()[:-1]]
    assert passed == [["passed", name] for name in CHECKS], done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def asking(tool_call: object, *options: object) -> list[Step]:
    ask = Ask("session/request_permission", {"toolCall": tool_call, "options": list(options)})
    return [PROMPTED, ask, ENDED]


@pytest.mark.parametrize(
    ("check", "steps", "why"),
    [
        ("initialize", [Expect("initialize"), Answer({"protocolVersion": "1"})], "is '1', where 1"),
        (
            "initialize",
            [
                Expect("initialize"),
                Answer({"protocolVersion": 1, "agentCapabilities": []}),
            ],
            "agentCapabilities is no object",
        ),
        ("initialize", [Say("Starting up...")], "what is no JSON: b'Starting up...'"),
        ("initialize", [Say("[]")], "what is no JSON-RPC 2.0"),
        ("initialize", [Exit(3)], "ended before it answered initialize"),
        (
            "initialize",
            [Expect("initialize"), Refuse({"code": 1, "message": "no"})],
            "was answered with {",
        ),
        (
            "ids",
            [Expect("initialize"), Say('{"jsonrpc":"2.0","id":1,"result":{}}')],
            "sent as 'an id', was answered as 1",
        ),
        (
            "unknown-method",
            [Expect("session/unheard_of"), Answer({})],
            "answered with a result",
        ),
        (
            "unknown-method",
            [Expect("session/unheard_of"), Refuse({"code": -32603, "message": "no"})],
            "with code -32603",
        ),
        ("turn", [Expect("session/new"), Answer({})], "gave no sessionId"),
        ("turn", [PROMPTED, ENDED], "no session/update"),
        ("turn", [PROMPTED, Update({}), ENDED], "of which kind it is"),
        ("turn", [PROMPTED, Update(CHUNK), Answer({"stopReason": "tired"})], "'tired'"),
        (
            "turn",
            [PROMPTED, Notify("session/update", {"sessionId": "x", "update": CHUNK}), ENDED],
            "names the session 'x'",
        ),
        ("two-turns", [PROMPTED, ENDED, PROMPTED, Exit(1)], "ended before it answered"),
        ("permission", asking({}, OPTION), "a toolCall that has a toolCallId"),
        ("permission", asking({"toolCallId": "c"}, OPTION, OPTION), "have the ids ['a', 'a']"),
        ("permission", asking({"toolCallId": "c"}), "have the ids []"),
        (
            "permission",
            asking({"toolCallId": "c"}, {**OPTION, "kind": "maybe"}),
            "of the kinds ['maybe']",
        ),
        (
            "cancel",
            [
                PROMPTED,
                Update(CHUNK),
                CANCELLED,
                Answer({"stopReason": "refusal"}, "session/prompt"),
            ],
            "ended with 'refusal'",
        ),
        ("cancel", [PROMPTED, Update(CHUNK), CANCELLED, Exit(1)], "ended before"),
        ("load", [PROMPTED, ENDED, Expect("session/load")], "was not answered in 1 s"),
        (
            "load",
            [Expect("session/load"), Refuse({"code": 1, "message": "gone"})],
            "was not answered in 1 s",
        ),
    ],
)
def test_what_is_wrong_is_told(check: str, steps: list[Step], why: str) -> None:
    patience = "1" if "in 1 s" in why else "20"
    done = certify(ScriptedAgent(*steps).command, "--only", check, "--patience", patience)
    assert done.stdout.startswith("failed"), done.stdout
    assert why in done.stdout
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("check", "steps", "why"),
    [
        ("permission", [PROMPTED, ENDED], "it asked for none"),
        ("cancel", [PROMPTED, ENDED], "the turn was over at once"),
        (
            "load",
            [Expect("initialize"), Answer({"protocolVersion": 1})],
            "does not say that it can",
        ),
    ],
)
def test_what_cannot_be_checked_is_skipped_with_the_reason(
    check: str, steps: list[Step], why: str
) -> None:
    done = certify(ScriptedAgent(*steps).command, "--only", check)
    assert done.stdout.startswith("skipped")
    assert why in done.stdout
    assert done.returncode == 0


def test_a_report_for_programs_has_the_same() -> None:
    command = ScriptedAgent(PROMPTED, ENDED).command
    done = certify(command, "--only", "turn", "--only", "initialize", "--json")
    assert json.loads(done.stdout) == {
        "passed": False,
        "checks": [
            {"check": "turn", "outcome": "failed", "reason": "a turn brought no session/update"},
            {"check": "initialize", "outcome": "passed", "reason": ""},
        ],
    }


@pytest.mark.parametrize(
    ("command", "why"),
    [(["/nonesuch"], "cannot start '/nonesuch'"), ([], "required: command")],
)
def test_what_cannot_be_started_is_an_error_of_the_command(command: list[str], why: str) -> None:
    done = certify(command)
    assert why in done.stderr
    assert done.returncode == 2
