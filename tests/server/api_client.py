"""A client of the control API that knows nothing of it: a method, a path, and what came back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from acprelay.compose import RunningRelay
from acprelay.routing.group_params import GroupSpec, RoleSpec


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    media: str
    body: Any


class ApiClient:
    """Asks one relay."""

    def __init__(self, http: aiohttp.ClientSession, base_url: str) -> None:
        self._http = http
        self._base = f"{base_url}/api/v1"

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        async with self._http.request(
            method, self._base + path, json=body, headers=headers
        ) as response:
            is_json = response.content_type.endswith("json")
            given = await (response.json(content_type=None) if is_json else response.text())
            return Answer(response.status, response.content_type, given)

    async def get(self, path: str) -> Any:
        """Gives what a request that succeeds gives."""
        answer = await self("GET", path)
        assert answer.status == 200, answer
        return answer.body


@asynccontextmanager
async def api_client(
    base_url: str, headers: Mapping[str, str] | None = None
) -> AsyncIterator[ApiClient]:
    """Connects to a relay."""
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as http:
        yield ApiClient(http, base_url)


async def crew(relay: RunningRelay, group: str = "login", *roles: str) -> None:
    """Opens a group of sessions of the demo agent."""
    asked = tuple(RoleSpec(role=role) for role in roles or ("auth", "db"))
    outcome = await relay.groups.open(GroupSpec(cwd="/tmp", group=group, roles=asked))
    assert [role.error for role in outcome.roles] == [None] * len(asked)
