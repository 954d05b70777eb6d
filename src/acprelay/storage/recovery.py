"""Opens what a relay before this one left of a log.

Only the end of the last segment may be incomplete: it is cut at its last intact batch. If intact
batches follow what is cut, so that it was not a write that never ended, the bytes are kept in a
file beside, and that is told. A segment that does not even begin as one is put aside.

The entries of older segments are not looked at before somebody reads them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from acprelay.errors import StoreError, Unavailable
from acprelay.storage.batches import (
    SEGMENT_HEADER_BYTES,
    Damage,
    SegmentHeader,
    parse_segment_header,
)
from acprelay.storage.disk import FILE_MODE
from acprelay.storage.generations import Link, chain_start
from acprelay.storage.reading import is_torn, scan
from acprelay.storage.records import QUARANTINE_SUFFIX
from acprelay.storage.segment import Segment, base_of, new_index


@dataclass(slots=True, kw_only=True)
class Recovered:
    """What is left of a log.

    Attributes:
        segments: One contiguous log, oldest first.
        headers: What each of them says of itself.
        head: The number of the last entry there ever was, as far as can be known.
        troubles: What is to be told.
    """

    segments: list[Segment] = field(default_factory=list)
    headers: list[SegmentHeader] = field(default_factory=list)
    head: int = 0
    troubles: list[StoreError] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class _Found:
    path: Path
    size: int
    header: SegmentHeader

    @property
    def order(self) -> tuple[int, bool]:
        return self.header.base, not self.is_empty

    @property
    def is_empty(self) -> bool:
        return self.size <= SEGMENT_HEADER_BYTES


def damage_error(path: Path, why: object, **fields: int) -> StoreError:
    """What is told of a segment that is not as it was written."""
    return StoreError(
        f"cannot read {path.name}: {why}",
        hint=f"the file is kept as it is, in {path.parent}; the log goes on without it",
        path=str(path),
        **fields,
    )


def recover(directory: Path) -> Recovered:
    """Reads the log that a directory has, and mends its end.

    Raises:
        Unavailable: The directory cannot be read, or the end not be mended.
    """
    try:
        return _recover(directory)
    except OSError as error:
        raise Unavailable(
            f"cannot read the log in {directory}: {error.strerror}",
            hint="check that the relay may read and write its state directory",
            path=str(directory),
        ) from error


def _recover(directory: Path) -> Recovered:
    recovered = Recovered()
    if not directory.exists():
        return recovered
    found = _segments(directory, recovered)
    names = [path.name for path in directory.iterdir()]
    quarantined = [base for name in names if (base := base_of(name, damaged=True)) is not None]
    last = _mended(found[-1], recovered) if found else None
    links = [Link(each.header, each.is_empty) for each in found]
    for each in found[chain_start(links, quarantined) :]:
        recovered.headers.append(each.header)
        base = each.header.base
        recovered.segments.append(
            Segment(path=str(each.path), base=base, last=base, end=each.size, index=new_index(base))
        )
    for before, after in zip(recovered.segments, recovered.segments[1:], strict=False):
        before.last = after.base
    recovered.head = max([last.last if last else 0, *quarantined])
    if last is not None:
        recovered.segments[-1] = last
        if last.last < recovered.head:  # what followed is put aside, but did not follow at once
            recovered.segments.clear()
            recovered.headers.clear()
    return recovered


def _segments(directory: Path, recovered: Recovered) -> list[_Found]:
    """The segments that begin as they should, in order; puts the others aside."""
    paths = sorted(path for path in directory.iterdir() if base_of(path.name) is not None)
    found: list[_Found] = []
    for path in paths:
        with path.open("rb") as file:
            data = file.read(SEGMENT_HEADER_BYTES)
            size = os.fstat(file.fileno()).st_size
        try:
            found.append(_Found(path=path, size=size, header=parse_segment_header(data)))
        except Damage as damage:
            is_last = base_of(path.name) == base_of(paths[-1].name)
            if is_last and size < SEGMENT_HEADER_BYTES:
                path.unlink()  # its making was cut off: nothing was in it
            else:
                path.replace(path.with_name(path.name + QUARANTINE_SUFFIX))
                recovered.troubles.append(damage_error(path, damage))
    return sorted(found, key=lambda each: each.order)


def _mended(found: _Found, recovered: Recovered) -> Segment:
    """The last segment, without what is not intact at its end."""
    base = found.header.base
    index = new_index(base)
    with _reader(found.path) as fd:

        def read_at(size: int, offset: int) -> bytes:
            return os.pread(fd, size, offset)

        last, end = scan(read_at, index, size=found.size)
        if end < found.size:
            if not is_torn(read_at, offset=end, size=found.size):
                kept = _keep(found.path, os.pread(fd, found.size - end, end), end)
                why = f"byte {end} and what follows is not as it was written"
                recovered.troubles.append(damage_error(kept, why, last=last))
            os.truncate(found.path, end)
            found.size = end
    return Segment(path=str(found.path), base=base, last=last, end=end, index=index)


@contextmanager
def _reader(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _keep(path: Path, data: bytes, offset: int) -> Path:
    """Keeps what is cut off a segment in a file beside it."""
    kept = path.with_name(f"{path.name}.{offset}.cut")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(kept, flags, FILE_MODE)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
    return kept
