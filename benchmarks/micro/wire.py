"""What the wire package costs, each part as a multiple of the cheapest thing that could be done.

Run: `python -m benchmarks.micro.wire`. The best of several rounds: what the code costs where
nothing else runs. The unit of the ratios is `bytes.split` on the same input: a relay that reads
lines cannot do less.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

from acprelay.wire import (
    LineSplitter,
    UpdateStream,
    peek,
    rewrite,
    stamp,
    text_frame,
    update_kind,
)

BATCH = 200
ROUNDS = 15
CHUNK = 64 * 1024
MIB = 1024 * 1024
GENERATION = "g0123456"
PUBLIC_ID = "0123456789abcdef:main"
AGENT_ID = "683d4097-9ab8-4864-8b6f-1c63d740e541"


def update(size: int, *, spaced: bool = False) -> bytes:
    """An update of about `size` bytes, compact or as `json.dumps` spells it by default."""

    def spell(text: str) -> bytes:
        message = {
            "jsonrpc": "2.0",
            "method": "session/update",
            "params": {
                "sessionId": AGENT_ID,
                "update": {
                    "sessionUpdate": "agent_message_chunk",
                    "content": {"type": "text", "text": text},
                },
            },
        }
        separators = None if spaced else (",", ":")
        return json.dumps(message, separators=separators).encode()

    return spell("x" * (size - len(spell(""))))


def seconds(work: Callable[[], object], times: int) -> float:
    """The time of one call, in the best of several rounds of `times` calls."""
    rounds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(times):
            work()
        rounds.append((time.perf_counter() - begun) / times)
    return min(rounds)


def measure_messages(size: int) -> None:
    line = update(size)
    spaced = update(size, spaced=True)
    chunk = (line + b"\n") * BATCH
    splitter = LineSplitter(max_frame=64 * MIB)
    lines = splitter.feed(chunk)
    stream = UpdateStream(public_id=PUBLIC_ID, generation=GENERATION)
    envelope = peek(line)
    stream.learn(envelope)
    assert stream.rewrite(lines, 0, 1_000_000)[1] == BATCH

    def exact(frame: bytes) -> bytes:
        return text_frame(
            rewrite(peek(frame), session_id=PUBLIC_ID, stamp=stamp(GENERATION, 1_000_000))
        )

    unit = seconds(lambda: chunk.split(b"\n"), 100) / BATCH
    parts = {
        "bytes.split": unit,
        "LineSplitter.feed": seconds(lambda: splitter.feed(chunk), 100) / BATCH,
        "template path": seconds(lambda: stream.rewrite(lines, 0, 1_000_000), 50) / BATCH,
        "learn": seconds(lambda: stream.learn(envelope), 5000),
        "update_kind": seconds(lambda: update_kind(envelope), 5000),
        "peek": seconds(lambda: peek(line), 5000),
        "peek, spaced": seconds(lambda: peek(spaced), 5000),
        "peek + rewrite + frame": seconds(lambda: exact(line), 5000),
        "peek + rewrite + frame, spaced": seconds(lambda: exact(spaced), 5000),
    }
    print(f"{size}-byte updates, batches of {BATCH}")
    for name, cost in parts.items():
        print(f"  {name:32} {cost * 1e6:8.3f} us/message {cost / unit:8.1f} x")


def measure_long_line(size: int) -> None:
    data = update(size) + b"\n"
    chunks = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]

    def split() -> None:
        splitter = LineSplitter(max_frame=size)
        assert sum(len(splitter.feed(chunk)) for chunk in chunks) == 1

    unit = seconds(lambda: b"".join(chunks), 1)
    cost = seconds(split, 1)
    print(f"one line of {size // MIB} MiB, fed in chunks of {CHUNK // 1024} KiB")
    print(f"  {'bytes.join of the chunks':32} {size / unit / MIB:8.0f} MiB/s {1:8.1f} x")
    print(f"  {'LineSplitter.feed':32} {size / cost / MIB:8.0f} MiB/s {cost / unit:8.1f} x")


def main() -> None:
    print(sys.version.split()[0])
    for size in (300, 3000):
        measure_messages(size)
    for size in (8, 64):
        measure_long_line(size * MIB)


if __name__ == "__main__":
    main()
