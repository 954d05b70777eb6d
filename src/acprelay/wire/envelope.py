"""What the relay reads of a frame: enough to route it, and where replaceable values stand.

It reads the top level, `params` or `result`, and the `_meta` of that; strictly, so that no second
id, session id, outcome or stamp can hide there from the relay and show to a peer. Everything deeper
is the peers' business. This module knows JSON-RPC's shapes and the names of a few members, and no
method.
"""

from __future__ import annotations

import json
import re
from enum import Enum, auto

import msgspec

from acprelay.errors import InvalidRequest
from acprelay.wire.objects import (
    Members,
    Span,
    Values,
    after_key,
    open_nested,
    open_object,
    place,
    read_members,
)

OBJECT, ARRAY, NULL = b"{[n"
"""The first byte of such a value."""

_SPACE, _COMMA, _CLOSE = b" ,}"

_SCALAR_BEGINNINGS = frozenset(b'"-0123456789n')
_NONE: Members = {}
_HINT = "send a JSON-RPC 2.0 message: a method, or an id with either a result or an error"

# The beginning of a call as nearly all are spelt: members in the order of the protocol's examples,
# one space between them or none, and text that stands for itself.
_USUAL = re.compile(
    rb"""\{"jsonrpc":\ ?("2\.0"),\ ?
    (?:"id":\ ?("[ !#-\[\]-~]*"|-?(?:0|[1-9][0-9]*)),\ ?)?
    "method":\ ?("[ !#-\[\]-~]*"),\ ?
    "params":\ ?(\{)"sessionId":\ ?("[ !#-\[\]-~]*")(?:,|(?=\}))""",
    re.VERBOSE,
)

# Likewise the beginning of an answer with a result.
_USUAL_ANSWER = re.compile(
    rb"""\{"jsonrpc":\ ?("2\.0"),\ ?
    "id":\ ?("[ !#-\[\]-~]*"|-?(?:0|[1-9][0-9]*)),\ ?
    "result":\ ?(?=\{)""",
    re.VERBOSE,
)

_decode_string = msgspec.json.Decoder(str).decode


class MessageKind(Enum):
    """JSON-RPC's three kinds of message."""

    REQUEST = auto()
    NOTIFICATION = auto()
    RESPONSE = auto()


_REQUEST, _NOTIFICATION, _RESPONSE = MessageKind  # a class is slower to ask for its members


