"""From an agent's frames to what clients are written: log entries and lane entries, in one order.

Entries of one batch are gathered and appended to the log together. Whatever goes to a lane closes
the gathered batch first, so that its barrier stands behind exactly what came before it.
"""

from __future__ import annotations

from acprelay.errors import RelayError
from acprelay.routing.attachment import Attachment
from acprelay.routing.frames import notice
from acprelay.routing.log import PublicLog
from acprelay.wire import Envelope, UpdateStream, rewrite, stamp, text_frame


class Publisher:
    """The one writer of a session's log and lanes.

    Args:
        public_id: The session's id as clients know it.
        log: The session's public log.
    """

    def __init__(self, *, public_id: str, log: PublicLog) -> None:
        self.public_id = public_id
        self.log = log
        self.attachments: dict[str, Attachment] = {}
        self._stream = UpdateStream(public_id=public_id, generation=log.generation)
        self._batch: list[bytes] = []
        self._batch_count = 0

    def publish_lines(self, lines: list[bytes], start: int) -> int:
        """Publishes as many lines as are shaped like updates that were published before.

        Args:
            lines: What the agent wrote.
            start: The first line to look at.

        Returns:
            How many lines were taken; 0 where the first one has to be looked at more closely.
        """
        blob, count = self._stream.rewrite(lines, start, self._next_seq)
        if count:
            self._gather(blob, count)
        return count

    def publish(self, envelope: Envelope, *, own_session_id: str) -> None:
        """Publishes one notification of the agent.

        Args:
            envelope: The notification.
            own_session_id: The agent's id of its session; any other id that it names (a
                sub-agent's) is kept in the relay's `_meta`.
        """
        foreign = envelope.session_id not in (None, own_session_id)
        mark = stamp(self.log.generation, self._next_seq, envelope.session_id if foreign else None)
        frame = rewrite(envelope, session_id=self.public_id, stamp=mark)
        self._gather(text_frame(frame), 1)
        if not foreign:
            self._stream.learn(envelope)

    def publish_notice(self, error: RelayError) -> None:
        """Tells every client what went wrong."""
        mark = stamp(self.log.generation, self._next_seq)
        self._gather(text_frame(notice(self.public_id, error, stamp=mark)), 1)

    def push(self, attachment_id: str, message: bytes) -> None:
        """Tells one client something, behind all that was published; nothing if it has left."""
        self.flush()
        attachment = self.attachments.get(attachment_id)
        if attachment is not None:
            attachment.push(message)

    def flush(self) -> None:
        """Appends what was gathered to the log."""
        if self._batch:
            self.log.append(b"".join(self._batch), self._batch_count)
            self._batch, self._batch_count = [], 0

    def trim(self) -> None:
        """Lets the log forget what every client has been given."""
        slowest = min((a.cursor for a in self.attachments.values()), default=self.log.head)
        self.log.trim(slowest)

    @property
    def unread_bytes(self) -> int:
        """How much the slowest client has still to be given."""
        return max((a.unread_bytes for a in self.attachments.values()), default=0)

    @property
    def _next_seq(self) -> int:
        return self.log.head + self._batch_count + 1

    def _gather(self, blob: bytes, count: int) -> None:
        self._batch.append(blob)
        self._batch_count += count
