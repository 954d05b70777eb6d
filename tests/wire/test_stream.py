from __future__ import annotations

import pytest
from tests.wire.streams import GENERATION, PUBLIC_ID, short_way

from acprelay.wire import UpdateStream, peek, rewrite, stamp, text_frame, walk

HEAD = b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"0","update":'
CHUNK = b'{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"%b"}}'


def update(text: bytes = b"hi") -> bytes:
    return HEAD + CHUNK % text + b"}}"


def long_way(line: bytes, seq: int) -> bytes:
    return text_frame(rewrite(peek(line), session_id=PUBLIC_ID, stamp=stamp(GENERATION, seq)))


def piece(more: bytes) -> bytes:
    """An update with `more` as the value of its last member."""
    return HEAD + b'{"sessionUpdate":"agent_thought_chunk","content":%b}}}' % more


def taught(*lines: bytes, out_of_turn: bool = False) -> UpdateStream:
    stream = UpdateStream(public_id=PUBLIC_ID, generation=GENERATION, out_of_turn=out_of_turn)
    for line in lines:
        stream.learn(peek(line))
    return stream


def test_an_update_comes_out_with_the_public_id_and_a_stamp() -> None:
    blob, count = short_way(taught(update()), [update(b"hello")], 0, 7)
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
    blob, count = short_way(taught(update()), lines, 0, first_seq)
    assert count == len(lines)
    assert blob == b"".join(map(long_way, lines, range(first_seq, first_seq + len(lines))))


def test_a_batch_begins_where_it_is_told_to() -> None:
    lines = [b"noise", update(b"a"), update(b"b")]
    assert short_way(taught(update()), lines, 1, 5) == (
        long_way(lines[1], 5) + long_way(lines[2], 6),
        2,
    )


def test_nothing_is_taken_past_the_end() -> None:
    assert short_way(taught(update()), [update()], 1, 5) == (b"", 0)


def test_a_line_that_no_newline_ends_is_left_to_the_long_way() -> None:
    lines = [update() + b"\n", update()]
    parts, count, _ = taught(update()).rewrite(lines, 0, 5)
    assert (b"".join(parts), count) == (long_way(update(), 5), 1)


def test_nothing_is_taken_before_something_was_learnt() -> None:
    assert short_way(taught(), [update()], 0, 1) == (b"", 0)


def test_a_batch_ends_before_the_first_line_of_another_shape() -> None:
    lines = [update(), update(), b'{"jsonrpc":"2.0","id":1,"result":{}}', update()]
    blob, count = short_way(taught(update()), lines, 0, 1)
    assert (blob, count) == (long_way(lines[0], 1) + long_way(lines[1], 2), 2)


def test_shapes_may_alternate() -> None:
    spaced = update().replace(b":", b": ").replace(b",", b", ")
    kind_last = HEAD + b'{"content":{},"sessionUpdate":"agent_message_chunk"}}}'
    last = (
        b'{"method":"session/update","params":{ "sessionId" : "0" , "update" : '
        b'{"a":[1,{}], "sessionUpdate" : "agent_thought_chunk" } } }\r'
    )
    lines = [update(b"a"), spaced, last, kind_last, piece(b"1"), last, spaced, kind_last]
    blob, count = short_way(taught(update(), spaced, last, kind_last, piece(b"2")), lines, 0, 1)
    assert count == len(lines)
    assert blob == b"".join(map(long_way, lines, range(1, 9)))


def test_what_comes_out_of_turn_is_marked() -> None:
    blob, _ = short_way(taught(update(), out_of_turn=True), [update()], 0, 7)
    mark = stamp(GENERATION, 7, out_of_turn=True)
    assert blob == text_frame(rewrite(peek(update()), session_id=PUBLIC_ID, stamp=mark))


def test_the_latest_shapes_are_kept() -> None:
    shapes = [update().replace(b'"2.0"', b'"2.0","n":%d' % number) for number in range(12)]
    stream = taught(*shapes)
    taken = [short_way(stream, [shape], 0, 1).count for shape in shapes]
    assert taken == [0] * 4 + [1] * 8


