"""The shapes of an agent's updates: what stands around what differs from one to the next.

This module knows where the parts of an update stand; when a shape is used is not its business.
"""

from __future__ import annotations

import re
from operator import itemgetter
from typing import NamedTuple

from acprelay.wire.envelope import Envelope, MessageKind

MAX_TEMPLATE_SIZE = 4096
"""The most bytes around what differs."""

_NOTIFICATION = MessageKind.NOTIFICATION

# The kind of a piece: an object's first member, or, as the Python SDK writes it, its last. Where
# the whole is known to be one JSON value, these bytes at its beginning or end are nothing else.
_KIND = rb"""
    [ \t\n\r]* "sessionUpdate" [ \t\n\r]* : [ \t\n\r]*
    "agent_(?:message|thought)_chunk" [ \t\n\r]*
"""
_OPENING = re.compile(rb"\{" + _KIND + b",", re.VERBOSE)
_CLOSING = re.compile(b"," + _KIND + rb"\}", re.VERBOSE)


class Template(NamedTuple):
    """What stands around what differs, in the line and in the client's frame.

    Attributes:
        prefix: What a line of this shape begins with; may reach into the value.
        suffix: What it ends with, with its newline; likewise.
        rest: Cuts out of a line what differs: the rest of the value.
        opening: What stands for what `prefix` has of the value, when the value is checked.
        closing: What stands for what `suffix` has of it.
        around: How much longer a line is than what is checked of it.
        new_prefix: What the client's frame has before the rest.
        before_seq: What it has between the rest and the number.
        after_seq: What it has after the number.
    """

    prefix: bytes
    suffix: bytes
    rest: itemgetter[slice]
    opening: bytes
    closing: bytes
    around: int
    new_prefix: bytes
    before_seq: bytes
    after_seq: bytes

    def is_like(self, other: Template) -> bool:
        """Whether two shapes are the same: all that a template has follows from both ends."""
        return (self.prefix, self.suffix) == (other.prefix, other.suffix)


def make_template(
    envelope: Envelope, start: int, stop: int, *, public_id: bytes, stamp: tuple[bytes, bytes]
) -> Template:
    """Makes a template of a message.

    Args:
        envelope: The message.
        start: Where what differs begins: its update, or in it.
        stop: Where that ends.
        public_id: Raw JSON of the session's id as clients know it.
        stamp: What stands before and after the number in a stamp.
    """
    raw, body = envelope.raw, envelope.body
    id_start, id_stop = body["sessionId"]
    value_start, value_stop = body["update"]
    params_end = envelope.top["params"][1] - 1
    before, after = stamp
    # The shortest that has the same place in a value: as good to tell whether it is whole.
    opening = b'{"":0,' if value_start < start else b""
    closing = b',"":0}' if stop < value_stop else b""
    return Template(
        prefix=raw[:start],
        suffix=raw[stop:] + b"\n",
        rest=itemgetter(slice(start, stop - len(raw) - 1)),
        opening=opening,
        closing=closing,
        around=start + len(raw) - stop + 1 - len(opening) - len(closing),
        new_prefix=raw[:id_start] + public_id + raw[id_stop:start],
        before_seq=raw[stop:params_end] + b',"_meta":{"acprelay":' + before,
        after_seq=after + b"}" + raw[params_end:],
    )


def has_a_shape(envelope: Envelope) -> bool:
    """Whether a message is an update that ends with its value, and has no stamp already."""
    top, body = envelope.top, envelope.body
    if envelope.kind is not _NOTIFICATION or envelope.method != "session/update":
        return False
    if envelope.session_id is None or "_meta" in body:
        return False
    if next(reversed(top)) != "params" or next(reversed(body)) != "update":
        return False
    start, stop = body["update"]
    return start + len(envelope.raw) - stop <= MAX_TEMPLATE_SIZE


def find_piece(raw: bytes, start: int, stop: int) -> tuple[int, int] | None:
    """Finds what differs among lines like this one, if the value is a piece."""
    opening = _OPENING.match(raw, start, stop)
    if opening is not None:
        return opening.end(), stop
    last_member = max(start, raw.rfind(b",", start, stop))
    return (start, last_member) if _CLOSING.fullmatch(raw, last_member, stop) else None
