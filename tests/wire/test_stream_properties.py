"""The short way gives what the long way gives, or nothing.

A line that the short way takes must be one that the long way takes too, as an update of the same
session, and come out as the same bytes, whatever an agent writes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from tests.wire.streams import GENERATION, PUBLIC_ID, short_way

from acprelay.wire import (
    Envelope,
    MessageKind,
    UpdateStream,
    peek,
    rewrite,
    stamp,
    text_frame,
    update_kind,
)

AGENT_ID = "agent-1"


@dataclass(frozen=True)
class Shape:
    """What stands before and after what differs: the rest of a piece, without its kind."""

    before: bytes
    after: bytes

    def line(self, rest: bytes) -> bytes:
        return self.before + rest + self.after


SPACE = st.sampled_from([b"", b"", b"", b" ", b"\t ", b"\r"])
METHOD = [b'"method":"session/update"', b'"meth\\u006fd" : "session\\/update"']
EXTRAS = [
    b'"jsonrpc":"2.0"',
    b'"x":{"sessionId":"other","id":1}',
    b'"\xc3\xa9":"\xf0\x9f\x98\x80"',
    b'"lone":"\\ud83d"',
]
SESSION = [b'"sessionId":"agent-1"', b'"session\\u0049d" : "agent\\u002d1"']
PARAMS = [b'"y":[1,2,{"_meta":{}}]', b'"z":"\\ude00}}"']


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Around an update: members in some order and spacing, `params` and its last member last."""
    top = draw(st.lists(st.sampled_from(EXTRAS), unique=True))
    top = draw(st.permutations([draw(st.sampled_from(METHOD)), *top]))
    body = draw(st.lists(st.sampled_from(PARAMS), unique=True))
    body = draw(st.permutations([draw(st.sampled_from(SESSION)), *body]))
    key = draw(st.sampled_from([b'"update"', b'"upd\\u0061te"']))
    gap = draw(SPACE)
    before = b"{" + gap + b"".join(member + gap + b"," for member in top) + b'"params":' + gap
    before += b"{" + b"".join(member + b"," + gap for member in body) + key + gap + b":" + gap
    after = draw(SPACE) + b"}" + draw(SPACE) + b"}" + draw(SPACE)
    kind = draw(st.sampled_from([b"agent_message_chunk", b"agent_thought_chunk"]))
    member = draw(SPACE) + b'"sessionUpdate"' + draw(SPACE) + b":" + draw(SPACE) + b'"%b"' % kind
    member += draw(SPACE)
    if draw(st.booleans()):
        return Shape(before + b"{" + member + b",", draw(SPACE) + b"}" + after)
    return Shape(before + b"{", b"," + member + b"}" + after)


RESTS = [
    b'"content":{"type":"text","text":"hi"}',
    b' "sessionUpdate" : "plan" , "entries" : [ ] ',
    b'"a":1,"a":2',
    b'"":"\xc3\xa9"',
    b'"b":null',
    b'"c" : -1.5e3',
]
# Pieces that end one value and begin another, that hide members, and that cut characters.
PIECES = st.one_of(
    st.sampled_from(RESTS),
    st.sampled_from(
        [
            *(bytes([byte]) for byte in b'{}[]",:\\ \t\r1-\xc3\xa9\xed'),
            b"",
            b'"a"',
            b'"\\ud83d"',
            b'"\\ud83d\\ude00"',
            b',"sessionId":"other"',
            b',"_meta":{"acprelay":{"seq":9}}',
            b'}},"id":1,"x":{"y":{',
            b'}},"method":"session/cancel","x":{"y":{',
            b'},"sessionId":"other","x":{',
            b"}}",
            b"},{",
            b'"x":',
            b"[" * 250 + b"]" * 250,
            b"NaN",
        ]
    ),
)
ANY_RESTS = st.one_of(
    st.sampled_from(RESTS), st.lists(PIECES, min_size=1, max_size=5).map(b"".join)
)
TINY = st.text(alphabet='[]{},:"1a\\ ', max_size=6).map(str.encode)


KINDS = ("agent_message_chunk", "agent_thought_chunk")


def is_marked(envelope: Envelope) -> bool:
    """Whether an update begins or ends with the kind of a piece, whatever else it may say."""
    update = json.loads(envelope.member("params", "update") or b"", object_pairs_hook=list)
    ends = (update[0], update[-1]) if isinstance(update, list) and update else ()
    return any(end[0] == "sessionUpdate" and end[1] in KINDS for end in ends)