def test_a_shape_that_is_seen_again_is_the_latest() -> None:
    shapes = [update().replace(b'"2.0"', b'"2.0","n":%d' % number) for number in range(8)]
    stream = taught(*shapes, *[shapes[0]] * 9, b'{"n":9,' + update()[1:])
    taken = [short_way(stream, [shape], 0, 1).count for shape in shapes]
    assert taken == [1, 0, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    "line",
    [
        b'{"method":"session/update","params":{"update":U,"sessionId":"0"}}',
        b'{"method":"session/update","params":{"sessionId":"0"}}',
        b'{"method":"session/update","params":{"sessionId":"0","_meta":null,"update":U}}',
        b'{"method":"session/update","params":{"sessionId":"0","update":U,"_meta":{}}}',
        b'{"method":"session/update","params":{"sessionId":"0","update":{},"x":U}}',
        b'{"method":"session/update","params":{"update":U}}',
        b'{"method":"session/update","params":{"sessionId":null,"update":U}}',
        b'{"method":"session/update","params":{}}',
        b'{"method":"session/update"}',
        b'{"method":"session/update","params":{"sessionId":"0","update":U},"x":1}',
        b'{"params":{"sessionId":"0","update":U},"method":"session/update"}',
        b'{"id":1,"method":"session/update","params":{"sessionId":"0","update":U}}',
        b'{"method":"_x/update","params":{"sessionId":"0","update":U}}',
        b'{"id":1,"result":{"sessionId":"0","update":U}}',
        b'{"method":"session/update","params":{"sessionId":"0","x":"%b","update":U}}'
        % (b"x" * 5000),
    ],
)
def test_what_has_no_shape_to_remember_goes_the_long_way_again(line: bytes) -> None:
    line = line.replace(b"U", CHUNK % b"hi")
    assert short_way(taught(line), [line], 0, 1) == (b"", 0)


@pytest.mark.parametrize(
    "value",
    [
        b"null",
        b"[1,2]",
        b'"agent_message_chunk"',
        b"{}",
        b'{"sessionUpdate":null}',
        b'{"sessionUpdate":"user_message_chunk","content":{}}',
        b'{"sessionUpdate":["agent_message_chunk"],"content":{}}',
        b'{"x":{"sessionUpdate":"agent_message_chunk","content":{}}}',
        b'{"x":{"content":{},"sessionUpdate":"agent_message_chunk"}}',
        b'{"x":"{\\"sessionUpdate\\":\\"agent_message_chunk\\",\\"content\\":{}}"}',
        b'{"x":1,"y":",\\"sessionUpdate\\":\\"agent_message_chunk\\"}"}',
    ],
)
def test_what_has_no_kind_and_what_clients_say_is_left_to_the_long_way(value: bytes) -> None:
    line = HEAD + value + b"}}"
    kind_last = HEAD + b'{"content":{},"sessionUpdate":"agent_message_chunk"}}}'
    assert short_way(taught(update(), piece(b"1"), kind_last, line), [line], 0, 1) == (b"", 0)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("tool_call", b'{"sessionUpdate":"tool_call","toolCallId":"1"}'),
        ("tool_call_update", b'{"_meta":{},"toolCallId":"1","sessionUpdate":"tool_call_update"}'),
        ("plan", b'{"sessionUpdate":"plan","entries":[]}'),
        ("plan", b'{"entries":[],"sessionUpdate":"plan"}'),
        ("usage_update", b'{"used":1,"x":"%b","sessionUpdate":"usage_update"}' % (b"x" * 2000)),
        ("agent_message_chunks", b'{"sessionUpdate":"agent_message_chunks","content":{}}'),
    ],
)
def test_updates_of_other_kinds_are_handed_on(kind: str, value: bytes) -> None:
    line = HEAD + value + b"}}"
    parts, count, noted = taught(update()).rewrite([line + b"\n"], 0, 1)
    assert (b"".join(parts), count) == (long_way(line, 1), 1)
    assert noted == [(kind, value)]


@pytest.mark.parametrize(
    "value",
    [
        b'{"session\\u0055pdate":"agent_message_chunk","content":{}}',
        b'{"content":{},"sessionUpdate":"agent_message_chunk","messageId":"1"}',
    ],
)
def test_pieces_in_another_spelling_are_taken_and_not_handed_on(value: bytes) -> None:
    line = HEAD + value + b"}}"
    parts, count, noted = taught(update()).rewrite([line + b"\n"], 0, 1)
    assert (b"".join(parts), count, noted) == (long_way(line, 1), 1, [])


def test_a_mixed_batch_is_taken_up_to_what_a_client_has_said() -> None:
    plan = HEAD + b'{"sessionUpdate":"plan","entries":[]}}}'
    said = HEAD + b'{"sessionUpdate":"user_message_chunk","content":{}}}}'
    lines = [update(b"a"), plan, update(b"b"), said, update(b"c")]
    assert short_way(taught(update()), lines, 0, 7) == (
        b"".join(map(long_way, lines[:3], (7, 8, 9))),
        3,
    )


