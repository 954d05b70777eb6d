"""`/sessions/{session}/transcript`: what a session's agent has said, message by message."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from acprelay.errors import CursorExpired, StoreError
from acprelay.routing.access import Grant
from acprelay.runtime.inspection import Inspection
from acprelay.server.api.operations import Call, Operation, Reach, Struct, Taken
from acprelay.server.api.pages import Limit
from acprelay.server.api.raw import raw


class TranscriptQuery(Taken, frozen=True, kw_only=True):
    """Which part of a transcript.

    Attributes:
        after: The position of the last entry that is known, `generation:seq`; none for the start.
        limit: How many entries it has at most.
    """

    after: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] | None = None
    limit: Limit = 100


class TranscriptEntry(Struct, frozen=True, kw_only=True):
    """One entry.

    Attributes:
        position: Where it is, `generation:seq`.
        message: The JSON-RPC notification, as clients get it.
    """

    position: str
    message: Any


class TranscriptPage(Struct, frozen=True, kw_only=True):
    """Part of a transcript.

    Attributes:
        entries: The entries, in order.
        position: What to give as `after` for what comes next, now or later.
        next_cursor: The same, where there is more already.
    """

    entries: list[TranscriptEntry]
    position: str
    next_cursor: str | None = None


class TranscriptResource:
    """Serves transcripts.

    Args:
        inspection: Finds conversations.
    """

    def __init__(self, *, inspection: Inspection) -> None:
        self._inspection = inspection

    def operations(self) -> list[Operation]:
        """Gives the operations."""
        return [
            Operation(
                id="readTranscript",
                method="GET",
                path="/sessions/{session}/transcript",
                summary="Read what was said in a session",
                description="""
                A page holds about 1 MiB at most, whatever its limit. Where the transcript does not
                reach the position, the error `cursor_expired` names the oldest one that there is.
                """,
                tag="sessions",
                query=TranscriptQuery,
                result=TranscriptPage,
                errors=(CursorExpired, StoreError),
                grant=Grant.OBSERVE,
                reach=Reach.SESSION,
                handler=self._read,
            )
        ]

    async def _read(self, call: Call[TranscriptQuery, None]) -> TranscriptPage:
        control = self._inspection.find(call.key).control
        read = control.read(call.query.after, most=call.query.limit)
        return TranscriptPage(
            entries=[
                TranscriptEntry(position=str(entry.position), message=raw(entry.message))
                for entry in read.entries
            ],
            position=str(read.position),
            next_cursor=None if read.is_end else str(read.position),
        )
