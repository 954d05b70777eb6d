"""The public program that misbehaves, used by hand."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.process


def run(*steps: str, stdin: bytes = b"one\ntwo") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "acprelay.testing.misbehaving_agent", *steps]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=30, check=False)


def asked(*methods: str) -> bytes:
    """Requests with ids from 7 on."""
    requests = [{"id": number, "method": method} for number, method in enumerate(methods, 7)]
    return b"".join(json.dumps(request).encode() + b"\n" for request in requests)


@pytest.mark.parametrize("steps", [("--help",), ("say=1", "--help")])
def test_its_usage_is_told(steps: tuple[str, ...]) -> None:
    result = run(*steps)
    assert result.returncode == 0
    assert result.stdout.startswith(b"usage: ")


def test_without_a_step_its_usage_is_what_is_wrong() -> None:
    result = run()
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr.startswith(b"usage: ")


@pytest.mark.parametrize("step", ["dance", "die=SIGNONE"])
def test_an_unknown_step_is_refused(step: str) -> None:
    result = run(step)
    assert result.returncode == 2
    assert result.stderr.startswith(b"cannot take the step '")


def test_telling_nobody_is_refused() -> None:
    assert b"take the step hold=PATH first" in run("tell=x").stderr


def test_steps_are_taken_in_order() -> None:
    result = run("say=a", "lines=2", "echo", "complain=c", "huge-line=5", "exit=4", "say=never")
    assert result.stdout == b'a\n{"line":0}\n{"line":1}\none\ntwo"xxx"\n'
    assert result.stderr == b"c\n"
    assert result.returncode == 4


def test_it_serves_as_it_should_up_to_a_request_which_it_leaves_open() -> None:
    stdin = asked("initialize", "session/new", "session/prompt", "session/load")
    result = run("at=session/prompt", "say=$first $id $session", stdin=stdin)
    *answers, said = result.stdout.splitlines()
    assert [json.loads(answer)["id"] for answer in answers] == [7, 8]
    assert json.loads(answers[0])["result"]["protocolVersion"] == 1
    assert said == b"7 9 misbehaving"


def test_it_answers_what_was_asked_last_and_serves_on() -> None:
    stdin = asked("session/prompt", "x", "y") + b'{"id":1,"result":{}}\n{"method":"z"}\n'
    result = run("at=session/prompt", "answer", 'answer={"a":1}', "serve", stdin=stdin)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    results = [(answer["id"], answer["result"]) for answer in answers]
    assert results == [(7, {"stopReason": "end_turn"}), (7, {"a": 1}), (8, {}), (9, {})]


def test_it_reads_up_to_a_line_and_answers_nothing() -> None:
    assert run("hear=two", "say=heard", "hear=three", stdin=b"one\ntwo\n").stdout == b"heard\n"


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("content-length", b"Content-Length: 2\r\n\r\nhi"),
        ("length-prefix", b"\0\0\0\2hi"),
        ("utf-16", "hi\n".encode("utf-16")),
    ],
)
def test_it_frames_what_it_says_in_other_ways(kind: str, written: bytes) -> None:
    assert run(f"frame={kind}", "say=hi").stdout == written


def test_it_nests_and_begins_lines() -> None:
    result = run("nested=3", "begin=$id", "unended-line=70000")
    update, rest = result.stdout.split(b"\n")
    assert json.loads(update)["params"]["update"]["content"] == [[[]]]
    assert rest == b"null" + b"x" * 70_000


def test_a_name_stands_for_its_steps() -> None:
    stdin = asked("session/prompt", "x")
    answers = [json.loads(line) for line in run("answers-twice", stdin=stdin).stdout.splitlines()]
    assert [answer["id"] for answer in answers] == [7, 7, 8]
