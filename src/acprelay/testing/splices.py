"""Takes back what a relay changes in an agent's messages: ids, session ids and its stamp.

What is left must be the agent's own bytes. It shares no code with what makes the changes.
"""

from __future__ import annotations

import re

_STAMP = re.compile(rb'"acprelay":\{[^{}]*\}')


def without_stamp(frame: bytes) -> set[bytes]:
    """Gives what a frame may have been before `_meta.acprelay` was added to it.

    A relay adds the member to the `_meta` that is there, and makes one where there is none, so
    there is more than one possibility.
    """
    found = list(_STAMP.finditer(frame))
    if not found:
        return {frame}
    start, stop = found[-1].span()
    before, after = frame[:start], frame[stop:]
    if before.endswith(b","):
        return {before[:-1] + after}
    if after.startswith(b","):
        return {before + after[1:]}
    possible = {before + after}  # an empty _meta
    if before.endswith(b'"_meta":{') and after.startswith(b"}"):
        outside, rest = before.removesuffix(b'"_meta":{'), after[1:]
        possible.add(outside + b'"_meta":null' + rest)
        possible.add((outside[:-1] if outside.endswith(b",") else outside) + rest)
    return possible


def undone(frame: bytes, replaced: dict[bytes, bytes]) -> set[bytes]:
    """Gives what a frame may have been when its agent wrote it.

    Args:
        frame: What a client received.
        replaced: What stands in it for what the agent wrote, both as raw JSON: the session's id,
            and the id of a request that the agent made.
    """
    for public, own in replaced.items():
        for name in (b"sessionId", b"id"):
            frame = frame.replace(b'"%b":%b' % (name, public), b'"%b":%b' % (name, own))
    return without_stamp(frame)
