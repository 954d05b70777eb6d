from __future__ import annotations

import json
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.errors import ParseFailed
from acprelay.wire import Envelope, peek, update_kind
from acprelay.wire.updates import kind_of, kinds_of

HEAD = b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"0","update":'


def kind(update: bytes) -> str | None:
    return update_kind(peek(HEAD + update + b"}}"))


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        (b'{"sessionUpdate":"plan","entries":[]}', "plan"),
        (b'{"entries":[{"sessionUpdate":"x"}],"sessionUpdate":"plan"}', "plan"),
        (b'{ "session\\u0055pdate" : "pl\\u0061n" }', "plan"),
        (b'{"sessionUpdate":"plan","title":"\\ud83d"}', "plan"),
        (b'{"sessionUpdate":"_vendor/x"}', "_vendor/x"),
        (b'{"sessionUpdate":"a","sessionUpdate":"b"}', "b"),
        (b'{"sessionUpdate":null}', None),
        (b'{"sessionUpdate":7}', None),
        (b'{"sessionUpdate":["plan"]}', None),
        (b"{}", None),
        (b"null", None),
        (b"[]", None),
        (b'"plan"', None),
    ],
)
def test_the_kind_of_an_update_is_what_it_says(update: bytes, expected: str | None) -> None:
    assert kind(update) == expected


@pytest.mark.parametrize(
    "frame",
    [
        b'{"method":"session/update"}',
        b'{"method":"session/update","params":null}',
        b'{"method":"session/update","params":[{"update":{"sessionUpdate":"plan"}}]}',
        b'{"method":"session/update","params":{"sessionUpdate":"plan"}}',
        b'{"method":"_x/update","params":{"update":{"sessionUpdate":"plan"}}}',
        b'{"id":1,"result":{"update":{"sessionUpdate":"plan"}}}',
    ],
)
def test_what_is_no_update_has_no_kind(frame: bytes) -> None:
    assert update_kind(peek(frame)) is None


def deepest() -> Envelope:
    """An update that nests about as deeply as `peek` allows."""
    found = peek(HEAD + b"{}}}")
    for depth in (int(50 * 1.02**step) for step in count()):
        update = b'{"x":' + b"[" * depth + b"]" * depth + b',"sessionUpdate":"plan"}'
        try:
            found = peek(HEAD + update + b"}}")
        except ParseFailed:
            break
    return found


def from_deeper_inside(levels: int, envelope: Envelope) -> str | None:
    return from_deeper_inside(levels - 1, envelope) if levels else update_kind(envelope)


def test_what_nests_too_deeply_has_no_kind() -> None:
    envelope = deepest()
    assert update_kind(envelope) == "plan"
    assert from_deeper_inside(100, envelope) in ("plan", None)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["sessionUpdate", "content", "é"]), JSON) | JSON)
def test_reading_the_kind_never_fails(update: object) -> None:
    text = json.dumps(update).replace("NaN", "null").replace("Infinity", "1")
    expected = update.get("sessionUpdate") if isinstance(update, dict) else None
    assert kind(text.encode()) == (expected if isinstance(expected, str) else None)


@given(
    st.lists(
        st.sampled_from(
            [
                b'{"sessionUpdate":"plan"}',
                b'{"a":[{}],"sessionUpdate":"agent_message_chunk"}',
                b'{"sessionUpdate":"a","sessionUpdate":"b"}',
                b"{}",
                b'{"sessionUpdate":7}',
                b'{"sessionUpdate":"\\ud83d"}',
                b"[]",
                b"1",
            ]
        ),
        max_size=4,
    )
)
def test_the_kinds_of_many_updates_are_those_that_each_has(updates: list[bytes]) -> None:
    assert kinds_of(updates) == [kind_of(update) for update in updates]
