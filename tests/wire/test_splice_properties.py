"""Whatever JSON a peer sends, what comes out differs only where it must.

The messages are spelled here member by member, so that it is known what stands where without
reading them again; what is written into them are marks that occur nowhere else, and can be undone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.errors import InvalidRequest, ParseFailed, RemoteProtocolError
from acprelay.wire import MessageKind, peek, rewrite

ID, SESSION, REQUEST_ID, STAMP = b'"@id@"', "@session@", b'"@request@"', b'"@stamp@"'
QUOTED_SESSION = b'"@session@"'

Members = list[tuple[str, bytes]]

SPACES = st.sampled_from([b""] * 5 + [b" ", b"\t", b"\r\n", b"  "])
STRINGS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(['","id":9,"', '}},"_meta":{"acprelay":1}', "\\", "\\\\ud83d", "\ud83d", "é"]),
)


def is_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


@st.composite
def spelled_strings(draw: st.DrawFn, text: str | None = None) -> bytes:
    """A JSON string, in whichever way its characters can be written."""
    chosen = draw(STRINGS) if text is None else text
    escaped = draw(st.sets(st.integers(0, max(0, len(chosen) - 1)), max_size=2))
    parts = []
    for at, character in enumerate(chosen):
        plain = json.dumps(character, ensure_ascii=is_surrogate(character))[1:-1]
        code = f"\\u{ord(character):04x}" if ord(character) < 0x10000 else plain
        parts.append(code if at in escaped else plain)
    return f'"{"".join(parts)}"'.encode()


def spelled_objects(members: st.SearchStrategy[Members]) -> st.SearchStrategy[bytes]:
    return members.flatmap(spelled_object)


@st.composite
def spelled_object(draw: st.DrawFn, members: Members) -> bytes:
    """A JSON object with these members in this order, in any spacing."""
    if draw(st.booleans()):
        return b"{%b}" % b",".join(
            json.dumps(name).encode() + b":" + value for name, value in members
        )
    spelled = [
        b"%b%b%b:%b%b%b"
        % (
            draw(SPACES),
            draw(spelled_strings(name)),
            draw(SPACES),
            draw(SPACES),
            value,
            draw(SPACES),
        )
        for name, value in members
    ]
    return b"{%b}" % (b",".join(spelled) if spelled else draw(SPACES))


SCALARS = st.one_of(
    spelled_strings(),
    st.integers().map(lambda number: str(number).encode()),
    st.sampled_from([b"null", b"true", b"false", b"1.0", b"-0", b"1e400", b"1" * 50, b"2.50E-3"]),
)
VALUES = st.recursive(
    st.one_of(SCALARS, st.sampled_from([b'{"a":1,"a":2}', b"[ ]", b"[" * 60 + b"]" * 60])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: b"[" + b" , ".join(items) + b"]"),
        spelled_objects(st.lists(st.tuples(STRINGS, inner), max_size=3)),
    ),
    max_leaves=5,
)

RESERVED = {"id", "method", "params", "result", "error", "sessionId", "requestId", "_meta"}
EXTRAS = st.dictionaries(
    STRINGS.filter(lambda name: name not in RESERVED | {"acprelay"}), VALUES, max_size=2
).map(lambda extras: list(extras.items()))


@dataclass
class Sample:
    """A message, and what is known of it."""

    raw: bytes
    top: Members
    body: Members
    meta: Members | None

    def value(self, members: Members, name: str) -> bytes | None:
        return dict(members).get(name)


def maybe(draw: st.DrawFn, name: str, values: st.SearchStrategy[bytes]) -> Members:
    return [(name, draw(values))] if draw(st.booleans()) else []


@st.composite
def calls(draw: st.DrawFn) -> Sample:
    meta: Members | None = None
    body = maybe(draw, "sessionId", spelled_strings()) + draw(EXTRAS)
    body += maybe(draw, "requestId", SCALARS)
    if draw(st.booleans()):
        meta = draw(st.permutations(maybe(draw, "acprelay", VALUES) + draw(EXTRAS)))
        body += [("_meta", draw(spelled_object(meta)))]
    body = draw(st.permutations(body))
    top: Members = [("method", draw(spelled_strings())), ("params", draw(spelled_object(body)))]
    top += maybe(draw, "id", st.one_of(spelled_strings(), st.sampled_from([b"1", b"1.0", b"null"])))
    top = draw(st.permutations(top + draw(EXTRAS)))
    return Sample(draw(SPACES) + draw(spelled_object(top)) + draw(SPACES), top, body, meta)


@st.composite
def answers(draw: st.DrawFn) -> Sample:
    meta: Members | None = None
    body = maybe(draw, "sessionId", spelled_strings()) + draw(EXTRAS)
    if draw(st.booleans()):
        meta = draw(st.permutations(maybe(draw, "acprelay", VALUES) + draw(EXTRAS)))
        body += [("_meta", draw(spelled_object(meta)))]
    body = draw(st.permutations(body))
    top: Members = [("result", draw(spelled_object(body))), ("id", draw(spelled_strings()))]
    top = draw(st.permutations(top + draw(EXTRAS)))
    return Sample(draw(SPACES) + draw(spelled_object(top)) + draw(SPACES), top, body, meta)


def loads(text: bytes) -> object:
    """Reads JSON strictly, with numbers as they are spelled and no name lost."""

    def refuse(constant: str) -> object:
        raise ValueError(constant)

    return json.loads(
        text.decode(),
        parse_int=lambda digits: ("int", digits),
        parse_float=lambda digits: ("float", digits),
        parse_constant=refuse,
        object_pairs_hook=lambda pairs: ("object", pairs),
    )


def is_json(text: bytes) -> bool:
    try:
        loads(text)
    except ValueError:
        return False
    return True


def is_cut(before: bytes, after: bytes) -> bool:
    """Whether one is the other without one piece."""
    size = len(before) - len(after)
    return any(before[:at] + before[at + size :] == after for at in range(len(after) + 1))


def without_stamp(message: object) -> object:
    """A message as `loads` gives it, without `params._meta.acprelay`."""

    def without(value: object, path: tuple[str, ...]) -> object:
        assert isinstance(value, tuple)
        kind, pairs = value
        if len(path) == 1:
            return kind, [(name, inner) for name, inner in pairs if name != path[0]]
        return kind, [
            (name, without(inner, path[1:]) if name == path[0] else inner) for name, inner in pairs
        ]

    return without(message, ("params", "_meta", "acprelay"))


@given(st.one_of(calls(), answers()))
def test_nothing_changes_where_nothing_is_replaced(sample: Sample) -> None:
    assert rewrite(peek(sample.raw)) == sample.raw


@given(calls())
def test_the_envelope_of_a_call_says_what_its_members_say(sample: Sample) -> None:
    envelope = peek(sample.raw)
    assert envelope.id == sample.value(sample.top, "id")
    assert envelope.kind is (
        MessageKind.NOTIFICATION if envelope.id is None else MessageKind.REQUEST
    )
    assert envelope.method == json.loads(dict(sample.top)["method"])
    session_id = sample.value(sample.body, "sessionId")
    assert envelope.session_id == (None if session_id is None else json.loads(session_id))
    assert envelope.request_id == sample.value(sample.body, "requestId")
    for name, value in sample.top:
        if not any(map(is_surrogate, name)):
            assert envelope.member(name) == value


@given(answers())
def test_the_envelope_of_an_answer_says_what_its_members_say(sample: Sample) -> None:
    envelope = peek(sample.raw)
    assert envelope.kind is MessageKind.RESPONSE
    assert envelope.id == dict(sample.top)["id"]
    session_id = sample.value(sample.body, "sessionId")
    assert envelope.session_id == (None if session_id is None else json.loads(session_id))


@pytest.mark.requirement("passing.unknown-members")
@given(calls())
def test_a_call_differs_only_in_what_was_replaced(sample: Sample) -> None:
    out = rewrite(peek(sample.raw), id=ID, session_id=SESSION, request_id=REQUEST_ID)
    assert is_json(out)
    for mark, members, name in (
        (ID, sample.top, "id"),
        (QUOTED_SESSION, sample.body, "sessionId"),
        (REQUEST_ID, sample.body, "requestId"),
    ):
        value = sample.value(members, name)
        assert out.count(mark) == (0 if value is None else 1)
        out = out.replace(mark, value or b"")
    assert out == sample.raw


@pytest.mark.requirement("passing.unknown-members")
@given(answers())
def test_an_answer_differs_only_in_what_was_replaced(sample: Sample) -> None:
    out = rewrite(
        peek(sample.raw), id=ID, session_id=SESSION, request_id=REQUEST_ID, strip_stamp=True
    )
    assert is_json(out)
    out = out.replace(ID, dict(sample.top)["id"])
    out = out.replace(QUOTED_SESSION, sample.value(sample.body, "sessionId") or b"")
    assert out == sample.raw


@pytest.mark.requirement(
    "meta.stamp-is-added", "meta.forged-stamp-is-replaced", "meta.other-meta-passes"
)
@given(st.one_of(calls(), answers()))
def test_a_stamp_can_be_undone_to_the_byte(sample: Sample) -> None:
    envelope = peek(sample.raw)
    out = rewrite(envelope, stamp=STAMP)
    assert is_json(out)
    assert out.count(STAMP) == 1
    assert peek(out).member(envelope.body_name, "_meta", "acprelay") == STAMP
    forged = sample.value(sample.meta or [], "acprelay")
    if forged is not None:
        assert out.replace(STAMP, forged) == sample.raw
        return
    added = b'"acprelay":' + STAMP
    if sample.meta is None:
        added = b'"_meta":{%b}' % added
    if sample.meta if sample.meta is not None else sample.body:
        added = b"," + added
    assert out.count(added) == 1
    assert out.replace(added, b"") == sample.raw


@pytest.mark.requirement("meta.clients-stamps-are-stripped")
@given(calls())
def test_stripping_takes_the_stamp_out_and_leaves_all_else(sample: Sample) -> None:
    out = rewrite(peek(sample.raw), strip_stamp=True)
    if sample.value(sample.meta or [], "acprelay") is None:
        assert out == sample.raw
    else:
        assert is_cut(sample.raw, out)
        assert loads(out) == without_stamp(loads(sample.raw))


@given(st.data())
def test_a_second_member_of_one_name_is_found_wherever_it_hides(data: st.DataObject) -> None:
    sample = data.draw(st.one_of(calls(), answers()))
    body_name = peek(sample.raw).body_name
    levels = {"top": sample.top, "body": sample.body, "meta": sample.meta or []}
    level = data.draw(st.sampled_from([name for name, members in levels.items() if members]))
    members = list(levels[level])
    name = data.draw(st.sampled_from([name for name, _ in members]))
    members.insert(data.draw(st.integers(0, len(members))), (name, data.draw(VALUES)))
    levels[level] = members
    if level == "meta":
        levels["body"] = replaced(sample.body, "_meta", data.draw(spelled_object(members)))
    if level != "top":
        levels["top"] = replaced(sample.top, body_name, data.draw(spelled_object(levels["body"])))
    with pytest.raises(InvalidRequest):
        peek(data.draw(spelled_object(levels["top"])))


def replaced(members: Members, name: str, value: bytes) -> Members:
    return [(key, value if key == name else old) for key, old in members]


@given(st.one_of(calls(), answers()), st.data())
def test_a_damaged_frame_parses_only_if_it_still_is_json(
    sample: Sample, data: st.DataObject
) -> None:
    frame = bytearray(sample.raw)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(frame)))
        frame[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.one_of(
                st.binary(max_size=2), st.sampled_from([b'"', b"\\", b",", b"}", b"\xed\xa0"])
            )
        )
    assert_parses_as_json_does(bytes(frame))


@given(st.text(alphabet='{}[]",:\\ udD83eE0n1-.', max_size=20).map(str.encode))
def test_any_bytes_parse_only_if_they_are_json(inner: bytes) -> None:
    assert_parses_as_json_does(b'{"method":"m","params":{"a":%b}}' % inner)
    assert_parses_as_json_does(b'{"method":"m","params":{"a":"%b"}}' % inner)
    assert_parses_as_json_does(inner)


def assert_parses_as_json_does(frame: bytes) -> None:
    try:
        envelope = peek(frame)
    except ParseFailed:
        assert not is_json(frame)
    except RemoteProtocolError:
        assert is_json(frame)
    else:
        assert is_json(frame)
        assert rewrite(envelope) == frame
