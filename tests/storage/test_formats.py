"""The pure parts: headers, index, reading over bytes, generations, chains, budgets."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.routing.log import Position
from acprelay.storage.batches import (
    BATCH_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    Damage,
    SegmentHeader,
    encode_batch_header,
    encode_segment_header,
    is_intact,
    parse_batch_header,
    parse_segment_header,
)
from acprelay.storage.budgets import Backlog, RunBudget
from acprelay.storage.generations import Generations, Link, chain_start
from acprelay.storage.index import SPACING, Point, SparseIndex
from acprelay.storage.reading import Extent, is_torn, read_batches, scan
from acprelay.storage.segment import base_of, new_index, segment_name
from acprelay.wire import text_frame

names = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
places = st.integers(0, 10**18)


@given(names, places, st.booleans())
def test_a_segment_header_is_read_back_as_written(name: str, base: int, follows: bool) -> None:
    header = SegmentHeader(name, base, follows)
    data = encode_segment_header(header)
    assert len(data) == SEGMENT_HEADER_BYTES
    assert parse_segment_header(data + b"what follows") == header


@given(st.integers(0, SEGMENT_HEADER_BYTES - 1), st.integers(0, 7))
def test_a_segment_header_with_one_wrong_bit_is_none(offset: int, bit: int) -> None:
    data = bytearray(encode_segment_header(SegmentHeader("generation", 7, follows=True)))
    data[offset] ^= 1 << bit
    with pytest.raises(Damage):
        parse_segment_header(bytes(data))


@pytest.mark.parametrize("size", range(SEGMENT_HEADER_BYTES))
def test_a_part_of_a_segment_header_is_none(size: int) -> None:
    data = encode_segment_header(SegmentHeader("generation", 7, follows=False))
    with pytest.raises(Damage):
        parse_segment_header(data[:size])


@given(places, st.integers(1, 2**32 - 1), st.binary(max_size=300))
def test_a_batch_header_is_read_back_as_written(first: int, entries: int, payload: bytes) -> None:
    data = encode_batch_header(first, entries, payload)
    assert len(data) == BATCH_HEADER_BYTES
    header = parse_batch_header(data + payload)
    assert (header.size, header.first, header.entries) == (len(payload), first, entries)
    assert header.last == first + entries - 1
    assert is_intact(header, payload)


@given(st.data())
def test_a_batch_with_one_wrong_bit_is_not_intact(data: st.DataObject) -> None:
    payload = data.draw(st.binary(min_size=1, max_size=50))
    batch = bytearray(encode_batch_header(5, 3, payload) + payload)
    batch[data.draw(st.integers(0, len(batch) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    header = parse_batch_header(bytes(batch))
    assert not is_intact(header, bytes(batch[BATCH_HEADER_BYTES:]))


@given(names, places)
def test_a_segment_is_named_by_its_first_entry(name: str, base: int) -> None:
    file = segment_name(SegmentHeader(name, base, follows=True))
    assert base_of(file) == base
    assert base_of(file, damaged=True) is None
    assert base_of(file + ".damaged", damaged=True) == base
    assert base_of(file + ".damaged") is None
    assert base_of(file + ".200.cut") is None


@given(st.lists(st.integers(1, 3 * SPACING), max_size=30), st.integers(0, 40))
def test_an_index_leads_to_a_batch_that_is_not_far_before_a_place(
    sizes: list[int], place: int
) -> None:
    index = SparseIndex(place=10, offset=86)
    offsets = {10: 86}
    offset = 86
    for number, size in enumerate(sizes, 10):
        index.note(number, offset)
        offsets[number] = offset
        offset += size
    found = index.find(10 + place)
    assert offsets[found.place] == found.offset
    assert found.place <= 10 + place
    wanted = offsets[min(10 + place, max(offsets))]
    assert wanted - found.offset < SPACING
    assert len(index) <= 1 + (offset - 86) // SPACING


def test_an_index_forgets_what_is_cut_but_never_where_the_first_batch_begins() -> None:
    index = SparseIndex(place=10, offset=86)
    for place in range(11, 20):
        index.note(place, place * SPACING)
    index.cut(15)
    assert index.find(99) == Point(15, 15 * SPACING)
    index.cut(3)
    assert (index.find(99), index.find(3), len(index)) == (Point(10, 86), Point(10, 86), 1)


class Segment:
    """A segment in memory."""

    def __init__(self, runs: Sequence[Sequence[bytes]], *, base: int) -> None:
        self.data = encode_segment_header(SegmentHeader("g", base, follows=True))
        self.ends = [len(self.data)]
        self.lasts = [base]
        self.reads = 0
        for run in runs:
            payload = b"".join(run)
            self.data += encode_batch_header(self.lasts[-1] + 1, len(run), payload) + payload
            self.ends.append(len(self.data))
            self.lasts.append(self.lasts[-1] + len(run))

    def read_at(self, size: int, offset: int) -> bytes:
        self.reads += 1
        return self.data[offset : offset + size]


frames = st.builds(
    lambda mark, size: text_frame(bytes([mark]) * size),
    st.integers(0, 255),
    st.sampled_from([0, 1, 125, 126, 5_000, 70_000]),
)
runs_of_frames = st.lists(st.lists(frames, min_size=1, max_size=4), min_size=1, max_size=6)


@given(runs_of_frames, st.integers(0, 1000), st.data())
def test_any_stretch_of_a_segment_is_read_from_any_place_in_any_order(
    runs: list[list[bytes]], base: int, data: st.DataObject
) -> None:
    segment = Segment(runs, base=base)
    entries = [frame for run in runs for frame in run]
    index = new_index(base)
    for _ in range(4):
        after = data.draw(st.integers(0, len(entries) - 1))
        upto = data.draw(st.integers(after + 1, len(entries)))
        limit = data.draw(st.sampled_from([0, 1, 300, 100_000, 1 << 30]))
        blobs, cursor = read_batches(
            segment.read_at,
            index,
            size=len(segment.data),
            after=base + after,
            upto=base + upto,
            limit=limit,
        )
        assert base + after < cursor <= base + upto
        assert b"".join(blobs) == b"".join(entries[after : cursor - base])
        assert len(blobs) == 1 or sum(map(len, blobs)) <= limit


@given(runs_of_frames, st.data())
def test_a_scan_ends_with_the_last_whole_batch(
    runs: list[list[bytes]], data: st.DataObject
) -> None:
    segment = Segment(runs, base=3)
    kept = data.draw(st.integers(SEGMENT_HEADER_BYTES, len(segment.data)))
    segment.data = segment.data[:kept]
    whole = max(n for n, end in enumerate(segment.ends) if end <= kept)
    extent = scan(segment.read_at, new_index(3), size=kept)
    assert extent == Extent(segment.lasts[whole], segment.ends[whole])
    assert is_torn(segment.read_at, offset=extent.end, size=kept)


def test_a_scan_leaves_an_index_behind() -> None:
    segment = Segment([[text_frame(b"x" * 60_000)]] * 9, base=0)
    index = new_index(0)
    scan(segment.read_at, index, size=len(segment.data))
    segment.reads = 0
    read_batches(segment.read_at, index, size=len(segment.data), after=8, upto=9, limit=1)
    assert segment.reads == 1


@pytest.mark.parametrize("missing", [0, 1, 70_000, 2_900_000, 4_000_000])
def test_a_scan_reads_a_segment_once_however_large_its_batches_are(missing: int) -> None:
    sizes = [60_000] * 20 + [3_000_000] + [900_000] * 3
    segment = Segment([[text_frame(b"x" * size)] for size in sizes], base=7)
    kept = len(segment.data) - missing
    segment.data = segment.data[:kept]
    whole = max(n for n, end in enumerate(segment.ends) if end <= kept)
    extent = scan(segment.read_at, new_index(7), size=kept)
    assert extent == Extent(segment.lasts[whole], segment.ends[whole])
    assert segment.reads <= 10  # of a MiB each, and what one cuts off anew


def test_a_scan_stops_at_a_batch_that_is_not_the_next_one() -> None:
    first, other = Segment([[b"a"]], base=0), Segment([[b"b"]], base=5)
    first.data += other.data[SEGMENT_HEADER_BYTES:]
    assert scan(first.read_at, new_index(0), size=len(first.data)).last == 1


def test_intact_batches_after_a_wrong_one_are_no_torn_end() -> None:
    segment = Segment([[b"aaaa"], [b"bbbb"], [b"cccc"]], base=0)
    data = bytearray(segment.data)
    data[segment.ends[1] - 1] ^= 1
    segment.data = bytes(data)
    assert scan(segment.read_at, new_index(0), size=len(data)).last == 0
    assert not is_torn(segment.read_at, offset=segment.ends[0], size=len(data))


def test_a_file_that_is_shorter_than_was_said_is_damaged() -> None:
    segment = Segment([[b"aaaa"]], base=0)
    with pytest.raises(Damage, match="it ends before byte"):
        read_batches(
            segment.read_at, new_index(0), size=len(segment.data) + 99, after=1, upto=2, limit=1
        )


def test_a_place_belongs_to_the_generation_of_the_entry_before_it() -> None:
    generations = Generations()
    for name, base in (("a", 0), ("a", 4), ("b", 5), ("empty", 9), ("c", 9)):
        generations.begin(name, base=base)
    named = [str(generations.position(place)) for place in (0, 1, 5, 6, 9, 10)]
    assert named == ["a:0", "a:1", "a:5", "b:6", "b:9", "c:10"]


@pytest.mark.parametrize(
    ("position", "place"),
    [
        ("a:0", 0),
        ("a:5", 5),
        ("a:6", None),
        ("b:4", None),
        ("b:5", 5),
        ("b:9", 9),
        ("b:10", None),
        ("c:8", None),
        ("c:9", 9),
        ("c:12", 12),
        ("c:13", None),
        ("d:9", None),
    ],
)
def test_a_position_is_found_within_its_generation_alone(position: str, place: int | None) -> None:
    generations = Generations()
    for name, base in (("a", 0), ("b", 5), ("c", 9)):
        generations.begin(name, base=base)
    assert generations.locate(Position.parse(position), head=12) == place


def link(base: int, *, follows: bool = True, is_empty: bool = False) -> Link:
    return Link(SegmentHeader("g", base, follows), is_empty)


@pytest.mark.parametrize(
    ("links", "quarantined", "start"),
    [
        ([], [], 0),
        ([link(0, follows=False), link(5), link(9)], [], 0),
        ([link(0), link(5, follows=False), link(9)], [], 1),
        ([link(0), link(5), link(9)], [7], 2),
        ([link(0), link(5), link(9)], [0], 0),
        ([link(0), link(5), link(9)], [5], 0),
        ([link(0), link(9)], [3, 5], 1),
        ([link(0), link(9)], [9], 0),
        ([link(0), link(9)], [12], 0),
        ([link(0, is_empty=True), link(0)], [], 0),
        ([link(0, is_empty=True), link(4)], [], 1),
        ([link(0), link(4, follows=False), link(9, follows=False)], [2], 2),
    ],
)
def test_a_chain_begins_after_the_last_known_gap(
    links: list[Link], quarantined: list[int], start: int
) -> None:
    assert chain_start(links, quarantined) == start


class Runs:
    """A holder of runs of known sizes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def drop(self, most: int, enough: int) -> tuple[int, int]:
        dropped = [self.sizes.pop(0)]
        while len(dropped) < most and sum(dropped) < enough:
            dropped.append(self.sizes.pop(0))
        return len(dropped), sum(dropped)


