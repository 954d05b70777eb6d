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
from itertools import takewhile
from operator import itemgetter
from typing import NamedTuple, TypeAlias

import msgspec

from acprelay.wire.envelope import Envelope, MessageKind
from acprelay.wire.messages import json_string, stamp_around_seq
from acprelay.wire.websocket import text_header

Buffer: TypeAlias = bytes | memoryview
"""What `bytes.join` takes."""

_MAX_TEMPLATES = 8
_MAX_TEMPLATE_SIZE = 4096
# A run is copied a few times: about this many bytes of it stay in a processor's cache.
_RUN_SIZE = 64 * 1024
_MAX_RUN = 256
# Lines up to so many bytes are cheaper to copy than to call something for each.
_MAX_JOINED = 1024
_LAST_DIGITS = 3
_ENDINGS = [b"%03d" % number for number in range(10**_LAST_DIGITS)]

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
        parts: What the frames are when it is joined, which is left to whoever joins more with it.
        count: How many there are.
    """

    parts: list[Buffer]
    count: int  # type: ignore[assignment]  # hides tuple's method, which a pair does not need


class _Template(NamedTuple):
    """What stands around what differs, in the line and in the client's frame.

    Attributes:
        prefix: What a line of this shape begins with; reaches into the value.
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

    def is_like(self, other: _Template) -> bool:
        """Whether two shapes are the same: all that a template has follows from both ends."""
        return (self.prefix, self.suffix) == (other.prefix, other.suffix)

    def fits(self, line: bytes) -> bool:
        """Whether a line has this shape."""
        return line.startswith(self.prefix) and line.endswith(self.suffix)


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
            others = [known for known in self._templates if not known.is_like(template)]
            self._templates = [template, *others[: _MAX_TEMPLATES - 1]]

    def rewrite(self, lines: Sequence[bytes], start: int, first_seq: int) -> Rewritten:
        """Takes as many lines as have a known shape, up to the first that has none.

        Args:
            lines: Lines as `LineSplitter` gives them; one without a newline has no known shape.
            start: Which one comes first.
            first_seq: Its number in the public log; the following ones count up from it.

        Returns:
            The frames for clients, each with the public session id and a stamp; none where the
            first line has to go the long way.
        """
        if len(lines) - start == 1:
            return self._rewrite_one(lines[start], first_seq)
        parts: list[Buffer] = []
        count = 0
        while start + count < len(lines):
            more, taken = self._rewrite_run(lines, start + count, first_seq + count)
            if not taken:
                break
            parts += more
            count += taken
        return Rewritten(parts, count)

    def _rewrite_one(self, line: bytes, seq: int) -> Rewritten:
        """Does for a line that comes alone, as they do from slow agents, what is done for a run."""
        template = self._match(line)
        if template is None:
            return Rewritten([], 0)
        rest = template.rest(line)
        if not _is_whole(template, rest, len(line)):
            return Rewritten([], 0)
        parts: list[Buffer] = [b"", template.new_prefix, rest, template.before_seq, b"%d" % seq]
        parts.append(template.after_seq)
        parts[0] = text_header(sum(map(len, parts)))
        return Rewritten(parts, 1)

    def _rewrite_run(self, lines: Sequence[bytes], start: int, seq: int) -> Rewritten:
        template = self._match(lines[start])
        if template is None:
            return Rewritten([], 0)
        limit = min(_MAX_RUN, 1 + _RUN_SIZE // len(lines[start]), _count_alike(seq))
        run = _take_whole(_cut(template, lines[start : start + limit]))
        return Rewritten(_frames(run, seq) if run.rests else [], len(run.rests))

    def _match(self, line: bytes) -> _Template | None:
        for template in self._templates:
            if template.fits(line):
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
        params_end = top["params"][1] - 1
        prefix, suffix = _marks(raw, start, stop)
        if not prefix or len(prefix) + len(suffix) > _MAX_TEMPLATE_SIZE:
            return None
        before, after = self._stamp
        # The shortest that has the same place in a value: as good to tell whether it is whole.
        opening = b'{"":0,' if start < len(prefix) else b""
        closing_at = len(raw) - len(suffix)
        closing = b',"":0}' if closing_at < stop else b""
        return _Template(
            prefix=prefix,
            suffix=suffix + b"\n",
            rest=itemgetter(slice(len(prefix), closing_at - len(raw) - 1)),
            opening=opening,
            closing=closing,
            around=len(prefix) + len(suffix) + 1 - len(opening) - len(closing),
            new_prefix=raw[:id_start] + self._public_id + raw[id_stop : len(prefix)],
            before_seq=raw[closing_at:params_end] + b',"_meta":{"acprelay":' + before,
            after_seq=after + b"}" + raw[params_end:],
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


class _Run(NamedTuple):
    """Lines of one shape.

    Attributes:
        template: The shape.
        rests: What differs, of each line.
        sizes: How many bytes each line has.
    """

    template: _Template
    rests: list[Buffer]
    sizes: list[int]


def _cut(template: _Template, lines: Sequence[bytes]) -> _Run:
    """Cuts the template off, up to the first line that does not have it."""
    prefix, suffix = template.prefix, template.suffix
    if len(lines[0]) > _MAX_JOINED:
        lines = list(takewhile(template.fits, lines))
        views: list[Buffer] = [template.rest(memoryview(line)) for line in lines]
        return _Run(template, views, list(map(len, lines)))
    rests = list(map(template.rest, lines))
    # Equal in all means equal one by one: no line has more bytes than its parts, so none less.
    if _between(prefix, suffix + prefix, suffix, rests) != b"".join(lines):
        lines = list(takewhile(template.fits, lines))
        rests = list(map(template.rest, lines))
    return _Run(template, rests, list(map(len, lines)))


def _take_whole(run: _Run) -> _Run:
    """Gives the first lines whose values are exactly one JSON value each, with no space around."""
    template, rests, sizes = run
    if _are_whole(run):
        return run
    each = (_Run(template, [rest], [size]) for rest, size in zip(rests, sizes, strict=True))
    count = sum(1 for _ in takewhile(_are_whole, each))
    return _Run(template, rests[:count], sizes[:count])


def _are_whole(run: _Run) -> bool:
    """Checks all values at once, as the elements of one array.

    Equal number and equal lengths, one by one, leave no room for an element that begins in one
    value and ends in another, nor for white space, nor for a bracket that closes the array.
    """
    template, rests, sizes = run
    opening, closing = template.opening, template.closing
    text = _between(b"[[[[[[[[" + opening, closing + b"," + opening, closing + b"]]]]]]]]", rests)
    try:
        [[[[[[[elements]]]]]]] = _decode_nested(text)
        if not text.isascii():  # msgspec does not check what it does not decode
            text.decode()
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return list(map(template.around.__add__, map(len, elements))) == sizes


def _is_whole(template: _Template, rest: bytes, size: int) -> bool:
    """Does as `_are_whole`, for one value."""
    text = b"".join((b"[[[[[[[[", template.opening, rest, template.closing, b"]]]]]]]]"))
    try:
        [[[[[[[elements]]]]]]] = _decode_nested(text)
        if not text.isascii():
            text.decode()
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return len(elements) == 1 and template.around + len(elements[0]) == size


def _between(begin: bytes, joint: bytes, end: bytes, parts: list[Buffer]) -> bytes:
    """Joins parts, with something before and after; what comes of it is copied only once."""
    if len(parts) == 1:
        return b"".join([begin, *parts, end])
    first, *others, last = parts
    return joint.join([b"".join([begin, first]), *others, b"".join([last, end])])


def _count_alike(seq: int) -> int:
    """Tells how many numbers from this one on differ in nothing but their last digits."""
    return int(10 ** min(_LAST_DIGITS, len(str(seq)))) - seq % len(_ENDINGS)


def _digits(seq: int, count: int) -> tuple[bytes, list[bytes]]:
    """Writes numbers that are alike: what they share, and the last digits of each."""
    leading, first = divmod(seq, len(_ENDINGS))
    if not leading:
        return b"", [b"%d" % number for number in range(seq, seq + count)]
    return b"%d" % leading, _ENDINGS[first : first + count]


def _frames(run: _Run, seq: int) -> list[Buffer]:
    """Gives the parts of the frames of a run whose seqs are alike."""
    template, rests, sizes = run
    prefix, suffix, *_, new_prefix, before_seq, after_seq = template
    leading, endings = _digits(seq, len(rests))
    fixed = len(new_prefix) + len(before_seq) + len(str(seq)) + len(after_seq)
    longer = fixed - len(prefix) - len(suffix)
    # What stands between two rests, as far as it hangs on nothing but the second one's length.
    joints = {size: after_seq + text_header(size + longer) + new_prefix for size in set(sizes)}
    parts: list[Buffer] = [before_seq + leading] * (4 * len(rests))
    parts[0::4] = map(joints.__getitem__, sizes)
    parts[1::4] = rests
    parts[3::4] = endings
    parts[0] = joints[sizes[0]][len(after_seq) :]
    parts.append(after_seq)
    return parts
