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
from acprelay.runtime.draining import Draining
from acprelay.runtime.inspection import Inspection
from acprelay.server.api.operations import Call, Nothing, Operation, Reach, Struct
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


class DrainState(Struct, frozen=True, kw_only=True):
    """How far the relay is with stopping.

    Attributes:
        draining: Whether it begins nothing new any more.
        waiting_for: The sessions whose turns run; once the relay drains, it waits for these.
        left_s: How much longer it waits at most, in seconds.
    """

    draining: bool
    waiting_for: tuple[str, ...]
    left_s: float


class RelayResource:
    """Serves `/relay`.

    Args:
        draining: Lets the relay stop in good order.
        inspection: Looks at conversations.
        limits: What holds in the relay.
        clock: Wall-clock time.
    """

    def __init__(
        self, *, draining: Draining, inspection: Inspection, limits: Limits, clock: Clock
    ) -> None:
        self._draining = draining
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
            ),
            Operation(
                id="getDrain",
                method="GET",
                path="/relay/drain",
                summary="Tell for which turns the relay waits, or would wait, before it stops",
                tag="relay",
                result=DrainState,
                grant=Grant.MANAGE,
                reach=Reach.RELAY,
                handler=self._get_drain,
                example=_DRAIN_EXAMPLE,
            ),
            Operation(
                id="drainRelay",
                method="POST",
                path="/relay/drain",
                summary="Let the relay stop in good order",
                description="""
                Nothing new begins from now on, clients are told, and turns that run get their time;
                then a relay that serves by itself stops. Idempotent: the time is counted from the
                first request.
                """,
                tag="relay",
                body=Nothing,
                result=DrainState,
                status=202,
                grant=Grant.MANAGE,
                reach=Reach.RELAY,
                handler=self._drain,
                example=_DRAIN_EXAMPLE,
            ),
        ]

    async def _drain(self, _call: Call[Any, Nothing]) -> DrainState:
        self._draining.begin()
        return self._state()

    async def _get_drain(self, _call: Call[Any, None]) -> DrainState:
        return self._state()

    def _state(self) -> DrainState:
        progress = self._draining.progress
        return DrainState(
            draining=self._draining.has_begun,
            waiting_for=progress.waiting_for,
            left_s=round(progress.left_s, 1),
        )

    async def _get(self, call: Call[Any, None]) -> RelayInfo:
        seen = await self._inspection.sessions(call.principal)
        return RelayInfo(
            version=__version__,
            started_at=timestamp(self._started_at),
            uptime_s=round(max(0.0, self._clock.now() - self._started_at), 1),
            sessions=dict(Counter(each.state for each in seen)),
            limits={_camel(name): value for name, value in asdict(self._limits).items()},
        )


_DRAIN_EXAMPLE = DrainState(draining=True, waiting_for=("login:auth",), left_s=27.0)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(map(str.capitalize, rest))
