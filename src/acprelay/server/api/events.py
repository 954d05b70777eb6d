"""`/events`: what happens in a relay, as server-sent events, from a place on if one is named.

What an event says is not known here, only how it is written, and whom it is for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from aiohttp import web

from acprelay.errors import LimitReached, RelayError, Unavailable
from acprelay.routing.access import Grant, Principal
from acprelay.routing.feed import RelayEvent, Ring
from acprelay.routing.listing import timestamp
from acprelay.runtime.feed import EventFeed
from acprelay.runtime.live_connections import LiveConnections
from acprelay.server.api.operations import Call, Operation, Reach, Taken
from acprelay.server.event_streams import EVENT_STREAM, HEADERS
from acprelay.server.losses import told_of_loss
from acprelay.server.quotas import Quota
from acprelay.wire import to_json

_BATCH = 256
_KEEPALIVE_S = 15.0
_PATIENCE_S = 30.0

_Filter = Annotated[str, msgspec.Meta(max_length=200)]


class EventQuery(Taken, frozen=True, kw_only=True):
    """Which events: those that satisfy all that is given.

    Attributes:
        after: The id of the last event that came, for clients that cannot send `Last-Event-ID`.
        session: Of which session.
        group: Of which group.
    """

    after: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] | None = None
    session: _Filter | None = None
    group: _Filter | None = None


@dataclass(frozen=True, slots=True)
class _Interest:
    principal: Principal
    query: EventQuery

    def covers(self, event: RelayEvent) -> bool:
        return (
            event.is_for(self.principal)
            and self.query.session in (None, str(event.key))
            and self.query.group in (None, event.key.session_id)
        )


class EventResource:
    """Serves `/events`.

    Args:
        feed: Has the events.
        streams: Bounds how many streams each principal has open.
        connections: Ends streams whose principal is no longer let in.
        keepalive_s: After how much silence a comment is sent, so that nobody between takes the
            stream for dead.
        patience_s: How long a reader may take no byte of what is due before it is cut off.
    """

    def __init__(
        self,
        *,
        feed: EventFeed,
        streams: Quota,
        connections: LiveConnections,
        keepalive_s: float = _KEEPALIVE_S,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._feed = feed
        self._streams = streams
        self._connections = connections
        self._keepalive_s = keepalive_s
        self._patience_s = patience_s

    def operations(self) -> list[Operation]:
        """Gives the operations."""
        return [
            Operation(
                id="streamEvents",
                method="GET",
                path="/events",
                summary="Watch what happens, as server-sent events",
                description="""
                Each event has an `id`, its kind as `event`, and JSON as `data` with `sessionId` and
                `at`. The kinds are `session_opened`, `session_state`, `session_deleted`,
                `run_restarted`, `turn_started`, `turn_ended`, `permission_asked`,
                `permission_settled`, `notice`, `agent_joined` and `agent_left`. With
                `Last-Event-ID` the stream goes on behind that event; where what followed is no
                longer remembered, it begins with the event `lost`. The event `ended` says why the
                relay ends the stream: it stops, or its reader is too slow.
                """,
                tag="events",
                query=EventQuery,
                media=EVENT_STREAM,
                errors=(LimitReached, Unavailable),
                grant=Grant.OBSERVE,
                reach=Reach.WITHIN,
                handler=self._stream,
            )
        ]

    async def _stream(self, call: Call[EventQuery, Any]) -> web.StreamResponse:
        with self._streams.hold(call.principal.id):
            return await self._serve(call)

    async def _serve(self, call: Call[EventQuery, Any]) -> web.StreamResponse:
        ring = self._feed.ring
        known = call.request.headers.get("Last-Event-ID") or call.query.after
        place = ring.head if known is None else ring.place_of(known)
        is_lost = place is None or place < ring.start
        begin = ring.start if place is None or is_lost else place
        greeting = _lost(ring, begin) if is_lost else _greeting(ring, begin)
        response = web.StreamResponse(headers=HEADERS)
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def end() -> None:
            if not ended.done():
                ended.set_result(None)

        with self._connections.enter(call.principal, end), told_of_loss(call.request, end):
            await response.prepare(call.request)
            interest = _Interest(call.principal, call.query)
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._deliver(response, greeting, begin, interest))
                waited: list[asyncio.Future[Any]] = [reading, ended]
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                reading.cancel()
        if ended.done() or not reading.result():
            _cut_off(call.request)
        return response

    async def _deliver(
        self, response: web.StreamResponse, greeting: bytes, place: int, interest: _Interest
    ) -> bool:
        """Writes events until there are no more; tells whether the reader has taken them all."""
        try:
            await self._write(response, greeting)
            await self._follow(response, place, interest)
        except (ConnectionError, TimeoutError):
            return False
        return True

    async def _follow(self, response: web.StreamResponse, place: int, interest: _Interest) -> None:
        while True:
            try:
                async with asyncio.timeout(self._keepalive_s):
                    stretch = await self._feed.read(place, most=_BATCH)
            except TimeoutError:
                await self._write(response, b": nothing new\n\n")
                continue
            except Unavailable as why:
                await self._write(response, _ended(why))
                return
            if not stretch.is_whole:
                await self._write(response, _ended(_too_slow(self._feed.ring.most)))
                return
            place = stretch.cursor
            due = _written(self._feed.ring, filter(interest.covers, stretch.events))
            if due:
                await self._write(response, due)

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(self._patience_s):
            await response.write(data)


def _cut_off(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _written(ring: Ring, events: Iterable[RelayEvent]) -> bytes:
    return b"".join(
        _event(
            str(event.kind),
            {"sessionId": str(event.key), "at": timestamp(event.at), **event.facts},
            event_id=ring.id_of(event.number),
        )
        for event in events
    )


def _greeting(ring: Ring, place: int) -> bytes:
    """Tells the place without an event: a reader that is cut off before the first one returns."""
    return b"id: %b\n: events follow\n\n" % ring.id_of(place).encode()


def _lost(ring: Ring, place: int) -> bytes:
    hint = "read anew what matters: events before this one are no longer remembered"
    return _event("lost", {"hint": hint}, event_id=ring.id_of(place))


def _ended(why: RelayError) -> bytes:
    return _event("ended", {"reason": why.message, **why.data})


def _too_slow(most: int) -> LimitReached:
    return LimitReached(limit="the events that wait for one reader", most=most)


def _event(kind: str, data: dict[str, object], *, event_id: str | None = None) -> bytes:
    name = b"" if event_id is None else b"id: %b\n" % event_id.encode()
    # JSON has no line breaks, as those in strings are escaped.
    body = to_json(data).decode(errors="replace").encode()
    return b"%bevent: %b\ndata: %b\n\n" % (name, kind.encode(), body)
