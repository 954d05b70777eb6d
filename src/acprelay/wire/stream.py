"""The short way for what an agent says: lines shaped like one that was read already.

Of a `session/update` that took the long way (`peek`, `rewrite`, `text_frame`) the bytes before and
after the last value of its `params` are remembered. A line with the same bytes around exactly one
JSON value is the same message with another value in that place: nothing in it can be a second id,
session id or `_meta` on a level that the relay reads. So it gets the same treatment without being
read, and comes out as the very bytes that the long way gives. Whatever is in doubt is left to the
long way.

What the value itself says is nobody's business on this way. So it is only for pieces of messages
and of thoughts, of which the relay reads nothing more; they are told by the bytes that the value
begins or ends with.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from acprelay.wire.envelope import Envelope, MessageKind
from acprelay.wire.messages import json_string, stamp_around_seq
from acprelay.wire.websocket import text_header

_MAX_TEMPLATES = 8
_MAX_TEMPLATE_SIZE = 4096
# A run is copied a few times: about this many bytes of it stay in a processor's cache.
_RUN_SIZE = 64 * 1024
_MAX_RUN = 256

# How deep a value may nest depends on the caller's stack. A few levels more around it make the
# short way give up before the long way does, which may be called from deeper inside.
_Nested = list[list[list[list[list[list[list[list[msgspec.Raw]]]]]]]]

_decode_nested = msgspec.json.Decoder(_Nested).decode

# The kind of a piece: an object's first member, or, as the Python SDK writes it, its last. Where
# the whole is known to be one JSON value, these bytes at its beginning or end are nothing else.
_KIND = rb"""
    [ \t\n\r]* "sessionUpdate" [ \t\n\r]* : [ \t\n\r]*
    "agent_(?:message|thought)_chunk" [ \t\n\r]*
