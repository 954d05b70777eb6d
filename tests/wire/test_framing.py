from __future__ import annotations

import time
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.wire import LineSplitter, OversizedFrame, bare, to_line
from acprelay.wire.framing import EDGE_SIZE

MIB = 1024 * 1024
Item = bytes | tuple[int, bytes, bytes]


def splitter(max_frame: int = MIB) -> LineSplitter:
    return LineSplitter(max_frame=max_frame)


def in_order(lines: list[bytes], oversized: list[OversizedFrame]) -> list[Item]:
    """What one feed gave: lines, and (size, head, tail) where a line was skipped."""
    items: list[Item] = []
    done = 0
    for skipped in oversized:
        items += map(bare, lines[done : skipped.index])
        items.append((skipped.size, skipped.head, skipped.tail))
        done = skipped.index
    items += map(bare, lines[done:])
    return items


def expected(stream: bytes, max_frame: int) -> list[Item]:
    items: list[Item] = []
    for line in stream.split(b"\n"):
        if len(line) > max_frame:
            items.append((len(line), line[:EDGE_SIZE], line[-EDGE_SIZE:]))
        elif line.strip():
            items.append(line)
    return items


def chunked(stream: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(bounds)]


def run(chunks: list[bytes], max_frame: int) -> list[Item]:
    subject = splitter(max_frame)
    items: list[Item] = []
    for chunk in chunks:
        items += in_order(subject.feed(chunk), subject.take_oversized())
    return items + in_order(subject.finish(), subject.take_oversized())


def test_many_lines_in_one_chunk_come_out_in_order() -> None:
    assert splitter().feed(b"a\nbb\nccc\n") == [b"a\n", b"bb\n", b"ccc\n"]


def test_a_line_over_several_chunks_comes_out_once_whole() -> None:
    subject = splitter()
    assert [subject.feed(chunk) for chunk in (b"a", b"", b"bc", b"d\ne", b"\n")] == [
        [],
        [],
        [],
        [b"abcd\n"],
        [b"e\n"],
    ]


def test_blank_lines_are_left_out() -> None:
    assert splitter().feed(b"\n\r\n \t\na\n\n") == [b"a\n"]


def test_a_carriage_return_before_the_newline_stays() -> None:
    assert splitter().feed(b"{}\r\n") == [b"{}\r\n"]
    assert bare(b"{}\r\n") == b"{}\r"


def test_the_last_line_needs_no_newline_at_the_end_of_the_stream() -> None:
    subject = splitter()
    assert subject.feed(b"a\nb") == [b"a\n"]
    assert subject.finish() == [b"b"]
    assert subject.finish() == []


def test_a_stream_that_ends_in_white_space_has_no_last_line() -> None:
    subject = splitter()
    subject.feed(b"a\n \r")
    assert subject.finish() == []


@pytest.mark.parametrize(
    "sizes",
    [(40_000, 40_000), (5, 40_000, 7), (40_000, 5, 40_000), (5, 7, 40_000, 40_000, 5)],
    ids=str,
)
def test_a_line_in_pieces_small_and_large_comes_out_whole(sizes: tuple[int, ...]) -> None:
    pieces = [bytes([ord("a") + number]) * size for number, size in enumerate(sizes)]
    subject = splitter()
    for piece in pieces:
        assert subject.feed(piece) == []
    line = b"".join([*pieces, b"z\n"])
    assert subject.pending == sum(sizes)
    assert subject.feed(b"z\n\nnext\nbegun") == [line, b"next\n"]
    assert subject.pending == len(b"begun")


def test_what_is_skipped_behind_a_long_line_says_that_the_line_came_before_it() -> None:
    subject = splitter(max_frame=100_000)
    assert subject.feed(b"a" * 50_000) == []
    assert subject.feed(b"b\n" + b"c" * 100_001 + b"\nd\n") == [b"a" * 50_000 + b"b\n", b"d\n"]
    assert [(skipped.size, skipped.index) for skipped in subject.take_oversized()] == [(100_001, 1)]


def test_pending_counts_the_bytes_of_the_unfinished_line() -> None:
    subject = splitter()
    subject.feed(b"done\nun")
    subject.feed(b"finished")
    assert subject.pending == len(b"unfinished")
    subject.feed(b"\n")
    assert subject.pending == 0


def test_a_line_of_exactly_the_limit_passes() -> None:
    subject = splitter(4)
    assert subject.feed(b"aaaa\nbbbb") == [b"aaaa\n"]
    assert subject.feed(b"\n") == [b"bbbb\n"]
    assert subject.take_oversized() == []


