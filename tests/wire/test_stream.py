from __future__ import annotations

import pytest

from acprelay.wire import UpdateStream, peek, rewrite, stamp, text_frame, walk

GENERATION = "g1"
PUBLIC_ID = "group:main"
HEAD = b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"0","update":'
CHUNK = b'{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"%b"}}'


def update(text: bytes = b"hi") -> bytes:
    return HEAD + CHUNK % text + b"}}"


def long_way(line: bytes, seq: int) -> bytes:
    return text_frame(rewrite(peek(line), session_id=PUBLIC_ID, stamp=stamp(GENERATION, seq)))


def taught(*lines: bytes) -> UpdateStream:
    stream = UpdateStream(public_id=PUBLIC_ID, generation=GENERATION)
    for line in lines:
        stream.learn(peek(line))
    return stream


def test_an_update_comes_out_with_the_public_id_and_a_stamp() -> None:
    blob, count = taught(update()).rewrite([update(b"hello")], 0, 7)
    ((_, payload, end),) = walk(blob)
    assert count == 1
    assert blob[payload:end] == (
        b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"group:main","update":'
        b'{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"hello"}},'
        b'"_meta":{"acprelay":{"generation":"g1","seq":7}}}}'
    )


@pytest.mark.parametrize("first_seq", [0, 1, 8, 95, 999_999_990])
def test_a_batch_comes_out_as_the_long_way_gives_it(first_seq: int) -> None:
    lines = [update(b"%d" % number * (number % 7)) for number in range(600)]
    lines += [update(b"x" * size) for size in (0, 100, 65_300, 65_400, 70_000)]
    blob, count = taught(update()).rewrite(lines, 0, first_seq)
    assert count == len(lines)
    assert blob == b"".join(map(long_way, lines, range(first_seq, first_seq + len(lines))))


def test_a_batch_begins_where_it_is_told_to() -> None:
    lines = [b"noise", update(b"a"), update(b"b")]
    assert taught(update()).rewrite(lines, 1, 5) == (
        long_way(lines[1], 5) + long_way(lines[2], 6),
        2,
    )


def test_nothing_is_taken_past_the_end() -> None:
    assert taught(update()).rewrite([update()], 1, 5) == (b"", 0)


def test_nothing_is_taken_before_something_was_learnt() -> None:
    assert taught().rewrite([update()], 0, 1) == (b"", 0)


def test_a_batch_ends_before_the_first_line_of_another_shape() -> None:
    lines = [update(), update(), b'{"jsonrpc":"2.0","id":1,"result":{}}', update()]
    blob, count = taught(update()).rewrite(lines, 0, 1)
    assert (blob, count) == (long_way(lines[0], 1) + long_way(lines[1], 2), 2)


def test_shapes_may_alternate() -> None:
    spaced = update().replace(b":", b": ").replace(b",", b", ")
    swapped = b'{"params":{"sessionId":"0","update":{}},"jsonrpc":"2.0","method":"session/update"}'
    last = b'{"method":"session/update","params":{ "sessionId" : "0" , "update" : 1 } }\r'
    lines = [update(b"a"), spaced, last, update(b"b"), last, spaced]
    blob, count = taught(update(), spaced, last).rewrite(lines, 0, 1)
    assert count == len(lines)
    assert blob == b"".join(map(long_way, lines, range(1, 7)))
    assert taught(swapped).rewrite([swapped], 0, 1).count == 0


def test_the_latest_shapes_are_kept() -> None:
    shapes = [update().replace(b'"2.0"', b'"2.0","n":%d' % number) for number in range(12)]
    stream = taught(*shapes)
    taken = [stream.rewrite([shape], 0, 1).count for shape in shapes]
    assert taken == [0] * 4 + [1] * 8


