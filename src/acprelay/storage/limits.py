"""How much storage may take, and how often it does what takes time."""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageLimits:
    """Bounds of one relay, over all its conversations.

    Attributes:
        segment_bytes: How long a segment file gets before another one is begun.
        cached_bytes: How much of a log's end the system may keep in its memory. What is before
            that is read from the device where somebody asks for it; were it kept, the log of a long
            stream would take all memory there is, and push out what others need.
        window_bytes: How much that is written already stays in memory, to be read from there.
        backlog_bytes: How much may wait to be written before every log is congested; they are
            again no longer so at half of it.
        unstored_bytes: How much is kept in memory of logs that cannot be written, open or closed.
        open_files: How many segment files may be open, half of them to write and half to read.
        linger_s: How long what is to be written waits for more, unless somebody waits for it. To
            wake the writer for each append costs the event loop more than the append. Where many
            files are to be written it is five times as long.
        sync_interval_s: How long what is written may wait before it is to be made durable.
        retry_s: How long to wait before writing is tried again after it failed.
    """

    segment_bytes: int = 8 * _MIB
    cached_bytes: int = 256 * _MIB
    window_bytes: int = 8 * _MIB
    backlog_bytes: int = 16 * _MIB
    unstored_bytes: int = 64 * _MIB
    open_files: int = 256
    linger_s: float = 0.02
    sync_interval_s: float = 1.0
    retry_s: float = 30.0