"""
_OPENING = re.compile(rb"\{" + _KIND + b",", re.VERBOSE)
_CLOSING = re.compile(b"," + _KIND + rb"\}", re.VERBOSE)


class Rewritten(NamedTuple):
    """Ready WebSocket frames.

    Attributes:
        blob: The frames, one after another.
        count: How many there are.
    """

    blob: bytes
    count: int  # type: ignore[assignment]  # hides tuple's method, which a pair does not need


class _Template(NamedTuple):
    """What stands around the one value that differs, in the line and in the client's frame.

    Attributes:
        prefix: What a line of this shape begins with; may reach into the value.
        suffix: What it ends with; likewise.
        begin: Where the value begins.
        end: Where it ends, counted back from the end of the line.
        new_prefix: What the client's frame has before the value.
        before_seq: What it has between the value and the number.
        after_seq: What it has after the number.
    """

    prefix: bytes
    suffix: bytes
    begin: int
    end: int
    new_prefix: bytes
    before_seq: bytes
    after_seq: bytes


class UpdateStream:
    """Rewrites an agent's pieces of messages and thoughts in batches.

    Args:
        public_id: The session's id as clients know it.
        generation: The generation of the session's public log, for the stamps.
        out_of_turn: What the stamps say about turns.
    """

    def __init__(self, *, public_id: str, generation: str, out_of_turn: bool = False) -> None:
        self._public_id = json_string(public_id)
        self._stamp = stamp_around_seq(generation, out_of_turn=out_of_turn)
        self._templates: list[_Template] = []

    def learn(self, envelope: Envelope) -> None:
        """Remembers the shape of a message, if it is such a piece; the latest few are kept.

        Args:
            envelope: A message that names the session by the agent's own id for it. An update under
                another id (a sub-agent's) must not be given: its stamp differs.
        """
        template = self._template(envelope)
        if template is not None:
            others = [known for known in self._templates if known != template]
            self._templates = [template, *others[: _MAX_TEMPLATES - 1]]

    def rewrite(self, lines: Sequence[bytes], start: int, first_seq: int) -> Rewritten:
        """Takes as many lines as have a known shape, up to the first that has none.

        Args:
            lines: Lines as `LineSplitter` gives them.
            start: Which one comes first.
            first_seq: Its number in the public log; the following ones count up from it.

        Returns:
            The frames for clients, each with the public session id and a stamp; none where the
            first line has to go the long way.
        """
        blobs: list[bytes] = []
        count = 0
        while start + count < len(lines):
            blob, taken = self._rewrite_run(lines, start + count, first_seq + count)
            if not taken:
                break
            blobs.append(blob)
            count += taken
        return Rewritten(b"".join(blobs), count)

    def _rewrite_run(self, lines: Sequence[bytes], start: int, seq: int) -> Rewritten:
        template = self._match(lines[start])
        if template is None:
            return Rewritten(b"", 0)
        # A run ends where the seq gets another digit, so that all stamps in it have one length.
        fitting = 1 + _RUN_SIZE // len(lines[start])
        limit = min(_MAX_RUN, fitting, 10 ** len(str(seq)) - seq)
        values = _values(template, lines[start : start + limit])
        values = values[: _count_whole(values)]
        return Rewritten(_frames(template, values, seq), len(values))

    def _match(self, line: bytes) -> _Template | None:
        for template in self._templates:
            if line.startswith(template.prefix) and line.endswith(template.suffix):
                return template
        return None

    def _template(self, envelope: Envelope) -> _Template | None:
        raw, top, body = envelope.raw, envelope.top, envelope.body
        if envelope.kind is not MessageKind.NOTIFICATION or envelope.method != "session/update":
            return None
        if envelope.session_id is None or "_meta" in body:
            return None
        if next(reversed(top)) != "params" or next(reversed(body)) != "update":
            return None
        id_start, id_stop = body["sessionId"]
        start, stop = body["update"]
        closing = top["params"][1] - 1
        prefix, suffix = _marks(raw, start, stop)
        if not prefix or len(prefix) + len(suffix) > _MAX_TEMPLATE_SIZE:
            return None
        before, after = self._stamp
        return _Template(
            prefix=prefix,
            suffix=suffix,
            begin=start,
            end=stop - len(raw),
            new_prefix=raw[:id_start] + self._public_id + raw[id_stop:start],
            before_seq=raw[stop:closing] + b',"_meta":{"acprelay":' + before,
            after_seq=after + b"}" + raw[closing:],
        )


def _marks(raw: bytes, start: int, stop: int) -> tuple[bytes, bytes]:
    """Gives what every line like this one begins and ends with, if the value is a piece."""
    opening = _OPENING.match(raw, start, stop)
    if opening is not None:
        return raw[: opening.end()], raw[stop:]
    last_member = max(start, raw.rfind(b",", start, stop))
    if _CLOSING.fullmatch(raw, last_member, stop):
        return raw[:start], raw[last_member:]
    return b"", b""


def _values(template: _Template, lines: Sequence[bytes]) -> list[bytes]:
    """Cuts the template off, up to the first line that does not have it."""
    prefix, suffix, begin, end, *_ = template
    values = []
    for line in lines:
        if not (line.startswith(prefix) and line.endswith(suffix)):
            break
        values.append(line[begin:end])
    return values


def _count_whole(values: list[bytes]) -> int:
    """Tells how many of the first are exactly one JSON value each, with no space around it."""
    if _are_whole(values):
        return len(values)
    return next((n for n, value in enumerate(values) if not _are_whole([value])), len(values))


def _are_whole(values: list[bytes]) -> bool:
    """Checks all at once, as the elements of one array.

    Equal number and equal lengths, one by one, leave no room for an element that begins in one
    value and ends in another, nor for white space, nor for a bracket that closes the array.
    """
    text = b"[[[[[[[[%b]]]]]]]]" % b",".join(values)
    try:
        [[[[[[[elements]]]]]]] = _decode_nested(text)
        if not text.isascii():  # msgspec does not check what it does not decode
            text.decode()
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return list(map(len, elements)) == list(map(len, values))


def _frames(template: _Template, values: list[bytes], seq: int) -> bytes:
    """Builds the frames of a run whose seqs have equally many digits."""
    *_, prefix, before_seq, after_seq = template
    count = len(values)
    fixed = len(prefix) + len(before_seq) + len(str(seq)) + len(after_seq)
    parts = [after_seq] * (6 * count)
    parts[0::6] = [text_header(fixed + len(value)) for value in values]
    parts[1::6] = [prefix] * count
    parts[2::6] = values
    parts[3::6] = [before_seq] * count
    parts[4::6] = [b"%d" % number for number in range(seq, seq + count)]
    return b"".join(parts)
