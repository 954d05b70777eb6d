"""`/relay`: the relay itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from acprelay import __version__
from acprelay.config import Limits
from acprelay.errors import StoreError
from acprelay.routing.access import Grant
from acprelay.routing.listing import timestamp
from acprelay.runtime.inspection import Inspection
from acprelay.server.api.operations import Call, Operation, Reach, Struct
from acprelay.session.ports import Clock


class RelayInfo(Struct, frozen=True, kw_only=True):
    """The relay.

    Attributes:
        version: Its version.
        started_at: When it began.
        uptime_s: For how long it runs, in seconds.
        sessions: How many sessions that may be observed are in each state.
        limits: Its limits by name; durations in seconds, sizes in bytes.
    """

    version: str
    started_at: str
    uptime_s: float
    sessions: dict[str, int]
    limits: dict[str, float]


class RelayResource:
    """Serves `/relay`.

    Args:
        inspection: Looks at conversations.
        limits: What holds in the relay.
        clock: Wall-clock time.
    """

    def __init__(self, *, inspection: Inspection, limits: Limits, clock: Clock) -> None:
        self._inspection = inspection
        self._limits = limits
        self._clock = clock
        self._started_at = clock.now()

    def operations(self) -> list[Operation]:
        """Gives the operations."""
        return [
            Operation(
                id="getRelay",
                method="GET",
                path="/relay",
                summary="Show the relay: version, uptime, sessions by state, limits",
                tag="relay",
                result=RelayInfo,
                errors=(StoreError,),
                grant=Grant.OBSERVE,
                reach=Reach.WITHIN,
                handler=self._get,
            )
        ]

    async def _get(self, call: Call[Any, None]) -> RelayInfo:
        seen = await self._inspection.sessions(call.principal)
        return RelayInfo(
            version=__version__,
            started_at=timestamp(self._started_at),
            uptime_s=round(max(0.0, self._clock.now() - self._started_at), 1),
            sessions=dict(Counter(each.state for each in seen)),
            limits={_camel(name): value for name, value in asdict(self._limits).items()},
        )


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(map(str.capitalize, rest))
