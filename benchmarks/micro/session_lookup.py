"""Time the lookups of a session manager with few and with many sessions stored.

Run it with `python -m benchmarks.micro.session_lookup`. It prints a table: microseconds a
call, the best of several rounds, and how many times as long the larger store takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from time import perf_counter

from acprelay.session import (
    LifecycleManager,
    MemoryRegistry,
    MemoryStore,
    NoOpCleaner,
    NoOpScheduler,
    SessionFilter,
    SessionKey,
    SessionSpec,
)
from acprelay.testing.session import FakeClock, FakeIds, RecordingHooks

SIZES = (1_000, 100_000)
ROLES = ("main", "db")
ROUNDS = 7
CALLS = 2_000

Manager = LifecycleManager[None, None]
Call = Callable[[], Awaitable[object]]


async def filled(stored: int) -> Manager:
    manager: Manager = LifecycleManager(
        store=MemoryStore(),
        registry=MemoryRegistry(),
        clock=FakeClock(),
        ids=FakeIds(),
        cleaner=NoOpCleaner(),
        scheduler=NoOpScheduler(),
        hooks=RecordingHooks(),
    )
    spec = SessionSpec(agent="coder", cwd="/repo")
    for number in range(stored // len(ROLES)):
        for role in ROLES:
            await manager.create(replace(spec, session_id=f"task-{number}", role=role))
    return manager


def calls(manager: Manager, stored: int) -> dict[str, Call]:
    group = f"task-{stored // 4}"
    key, wanted = SessionKey(group, "db"), SessionFilter(session_id=group)
    return {
        "get": lambda: manager.get(key),
        "get_by_role": lambda: manager.get_by_role(group, "db"),
        "list, filtered by session_id": lambda: manager.list(wanted),
        "count": manager.count,
        "state_counts": manager.state_counts,
    }


async def round_us(call: Call) -> float:
    begun = perf_counter()
    for _ in range(CALLS):
        await call()
    return (perf_counter() - begun) / CALLS * 1e6


async def main() -> None:
    few, many = [calls(await filled(stored), stored) for stored in SIZES]
    print(f"{'µs a call, sessions stored:':<30}{SIZES[0]:>10,}{SIZES[1]:>10,}{'ratio':>8}")
    for name in few:
        # By turns, so that a busy machine is busy for both.
        rounds = [(await round_us(few[name]), await round_us(many[name])) for _ in range(ROUNDS)]
        small, large = map(min, zip(*rounds, strict=True))
        print(f"{name:<30}{small:>10.2f}{large:>10.2f}{large / small:>8.2f}")


if __name__ == "__main__":
    asyncio.run(main())