@pytest.mark.parametrize(
    "more",
    [
        b"",
        b" ",
        b"{",
        b"{},",
        b"1,2",
        b'{}},"sessionId":"1"',
        b'{}},"sessionId":{"a":"1"',
        b'{}},"_meta":{"acprelay":{"seq":9}',
        b'{}},"_meta":{"a":{"acprelay":{"seq":9}}',
        b'{}}},"id":7,"x":{"y":{"z":1',
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
def test_a_line_in_doubt_is_left_to_the_long_way(more: bytes) -> None:
    lines = [piece(b"1"), piece(b"2"), piece(more), piece(b"3")]
    blob, count = short_way(taught(piece(b"{}")), lines, 0, 1)
    assert (blob, count) == (long_way(lines[0], 1) + long_way(lines[1], 2), 2)


@pytest.mark.parametrize(
    "value",
    [
        CHUNK + b" ",
        b" " + CHUNK,
        CHUNK + b"}",
        CHUNK[:-1],
        CHUNK + b"," + CHUNK,
        CHUNK + b',"sessionId":"1"',
        CHUNK + b',"_meta":{"acprelay":{"seq":9}}',
        CHUNK + b'},"id":7,"x":{"y":1',
        b',"sessionUpdate":"agent_message_chunk"}',
        b'"sessionUpdate":"agent_message_chunk"}',
        b'1,"sessionUpdate":"agent_message_chunk"}',
        b'{"x":1},{"y":1,"sessionUpdate":"agent_message_chunk"}',
        b' {"x":1,"sessionUpdate":"agent_message_chunk"}',
        b'[{"x":1,"sessionUpdate":"agent_message_chunk"}',
    ],
)
def test_what_is_not_exactly_one_value_is_left_to_the_long_way(value: bytes) -> None:
    kind_last = HEAD + b'{"content":{},"sessionUpdate":"agent_message_chunk"}}}'
    assert short_way(taught(update(), kind_last), [HEAD + value + b"}}"], 0, 1) == (b"", 0)


@pytest.mark.parametrize(
    "rests",
    [
        [b"[1", b"2]}"],
        [b"[1", b"2}]}"],
        [b'"a', b'b"}'],
        [b"[1", b"2}]}", b"3},{}"],
        [b"1},{}", b"[1", b"2}]}"],
        [b'"\xc3', b'\xa9"}'],
        [b"1}],[{}"],
        [b"1}]", b"[{}"],
        [b"1}]]]]]]]],[[[[[[[[{}"],
    ],
)
def test_values_that_are_whole_only_together_are_left_to_the_long_way(rests: list[bytes]) -> None:
    lines = [piece(rest)[:-3] + b"}}" for rest in rests]
    assert short_way(taught(piece(b"1")), lines, 0, 1) == (b"", 0)


def test_values_that_end_alike_and_are_whole_only_together_are_left_to_the_long_way() -> None:
    end = b',"sessionUpdate":"agent_message_chunk"}'
    beginnings = [b'{"a":{"b":1', b'"c":2', b'{"d":4},{"e":5']
    lines = [HEAD + beginning + end + b"}}" for beginning in beginnings]
    assert short_way(taught(HEAD + b'{"a":1' + end + b"}}"), lines, 0, 1) == (b"", 0)


@pytest.mark.parametrize(
    "more",
    [
        b"null",
        b'{"a":1,"a":2}',
        b'{"sessionId":"1","_meta":{"acprelay":1},"id":3}',
        b'{},"sessionId":"1"',
        b'{},"sessionUpdate":"agent_thought_chunk"',
        '"é😀"'.encode(),
        b'"\\ud83d\\ude00"',
        b'{"a" : [ 1, 2 ] } ',
        b"[" + b"{}," * 150 + b"{}]",
        b"[" * 300 + b"]" * 300,
        b'"' + b"x" * 5000 + b'"',
    ],
)
def test_whatever_is_one_value_of_a_known_kind_is_taken(more: bytes) -> None:
    kind_last = HEAD + b'{"content":%b,"sessionUpdate":"agent_message_chunk"}}}'
    stream = taught(piece(b"1"), kind_last % b"1")
    for line in (piece(more), kind_last % more):
        assert short_way(stream, [line], 0, 1) == (long_way(line, 1), 1)


def test_an_update_of_another_session_is_left_to_the_long_way() -> None:
    other = update().replace(b'"sessionId":"0"', b'"sessionId":"1"')
    assert short_way(taught(update()), [other], 0, 1) == (b"", 0)


def test_deep_nesting_is_taken_only_where_the_long_way_takes_it() -> None:
    stream = taught(piece(b"1"))
    taken = []
    for depth in range(50, 1200):
        line = piece(b"[" * depth + b"]" * depth)
        taken.append(short_way(stream, [line], 0, 1).count)
        if taken[-1]:
            long_way(line, 1)
    assert taken[0] == 1