@given(st.integers(0, 50), st.data())
def test_a_budget_drops_what_was_held_first_and_no_more_than_it_has_to(
    limit: int, data: st.DataObject
) -> None:
    budget = RunBudget(limit=limit, drop=Runs.drop)
    logs = [Runs(), Runs(), Runs()]
    order: list[tuple[Runs, int]] = []
    for _ in range(data.draw(st.integers(0, 60))):
        log = data.draw(st.sampled_from(logs))
        if data.draw(st.integers(0, 4)) == 0:
            budget.release(log)
            log.sizes.clear()
            order = [held for held in order if held[0] is not log]
        sizes = data.draw(st.lists(st.integers(1, 20), max_size=4))
        log.sizes += sizes
        order += [(log, size) for size in sizes]
        budget.hold(log, len(sizes), sum(sizes))
        while sum(size for _, size in order) > limit:
            order.pop(0)
        assert budget.size == sum(size for _, size in order)
        for each in logs:
            assert each.sizes == [size for held, size in order if held is each]


def test_a_backlog_is_over_from_its_limit_until_half_of_it() -> None:
    backlog = Backlog(limit=10)
    backlog.add(10)
    assert (backlog.is_over, backlog.done(10)) == (False, False)
    backlog.add(11)
    states = [(backlog.is_over, backlog.done(size), backlog.is_over) for size in (5, 1, 3)]
    assert states == [(True, False, True), (True, True, False), (False, False, False)]
    assert backlog.size == 2
