"""The certifier finds what is wrong with an agent, says so in a line, and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

import psutil
import pytest

from acprelay.testing.certify.checks import CHECKS, carry_out
from acprelay.testing.certify.client import Trial
from acprelay.testing.certify.findings import CheckFailed, Finding
from acprelay.testing.certify.through_a_relay import compare
from acprelay.testing.scripted_agent import ScriptedAgent
from acprelay.testing.steps import Answer, Ask, Exit, Expect, Notify, Refuse, Say, Step, Update

pytestmark = pytest.mark.process

CERTIFY = (sys.executable, "-m", "acprelay.testing.certify")
DEMO = (sys.executable, "-m", "acprelay.testing.demo_agent")
PICKY = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    results = {"initialize": {"protocolVersion": 1, "agentCapabilities": {"loadSession": True}},
               "session/new": {"sessionId": "s"}, "session/prompt": {"stopReason": "end_turn"}}
    known = results.get(asked["method"])
    outcome = {"result": known} if known else {"error": {"code": -32002, "message": "gone"}}
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **outcome}), flush=True)
"""
CHUNK = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "hi"}}
OPTION = {"optionId": "a", "name": "A", "kind": "allow_once"}
PROMPTED = Expect("session/prompt")
CANCELLED = Expect("session/cancel")
REFUSED = Answer({"stopReason": "refusal"}, to="session/prompt")
ENDED = Answer({"stopReason": "end_turn"}, to="session/prompt")


async def find(check: str, *steps: Step, patience_s: float = 30) -> Finding:
    """What one check finds about a scripted agent."""
    trial = Trial(command=ScriptedAgent(*steps).command, cwd="/", patience_s=patience_s)
    found = await carry_out(check, trial)
    assert [each for each in psutil.Process().children() if each.is_running()] == []
    return found


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


@pytest.mark.parametrize("seconds", ["-1", "0", "nan", "inf", "soon"])
def test_a_time_in_which_no_agent_can_answer_is_refused(seconds: str) -> None:
    done = certify(DEMO, "--patience", seconds)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--patience: {seconds!r} is no positive number" in done.stderr


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
                REFUSED,
            ],
            "ended with 'refusal'",
        ),
        ("cancel", [PROMPTED, Update(CHUNK), CANCELLED, Exit(1)], "ended before"),
    ],
)
async def test_what_is_wrong_is_told(check: str, steps: list[Step], why: str) -> None:
    found = await find(check, *steps)
    assert found.outcome == "failed", found
    assert why in found.reason


async def test_what_does_not_come_is_waited_for_only_so_long() -> None:
    found = await find("turn", PROMPTED, CANCELLED, patience_s=1)
    assert found.reason == "session/prompt was not answered in 1 s"


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
async def test_what_cannot_be_checked_is_skipped_with_the_reason(
    check: str, steps: list[Step], why: str
) -> None:
    found = await find(check, *steps)
    assert found.outcome == "skipped"
    assert why in found.reason


async def test_a_session_that_cannot_be_loaded_is_told() -> None:
    found = await carry_out("load", Trial(command=(sys.executable, "-c", PICKY), cwd="/"))
    assert found.reason == "session/load was refused: {'code': -32002, 'message': 'gone'}"


@pytest.mark.parametrize("check", ["end-of-input", "termination"])
async def test_an_agent_that_stays_is_told_and_ended(check: str) -> None:
    stubborn = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + PICKY
    command = (sys.executable, "-c", stubborn + "while True: signal.pause()")
    found = await carry_out(check, Trial(command=command, cwd="/", end_s=0.5))
    assert found.outcome == "failed"
    assert "it still runs" in found.reason
    assert [each for each in psutil.Process().children() if each.is_running()] == []


OPENED = b'{"id":1,"result":{"sessionId":"own"}}'
FIRST = b'{"method":"session/update","params":{"sessionId":"own","n":1}}'
ANSWERED = b'{"id":2,"result":{"stopReason":"end_turn"}}'
RELAYED = FIRST.replace(b'"own"', b'"s:main"').replace(b"}}", b',"_meta":{"acprelay":{"seq":1}}}}')


def test_what_arrives_as_it_was_said_is_the_same() -> None:
    compare([RELAYED], [OPENED, FIRST, ANSWERED], "s:main")


@pytest.mark.parametrize(
    ("came", "why"),
    [
        ([RELAYED.replace(b'"n":1', b'"n": 1')], "update 1 arrived as"),
        ([RELAYED, RELAYED], "update 2 arrived as"),
        ([], "of 1 updates 0 arrived"),
    ],
)
def test_what_arrives_otherwise_is_told(came: list[bytes], why: str) -> None:
    with pytest.raises(CheckFailed, match=why):
        compare(came, [OPENED, FIRST, ANSWERED], "s:main")


async def test_what_the_certifier_does_not_serve_it_refuses() -> None:
    found = await find(
        "turn", PROMPTED, Ask("fs/read_text_file", {"path": "/a"}), Update(CHUNK), ENDED
    )
    assert found.outcome == "passed"


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
