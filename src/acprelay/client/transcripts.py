"""Transcripts: what was said in a session, message by message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from acprelay.client.calls import Calls, Value, path


class TranscriptEntry(Value, frozen=True, kw_only=True):
    """One entry.

    Attributes:
        position: Where it is, `generation:seq`.
        message: The JSON-RPC notification, as clients get it.
    """

    position: str
    message: dict[str, Any]


class _TranscriptPage(Value, frozen=True, kw_only=True):
    entries: tuple[TranscriptEntry, ...]
    position: str
    next_cursor: str | None = None


class TranscriptCalls(Calls):
    """What can be read of transcripts. All raise as `RelayClient` says."""

    async def read_transcript(
        self, session_id: str, *, after: str | None = None
    ) -> AsyncIterator[TranscriptEntry]:
        """Yields what was said in a session so far, part by part, in its order.

        Args:
            session_id: The session.
            after: The position of the last entry that is known; None for the start.

        Raises:
            SessionNotFound: There is no such session.
            CursorExpired: The transcript no longer reaches the position.
        """
        where = path("sessions", session_id, "transcript")
        while True:
            part = await self._api.get(where, _TranscriptPage, query={"after": after})
            for entry in part.entries:
                yield entry
            if part.next_cursor is None:
                return
            after = part.next_cursor
