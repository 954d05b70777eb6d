"""The params of the relay's own requests."""

from __future__ import annotations

import pytest

from acprelay.errors import InvalidParams
from acprelay.routing.attach_params import AttachParams, read_attach, read_cancel_turn

MALFORMED = [
    None,
    b"null",
    b"[]",
    b"{}",
    b'{"sessionId":null}',
    b'{"sessionId":5}',
    b'{"sessionId":"s:main"',
    b'{"sessionId":"\xff"}',
    b'{"sessionId":"\\ud800"}',
]


def test_only_the_session_has_to_be_named() -> None:
    assert read_attach(b'{"sessionId":"s:main"}') == AttachParams("s:main")


def test_everything_can_be_said() -> None:
    read = read_attach(
        b'{"sessionId":"s:main","after":"g:7","attachment":"c/1","secret":"x","pending":[],"y":1}'
    )
    assert read == AttachParams("s:main", "g:7", "c/1", "x", [])


@pytest.mark.requirement("identity.ids-come-back-as-sent")
def test_pending_ids_are_taken_as_they_are_written() -> None:
    read = read_attach(b'{"sessionId":"s:main","pending":[ 1 , "1",1.0, "\\u0031" ,null]}')
    assert read.pending_ids == frozenset([b"1", b'"1"', b"1.0", b'"\\u0031"', b"null"])


@pytest.mark.parametrize(
    ("said", "ids"), [(b"", None), (b',"pending":null', None), (b',"pending":[]', frozenset())]
)
def test_who_does_not_say_what_is_pending_may_wait_for_anything(
    said: bytes, ids: frozenset[bytes] | None
) -> None:
    assert read_attach(b'{"sessionId":"s:main"%b}' % said).pending_ids == ids


@pytest.mark.parametrize("params", [*MALFORMED, b'{"sessionId":"s","after":1}'])
def test_malformed_params_of_attach_are_refused(params: bytes | None) -> None:
    with pytest.raises(InvalidParams, match="cannot read the params") as caught:
        read_attach(params)
    assert caught.value.hint == "_acprelay/attach needs params.sessionId, a string"


@pytest.mark.parametrize("depth", [500, 100_000])
def test_however_deeply_they_nest(depth: int) -> None:
    with pytest.raises(InvalidParams):
        read_attach(b'{"sessionId":' + b"[" * depth + b"]" * depth + b"}")


@pytest.mark.parametrize("half", [b'"attachment":"c/1"', b'"secret":"x"'])
def test_an_attachment_goes_with_its_secret(half: bytes) -> None:
    with pytest.raises(InvalidParams, match="without its id and its secret"):
        read_attach(b'{"sessionId":"s:main",%b}' % half)


def test_a_turn_is_cancelled_by_its_name() -> None:
    read = read_cancel_turn(b'{"sessionId":"s:main","turn":"g-1"}')
    assert (read.session_id, read.turn) == ("s:main", "g-1")


@pytest.mark.parametrize("params", [*MALFORMED, b'{"sessionId":"s"}', b'{"turn":"g-1"}'])
def test_malformed_params_of_a_cancellation_are_refused(params: bytes | None) -> None:
    with pytest.raises(InvalidParams) as caught:
        read_cancel_turn(params)
    assert caught.value.hint == (
        "_acprelay/cancel_turn needs params.sessionId and params.turn, strings"
    )
