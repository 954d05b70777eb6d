"""What the event loop tells the writer to do, and what the writer tells it back. Values only."""

from __future__ import annotations

from asyncio import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import msgspec

from acprelay.errors import RelayError
from acprelay.routing.records import ConversationRecord
from acprelay.session.models import SessionKey


class StreamOwner(Protocol):
    """Who is told what became of a stream; on the event loop, in the order it happened."""

    def on_written(self, runs: int, size: int, last: int) -> None:
        """Batches are written.

        Args:
            runs: How many that are not empty.
            size: The bytes of their payloads.
            last: The number of the last entry that is written.
        """
        ...

    def on_failed(self, error: Exception) -> None:
        """The stream has ended: what was not told as written will not be."""
        ...

    def on_pause_ended(self) -> None:
        """It is time to try again, as the last stream failed a while ago."""
        ...


@dataclass(slots=True, eq=False)
class Stream:
    """Segment files that are written one after another, as long as every write succeeds.

    After one that fails, nothing is written to the stream any more: what followed would leave a
    gap. Its owner begins another one.

    Attributes:
        owner: Who is told.
        failed: Whether a write failed; the writer's thread alone reads and writes it.
    """

    owner: StreamOwner
    failed: bool = False


@dataclass(slots=True, eq=False)
class SegmentFile:
    """A segment that is being written.

    Attributes:
        path: Where.
        header: What it begins with.
        stream: What it is a part of.
        size: How many bytes it has for certain: the header and whole batches. Zero until it is
            made. The writer's thread alone reads and writes it.
    """

    path: str
    header: bytes
    stream: Stream
    size: int = field(default=0, init=False)


Syncable: TypeAlias = SegmentFile | SessionKey | Path
"""What is made durable by itself: a segment, the record of a conversation, or the audit log."""


class Batch(msgspec.Struct):
    """Write entries at the end of a segment, which is made first if it is new.

    It may grow until it is handed over.

    Attributes:
        file: The segment.
        first: The number of the first entry.
        entries: How many.
        payload: Their frames; an empty one makes the segment and no more.
        runs: How many runs they came in.
    """

    file: SegmentFile
    first: int
    entries: int
    payload: bytes | bytearray
    runs: int = 1


class Sync(NamedTuple):
    """Have made durable what was written of something."""

    target: Syncable


class Synced(NamedTuple):
    """Learn what became of making something durable: the syncer's own word to the writer."""

    target: Syncable
    error: Exception | None


class Seal(NamedTuple):
    """Close a segment, and have it made durable: no more comes."""

    file: SegmentFile


class Evict(NamedTuple):
    """Let the system have the memory in which it keeps a sealed segment; the file stays."""

    path: str


class Quarantine(NamedTuple):
    """Give a damaged segment another name."""

    path: Path


class Save(NamedTuple):
    """Write a conversation's record, unless another one of the same follows at once."""

    record: ConversationRecord


class Audit(NamedTuple):
    """Add a line to the audit log."""

    entry: bytes


class Delete(NamedTuple):
    """Remove a conversation's directory, and tell when that is done."""

    key: SessionKey
    done: Future[None]


class Barrier(NamedTuple):
    """Tell when all that came before is done; it may not be durable yet."""

    done: Future[None]


class Stop(NamedTuple):
    """Make everything durable, close it and end, and tell so."""

    done: Future[None]


Command: TypeAlias = (
    Batch | Sync | Synced | Seal | Evict | Quarantine | Save | Audit | Delete | Barrier | Stop
)


class Written(NamedTuple):
    """Batches of a stream are written."""

    stream: Stream
    runs: int
    size: int
    last: int


class StreamFailed(NamedTuple):
    """A stream has ended."""

    stream: Stream
    error: Exception


class PauseEnded(NamedTuple):
    """It is time that the owner of a stream that failed tries again."""

    owner: StreamOwner


class SaveFailed(NamedTuple):
    """A record could not be written, or not be made durable; it is tried again."""

    key: SessionKey
    error: Exception


class Done(NamedTuple):
    """Somebody waits for what has been done now, or could not be."""

    done: Future[None]
    error: RelayError | None


Event: TypeAlias = Written | StreamFailed | PauseEnded | SaveFailed | Done
