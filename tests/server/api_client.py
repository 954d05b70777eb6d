"""A client of the control API that knows nothing of it: a method, a path, and what came back."""

from __future__ import annotations

import json
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


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event."""

    id: str | None
    kind: str
    data: Any


class EventReader:
    """Reads one stream of events."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._lines = response.content

    async def next(self) -> Event:
        """Gives the next event."""
        fields: dict[str, str] = {}
        while True:
            line = await self._lines.readline()
            assert line, "the stream has ended"
            text = line.decode().rstrip("\n")
            if not text and "data" in fields:  # an id alone tells a place, and is no event
                return Event(fields.get("id"), fields["event"], json.loads(fields["data"]))
            name, _, value = text.partition(": ")
            if name:  # a comment has none
                fields[name] = value

    async def comment(self) -> str:
        """Gives the next comment; there is no event before it."""
        while not (line := (await self._lines.readline()).decode()).startswith(": "):
            assert line == "\n" or line.startswith("id: "), line
        return line.removeprefix(": ").rstrip("\n")

    async def until(self, kind: str) -> Any:
        """Gives what the next event of a kind says."""
        while (event := await self.next()).kind != kind:
            pass
        return event.data

    async def is_over(self) -> bool:
        """Waits for the end of the stream; tells whether nothing came before it."""
        return not await self._lines.read()


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

    @asynccontextmanager
    async def events(
        self, query: str = "", *, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[EventReader]:
        """Watches what happens from now on, or from where the request says."""
        async with self._http.get(f"{self._base}/events{query}", headers=headers) as response:
            assert response.status == 200, await response.text()
            yield EventReader(response)

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