def is_in_order(some: Sequence[object], whole: Sequence[object]) -> bool:
    """Whether some are what is left of the whole where others are left out."""
    rest = iter(whole)
    return all(each in rest for each in some)


def to_note(line: bytes) -> list[tuple[str | None, bytes | None]]:
    envelope = peek(line)
    kind = update_kind(envelope)
    return [] if kind in KINDS else [(kind, envelope.member("params", "update"))]


def long_way(line: bytes, seq: int) -> bytes:
    """Raises what `peek` raises; checks that it would be a piece of the agent's own session."""
    envelope = peek(line)
    assert is_marked(envelope) or update_kind(envelope) not in (None, "user_message_chunk")
    assert envelope.kind is MessageKind.NOTIFICATION
    assert envelope.method == "session/update"
    assert envelope.session_id == AGENT_ID
    return text_frame(rewrite(envelope, session_id=PUBLIC_ID, stamp=stamp(GENERATION, seq)))


def assert_agrees(stream: UpdateStream, lines: list[bytes], first_seq: int) -> None:
    """From every line on, what is taken is what the long way gives."""
    start = 0
    while start < len(lines):
        parts, count, noted = stream.rewrite(
            [line + b"\n" for line in lines], start, first_seq + start
        )
        blob = b"".join(parts)
        taken = range(start, start + count)
        # Of two kinds in one update that begins or ends with a piece's, either may count.
        notes = [note for n in taken for note in to_note(lines[n])]
        assert is_in_order(noted, notes)
        sure = [note for n in taken if not is_marked(peek(lines[n])) for note in to_note(lines[n])]
        assert is_in_order(sure, noted)
        assert blob == b"".join(long_way(lines[n], first_seq + n) for n in taken)
        start += count or 1


@given(
    known=st.lists(shapes(), min_size=1, max_size=3),
    drawn=st.lists(st.tuples(st.integers(0, 2), ANY_RESTS), max_size=12),
    first_seq=st.integers(0, 1200),
)
def test_whatever_an_agent_writes_both_ways_agree(
    known: list[Shape], drawn: list[tuple[int, bytes]], first_seq: int
) -> None:
    stream = UpdateStream(public_id=PUBLIC_ID, generation=GENERATION)
    for shape in known:
        stream.learn(peek(shape.line(RESTS[0])))
    lines = [known[which % len(known)].line(rest) for which, rest in drawn]
    assert_agrees(stream, lines, first_seq)


HEAD = b'{"method":"session/update","params":{"sessionId":"agent-1","update":{'
KIND = b'"sessionUpdate":"agent_message_chunk"'


@given(
    shape=st.sampled_from(
        [Shape(HEAD + KIND + b',"x":', b"}}"), Shape(HEAD + b'"x":', b"," + KIND + b"}}}")]
    ),
    rests=st.lists(TINY, min_size=1, max_size=6),
)
def test_values_made_of_brackets_and_commas_do_not_confuse_each_other(
    shape: Shape, rests: list[bytes]
) -> None:
    stream = UpdateStream(public_id=PUBLIC_ID, generation=GENERATION)
    stream.learn(peek(HEAD + KIND + b',"x":1}}}'))
    stream.learn(peek(HEAD + b'"x":1,' + KIND + b"}}}"))
    assert_agrees(stream, [shape.line(rest) for rest in rests], 1)


@given(shape=shapes(), rests=st.lists(st.sampled_from(RESTS), max_size=20), seq=st.integers(0))
def test_clean_updates_of_a_known_shape_are_all_taken(
    shape: Shape, rests: list[bytes], seq: int
) -> None:
    stream = UpdateStream(public_id=PUBLIC_ID, generation=GENERATION)
    stream.learn(peek(shape.line(RESTS[0])))
    lines = [shape.line(rest) for rest in rests]
    blob, count = short_way(stream, lines, 0, seq)
    assert count == len(lines)
    assert blob == b"".join(long_way(line, seq + n) for n, line in enumerate(lines))


@given(shape=shapes(), data=st.data())
def test_a_damaged_line_is_taken_only_if_the_long_way_takes_it(
    shape: Shape, data: st.DataObject
) -> None:
    stream = UpdateStream(public_id=PUBLIC_ID, generation=GENERATION)
    stream.learn(peek(shape.line(RESTS[0])))
    lines = []
    for _ in range(data.draw(st.integers(1, 4))):
        line = shape.line(data.draw(st.sampled_from(RESTS)))
        at = data.draw(st.integers(0, len(line)))
        end = at + data.draw(st.integers(0, 3))
        lines.append(line[:at] + data.draw(PIECES) + line[end:])
    assert_agrees(stream, lines, 1)
