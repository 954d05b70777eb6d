"""Transcripts: recorded, written, read, and played again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.errors import ConfigError
from acprelay.testing import replay
from acprelay.testing.replay import ReplayedAgent, ReplayedClient
from acprelay.testing.splices import undone, without_stamp
from acprelay.testing.transcripts import (
    A2C,
    C2A,
    STDERR,
    Record,
    encode,
    read_transcript,
    record_of,
)

RECORD = (sys.executable, "-m", "acprelay.testing.record")
TALK = [
    Record(0, C2A, b'{"id": 1, "method": "initialize"}'),
    Record(0, A2C, b'{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1}}'),
    Record(0, C2A, b'{"id": 2, "method": "session/list"}'),
    Record(0, A2C, b'{"jsonrpc":"2.0","id":2,"result":null}'),
    Record(0, C2A, b'{"id": 3, "method": "session/new", "params": {"cwd": "/recorded"}}'),
    Record(0, A2C + "_nonjson", b"Starting up..."),
    Record(0, A2C, b'{"jsonrpc":"2.0","result":{"sessionId":"own"},"id":3}'),
    Record(0, C2A, b'{"id": 4, "method": "session/prompt", "params": {"sessionId": "own"}}'),
    Record(0, A2C, b'{"id":0,"method":"session/request_permission","params":{"sessionId":"own"}}'),
    Record(0, C2A, b'{"id": 0, "result": {}}'),
    Record(0, STDERR, b"thinking"),
    Record(0, C2A, b'{"method": "session/cancel", "params": {"sessionId": "own"}}'),
    Record(0, A2C, b'{"jsonrpc":"2.0","id":4,"result":{"stopReason":"cancelled"}}'),
]


# --- files


@given(st.binary().filter(lambda line: b"\n" not in line))
def test_any_line_comes_back_as_it_was(line: bytes) -> None:
    record = record_of(1.5, A2C, line)
    if record.direction == A2C:
        line = line.strip(b" \t\r")
    written = encode(record)
    assert written.count(b"\n") == 1
    assert json.loads(written)["t"] == 1.5
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.jsonl"
        path.write_bytes(written)
        assert read_transcript(path) == [Record(1.5, record.direction, line)]


@pytest.mark.parametrize("line", ["no json", "[]", "{}", '{"t":1,"dir":"stderr","msg":1}', "7"])
def test_a_file_that_is_no_transcript_is_refused_with_the_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(encode(TALK[0]) + line.encode() + b"\n")
    with pytest.raises(ConfigError, match="line 2 as a transcript's"):
        read_transcript(path)


def test_a_message_that_is_none_is_told() -> None:
    with pytest.raises(ValueError, match="no JSON-RPC"):
        _ = Record(0, A2C, b"[]").message


# --- the agent's side


def said(agent: ReplayedAgent, *lines: bytes) -> list[bytes]:
    for line in lines:
        agent.take(line)
    return agent.due()


def test_the_agent_says_the_same_bytes_under_the_ids_that_it_is_asked_with() -> None:
    agent = ReplayedAgent(TALK)
    assert said(agent) == []
    assert said(agent, b'{"id":"a","method":"initialize"}') == [
        b'{"jsonrpc":"2.0","id":"a","result":{"protocolVersion":1}}'
    ]
    assert said(agent, b'{"id":7,"method":"session/list"}') == [
        b'{"jsonrpc":"2.0","id":7,"result":null}'
    ]
    assert said(agent, b'{"id":8,"method":"session/new"}') == [
        b"Starting up...",
        b'{"jsonrpc":"2.0","result":{"sessionId":"own"},"id":8}',
    ]
    assert said(agent, b'{"id":9,"method":"session/prompt"}') == [TALK[8].line]
    assert said(agent, b'{"method":"session/cancel"}') == []
    assert said(agent, b'{"id":0,"result":{}}') == [
        b'{"jsonrpc":"2.0","id":9,"result":{"stopReason":"cancelled"}}'
    ]
    assert agent.is_done
    assert agent.exit_status is None


def test_what_never_comes_is_passed_over_with_its_answer() -> None:
    agent = ReplayedAgent(TALK)
    lines = said(agent, b'{"id":1,"method":"initialize"}', b'{"id":2,"method":"session/new"}')
    assert [json.loads(line)["id"] for line in lines if line[:1] == b"{"] == [1, 2]
    assert b"null" not in b"".join(lines)


def test_what_was_never_recorded_is_refused_and_the_rest_goes_on() -> None:
    agent = ReplayedAgent(TALK)
    for line in (b"noise", b"[]", b'{"method":"_x/y"}', b'{"id":5,"method":"session/load"}'):
        agent.take(line)
    (refusal,) = agent.due()
    assert json.loads(refusal)["error"]["code"] == -32601
    assert len(said(agent, b'{"id":1,"method":"initialize"}')) == 1


def test_after_its_end_it_refuses_what_comes() -> None:
    (refusal,) = said(ReplayedAgent([]), b'{"id":5,"method":"session/load"}')
    assert json.loads(refusal)["id"] == 5


# --- the client's side


def test_the_client_says_the_same_about_the_session_that_there_is() -> None:
    client = ReplayedClient(TALK, cwd="/here")

    def hears(*lines: bytes) -> list[bytes]:
        for line in lines:
            client.take(line)
        return client.due()

    assert hears() == [TALK[0].line]
    assert hears(TALK[1].line) == [TALK[2].line]
    (opening,) = hears(TALK[3].line)
    assert json.loads(opening)["params"] == {"cwd": "/here"}
    (prompt,) = hears(b'{"id":3,"result":{"sessionId":"public"}}')
    assert client.session_id == "public"
    assert json.loads(prompt)["params"] == {"sessionId": "public"}
    ask = b'{"id":"ask-1","method":"session/request_permission","params":{}}'
    answer, cancel = hears(b'{"method":"_acprelay/turn_started"}', ask)
    assert json.loads(answer)["id"] == "ask-1"
    assert json.loads(cancel)["params"] == {"sessionId": "public"}
    assert not client.is_done
    assert hears(TALK[-1].line) == []
    assert client.is_done


def test_without_a_session_it_waits_for_answers_alone() -> None:
    early = Record(0, A2C, b'{"method":"_x/status"}')
    client = ReplayedClient([TALK[0], early, TALK[1], TALK[4]])
    client.due()
    client.take(TALK[1].line)
    assert client.due() == [TALK[4].line]


# --- what a relay changes


@pytest.mark.parametrize(
    ("frame", "original"),
    [
        (b'{"params":{"a":1}}', b'{"params":{"a":1}}'),
        (b'{"params":{"a":1,"_meta":{"acprelay":{"seq":1}}}}', b'{"params":{"a":1}}'),
        (b'{"params":{"a":1,"_meta":{"acprelay":{}}}}', b'{"params":{"a":1,"_meta":{}}}'),
        (b'{"params":{"a":1,"_meta":{"acprelay":{}}}}', b'{"params":{"a":1,"_meta":null}}'),
        (b'{"params":{"_meta":{"acprelay":{}}}}', b'{"params":{}}'),
        (b'{"_meta":{"b":2,"acprelay":{"seq":1}}}', b'{"_meta":{"b":2}}'),
        (b'{"_meta":{"acprelay":{"seq":1},"b":2}}', b'{"_meta":{"b":2}}'),
    ],
)
def test_the_stamp_is_taken_back(frame: bytes, original: bytes) -> None:
    assert original in without_stamp(frame)


def test_ids_are_taken_back_and_nothing_else() -> None:
    frame = b'{"id":"ask-1","params":{"sessionId":"s:main","text":"s:main"}}'
    own = b'{"id":0,"params":{"sessionId":"own","text":"s:main"}}'
    assert undone(frame, {b'"s:main"': b'"own"', b'"ask-1"': b"0"}) == {own}
    assert own not in undone(frame.replace(b"text", b"Text"), {b'"s:main"': b'"own"'})


# --- programs


@pytest.mark.process
def test_what_goes_through_a_recorder_is_the_same_and_written_down(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    script = 'read line; echo "$line"; echo no json; echo oh >&2; exit 3'
    done = subprocess.run(
        [*RECORD, "--to", str(path), "--", "sh", "-c", script],
        input=b'{"id": 1}\nmore\n',
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, b'{"id": 1}\nno json\n', b"oh\n")
    records = read_transcript(path)
    assert [(each.direction, each.line) for each in records if each.direction[:3] == "a2c"] == [
        ("a2c", b'{"id": 1}'),
        ("a2c_nonjson", b"no json"),
    ]
    assert records[0][1:] == ("c2a", b'{"id": 1}')
    assert (STDERR, b"oh") in [each[1:] for each in records]


@pytest.mark.process
def test_a_signal_reaches_the_agent_behind_a_recorder(tmp_path: Path) -> None:
    agent = [sys.executable, "-m", "acprelay.testing.misbehaving_agent", "say=ready", "linger"]
    command = [*RECORD, "--to", str(tmp_path / "t.jsonl"), "--", *agent]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as recorder:
        assert recorder.stdout is not None
        assert recorder.stdout.readline() == b"ready\n"
        recorder.send_signal(signal.SIGTERM)
        assert recorder.wait(30) == 128 + signal.SIGTERM


@pytest.mark.process
@pytest.mark.parametrize(
    ("to", "command", "status", "why"),
    [
        ("there", "true", 2, "it is there"),
        ("no/folder", "true", 2, "No such file"),
        ("new", "/nonesuch", 127, "cannot start '/nonesuch'"),
    ],
)
def test_a_recorder_that_cannot_work_says_why(
    tmp_path: Path, to: str, command: str, status: int, why: str
) -> None:
    (tmp_path / "there").touch()
    done = subprocess.run(
        [*RECORD, "--to", str(tmp_path / to), "--", command],
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == status
    assert why in done.stderr.decode()
    assert [each.name for each in tmp_path.iterdir()] == ["there"]
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.process
def test_a_replayer_is_an_agent_until_its_client_leaves(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"".join(map(encode, TALK[:2])))
    done = subprocess.run(
        [sys.executable, "-m", "acprelay.testing.replay", str(path)],
        input=b'{"id":1,"method":"initialize"}\n',
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, TALK[1].line + b"\n", b"")


def test_a_replayer_without_a_transcript_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main(["/nowhere/t.jsonl"]) == 2
    assert "cannot read the transcript" in capsys.readouterr().err
