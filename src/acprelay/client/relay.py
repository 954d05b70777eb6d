"""The relay itself, and the document that describes its API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acprelay.client.calls import Calls, Value


class RelayInfo(Value, frozen=True, kw_only=True):
    """The relay.

    Attributes:
        version: Its version.
        started_at: When it began, in ISO 8601.
        uptime_s: For how long it runs, in seconds.
        sessions: How many sessions that may be observed are in each state.
        limits: Its limits by name; durations in seconds, sizes in bytes.
    """

    version: str
    started_at: str
    uptime_s: float
    sessions: Mapping[str, int]
    limits: Mapping[str, float]


class RelayCalls(Calls):
    """What can be asked about the relay. All raise as `RelayClient` says."""

    async def get_relay(self) -> RelayInfo:
        """Gives its version, its age, its sessions by state, and its limits."""
        return await self._api.get("/relay", RelayInfo)

    async def get_openapi(self) -> dict[str, Any]:
        """Gives the OpenAPI document of its API."""
        return await self._api.get("/openapi.json", dict[str, Any])

    async def get_docs(self) -> str:
        """Gives the page to read about its API, in HTML."""
        return await self._api.text("/docs")