class Envelope(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What `peek` read of a frame.

    Attributes:
        raw: The frame.
        kind: Which kind of message it is.
        id: The raw JSON of its id, as sent: `1`, `"1"` and `1.0` differ. None for a notification.
        method: None for a response.
        session_id: `params.sessionId`, or a response's `result.sessionId`; None where there is
            none.
        request_id: The raw JSON of `params.requestId`.
        is_error: Whether it is a response with an error.
        top: Where the values of its members stand in `raw`.
        body: Where those of `params` do, or of a response's `result`; none where it is no object.
        meta: Where those of `_meta` in the body do.
    """

    raw: bytes
    kind: MessageKind
    id: bytes | None
    method: str | None
    session_id: str | None
    request_id: bytes | None
    is_error: bool
    top: Members
    body: Members
    meta: Members

    @property
    def body_name(self) -> str:
        """Which member the body is."""
        return "result" if self.kind is _RESPONSE else "params"

    def member(self, name: str, *path: str) -> bytes | None:
        """Gives the raw JSON of a value: `member("params", "cwd")`.

        Returns:
            None where there is no such member, or something on the way is no object.

        Raises:
            InvalidRequest: A name occurs twice in an object on the way.
        """
        if path and name == self.body_name:
            value = _find(self.raw, self.body, path[0])  # read already
            path = path[1:]
        else:
            value = _find(self.raw, self.top, name)
        for key in path:
            if value is None or value[0] != OBJECT:
                return None
            value = _find(value, read_members(value), key)
        return value

    def __repr__(self) -> str:
        """Leaves the frame out: it can have megabytes."""
        return f"<Envelope {self.kind.name} {self.method} id={self.id!r} of {len(self.raw)} bytes>"


def peek(frame: bytes) -> Envelope:
    """Reads the envelope of a frame.

    Lenient where nothing can hide: `jsonrpc` may be missing, `params` and `sessionId` may be null.

    Raises:
        ParseFailed: The frame is not JSON in UTF-8, or nests too deeply.
        InvalidRequest: It is JSON, but no single JSON-RPC message, or a name occurs twice on a
            level that is read.
    """
    return _peek_usual(frame) or _peek_usual_answer(frame) or _peek_any(frame)


def _peek_any(frame: bytes) -> Envelope:
    text, values = open_object(frame)
    top = place(text, (0, len(text)), values)
    message_id = None
    if "id" in top:
        message_id = _cut(frame, top["id"])
        if message_id[0] not in _SCALAR_BEGINNINGS:
            raise _wrong_type("id", "a string, a number or null")
    if "method" in top:
        return _peek_call(frame, text, top, values, message_id)
    return _peek_response(frame, text, top, values, message_id)


def _peek_usual(frame: bytes) -> Envelope | None:
    """Reads a call that is spelt as nearly all are; gives None in any doubt.

    Its beginning is compared as text. What follows the session's id is one JSON object, once a
    brace stands before it and that of the top level is taken off; so the whole is one, too.
    """
    head = _USUAL.match(frame)
    if head is None or frame[-1] != _CLOSE:
        return None
    at = head.end()
    try:
        values = open_nested(b"{" + frame[at:-1])
        if not frame.isascii():
            frame.decode()
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    if "sessionId" in values:
        return None
    _, jsonrpc, id_, method, params, session_id = head.regs
    end = len(frame) - 1
    body: Members = {"sessionId": session_id}
    # As `place` does: the values' lengths tell where they stand, if they add up.
    start = at
    for name, value in values.items():
        begin = at + len(name) + 3
        at = begin + len(value)
        body[name] = begin, at
        at += 1
    if at != end and not _place_spaced(frame, (start, end), values, body):
        return None
    if id_[0] < 0:
        kind, message_id = _NOTIFICATION, None
        top = {"jsonrpc": jsonrpc, "method": method, "params": (params[0], end)}
    else:
        kind, message_id = _REQUEST, frame[id_[0] : id_[1]]
        top = {"jsonrpc": jsonrpc, "id": id_, "method": method, "params": (params[0], end)}
    meta = _NONE
    if "_meta" in values:
        start, at = body["_meta"]
        if frame[start] == OBJECT:
            meta = place(frame, (start, at), open_nested(values["_meta"]))
    return Envelope(
        frame,
        kind,
        message_id,
        frame[method[0] + 1 : method[1] - 1].decode(),
        frame[session_id[0] + 1 : session_id[1] - 1].decode(),
        bytes(values["requestId"]) if "requestId" in values else None,
        False,
        top,
        body,
        meta,
    )


def _peek_usual_answer(frame: bytes) -> Envelope | None:
    """Does as `_peek_usual`, for an answer whose result is an object and its last member.

    Raises:
        InvalidRequest: A name occurs twice in the result.
    """
    head = _USUAL_ANSWER.match(frame)
    if head is None or not frame.endswith(b"}}"):
        return None
    start, end = head.end(), len(frame) - 1
    try:
        values = open_nested(frame[start:end])
        if not frame.isascii():
            frame.decode()
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    _, jsonrpc, id_ = head.regs
    body = place(frame, (start, end), values)
    session_id = _string(frame, body["sessionId"]) if "sessionId" in body else None
    top = {"jsonrpc": jsonrpc, "id": id_, "result": (start, end)}
    message_id, meta = frame[id_[0] : id_[1]], _meta(frame, body, values)
    return Envelope(frame, _RESPONSE, message_id, None, session_id, None, False, top, body, meta)


def _place_spaced(frame: bytes, span: Span, values: Values, body: Members) -> bool:
    """Finds where members stand that have spaces before and after their keys.

    Args:
        frame: The frame.
        span: Where they begin, and where the object ends.
        values: What they are.
        body: Takes their places.

    Returns:
        Whether they were found without a doubt.
    """
    at, end = span
    if not values:
        return at == end - 1 and frame[at - 1] != _COMMA
    if len(values) == 1:
        ((name, value),) = values.items()
        begin = end - 1 - len(value)
        # No room is left for anything but the two spaces: no escape in the key, no second member.
        if begin - at == len(name) + 5 and frame[at] == frame[begin - 1] == _SPACE:
            body[name] = begin, end - 1
            return True
    for name, value in values.items():
        begin = after_key(frame, at, name)
        if not frame.startswith(value, begin):
            return False
        at = begin + len(value)
        body[name] = begin, at
        at += 1
    return at == end


def _peek_call(
    frame: bytes, text: bytes, top: Members, values: Values, message_id: bytes | None
) -> Envelope:
    if "result" in top or "error" in top:
        raise InvalidRequest("cannot take a message that both asks and answers", hint=_HINT)
    method = _string(frame, top["method"])
    if method is None:
        raise _wrong_type("method", "a string")
    kind = _NOTIFICATION if message_id is None else _REQUEST
    body = meta = _NONE
    session_id = request_id = None
    span = top.get("params")
    if span is not None and text[span[0]] == OBJECT:
        nested = open_nested(values["params"])
        body = place(text, span, nested)
        if "sessionId" in body:
            session_id = _session_id(frame, body["sessionId"])
        if "requestId" in body:
            request_id = _cut(frame, body["requestId"])
        meta = _meta(text, body, nested)
    elif span is not None and text[span[0]] not in (ARRAY, NULL):
        raise _wrong_type("params", "an object or an array")
    return Envelope(frame, kind, message_id, method, session_id, request_id, False, top, body, meta)


def _peek_response(
    frame: bytes, text: bytes, top: Members, values: Values, message_id: bytes | None
) -> Envelope:
    if message_id is None:
        raise InvalidRequest("cannot take a message with neither a method nor an id", hint=_HINT)
    is_error = "error" in top
    if is_error == ("result" in top):
        raise InvalidRequest("cannot take an answer without one result or one error", hint=_HINT)
    body = meta = _NONE
    session_id = None
    if not is_error and text[top["result"][0]] == OBJECT:
        nested = open_nested(values["result"])
        body = place(text, top["result"], nested)
        if "sessionId" in body:
            session_id = _string(frame, body["sessionId"])
        meta = _meta(text, body, nested)
    return Envelope(frame, _RESPONSE, message_id, None, session_id, None, is_error, top, body, meta)


def _meta(text: bytes, body: Members, values: Values) -> Members:
    if "_meta" in body and text[body["_meta"][0]] == OBJECT:
        return place(text, body["_meta"], open_nested(values["_meta"]))
    return _NONE


def _session_id(frame: bytes, span: Span) -> str | None:
    session_id = _string(frame, span)
    if session_id is None and frame[span[0]] != NULL:
        raise _wrong_type("params.sessionId", "a string")
    return session_id


def _string(frame: bytes, span: Span) -> str | None:
    value = frame[span[0] : span[1]]
    try:
        return _decode_string(value)
    except msgspec.ValidationError:
        return None
    except msgspec.DecodeError:  # escapes of lone surrogates
        return str(json.loads(value))


def _find(text: bytes, members: Members, name: str) -> bytes | None:
    span = members.get(name)
    return None if span is None else _cut(text, span)


def _cut(text: bytes, span: Span) -> bytes:
    return text[span[0] : span[1]]


def _wrong_type(what: str, expected: str) -> InvalidRequest:
    return InvalidRequest(f"cannot take a message whose {what} is not {expected}", hint=_HINT)
