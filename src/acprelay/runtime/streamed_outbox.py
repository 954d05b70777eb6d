"""Writes what is due to one client that is connected over HTTP, to the streams that it opens.

ACP, "Remote transport": what belongs to a session goes to that session's stream; what concerns the
connection, and the answers to what brings a client into a session, to the connection's. Nothing is
taken from an attachment while its stream is not there, or is full. So a client that does not read
costs no memory here, and what it has not been given waits for the stream to come.

It knows no socket and no HTTP: whoever has one opens streams, and pulls what is due.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

from acprelay.errors import LimitReached, Unavailable
from acprelay.routing.attachment import Attachment
from acprelay.routing.connection_lane import ConnectionLane
from acprelay.routing.event_ids import (
    BEGINNING,
    SessionEventId,
    parse_connection_event,
    step_events,
)
from acprelay.routing.frames import attached
from acprelay.routing.lane import Entry
from acprelay.runtime.event_stream import QUANTUM_BYTES, EventStream
from acprelay.runtime.lag_samples import LagSamples
from acprelay.runtime.measurements import Measures
from acprelay.runtime.seat import Seat
from acprelay.wire import MessageKind, peek
from acprelay.wire.sse import bare_id, messages

_WAIT_FOR_STREAM_S = 1.0
"""How long a replay waits for its session's stream before it goes over the connection's."""

_EVENT_END = b"\n\n"


class StreamedOutbox:
    """The one writer of a client's streams.

    Args:
        most_streams: How many may be open at a time.
        measures: What has passed, and how long it took; the outbox adds to it.
    """

    def __init__(self, *, most_streams: int, measures: Measures) -> None:
        self._most_streams = most_streams
        self._lane = ConnectionLane()
        self._seats: dict[str, deque[Seat]] = {}
        self._streams: dict[str | None, EventStream] = {}
        self._greeting = b""
        self._greeted = asyncio.Event()
        self._closed = False
        self._written = measures.traffic.to_clients
        self._samples = LagSamples(delivered=measures.delivered)

    # -- streams

    async def greeting(self) -> bytes:
        """Gives the first answer: that to `initialize`, which belongs to no stream.

        May be cancelled.

        Raises:
            Unavailable: The connection has ended before that.
        """
        await self._greeted.wait()
        if not self._greeting:
            raise Unavailable("cannot go on: the connection has ended", hint="connect again later")
        return self._greeting

    def open(self, session_id: str | None, *, last_event_id: str | None) -> EventStream:
        """Opens a stream, in place of one that is there.

        Args:
            session_id: The session's public id, also of one that the client is not in yet; None for
                the connection's stream.
            last_event_id: The id of the last event that the client has seen of the stream, where
                it goes on with one.

        Raises:
            InvalidParams: The id is none of the stream's.
            CursorExpired: What came after it is no longer there.
            LimitReached: Too many streams are open.
        """
        former = self._streams.get(session_id)
        if former is None and len(self._streams) >= self._most_streams:
            raise LimitReached(
                limit="the open streams of a connection",
                most=self._most_streams,
                setting="http-streams",
            )
        if last_event_id is not None:
            self._go_back(session_id, last_event_id)
        begin = bare_id(self._place(session_id).encode())
        stream = EventStream(session_id=session_id, begin=begin, take=self._take)
        self._streams[session_id] = stream
        if former is not None:
            former.end()
        if self._closed:
            stream.end()
        if session_id is not None and (seat := self._seat(session_id)) is not None:
            seat.stream_came()
        return stream

    def leave(self, stream: EventStream) -> None:
        """Takes note that a stream has ended. Idempotent."""
        if self._streams.get(stream.session_id) is not stream:
            return
        del self._streams[stream.session_id]
        if stream.session_id is not None and (seat := self._seat(stream.session_id)) is not None:
            seat.is_told = False
            if seat.awaited and not seat.has_begun:
                seat.wait_for_stream(_WAIT_FOR_STREAM_S)
            self._nudge(seat)

    def _go_back(self, session_id: str | None, last_event_id: str) -> None:
        if session_id is None:
            self._lane.go_back(parse_connection_event(last_event_id))
            return
        seat = self._seat(session_id)
        if last_event_id == BEGINNING:
            if seat is not None:
                seat.begin_again()
            return
        seen = SessionEventId.parse(last_event_id)
        if seat is not None:
            attachment = seat.attachment
            attachment.return_to(attachment.log.locate(seen.position), seen.given)

    def _place(self, session_id: str | None) -> str:
        """The id that a client returns to which is given nothing from now on."""
        if session_id is None:
            return str(self._lane.given)
        seat = self._seat(session_id)
        return BEGINNING if seat is None else str(SessionEventId.of(seat.attachment))

    # -- what is due

    @property
    def lane_bytes(self) -> int:
        """How much waits that belongs to no session."""
        return self._lane.waiting_bytes

    def say(self, message: bytes, *, session_id: str | None = None) -> None:
        """Writes a JSON-RPC message: on the session's stream, where the client is in it."""
        if self._closed:
            return
        seat = None if session_id is None else self._seat(session_id)
        if not self._greeted.is_set() and peek(message).kind is MessageKind.RESPONSE:
            self._greeting = message
            self._greeted.set()
        elif seat is not None:
            seat.attachment.push(message, barrier=seat.attachment.cursor)
            self._nudge(seat)
        else:
            self._say(message)

    def add(
        self, attachment: Attachment, *, request_id: bytes | None = None, is_told: bool = False
    ) -> None:
        """Begins to write what is due to an attachment. Idempotent."""
        seat = next((each for each in self._all() if each.attachment is attachment), None)
        if seat is None:
            seat = Seat(attachment=attachment, on_impatience=self._go_by_connection)
            self._seats.setdefault(attachment.session_id, deque()).append(seat)
        seat.is_told = is_told
        if request_id is not None:
            seat.awaited.add(request_id)
            if attachment.session_id not in self._streams:
                seat.wait_for_stream(_WAIT_FOR_STREAM_S)

    def remove(self, attachment: Attachment) -> None:
        """Stops writing what is due to an attachment, at once. Idempotent."""
        for seat in list(self._all()):
            if seat.attachment is attachment:
                self._drop(seat)
                seat.forget()

    def retire(self, attachment: Attachment, *, then: Callable[[], None] | None = None) -> None:
        """Stops writing what is due to an attachment once its lane is empty."""
        for seat in self._all():
            if seat.attachment is attachment:
                seat.retire(then)
                self._nudge(seat)
                return
        if then is not None:
            then()

    def sample(self, attachment: Attachment, read_at: float) -> None:
        """Measures how long it takes until an attachment's stream was given what its log holds."""
        if any(seat.attachment is attachment for seat in self._all()):
            self._samples.begin(attachment, read_at)

    def flush(self, attachment: Attachment | None = None) -> None:
        """Has the streams write what is due.

        Args:
            attachment: The only one that anything new can be due to; None where any may be.
        """
        if attachment is None:
            seats = list(self._all())
        else:
            seats = list(self._seats.get(attachment.session_id, ()))
        for seat in seats:
            self._nudge(seat)

    def close(self) -> None:
        """Ends all streams, and lets go of what waits. Idempotent."""
        self._closed = True
        self._samples.clear()
        self._greeted.set()
        self._lane.clear()
        for stream in self._streams.values():
            stream.end()
        seats, self._seats = list(self._all()), {}
        for seat in seats:
            seat.leave()

    async def run(self) -> None:
        """Returns at once: streams are pulled by those who write them."""

    # -- which way

    def _all(self) -> Iterator[Seat]:
        return (seat for seats in self._seats.values() for seat in seats)

    def _seat(self, session_id: str) -> Seat | None:
        """The seat whose turn it is: one that retires goes before the one that came after it."""
        seats = self._seats.get(session_id)
        return seats[0] if seats else None

    def _nudge(self, seat: Seat) -> None:
        """Lets what is due to an attachment go on its way."""
        session_id = seat.attachment.session_id
        if self._seat(session_id) is not seat or seat.is_held:
            return
        if seat.is_retired:
            self._drop(seat)
            seat.leave()
        elif not seat.attachment.has_pending:
            return
        elif seat.is_by_connection:
            self._wake(None)
        elif session_id in self._streams:
            self._wake(session_id)
        elif not seat.has_begun and (answer := seat.due_answer()) is not None:
            self._hand_over(seat, answer)
        elif not seat.is_told:
            seat.is_told = True
            self._say(attached(session_id, seat.attachment.log.generation))

    def _drop(self, seat: Seat) -> None:
        session_id = seat.attachment.session_id
        seats = self._seats[session_id]
        seats.remove(seat)
        self._samples.forget(seat.attachment)
        if not seats:
            del self._seats[session_id]
        else:
            self._nudge(seats[0])

    def _go_by_connection(self, seat: Seat) -> None:
        if seat.attachment.session_id not in self._streams and seat.awaited:
            seat.is_by_connection = True
            self._nudge(seat)

    def _say(self, message: bytes, *, on_given: Callable[[], None] | None = None) -> None:
        self._lane.append(message, on_given=on_given)
        self._wake(None)

    def _wake(self, session_id: str | None) -> None:
        stream = self._streams.get(session_id)
        if stream is not None:
            stream.wake()

    # -- taking

    def _take(self, stream: EventStream) -> bytes:
        data = self._take_due(stream)
        self._written.size += len(data)
        self._written.messages += data.count(_EVENT_END)
        return data

    def _take_due(self, stream: EventStream) -> bytes:
        if stream.session_id is None:
            return self._take_for_connection()
        seat = self._seat(stream.session_id)
        if seat is None or seat.is_by_connection:
            return b""
        data = self._take_for_session(stream, seat)
        self._samples.written(seat.attachment)
        if seat.is_retired and not seat.is_held:
            self._drop(seat)
            seat.leave()
        return data

    def _take_for_session(self, stream: EventStream, seat: Seat) -> bytes:
        due: list[bytes] = []
        limit = QUANTUM_BYTES
        while limit > 0 and not seat.is_held:
            if (answer := seat.due_answer()) is not None:
                # It is released once all before it has been sent.
                if not due and stream.is_drained:
                    self._hand_over(seat, answer)
                stream.needs_draining = not seat.is_held
                break
            step = seat.attachment.step(limit)
            if step is None:
                break
            due.append(step_events(seat.attachment, step))
            seat.has_begun = bool(seat.awaited)
            limit -= len(due[-1])
        return b"".join(due)

    def _take_for_connection(self) -> bytes:
        if not self._lane:
            for seat in list(self._all()):
                if seat.is_by_connection and not seat.is_held:
                    self._replay_by_connection(seat)
                if self._lane:
                    break
        return self._lane.take(QUANTUM_BYTES)

    def _replay_by_connection(self, seat: Seat) -> None:
        limit = QUANTUM_BYTES
        while limit > 0:
            if (answer := seat.due_answer()) is not None:
                self._hand_over(seat, answer)
                return
            step = seat.attachment.step(limit)
            if step is None:
                return
            seat.has_begun = True
            for blob in step.blobs:
                limit -= len(blob)
                for message in messages(blob):
                    self._lane.append(message)

    def _hand_over(self, seat: Seat, answer: Entry) -> None:
        """Answers what brought the client into a session; the session goes on behind that."""
        seat.is_held = True
        self._say(seat.take_answer(answer), on_given=partial(self._go_on, seat))

    def _go_on(self, seat: Seat) -> None:
        seat.is_held = False
        if self._seat(seat.attachment.session_id) is seat:
            self._nudge(seat)
