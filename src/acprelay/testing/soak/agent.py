"""The soak's agent: it streams numbered updates as fast as it is asked to, and now and then asks.

A program of the standard library alone: `python -m acprelay.testing.soak.agent`. A prompt is the
text of a `payload.Order`; anything else ends the turn at once. It restores sessions by
`session/load` and `session/resume`, having nothing to restore, and ends with its standard input.

The answer to a prompt says in `_meta.soak` what the turn came to: how many updates were `written`,
how many permissions were `asked`, `answered` and `cancelled`, and how many answers chose what was
not offered (`wrong`).
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections import deque

from acprelay.testing.soak.payload import Order, build, numbered

SESSION_ID = "soak-session"
OPTIONS = (
    {"optionId": "go", "name": "Go on", "kind": "allow_once"},
    {"optionId": "on", "name": "Go on all the same", "kind": "reject_once"},
)

_TICK_S = 0.005
_BATCH_BYTES = 64 * 1024
_HEAD = b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"%s","update":'
_READ_BYTES = 65_536

Message = dict[str, object]


class _Turn:
    """One turn's order and what came of it so far."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.written = 0
        self.cancelled = False
        self.asks = {"asked": 0, "answered": 0, "cancelled": 0, "wrong": 0}

    @property
    def is_over(self) -> bool:
        return self.cancelled or self.written >= self.order.updates


class SoakAgent:
    """Serves one client.

    Args:
        source: The descriptor it reads.
        sink: The descriptor it writes; a write blocks while nobody reads.
    """

    def __init__(self, *, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._unread = b""
        self._inbox: deque[Message] = deque()
        self._prompts: deque[Message] = deque()
        self._turn: _Turn | None = None
        self._open_ask = ""
        self._asked = 0

    def serve(self) -> None:
        """Serves until its input ends.

        Raises:
            EOFError: It ended.
            BrokenPipeError: Nobody reads any more.
        """
        while True:
            self._listen(None)
            while self._prompts:
                self._take_turn(self._prompts.popleft())

    # -- hearing

    def _listen(self, timeout_s: float | None) -> None:
        """Reads what there is and acts on it; waits so long for something."""
        ready, _, _ = select.select([self._source], [], [], timeout_s)
        if not ready:
            return
        data = os.read(self._source, _READ_BYTES)
        if not data:
            raise EOFError
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._hear(json.loads(line))

    def _hear(self, message: Message) -> None:
        match message.get("method"):
            case "initialize":
                self._answer(message, _INITIALIZED)
            case "session/new":
                self._answer(message, {"sessionId": SESSION_ID})
            case "session/load" | "session/resume" | "session/close":
                self._answer(message, {})
            case "session/prompt":
                self._prompts.append(message)
            case "session/cancel":
                if self._turn is not None:
                    self._turn.cancelled = True
            case None:
                self._settle(message)
            case _ if "id" in message:
                error = {"code": -32601, "message": "cannot serve this method"}
                self._send({"jsonrpc": "2.0", "id": message["id"], "error": error})

    def _settle(self, message: Message) -> None:
        if self._turn is None or message.get("id") != self._open_ask:
            return
        self._open_ask = ""
        result = message.get("result")
        outcome = result.get("outcome") if isinstance(result, dict) else None
        chosen = outcome.get("optionId") if isinstance(outcome, dict) else None
        if chosen is None:
            self._turn.asks["cancelled"] += 1
        elif chosen in {option["optionId"] for option in OPTIONS}:
            self._turn.asks["answered"] += 1
        else:
            self._turn.asks["wrong"] += 1

    # -- speaking

    def _take_turn(self, prompt: Message) -> None:
        order = Order.parse(json.dumps(prompt.get("params")))
        self._turn = turn = _Turn(order or Order("", 0))
        begun = time.monotonic()
        while not turn.is_over:
            self._stream(turn, begun)
            self._listen(0)
        reason = "cancelled" if turn.cancelled else "end_turn"
        told = {"written": turn.written, **turn.asks}
        self._turn = None
        self._answer(prompt, {"stopReason": reason, "_meta": {"soak": told}})

    def _stream(self, turn: _Turn, begun: float) -> None:
        """Writes what is due now, up to a batch, or waits a little; asks where it is time to."""
        order, lines, size = turn.order, [], 0
        due = order.updates
        if order.rate:
            due = min(due, int((time.monotonic() - begun) * order.rate) + 1)
        must_ask = False
        while turn.written < due and size < _BATCH_BYTES and not must_ask:
            turn.written += 1
            lines.append(_HEAD_OF_OURS + build(numbered(order, turn.written)) + b"}}\n")
            size += len(lines[-1])
            must_ask = bool(order.asks) and turn.written % order.asks == 0
        if not lines:
            self._listen(_TICK_S)
            return
        self._write(b"".join(lines))
        if must_ask:
            self._ask(turn)

    def _ask(self, turn: _Turn) -> None:
        """Asks for a permission and waits for the answer."""
        self._asked += 1
        turn.asks["asked"] += 1
        self._open_ask = f"ask-{os.getpid()}-{self._asked}"
        call = {"toolCallId": "count", "title": "Count on", "kind": "execute"}
        params = {"sessionId": SESSION_ID, "toolCall": call, "options": OPTIONS}
        request = {"id": self._open_ask, "method": "session/request_permission", "params": params}
        self._send({"jsonrpc": "2.0", **request})
        while self._open_ask:
            self._listen(None)

    def _answer(self, request: Message, result: Message) -> None:
        self._send({"jsonrpc": "2.0", "id": request["id"], "result": result})

    def _send(self, message: Message) -> None:
        self._write(json.dumps(message).encode() + b"\n")

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._sink, rest) :]


_HEAD_OF_OURS = _HEAD % SESSION_ID.encode()
_INITIALIZED: Message = {
    "protocolVersion": 1,
    "agentCapabilities": {
        "loadSession": True,
        "sessionCapabilities": {"resume": {}, "close": {}},
    },
    "agentInfo": {"name": "acprelay-soak", "version": "1"},
}


def main() -> int:
    """Serves on standard input and output; gives the exit status."""
    try:
        SoakAgent(source=sys.stdin.fileno(), sink=sys.stdout.fileno()).serve()
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