def test_a_line_over_the_limit_is_reported_and_the_stream_goes_on() -> None:
    subject = splitter(4)
    assert subject.feed(b"a\nb\n12345\nc\n") == [b"a\n", b"b\n", b"c\n"]
    assert subject.take_oversized() == [OversizedFrame(5, b"12345", b"12345", index=2)]


def test_an_oversized_line_that_began_earlier_stands_before_the_lines_of_its_last_chunk() -> None:
    subject = splitter(4)
    assert subject.feed(b"a\n123") == [b"a\n"]
    assert subject.feed(b"45\nb\n") == [b"b\n"]
    assert subject.take_oversized() == [OversizedFrame(5, b"12345", b"12345", index=0)]


def test_oversized_lines_are_given_once() -> None:
    subject = splitter(1)
    subject.feed(b"12\n")
    assert len(subject.take_oversized()) == 1
    assert subject.take_oversized() == []


def test_an_oversized_last_line_is_reported_at_the_end_of_the_stream() -> None:
    subject = splitter(4)
    subject.feed(b"123456")
    assert subject.finish() == []
    assert [skipped.size for skipped in subject.take_oversized()] == [6]


def test_both_ends_of_an_oversized_line_are_kept() -> None:
    line = bytes(range(97, 123)) * 1000
    subject = splitter(10_000)
    for at in range(0, len(line), 700):
        subject.feed(line[at : at + 700])
    subject.feed(b"\n")
    (skipped,) = subject.take_oversized()
    assert (skipped.size, skipped.head, skipped.tail) == (
        len(line),
        line[:EDGE_SIZE],
        line[-EDGE_SIZE:],
    )


def test_an_oversized_frame_does_not_print_its_contents() -> None:
    assert "secret" not in repr(OversizedFrame(9, b"secret", b"secret", index=0))


@given(
    pieces=st.lists(
        st.one_of(
            st.just(b"\n"),
            st.binary(max_size=12).map(lambda piece: piece.replace(b"\n", b"")),
            st.sampled_from([b"\r", b" ", b"x" * 21, b"y" * (EDGE_SIZE + 5)]),
        ),
        max_size=30,
    ),
    cuts=st.lists(st.integers(min_value=0, max_value=20_000), max_size=12),
    max_frame=st.sampled_from([1, 7, 20, EDGE_SIZE, MIB]),
)
def test_the_lines_do_not_depend_on_how_the_stream_is_cut(
    pieces: list[bytes], cuts: list[int], max_frame: int
) -> None:
    stream = b"".join(pieces)
    assert run(chunked(stream, cuts), max_frame) == expected(stream, max_frame)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_chunks_of_any_small_size_give_the_same_lines(size: int) -> None:
    stream = b'{"a":1}\n\n{"b":"' + b"x" * 40 + b'"}\r\n{"c":3}\ntail'
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert run(chunks, 30) == expected(stream, 30)


def test_memory_stays_bounded_while_an_oversized_line_passes() -> None:
    subject = splitter(256 * 1024)
    chunk = b"x" * 65_536
    tracemalloc.start()
    try:
        for _ in range(400):  # 25 MiB
            subject.feed(chunk)
            assert subject.pending <= 256 * 1024
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MIB


def test_memory_stays_bounded_when_a_line_comes_byte_by_byte() -> None:
    subject = splitter()
    tracemalloc.start()
    try:
        for _ in range(100_000):
            subject.feed(b"xy")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert subject.pending == 200_000
    assert peak < 2 * subject.pending


def test_the_time_for_one_long_line_grows_with_its_length_and_not_with_its_square() -> None:
    chunk = b"x" * 4096

    def cost(chunks: int) -> float:
        """CPU seconds, the best of three: of this process alone, whatever else runs."""
        times = []
        for _ in range(3):
            subject = splitter(64 * MIB)
            begun = time.process_time()
            for _ in range(chunks):
                subject.feed(chunk)
            assert len(bare(subject.feed(b"\n")[0])) == chunks * len(chunk)
            times.append(time.process_time() - begun)
        return min(times)

    # 8 times the length: 8 where it is linear, 64 where every chunk copies what came before. The
    # shorter line, too, is longer than what an allocator hands out again without fresh pages.
    assert cost(8 * 1024) < 32 * cost(1024)


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (b"{}", b"{}\n"),
        (b'{\n "a":\r\n 1\n}\n', b'{  "a":   1 } \n'),
        (b'{"a":"\\n\\r"}', b'{"a":"\\n\\r"}\n'),
    ],
)
def test_a_frame_becomes_one_line(frame: bytes, line: bytes) -> None:
    assert to_line(frame) == line
