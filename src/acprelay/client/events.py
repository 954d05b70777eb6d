"""Events: what happens in a relay, also across connections that are lost.

What an event is read from is not known here, nor what its facts mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from acprelay.client.api_connection import ApiConnection, Query
from acprelay.client.calls import Calls
from acprelay.client.refusals import is_temporary, restored
from acprelay.client.sse import EventReader, ServerEvent
from acprelay.errors import RelayError, RelayUnreachable, RemoteProtocolError

LOST = "lost"
"""The kind of an event that says that some before it are no longer remembered."""

_ENDED = "ended"
_FIRST_WAIT_S = 0.25
_LONGEST_WAIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayEvent:
    """Something that has happened.

    Attributes:
        id: Its place, to go on behind it.
        kind: What it is: `turn_ended` and the like; `lost` where events before it are not told.
        session_id: Of which session; None for `lost`.
        at: When, in ISO 8601; None for `lost`.
        facts: What else is said, as JSON has it.
    """

    id: str
    kind: str
    session_id: str | None
    at: str | None
    facts: Mapping[str, object]


class EventCalls(Calls):
    """What can be watched. All raise as `RelayClient` says."""

    async def stream_events(
        self,
        *,
        after: str | None = None,
        session: str | None = None,
        group: str | None = None,
        patience_s: float = 60.0,
    ) -> AsyncGenerator[RelayEvent, None]:
        """Yields what happens, for as long as it is read, each event once and in order.

        A connection that is lost is made again, and goes on where it was. Where the relay no longer
        remembers what came between, an event of the kind `lost` says so.

        Args:
            after: The id of the last event that is known; None for what happens from now on.
            session: Only events of this session.
            group: Only events of this group.
            patience_s: How long the relay may be away before that is an error; 0 for at once.

        Raises:
            RelayUnreachable: It was away for that long, or could not be reached at all.
        """
        watch = _Watch(self._api, {"session": session, "group": group}, place=after)
        absence = _Absence(patience_s)
        while True:
            try:
                async with aclosing(watch.connection()) as events:
                    async for event in events:
                        absence.ended()
                        if event is not None:
                            yield event
            except RelayError as error:
                if not watch.was_there or not is_temporary(error) or absence.is_too_long():
                    raise
            await absence.wait()


class _Absence:
    """For how long a relay is away, and when it is to be tried again."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._now = asyncio.get_running_loop().time
        self.ended()

    def ended(self) -> None:
        self._since: float | None = None
        self._wait_s = _FIRST_WAIT_S

    def is_too_long(self) -> bool:
        self._since = self._since or self._now()
        return self._now() - self._since + self._wait_s > self._patience_s

    async def wait(self) -> None:
        await asyncio.sleep(self._wait_s)
        self._wait_s = min(2 * self._wait_s, _LONGEST_WAIT_S)


class _Watch:
    """A stream of events over one connection after another.

    Attributes:
        was_there: Whether there has been a connection.
    """

    def __init__(self, api: ApiConnection, query: Query, *, place: str | None) -> None:
        self.was_there = False
        self._api = api
        self._query = query
        self._place = place

    async def connection(self) -> AsyncGenerator[RelayEvent | None, None]:
        """Yields the events of one connection; None first, once it is made.

        Raises:
            RelayError: It is over, and why.
        """
        headers = {} if self._place is None else {"Last-Event-ID": self._place}
        reader = EventReader()
        async with self._api.stream("/events", query=self._query, headers=headers) as pieces:
            self.was_there = True
            yield None
            async for piece in pieces:
                for event in reader.feed(piece):
                    made = _event(event)
                    self._place = event.id or self._place
                    yield made
                # Also where nothing has happened yet: what happens next is not to be missed.
                self._place = reader.last_id or self._place
        raise RelayUnreachable(
            "cannot go on: the relay has ended the stream", hint="watch it again"
        )


def _event(event: ServerEvent) -> RelayEvent:
    try:
        facts = msgspec.json.decode(event.data, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise RemoteProtocolError(
            f"cannot read an event: {error}", hint="check that the address is a relay's"
        ) from error
    if event.type == _ENDED:
        raise restored(f"cannot go on: {facts.pop('reason', 'no reason is given')}", facts)
    session_id, at = facts.pop("sessionId", None), facts.pop("at", None)
    return RelayEvent(
        id=event.id,
        kind=event.type,
        session_id=session_id if isinstance(session_id, str) else None,
        at=at if isinstance(at, str) else None,
        facts=facts,
    )
