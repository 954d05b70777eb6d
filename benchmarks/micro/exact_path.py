"""What the exact path costs a frame of 300 bytes, for frames of several shapes.

Run: `python -m benchmarks.micro.exact_path`. A frame takes it whose shape no template knows: its
envelope is read, its ids and stamp are spliced, and it is framed for WebSocket.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from acprelay.wire import json_string, peek, rewrite, stamp, text_frame

SIZE = 300
ROUNDS = 9
CALLS = 3000
PUBLIC_ID = "0123456789abcdef:main"
AGENT_ID = "683d4097-9ab8-4864-8b6f-1c63d740e541"
STAMP = stamp("g0123456", 1_000_000)
MINTED = json_string("a-0123456789abcdef-17")


def sized(message: dict[str, object], content: dict[str, object], *, spaced: bool = False) -> bytes:
    """Spells a message, its content's text filled up until it has the size."""
    separators = None if spaced else (",", ":")

    def spell() -> bytes:
        return json.dumps(message, separators=separators, ensure_ascii=False).encode()

    content["text"] = str(content.get("text", "")) + "x" * (SIZE - len(spell()))
    return spell()


def update(text: str = "", **more: object) -> tuple[dict[str, object], dict[str, object]]:
    """Gives an update, and its content."""
    content: dict[str, object] = {"type": "text", "text": text}
    params = {
        "sessionId": AGENT_ID,
        "update": {"sessionUpdate": "agent_message_chunk", "content": content},
        **more,
    }
    return {"jsonrpc": "2.0", "method": "session/update", "params": params}, content


def request() -> tuple[dict[str, object], dict[str, object]]:
    """Gives a request for permission, and its tool call's content."""
    content: dict[str, object] = {"type": "text", "text": ""}
    call = {"toolCallId": "call_1", "content": content}
    options = [{"optionId": "once", "name": "Allow", "kind": "allow_once"}]
    params = {"sessionId": AGENT_ID, "toolCall": call, "options": options}
    method = "session/request_permission"
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}, content


def _stamped(frame: bytes) -> bytes:
    return text_frame(rewrite(peek(frame), session_id=PUBLIC_ID, stamp=STAMP))


def _asked(frame: bytes) -> bytes:
    return text_frame(rewrite(peek(frame), id=MINTED, session_id=PUBLIC_ID, stamp=STAMP))


CASES: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "compact": (sized(*update()), _stamped),
    "spaced": (sized(*update(), spaced=True), _stamped),
    "meta": (sized(*update(_meta={"traceparent": "00-1"})), _stamped),
    "request": (sized(*request()), _asked),
    "unicode": (sized(*update("grün und blau: 真")), _stamped),
}


def best_us(frame: bytes, work: Callable[[bytes], bytes]) -> float:
    """The time of one call, in the best of several rounds, in microseconds."""
    rounds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(CALLS):
            work(frame)
        rounds.append((time.perf_counter() - begun) / CALLS)
    return min(rounds) * 1e6


def exact_costs_us() -> dict[str, float]:
    """Tells what each shape costs, in microseconds."""
    return {name: best_us(frame, work) for name, (frame, work) in CASES.items()}


if __name__ == "__main__":
    for shape, cost in exact_costs_us().items():
        print(f"{shape:10} {cost:6.2f} µs")
