"""What each part of a message's way costs by itself: 300 bytes, in batches of a full pipe."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from acprelay.runtime.system import MonotonicClock
from acprelay.session.models import SessionKey
from acprelay.storage import FileStorage, SystemDisk
from acprelay.testing.session import FakeIds
from acprelay.wire import LineSplitter, UpdateStream, peek
from benchmarks.micro.exact_path import AGENT_ID, PUBLIC_ID, exact_costs_us, sized, update

PER_BATCH = 215
ROUNDS = 9
CALLS = 60
MAX_FRAME = 1024 * 1024
GENERATION = "g0123456"


def best_us(work: Callable[[], object], messages: int = PER_BATCH) -> float:
    """The time of one message in the best of several rounds, in microseconds."""
    rounds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(CALLS):
            work()
        rounds.append((time.perf_counter() - begun) / CALLS)
    return min(rounds) / messages * 1e6


def learned(lines: list[bytes]) -> UpdateStream:
    """Gives a stream that knows the shape of these lines, all of one."""
    stream = UpdateStream(public_id=PUBLIC_ID, generation=GENERATION)
    stream.learn(peek(lines[0].rstrip(b"\n")))
    assert stream.rewrite(lines, 0, 1)[1] == len(lines)
    return stream


def wire_costs_us() -> dict[str, float]:
    """What reading a pipe's lines and making frames of them costs."""
    line = sized(*update())
    assert AGENT_ID.encode() in line
    chunk = (line + b"\n") * PER_BATCH
    splitter = LineSplitter(max_frame=MAX_FRAME)
    lines = splitter.feed(chunk)
    stream = learned(lines)
    return {
        "bytes.split, the least there is": best_us(lambda: chunk.split(b"\n")),
        "split into lines": best_us(lambda: splitter.feed(chunk)),
        "match, validate, stamp, frame": best_us(lambda: stream.rewrite(lines, 0, 1_000_000)),
    }


async def log_costs_us() -> dict[str, float]:
    """What keeping frames costs: the event loop alone, and all of it until they are written."""
    line = sized(*update())
    lines = LineSplitter(max_frame=MAX_FRAME).feed((line + b"\n") * PER_BATCH)
    run = b"".join(learned(lines).rewrite(lines, 0, 1_000_000)[0])
    appended, written, read = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        files = FileStorage(
            directory=Path(folder), ids=FakeIds(), clock=MonotonicClock(), disk=SystemDisk()
        )
        async with files as storage:
            log = storage.open_log(
                SessionKey("s", "main"), on_relief=lambda: None, on_trouble=lambda *_: None
            )
            for _ in range(ROUNDS):
                begun = time.perf_counter()
                for _ in range(CALLS):
                    log.append(run, PER_BATCH)
                appended.append(time.perf_counter() - begun)
                await storage.flush()
                written.append(time.perf_counter() - begun)
                begun = time.perf_counter()
                for _ in range(CALLS):
                    log.read(log.head - PER_BATCH, upto=log.head, limit=len(run))
                read.append(time.perf_counter() - begun)
    parts = {"append to the log": appended, "the same until it is written": written}
    return {
        name: min(took) / CALLS / PER_BATCH * 1e6
        for name, took in (parts | {"read from the log": read}).items()
    }


def socket_costs_us() -> dict[str, float]:
    """What the system takes for writing a batch to a socket, read by another thread."""
    ours, theirs = socket.socketpair()
    data = b"x" * (PER_BATCH * 400)
    with closing(ours), closing(theirs):
        reader = threading.Thread(target=_drain, args=(theirs,))
        reader.start()
        cost = best_us(lambda: ours.sendall(data))
        ours.shutdown(socket.SHUT_WR)
        reader.join()
    return {"write to a socket": cost}


def _drain(end: socket.socket) -> None:
    buffer = bytearray(1024 * 1024)
    while end.recv_into(buffer):
        pass


def costs_us() -> dict[str, float]:
    """What each part costs a message, in microseconds."""
    exact = {f"exact path, {name}": cost for name, cost in exact_costs_us().items()}
    return {**wire_costs_us(), **asyncio.run(log_costs_us()), **socket_costs_us(), **exact}
