"""An agent that does what a script says: in a test's own process, or as a program.

    agent = ScriptedAgent(
        Expect("session/prompt"),
        Update({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "Hi"}}),
        Answer({"stopReason": "end_turn"}),
    )

`initialize` and `session/new` are answered without a step, as is `session/load` and
`session/resume`; a request that no step to come expects is refused. After the last step the agent
stays, and does that. As a program: `python -m acprelay.testing.scripted_agent FILE`, where the file
has the steps as JSON (`acprelay.testing.steps`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acprelay.errors import ConfigError, RelayError
from acprelay.testing.acting import run_on_streams, serve
from acprelay.testing.channels import Channel
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

SESSION_ID = "scripted"

_UNASKED: Mapping[str, object] = {
    "initialize": {
        "protocolVersion": 1,
        "agentCapabilities": {"loadSession": True, "sessionCapabilities": {"resume": {}}},
    },
    "session/new": {"sessionId": SESSION_ID},
    "session/load": {},
    "session/resume": {},
}


class ScriptedAgent:
    """An agent with a script. It does no I/O: it takes messages, and gives those that are due.

    Args:
        steps: What it does, in order.

    Attributes:
        heard: Every message that it was sent, decoded, in order.
        exit_status: What it ends with, once it has come to an `Exit`.
    """

    def __init__(self, *steps: Step) -> None:
        self.heard: list[dict[str, Any]] = []
        self.exit_status: int | None = None
        self._script = to_json(steps)
        self._steps = deque(steps)
        self._arrived: list[dict[str, Any]] = []
        self._expected: list[dict[str, Any]] = []
        self._session_id = SESSION_ID
        self._asked: int | None = None
        self._asks = 0
        self._out: list[bytes] = []

    @property
    def command(self) -> tuple[str, ...]:
        """What starts it as a program, with the whole script as an argument."""
        return (sys.executable, "-m", __name__, "--steps", self._script)

    @property
    def is_done(self) -> bool:
        """Whether it has taken all its steps."""
        return not self._steps

    async def serve(self, channel: Channel) -> None:
        """Serves a client in this process until that leaves, or the script says to exit."""
        await serve(self, channel)

    def take(self, line: bytes) -> None:
        """Takes a message; what is none is passed over."""
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(message, dict):
            return
        self.heard.append(message)
        if "method" in message:
            self._arrived.append(message)
            named = (message.get("params") or {}).get("sessionId")
            self._session_id = named if isinstance(named, str) else self._session_id
        elif message.get("id") == self._asked:
            self._asked = None

    def due(self) -> list[bytes]:
        """Gives what it says now, in order, each once."""
        while self._steps and self.exit_status is None and self._can_take(self._steps[0]):
            self._do(self._steps.popleft())
        self._dismiss()
        said, self._out = self._out, []
        return said

    def _can_take(self, step: Step) -> bool:
        if self._asked is not None:
            return False
        if not isinstance(step, Expect):
            return True
        for index, message in enumerate(self._arrived):
            if message["method"] == step.expect:
                self._expected.append(self._arrived.pop(index))
                return True
        return False

    def _do(self, step: Step) -> None:
        match step:
            case Expect():
                pass
            case Answer(result, to):
                self._reply(to, {"result": result})
                if isinstance(result, dict):
                    self._session_id = result.get("sessionId", self._session_id)
            case Refuse(error, to):
                self._reply(to, {"error": dict(error)})
            case Update(update):
                params = {"sessionId": self._session_id, "update": dict(update)}
                self._send({"method": "session/update", "params": params})
            case Notify(method, params):
                self._send({"method": method, "params": dict(params)})
            case Ask(method, params):
                self._asked, self._asks = self._asks, self._asks + 1
                about = {"sessionId": self._session_id, **params}
                self._send({"id": self._asked, "method": method, "params": about})
            case Say(line):
                self._out.append(line.encode(errors="surrogateescape"))
            case Exit(status):
                self.exit_status = status

    def _reply(self, to: str, outcome: Mapping[str, object]) -> None:
        for message in reversed(self._expected):
            if "id" in message and to in ("", message["method"]):
                self._send({"id": message["id"], **outcome})
                return
        raise ConfigError(
            f"cannot answer {to or 'anything'!r}: the script has not expected it",
            hint='put a step {"expect": METHOD} before the answer',
        )

    def _dismiss(self) -> None:
        """Answers what no step to come expects."""
        awaited = {step.expect for step in self._steps if isinstance(step, Expect)}
        for message in [each for each in self._arrived if each["method"] not in awaited]:
            self._arrived.remove(message)
            if "id" not in message:
                continue
            result = _UNASKED.get(message["method"])
            refusal = {"code": -32601, "message": "cannot serve it: the script does not expect it"}
            self._send(
                {"id": message["id"]}
                | ({"error": refusal} if result is None else {"result": result})
            )

    def _send(self, message: Mapping[str, object]) -> None:
        self._out.append(json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode())


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the agent on standard input and output.

    Args:
        argv: The arguments; the process's own where it is None.

    Returns:
        The status that the script says, else 0 at the end of standard input; 2 where the script
        cannot be read or carried out.

    Raises:
        SystemExit: The arguments cannot be parsed, or ask for help.
    """
    parser = argparse.ArgumentParser(
        prog="python -m acprelay.testing.scripted_agent",
        description="An ACP agent on standard input and output that does what a script says.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("file", nargs="?", type=Path, help="the script: a JSON array of steps")
    source.add_argument("--steps", help="the script itself")
    options = parser.parse_args(argv)
    try:
        text = options.steps if options.file is None else options.file.read_bytes()
        return run_on_streams(ScriptedAgent(*parse(text)))
    except OSError as error:
        sys.stderr.write(f"scripted-agent: cannot read {options.file}: {error.strerror}\n")
    except RelayError as error:
        sys.stderr.write(f"scripted-agent: {error}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
