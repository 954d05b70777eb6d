"""The short way for what an agent says: lines shaped like one that was read already.

Of a `session/update` that took the long way (`peek`, `rewrite`, `text_frame`) the bytes before and
after the last value of its `params` are remembered. A line with the same bytes around exactly one
JSON value is the same message with another value in that place: nothing in it can be a second id,
session id or `_meta` on a level that the relay reads. So it gets the same treatment without being
read, and comes out as the very bytes that the long way gives. Whatever is in doubt is left to the
long way.

What the value itself says matters little on this way. Most of a stream are pieces of messages and
thoughts, of which the relay reads nothing more; they are told by the bytes that the value begins or
ends with. Where shapes alternate, the kind of each update is read that does not begin so, and those
of which the relay has to take note are handed on; a client's own words, which an agent may repeat,
take the long way.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from operator import and_, indexOf
from typing import NamedTuple, TypeAlias

import msgspec

from acprelay.wire.envelope import Envelope
from acprelay.wire.messages import json_string, stamp_around_seq
from acprelay.wire.shapes import Template, find_piece, has_a_shape, make_template
from acprelay.wire.updates import kinds_of
from acprelay.wire.websocket import text_header

Buffer: TypeAlias = bytes | memoryview
"""What `bytes.join` takes."""

_MAX_TEMPLATES = 8
# A run is copied a few times: about this many bytes of it stay in a processor's cache.
_RUN_SIZE = 64 * 1024
_MAX_RUN = 256
# So few lines, which may well be of different shapes, cost less one by one than as a run.
_FEW = 3
# Lines up to so many bytes are cheaper to copy than to call something for each.
_MAX_JOINED = 1024
_PIECES = ("agent_message_chunk", "agent_thought_chunk")
# Pieces as nearly all are spelt, whose kinds need not be read: names of one length.
_BEGINNINGS = frozenset(b'{"sessionUpdate":"%b",' % kind.encode() for kind in _PIECES)
_BEGINNING_SIZE = max(map(len, _BEGINNINGS))
_LAST_DIGITS = 3
_ENDINGS = [b"%03d" % number for number in range(10**_LAST_DIGITS)]

# How deep a value may nest depends on the caller's stack. A few levels more around it make the
# short way give up before the long way does, which may be called from deeper inside.
_Nested = list[list[list[list[list[list[list[list[msgspec.Raw]]]]]]]]

_decode_nested = msgspec.json.Decoder(_Nested).decode


Rewritten: TypeAlias = tuple[list[Buffer], int, list[tuple[str, bytes]]]
"""Ready WebSocket frames: what they are when it is joined, which is left to whoever joins more with
it; how many there are; the kind and the raw value of each update that is no piece."""


class UpdateStream:
    """Rewrites an agent's updates in batches.

    Args:
        public_id: The session's id as clients know it.
        generation: The generation of the session's public log, for the stamps.
        out_of_turn: What the stamps say about turns.
    """

    def __init__(self, *, public_id: str, generation: str, out_of_turn: bool = False) -> None:
        self._public_id = public_id
        self._generation = generation
        self._out_of_turn = out_of_turn
        self._fixed: tuple[bytes, tuple[bytes, bytes]] | None = None  # made for the first template
        self._pieces: list[Template] = []
        self._updates: list[Template] = []
        self._alternates = False  # what came last had several shapes, so what comes may have

    def learn(self, envelope: Envelope) -> None:
        """Remembers the shape of a message, if it is an update; the latest few are kept.

        Args:
            envelope: A message that names the session by the agent's own id for it. An update under
                another id (a sub-agent's) must not be given: its stamp differs.
        """
        if not has_a_shape(envelope):
            return
        raw, (start, stop) = envelope.raw, envelope.body["update"]
        marks = find_piece(raw, start, stop)
        if marks is not None:
            self._pieces = _with(self._pieces, self._template(envelope, *marks))
        self._updates = _with(self._updates, self._template(envelope, start, stop))

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
        if len(lines) - start <= _FEW:
            return self._rewrite_few(lines, start, first_seq)
        parts: list[Buffer] = []
        noted: list[tuple[str, bytes]] = []
        count, templates = 0, self._updates if self._alternates else self._pieces
        while start + count < len(lines):
            seq = first_seq + count
            run, is_cut_short = self._run(templates, lines, start + count, seq)
            if run is not None and templates is self._updates:
                run, more = _note(run)
                noted += more
            if run is not None and run.rests:
                parts += _frames(run, seq)
                count += len(run.rests)
            elif templates is self._updates:
                break
            if is_cut_short:
                templates = self._updates  # shapes alternate: from now on all are taken together
        self._alternates = bool(noted)
        return parts, count, noted

    def _rewrite_few(self, lines: Sequence[bytes], start: int, first_seq: int) -> Rewritten:
        """Does for few lines, as they come from slow agents, what is done for a run."""
        parts: list[Buffer] = []
        noted: list[tuple[str, bytes]] = []
        seq = first_seq
        for line in lines[start:] if start else lines:
            if not self._rewrite_one(line, seq, parts, noted):
                break
            seq += 1
        return parts, seq - first_seq, noted

    def _rewrite_one(
        self, line: bytes, seq: int, parts: list[Buffer], noted: list[tuple[str, bytes]]
    ) -> bool:
        """Adds what comes of a line to what came of others; tells whether it has a known shape."""
        template = _fitting(self._pieces, line) or _fitting(self._updates, line)
        if template is None:
            return False
        rest: Buffer = template.rest(line if len(line) <= _MAX_JOINED else memoryview(line))
        if not _is_whole(template, rest, len(line)):
            return False
        if not (template.opening or template.closing):  # it is no piece's
            run, more = _note(_Run(template, [rest], [len(line)]))
            if not run.rests:
                return False
            noted += more
        frame = (template.new_prefix, rest, template.before_seq, b"%d" % seq, template.after_seq)
        parts.append(text_header(sum(map(len, frame))))
        parts += frame
        return True

    def _run(
        self, templates: list[Template], lines: Sequence[bytes], start: int, seq: int
    ) -> tuple[_Run | None, bool]:
        """Cuts out the next lines of one shape; tells also whether others end them."""
        line = lines[start]
        template = _fitting(templates, line)
        if template is None:
            return None, True
        limit = min(_MAX_RUN, 1 + _RUN_SIZE // len(line), _count_alike(seq))
        alike = lines[start : start + limit]
        run = _take_whole(_cut(template, alike))
        return run, len(run.rests) < len(alike)

    def _template(self, envelope: Envelope, start: int, stop: int) -> Template:
        if self._fixed is None:
            around = stamp_around_seq(self._generation, out_of_turn=self._out_of_turn)
            self._fixed = json_string(self._public_id), around
        public_id, stamp = self._fixed
        return make_template(envelope, start, stop, public_id=public_id, stamp=stamp)


def _fitting(templates: list[Template], line: bytes) -> Template | None:
    for template in templates:
        if line.startswith(template.prefix) and line.endswith(template.suffix):
            return template
    return None


def _with(templates: list[Template], latest: Template) -> list[Template]:
    others = [known for known in templates if not known.is_like(latest)]
    return [latest, *others[: _MAX_TEMPLATES - 1]]


class _Run(NamedTuple):
    """Lines of one shape.

    Attributes:
        template: The shape.
        rests: What differs, of each line.
        sizes: How many bytes each line has.
    """

    template: Template
    rests: list[Buffer]
    sizes: list[int]


def _cut(template: Template, lines: Sequence[bytes]) -> _Run:
    """Cuts the template off, up to the first line that does not have it."""
    is_piece = template.opening or template.closing
    if not is_piece or len(lines[0]) > _MAX_JOINED:
        lines = lines[: _count_fitting(template, lines)]
    if len(lines[0]) > _MAX_JOINED:
        views: list[Buffer] = [template.rest(memoryview(line)) for line in lines]
        return _Run(template, views, list(map(len, lines)))
    rests = list(map(template.rest, lines))
    # Pieces come in long runs, of which all are checked at once. Equal in all means equal one by
    # one: no line has more bytes than its parts, so none less.
    prefix, suffix = template.prefix, template.suffix
    if is_piece and _between(prefix, suffix + prefix, suffix, rests) != b"".join(lines):
        lines = lines[: _count_fitting(template, lines)]
        rests = rests[: len(lines)]
    return _Run(template, rests, list(map(len, lines)))


def _count_fitting(template: Template, lines: Sequence[bytes]) -> int:
    """Tells how many lines have the template, up to the first that does not."""
    begin = map(bytes.startswith, lines, repeat(template.prefix))
    end = map(bytes.endswith, lines, repeat(template.suffix))
    try:
        return indexOf(map(and_, begin, end), False)
    except ValueError:
        return len(lines)


def _note(run: _Run) -> tuple[_Run, list[tuple[str, bytes]]]:
    """Reads the kinds of updates, up to the first that has to take the long way."""
    template, rests, sizes = run
    noted: list[tuple[str, bytes]] = []
    others = [n for n, rest in enumerate(rests) if rest[:_BEGINNING_SIZE] not in _BEGINNINGS]
    for index, kind in zip(others, kinds_of([rests[index] for index in others]), strict=True):
        if kind in _PIECES:
            continue
        if kind is None or kind == "user_message_chunk":
            return _Run(template, rests[:index], sizes[:index]), noted
        noted.append((kind, bytes(rests[index])))
    return run, noted


def _take_whole(run: _Run) -> _Run:
    """Gives the first lines whose values are exactly one JSON value each, with no space around."""
    if _are_whole(run):
        return run
    template, rests, sizes = run
    whole = map(_is_whole, repeat(template), rests, sizes)
    count = next((index for index, is_whole in enumerate(whole) if not is_whole), len(rests))
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


def _is_whole(template: Template, rest: Buffer, size: int) -> bool:
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
