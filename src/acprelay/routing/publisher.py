"""From an agent's frames to what clients are written: log entries and lane entries, in one order.

Entries of one batch are gathered and appended to the log together. Whatever goes to a lane closes
the gathered batch first, so that its barrier stands behind exactly what came before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from acprelay.errors import RelayError
from acprelay.routing.attachment import Attachment
from acprelay.routing.events import Told
from acprelay.routing.frames import NOTICE, error_fields, marker, session_update
from acprelay.routing.log import PublicLog
from acprelay.wire import Buffer, Envelope, UpdateStream, rewrite, stamp_around_seq, text_header


class Publisher:
    """The one writer of a conversation's log and lanes.

    Args:
        public_id: The session's id as clients know it.
        log: The conversation's public log.

    Attributes:
        attachments: The clients that are connected, by attachment id, in the order they came.
        absent: Attachments whose connections are lost, which may be adopted.
    """

    def __init__(self, *, public_id: str, log: PublicLog) -> None:
        self.public_id = public_id
        self.log = log
        self.attachments: dict[str, Attachment] = {}
        self.absent: dict[str, Attachment] = {}
        self._in_turn = UpdateStream(public_id=public_id, generation=log.generation)
        self._out_of_turn = UpdateStream(
            public_id=public_id, generation=log.generation, out_of_turn=True
        )
        self._turn_is_open = False
        self._around_seq: dict[bool, tuple[bytes, bytes]] = {}  # in a turn and out of one
        self._batch: list[Buffer] = []
        self._batch_count = 0
        self._told: list[Told] = []
        self._put_off: list[Callable[[], None]] = []  # one at most

    def find(self, attachment_id: str) -> Attachment | None:
        """An attachment, connected or not; None once it is given up."""
        return self.attachments.get(attachment_id) or self.absent.get(attachment_id)

    # -- what everybody is told

    def put_off(self, publish: Callable[[], None]) -> None:
        """Has something published before whatever comes next, and by the next `flush` at last.

        Args:
            publish: Does it.
        """
        if self._put_off:
            self._catch_up()
        self._put_off.append(publish)

    def _catch_up(self) -> None:
        publish = self._put_off.pop()
        publish()

    def publish_lines(self, lines: list[bytes], start: int) -> tuple[int, list[tuple[str, bytes]]]:
        """Publishes as many lines as are shaped like updates that were published before.

        Args:
            lines: What the agent wrote.
            start: The first line to look at.

        Returns:
            How many lines were taken, 0 where the first one has to be looked at more closely; and
            the kinds and raw values of those updates among them that say more than a piece of text.
        """
        if self._put_off:
            self._catch_up()
        stream = self._in_turn if self._turn_is_open else self._out_of_turn
        seq = self.log.head + self._batch_count + 1
        parts, count, noted = stream.rewrite(lines, start, seq)
        self._batch += parts
        self._batch_count += count
        return count, noted

    def publish(self, envelope: Envelope, *, own_session_id: str) -> None:
        """Publishes one notification of the agent.

        Args:
            envelope: The notification.
            own_session_id: The agent's id of its session; any other id that it names (a
                sub-agent's) is kept in the relay's `_meta`.
        """
        if self._put_off:
            self._catch_up()
        foreign = envelope.session_id not in (None, own_session_id)
        mark = self._stamp(envelope.session_id if foreign else None)
        frame = rewrite(envelope, session_id=self.public_id, stamp=mark)
        self._gather(frame)
        if not foreign:
            stream = self._in_turn if self._turn_is_open else self._out_of_turn
            stream.learn(envelope)

    def publish_update(self, update: bytes, *, hidden_from: str | None = None) -> None:
        """Publishes an update that the relay makes.

        Args:
            update: The raw JSON value of `update`.
            hidden_from: The attachment whose own words it repeats, if any.
        """
        if self._put_off:
            self._catch_up()
        seq = self.log.head + self._batch_count + 1
        frame = session_update(self.public_id, update, stamp=self._stamp())
        self._gather(frame)
        author = self.find(hidden_from) if hidden_from is not None else None
        if author is not None:
            author.skip(seq)

    def mark(self, method: str, fields: Mapping[str, object]) -> None:
        """Publishes a marker: a notification of the relay's own."""
        if self._put_off:
            self._catch_up()
        frame = marker(method, self.public_id, fields, stamp=self._stamp())
        self._gather(frame)
        self._told.append(Told(method, fields))

    def note(self, method: str, fields: Mapping[str, object]) -> None:
        """Takes note of what is of interest beyond the conversation, for `take_told`."""
        if self._put_off:
            self._catch_up()
        self._told.append(Told(method, fields))

    def take_told(self) -> list[Told]:
        """Gives the markers that were published since the last call, and what was noted."""
        if self._put_off:
            self._catch_up()
        told, self._told = self._told, []
        return told

    def publish_notice(self, error: RelayError) -> None:
        """Tells every client what went wrong."""
        self.mark(NOTICE, error_fields(error))

    def open_turn(self) -> None:
        """From now on updates belong to a turn."""
        self._turn_is_open = True

    def close_turn(self) -> None:
        """From now on updates belong to no turn, and are marked so."""
        self._turn_is_open = False

    # -- what one client is told

    def push(self, attachment_id: str, message: bytes, *, reply_to: bytes | None = None) -> None:
        """Tells one client something, behind all that was published; nothing if it has left.

        Args:
            attachment_id: Which one; it may have lost its connection.
            message: A JSON-RPC message.
            reply_to: The raw id of the client's request that it answers, if it does.
        """
        self.flush()
        attachment = self.find(attachment_id)
        if attachment is not None:
            attachment.push(message, reply_to=reply_to)

    def push_ask(self, attachment_id: str, ask_id: bytes, message: bytes) -> None:
        """Asks one client something, behind all that was published; nothing if it has left.

        Args:
            attachment_id: Which one.
            ask_id: The ask's raw id.
            message: The request.
        """
        self.flush()
        attachment = self.find(attachment_id)
        if attachment is not None:
            attachment.push_ask(ask_id, message)

    def retract_ask(self, attachment_id: str, ask_id: bytes) -> bool:
        """Takes a request to one client back.

        Returns:
            Whether the client may have been given it, and so has to be told.
        """
        attachment = self.find(attachment_id)
        return attachment is not None and attachment.retract(ask_id)

    def flush(self) -> None:
        """Appends what was gathered to the log."""
        if self._put_off:
            self._catch_up()
        if self._batch:
            self.log.append(b"".join(self._batch), self._batch_count)
            self._batch, self._batch_count = [], 0

    def _stamp(self, agent_session_id: str | None = None) -> bytes:
        in_turn = self._turn_is_open
        around = self._around_seq.get(in_turn) if agent_session_id is None else None
        if around is None:
            around = stamp_around_seq(
                self.log.generation, agent_session_id, out_of_turn=not in_turn
            )
            if agent_session_id is None:
                self._around_seq[in_turn] = around
        before, after = around
        return before + b"%d" % (self.log.head + self._batch_count + 1) + after

    def _gather(self, message: bytes) -> None:
        self._batch += text_header(len(message)), message
        self._batch_count += 1
