"""Stopping a relay in good order: how far it is, and the word to begin."""

from __future__ import annotations

from acprelay.client.calls import Calls, Value


class DrainState(Value, frozen=True, kw_only=True):
    """How far a relay is with stopping.

    Attributes:
        draining: Whether it begins nothing new any more.
        waiting_for: The sessions whose turns run.
        left_s: How much longer it waits for them at most, in seconds.
    """

    draining: bool
    waiting_for: tuple[str, ...]
    left_s: float


class DrainCalls(Calls):
    """What can be asked about stopping. All raise as `RelayClient` says."""

    async def drain_relay(self) -> DrainState:
        """Lets the relay begin nothing new, give turns that run their time, and stop.

        Idempotent: the time is counted from the first call.
        """
        return await self._api.post("/relay/drain", {}, DrainState)

    async def get_drain(self) -> DrainState:
        """Tells for which turns the relay waits, or would wait, before it stops."""
        return await self._api.get("/relay/drain", DrainState)
