"""WebSocket text frames from a server to its clients: unmasked, whole (RFC 6455, section 5).

They carry no mask, so that one frame is the same bytes for every client, and can be built once,
kept, and written in runs. This module knows neither sockets nor what clients send.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from acprelay.errors import LocalProtocolError

_TEXT = 0x81  # FIN, opcode 1
_MAX_SHORT = 125
_MEDIUM = 126  # two bytes of length follow
_LONG = 127  # eight do
_MAX_MEDIUM = 0xFFFF
_MEDIUM_FRAME = bytes((_TEXT, _MEDIUM))


@lru_cache(maxsize=4096)
def text_header(length: int) -> bytes:
    """Builds the header of a text frame whose payload has `length` bytes."""
    if length <= _MAX_SHORT:
        return bytes((_TEXT, length))
    if length <= _MAX_MEDIUM:
        return bytes((_TEXT, _MEDIUM)) + length.to_bytes(2)
    return bytes((_TEXT, _LONG)) + length.to_bytes(8)


def text_frame(payload: bytes) -> bytes:
    """Builds a text frame."""
    return text_header(len(payload)) + payload


def walk(blob: bytes) -> Iterator[tuple[int, int, int]]:
    """Goes through a run of text frames.

    Yields:
        Where each frame begins, where its payload does, and where both end.

    Raises:
        LocalProtocolError: The run is not whole text frames: it was not built here, or was cut.
    """
    start, size = 0, len(blob)
    while start < size:
        payload = start + 4
        # Nearly all frames are of this kind.
        end = payload + int.from_bytes(blob[start + 2 : payload])
        if blob[start : start + 2] != _MEDIUM_FRAME or end > size:
            payload, end = _bounds(blob, start)
        yield start, payload, end
        start = end


def skip(blob: bytes, offset: int, count: int) -> int:
    """Finds the frame that is `count` frames further on.

    Args:
        blob: A run of text frames.
        offset: Where one of them begins.
        count: How many to pass over.

    Returns:
        Where that frame begins; the end of the run, where exactly `count` were left.

    Raises:
        LocalProtocolError: The run holds no more so many whole text frames.
    """
    size = len(blob)
    for _ in range(count):
        payload = offset + 4
        end = payload + int.from_bytes(blob[offset + 2 : payload])
        if blob[offset : offset + 2] != _MEDIUM_FRAME or end > size:  # as in `walk`
            _, end = _bounds(blob, offset)
        offset = end
    return offset


def frames_size(blob: bytes, count: int) -> int:
    """Tells how many bytes the first `count` frames of a run have.

    Raises:
        LocalProtocolError: The run does not hold so many whole text frames.
    """
    return skip(blob, 0, count)


def _bounds(blob: bytes, start: int) -> tuple[int, int]:
    """Where a frame's payload begins and ends."""
    payload = start + 2
    length = int.from_bytes(blob[start + 1 : payload])
    is_masked = length > _LONG
    if length == _MEDIUM:
        payload = start + 4
        length = int.from_bytes(blob[start + 2 : payload])
    elif length == _LONG:
        payload = start + 10
        length = int.from_bytes(blob[start + 2 : payload])
    end = payload + length
    if is_masked or end > len(blob) or blob[start] != _TEXT:
        raise LocalProtocolError(
            "cannot find a text frame where one should begin", hint="report this: it is a defect"
        )
    return payload, end
