"""What the event loop has for the writer comes to it in bundles, and in order."""

from __future__ import annotations

import asyncio

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
    outgoing.put(Batch(a_file(), 1, 1, b"x" * (256 << 10)))
    assert [len(bundle) for bundle in handed_over] == [MOST_IN_BUNDLE, 1]


async def test_small_batches_of_a_segment_that_follow_each_other_become_one(
    outgoing: Outgoing, handed_over: list[list[Command]]
) -> None:
    file = a_file()
    assert not outgoing.extend(Batch(file, 1, 2, b"ab"))
    outgoing.put(Batch(file, 1, 2, b"ab"))
    assert outgoing.extend(Batch(file, 3, 1, b"c"))
    outgoing.flush()
    assert handed_over == [[Batch(file, 1, 3, b"abc", 2)]]
    assert not outgoing.extend(Batch(file, 4, 1, b"d"))


async def test_no_batch_becomes_part_of_another_file_a_large_one_or_one_that_only_makes_a_segment(
    outgoing: Outgoing,
) -> None:
    file = a_file()
    outgoing.put(Batch(file, 1, 0, b""))
    assert not outgoing.extend(Batch(file, 1, 1, b"a"))
    outgoing.put(Batch(file, 1, 1, b"a" * (16 << 10)))
    assert not outgoing.extend(Batch(file, 2, 1, b"b"))
    assert not outgoing.extend(Batch(a_file(), 1, 1, b""))
    outgoing.put(Audit(b""))
    assert not outgoing.extend(Batch(file, 2, 1, b""))
