"""What the log in files costs: to append to, to write, to read behind its window, and in memory.

Run: `python -m benchmarks.micro.log_append`. Runs are as an agent's pipe gives them at full
speed: 64 KiB of 300-byte messages. The same is done with the log in memory, which does the least
that could be.

It also tells how long it takes until the record of a new conversation is written, which is waited
for before its first answer: with nothing else to write, and beside an agent that writes 100 MB/s.
"""

from __future__ import annotations

import asyncio
import resource
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from acprelay.routing.log import PublicLog
from acprelay.routing.records import ConversationRecord
from acprelay.session.models import SessionKey
from acprelay.storage import FileStorage, MemoryStorage, SystemDisk
from acprelay.testing.session import FakeIds
from acprelay.wire import text_frame

MIB = 1024 * 1024
PER_RUN = 215
RUN = text_frame(b"x" * 300) * PER_RUN
KEY = SessionKey("s", "main")
SLEEPER_BYTES = 150_000_000


class Monotonic:
    """A `Clock` that nobody sets."""

    def now(self) -> float:
        return time.monotonic()


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


class Writer:
    """Appends as long as the log is not congested, as an agent's pipe does."""

    def __init__(self, storage: FileStorage | MemoryStorage, key: SessionKey) -> None:
        self._relief = asyncio.Event()
        self.log: PublicLog = storage.open_log(key, on_relief=self._relief.set, on_trouble=print)

    async def append(self, run: bytes, count: int) -> None:
        self.log.append(run, count)
        await asyncio.sleep(0)
        if self.log.is_congested:
            self._relief.clear()
            await self._relief.wait()


def files(directory: str) -> FileStorage:
    return FileStorage(
        directory=Path(directory), ids=FakeIds(), clock=Monotonic(), disk=SystemDisk()
    )


async def append(
    storage: FileStorage | MemoryStorage, name: str, *, run: bytes, count: int, times: int
) -> None:
    """As fast as it goes, with one reader at the head."""
    writer = Writer(storage, SessionKey("s", name))
    log = writer.log
    begun, cpu, all_cpu = time.perf_counter(), time.thread_time(), time.process_time()
    for _ in range(times):
        await writer.append(run, count)
        log.read(log.head - count, upto=log.head, limit=len(run))
    appended = time.perf_counter() - begun
    await storage.flush()
    written = time.perf_counter() - begun
    loop_cpu = (time.thread_time() - cpu) / times
    other_cpu = (time.process_time() - all_cpu) / times - loop_cpu
    storage.close_log(SessionKey("s", name))
    print(
        f"  {len(run) / 1024:5.1f} KiB a run: {times / appended:8,.0f} appends/s, "
        f"{times * len(run) / written / 1e6:6,.0f} MB/s written, "
        f"{loop_cpu * 1e6:4.1f} µs of the loop and {other_cpu * 1e6:4.1f} µs of the writer for each"
    )


async def sleep_through(storage: FileStorage, *, rate: int) -> None:
    """A reader sleeps while much passes it by, then catches up."""
    writer = Writer(storage, KEY)
    log = writer.log
    before = resident_bytes()
    peak = before
    times = SLEEPER_BYTES // len(RUN)
    begun = time.perf_counter()
    for n in range(times):
        # A run of its own each time, as a pipe gives it: the same one again would cost no memory.
        await writer.append(bytes(bytearray(RUN)), PER_RUN)
        await asyncio.sleep(begun + n / rate - time.perf_counter())
        if n % 50 == 0:
            peak = max(peak, resident_bytes())
    await storage.flush()
    place, reads, begun = 0, 0, time.perf_counter()
    while place < log.head:
        _, place = log.read(place, upto=log.head, limit=65_536)
        reads += 1
    took = time.perf_counter() - begun
    peak = max(peak, resident_bytes())
    print(
        f"  {SLEEPER_BYTES / 1e6:.0f} MB past a reader that sleeps: at most "
        f"{(peak - before) / MIB:.1f} MiB more in memory; it then reads "
        f"{SLEEPER_BYTES / took / 1e6:,.0f} MB/s, {took / reads * 1e6:.0f} µs a read"
    )


async def found(storage: FileStorage, name: str, *, times: int) -> None:
    """Opens new logs, and waits for their records to be written."""
    took: list[float] = []
    for n in range(times):
        key = SessionKey(name, f"r{n}")
        storage.open_log(key, on_relief=lambda: None, on_trouble=print)
        record = ConversationRecord(
            key=key,
            agent="coder",
            cwd="/",
            params=b"{}",
            agent_session_id="own",
            created_at=0,
            updated_at=0,
        )
        begun = time.perf_counter()
        storage.save(record)
        await storage.flush()
        took.append(time.perf_counter() - begun)
        storage.sync(key)
        storage.close_log(key)
        await asyncio.sleep(0.005)
    took.sort()
    print(
        f"  a record is written, {name}: p50 {took[times // 2] * 1e3:.2f} ms, "
        f"p99 {took[times * 99 // 100] * 1e3:.2f} ms"
    )


async def found_beside(storage: FileStorage) -> None:
    """The same, beside an agent that writes."""
    writer = Writer(storage, SessionKey("s", "busy"))

    async def write() -> None:
        begun, n = time.perf_counter(), 0
        while True:
            await writer.append(bytes(bytearray(RUN)), PER_RUN)
            n += 1
            await asyncio.sleep(begun + n * len(RUN) / 100e6 - time.perf_counter())

    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(write())
        await found(storage, "busy", times=300)
        writing.cancel()


async def main() -> None:
    async with AsyncExitStack() as exits:
        print("in files, asleep")
        directory = exits.enter_context(tempfile.TemporaryDirectory())
        storage = await exits.enter_async_context(files(directory))
        await sleep_through(storage, rate=5_000)
        await found(storage, "quiet", times=300)
        await found_beside(storage)
        print("in files")
        for run, count, times in ((RUN, PER_RUN, 20_000), (text_frame(b"x" * 300), 1, 100_000)):
            await append(storage, f"r{count}", run=run, count=count, times=times)
        print("in memory")
        memory = MemoryStorage(ids=FakeIds(), history_bytes=8 * MIB)
        for run, count, times in ((RUN, PER_RUN, 20_000), (text_frame(b"x" * 300), 1, 100_000)):
            await append(memory, f"r{count}", run=run, count=count, times=times)


if __name__ == "__main__":
    asyncio.run(main())
