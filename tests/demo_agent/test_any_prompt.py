"""Whatever a prompt says, and whatever is written to it, the demo agent answers."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.testing.demo_agent import directives
from acprelay.testing.demo_agent.agent import DemoAgent
from acprelay.testing.demo_agent.rpc import Peer
from acprelay.testing.demo_agent.turn import StopReason, Turn

NAMES = [directive.name for directive in directives.DIRECTIVES]
HARMLESS = [name for name in NAMES if name not in ("crash", "noise")]


def _converse(lines: Iterable[bytes]) -> list[bytes]:
    """Gives what an agent in this process writes to these lines, until their end."""
    written = bytearray()

    def write(data: memoryview) -> int:
        written.extend(data)
        return len(data)

    changed = threading.Condition()
    DemoAgent(peer=Peer(write=write, changed=changed), changed=changed).serve(lines)
    return bytes(written).splitlines()


def _open_session(cwd: str) -> list[bytes]:
    return [
        b'{"id":1,"method":"initialize","params":{"protocolVersion":1}}',
        json.dumps(
            {"id": 2, "method": "session/new", "params": {"cwd": cwd, "mcpServers": []}}
        ).encode(),
    ]


def _prompt(text: str) -> bytes:
    params = {"sessionId": "demo-1", "prompt": [{"type": "text", "text": text}]}
    return json.dumps({"id": "prompt", "method": "session/prompt", "params": params}).encode()


@given(
    st.lists(
        st.one_of(
            st.text(max_size=30).filter(lambda line: not line.startswith(("/crash", "/noise"))),
            st.builds("/{} {}".format, st.sampled_from(HARMLESS), st.text(max_size=20)),
            st.builds("/{} {}".format, st.sampled_from(HARMLESS), st.integers(-1, 2000)),
        ),
        max_size=5,
    )
)
def test_every_prompt_is_answered_once_and_last(lines: list[str]) -> None:
    text = "\n".join(lines)
    # What separates lines for Python may sit inside one that was drawn.
    if any(line.startswith(("/crash", "/noise")) for line in text.splitlines()):
        return
    with tempfile.TemporaryDirectory() as cwd:
        written = _converse([*_open_session(cwd), _prompt(text)])
        below = [path for path in Path(cwd).rglob("*") if path.is_file()]
    messages = [json.loads(line) for line in written]
    answers = [message for message in messages if message.get("id") == "prompt"]
    assert answers == messages[-1:]
    assert "result" in answers[0] or isinstance(answers[0]["error"]["code"], int)
    assert below == []  # nobody gave a permission


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_no_line_stops_it(lines: list[bytes]) -> None:
    greeting = b'{"id":"last","method":"initialize","params":{"protocolVersion":1}}'
    messages = [json.loads(line) for line in _converse([*lines, greeting])]
    assert messages[-1]["id"] == "last"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["id", "method", "params", "result", "sessionId", "prompt", "cwd"]),
                inner | st.sampled_from(["initialize", "session/new", "session/prompt", "demo-1"]),
                max_size=5,
            )
        ),
    )
)
def test_no_json_stops_it(message: object) -> None:
    lines = [*_open_session("/"), json.dumps(message).encode(), _prompt("hello")]
    assert json.loads(_converse(lines)[-1]) == {
        "jsonrpc": "2.0",
        "id": "prompt",
        "result": {"stopReason": "end_turn"},
    }


def test_a_defect_in_a_turn_is_answered_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(_turn: Turn, _arguments: str) -> StopReason:
        raise ZeroDivisionError("broken")

    broken = directives.Directive("break", "", "break down", break_down)
    monkeypatch.setattr("acprelay.testing.demo_agent.conversation.DIRECTIVES", [broken])
    answer = json.loads(_converse([*_open_session(str(tmp_path)), _prompt("/break")])[-1])
    assert answer["id"] == "prompt"
    assert answer["error"]["code"] == -32603
    assert "broken" in answer["error"]["message"]


def test_a_turn_that_was_cancelled_is_answered_cancelled_although_nothing_in_it_waited(
    tmp_path: Path,
) -> None:
    written: list[bytes] = []
    turn_writes, cancellation_is_read = threading.Event(), threading.Event()

    def write(data: memoryview) -> int:
        if b"agent_thought_chunk" in bytes(data):
            turn_writes.set()
            assert cancellation_is_read.wait(timeout=30)
        written.append(bytes(data))
        return len(data)

    def lines() -> Iterator[bytes]:
        yield from _open_session(str(tmp_path))
        yield _prompt("/think last")
        assert turn_writes.wait(timeout=30)
        yield b'{"method":"session/cancel","params":{"sessionId":"demo-1"}}'
        cancellation_is_read.set()

    changed = threading.Condition()
    DemoAgent(peer=Peer(write=write, changed=changed), changed=changed).serve(lines())
    assert json.loads(written[-1])["result"] == {"stopReason": "cancelled"}