def test_a_shape_that_is_seen_again_is_the_latest() -> None:
    shapes = [update().replace(b'"2.0"', b'"2.0","n":%d' % number) for number in range(8)]
    stream = taught(*shapes, shapes[0], b'{"n":9,' + update()[1:])
    taken = [stream.rewrite([shape], 0, 1).count for shape in shapes]
    assert taken == [1, 0, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    "line",
    [
        b'{"method":"session/update","params":{"update":{},"sessionId":"0"}}',
        b'{"method":"session/update","params":{"sessionId":"0"}}',
        b'{"method":"session/update","params":{"sessionId":"0","_meta":null,"update":{}}}',
        b'{"method":"session/update","params":{"sessionId":"0","update":{},"_meta":{}}}',
        b'{"method":"session/update","params":{"update":{}}}',
        b'{"method":"session/update","params":{"sessionId":null,"update":{}}}',
        b'{"method":"session/update","params":{}}',
        b'{"method":"session/update"}',
        b'{"method":"session/update","params":{"sessionId":"0","update":{}},"x":1}',
        b'{"id":1,"method":"session/update","params":{"sessionId":"0","update":{}}}',
        b'{"method":"_x/update","params":{"sessionId":"0","update":{}}}',
        b'{"id":1,"result":{"sessionId":"0","update":{}}}',
        b'{"method":"session/update","params":{"sessionId":"0","x":"%b","update":{}}}'
        % (b"x" * 5000),
    ],
)
def test_what_has_no_shape_to_remember_goes_the_long_way_again(line: bytes) -> None:
    assert taught(line).rewrite([line], 0, 1) == (b"", 0)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b"{",
        b"{}}",
        b"{} ",
        b" {}",
        b"{},",
        b"1,2",
        b'{},"sessionId":"1"',
        b'{},"_meta":{"acprelay":{"seq":9}}',
        b'{}},"id":7,"x":{"y":1',
        b"01",
        b"nul",
        b'"a" "b"',
        b'"\xff"',
        b'"\xc3',
        b'"\xed\xa0\x80"',
        b'"\\ud83d"',
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_a_line_in_doubt_is_left_to_the_long_way(value: bytes) -> None:
    lines = [update(), update(), HEAD + value + b"}}", update()]
    blob, count = taught(update()).rewrite(lines, 0, 1)
    assert (blob, count) == (long_way(lines[0], 1) + long_way(lines[1], 2), 2)


@pytest.mark.parametrize(
    "values",
    [
        [b"[1", b"2]"],
        [b"1,2", b"[3", b"4]"],
        [b'"a', b'b"'],
        [b'{"a":1', b'"b":2}'],
        [b"", b"1,2"],
        [b"1,2", b""],
        [b'"\xc3', b'\xa9"'],
        [b"1,22", b"[3", b"4],5"],
        [b"1],[2"],
        [b"1]", b"[2"],
        [b"1]]]]]]]],[[[[[[[[2"],
    ],
)
def test_values_that_are_whole_only_together_are_left_to_the_long_way(
    values: list[bytes],
) -> None:
    lines = [HEAD + value + b"}}" for value in values]
    assert taught(update()).rewrite(lines, 0, 1) == (b"", 0)


@pytest.mark.parametrize(
    "value",
    [
        b"null",
        b'{"a":1,"a":2}',
        b'{"sessionId":"1","_meta":{"acprelay":1},"id":3}',
        '"é😀"'.encode(),
        b'"\\ud83d\\ude00"',
        b'{"a" : [ 1, 2 ] }',
        b"[" + b"{}," * 150 + b"{}]",
        b"[" * 300 + b"]" * 300,
        b'"' + b"x" * 5000 + b'"',
    ],
)
def test_whatever_is_one_value_is_taken(value: bytes) -> None:
    lines = [HEAD + value + b"}}"]
    assert taught(update()).rewrite(lines, 0, 1) == (long_way(lines[0], 1), 1)


def test_a_line_that_is_shorter_than_its_shape_is_left_to_the_long_way() -> None:
    line = b'{"method":"session/update","params":{"sessionId":"}}","update":{}}}'
    short = b'{"method":"session/update","params":{"sessionId":"}}'
    assert taught(line).rewrite([short, HEAD[:-1] + b"}}"], 0, 1) == (b"", 0)


def test_an_update_of_another_session_is_left_to_the_long_way() -> None:
    other = update().replace(b'"sessionId":"0"', b'"sessionId":"1"')
    assert taught(update()).rewrite([other], 0, 1) == (b"", 0)


def test_deep_nesting_is_taken_only_where_the_long_way_takes_it() -> None:
    stream = taught(update())
    taken = []
    for depth in range(50, 1200):
        line = HEAD + b"[" * depth + b"]" * depth + b"}}"
        taken.append(stream.rewrite([line], 0, 1).count)
        if taken[-1]:
            long_way(line, 1)
    assert taken[0] == 1
