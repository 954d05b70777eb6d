"""What the event loop has for the writer comes to it in bundles, and in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from acprelay.storage.commands import Audit, Batch, Command, SegmentFile, Stream, StreamOwner
from acprelay.storage.outgoing import MOST_IN_BUNDLE, Outgoing


class Owner:
    def on_written(self, runs: int, size: int, last: int) -> None: ...

    def on_failed(self, error: Exception) -> None: ...

    def on_pause_ended(self) -> None: ...


OWNER: StreamOwner = Owner()


def a_file() -> SegmentFile:
    return SegmentFile("segment", b"", Stream(OWNER))


@pytest.fixture
async def handed_over() -> list[list[Command]]:
    return []


@pytest.fixture
async def outgoing(handed_over: list[list[Command]]) -> Outgoing:
    loop = asyncio.get_running_loop()
    return Outgoing(loop=loop, hand_over=handed_over.append, linger_s=3_600)


async def test_commands_wait_for_one_that_is_asked_for_and_come_before_it(
    outgoing: Outgoing, handed_over: list[list[Command]]
) -> None:
    outgoing.put(Audit(b"1"))
    outgoing.put(Audit(b"2"))
    assert handed_over == []
    outgoing.ask(Audit(b"3"))
    outgoing.flush()
    assert handed_over == [[Audit(b"1"), Audit(b"2"), Audit(b"3")]]


async def test_commands_wait_no_longer_than_they_may() -> None:
    first: asyncio.Future[list[Command]] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()
    outgoing = Outgoing(loop=loop, hand_over=first.set_result, linger_s=0.001)
    outgoing.put(Audit(b"1"))
    async with asyncio.timeout(30):
        assert await first == [Audit(b"1")]


async def test_many_commands_and_much_to_write_wait_for_nothing(
    outgoing: Outgoing, handed_over: list[list[Command]]
) -> None:
    for _ in range(MOST_IN_BUNDLE):
        outgoing.put(Audit(b""))
    assert [len(bundle) for bundle in handed_over] == [MOST_IN_BUNDLE]
    outgoing.put_batch(a_file(), 1, 1, b"x" * (256 << 10))
    assert [len(bundle) for bundle in handed_over] == [MOST_IN_BUNDLE, 1]


async def test_much_that_is_added_to_small_batches_waits_for_nothing_either(
    outgoing: Outgoing, handed_over: list[list[Command]]
) -> None:
    files = [a_file() for _ in range(16)]
    for first in range(1, 17):
        for file in files:
            outgoing.put_batch(file, first, 1, b"x" * 1024)
    assert [len(bundle) for bundle in handed_over] == [len(files)]


async def test_many_commands_wait_longer_than_few() -> None:
    due: list[tuple[float, Callable[[], None]]] = []
    handed_over: list[list[Command]] = []

    class Clock:
        def call_later(self, delay_s: float, due_then: Callable[[], None]) -> None:
            due.append((delay_s, due_then))

    outgoing = Outgoing(
        loop=cast("asyncio.AbstractEventLoop", Clock()), hand_over=handed_over.append, linger_s=1.0
    )
    for count, waits in ((2, [1.0]), (100, [1.0, 4.0]), (2, [1.0])):
        for _ in range(count):
            outgoing.put_batch(a_file(), 1, 1, b"a")
        waited = []
        while due:
            delay_s, due_then = due.pop()
            waited.append(delay_s)
            due_then()
        assert waited == waits
        assert [len(bundle) for bundle in handed_over] == [count]
        handed_over.clear()


async def test_small_batches_of_a_segment_become_one_whatever_came_between(
    outgoing: Outgoing, handed_over: list[list[Command]]
) -> None:
    file, other = a_file(), a_file()
    assert outgoing.put_batch(file, 1, 2, b"ab")
    assert outgoing.put_batch(other, 7, 1, b"x")
    outgoing.put(Audit(b""))
    assert not outgoing.put_batch(file, 3, 1, b"c")
    assert not outgoing.put_batch(other, 8, 1, b"y")
    outgoing.flush()
    assert handed_over == [[Batch(file, 1, 3, b"abc", 2), Batch(other, 7, 2, b"xy", 2), Audit(b"")]]
    assert outgoing.put_batch(file, 4, 1, b"d")


async def test_no_batch_becomes_part_of_a_large_one_or_of_one_that_only_makes_a_segment(
    outgoing: Outgoing,
) -> None:
    file = a_file()
    assert outgoing.put_batch(file, 1, 0, b"")
    assert outgoing.put_batch(file, 1, 1, b"a" * (128 << 10))
    assert outgoing.put_batch(file, 2, 1, b"b")
    assert not outgoing.put_batch(file, 3, 1, b"c")
    assert outgoing.put_batch(file, 4, 1, b"d" * (17 << 10))
