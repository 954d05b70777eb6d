"""What one session costs does not depend on how many others there are: shown by counting calls."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import FrameType
from typing import TYPE_CHECKING, Any

from acprelay.config import Limits

if TYPE_CHECKING:
    from tests.runtime.conftest import Client, World

FEW, MANY = 120, 480
"""Both more than a page of `session/list` has."""

MOST = MANY + 10
UNLIMITED = Limits(
    sessions=MOST,
    processes=MOST,
    sessions_per_principal=MOST,
    connection_sessions=MOST,
    client_message_rate=1e6,
    client_message_burst=1_000_000,
)
OpenWorld = Callable[..., AbstractAsyncContextManager["World"]]


async def calls_of(work: Awaitable[object]) -> int:
    """How many functions of Python are called until something is done."""
    count = 0

    def observe(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(observe)
    try:
        await work
    finally:
        sys.setprofile(None)
    return count


async def list_all(client: Client) -> list[str]:
    """Reads every page of the list."""
    named: list[str] = []
    params: dict[str, object] = {}
    while True:
        result = (await client.call("session/list", params))["result"]
        named += [each["sessionId"] for each in result["sessions"]]
        if "nextCursor" not in result:
            return named
        params = {"cursor": result["nextCursor"]}


async def costs(open_world: OpenWorld, sessions: int) -> dict[str, int]:
    """The calls of what a client does while there are so many sessions, all of them its own."""
    async with open_world(limits=UNLIMITED) as world:
        client = await world.greeted(session_id=None)
        ids = [await client.open_session() for _ in range(sessions)]
        assert sorted(await list_all(client)) == sorted(ids)

        def call(method: str, **params: object) -> Awaitable[object]:
            client.outlet.payloads.clear()  # a double that looks through all that it was given
            return client.call(method, params)

        middle = ids[sessions // 2]
        return {
            "list": await calls_of(call("session/list")),
            "find": await calls_of(call("session/resume", sessionId=middle, cwd="/repo")),
            "list again": await calls_of(call("session/list")),
            "create": await calls_of(call("session/new", cwd="/repo", mcpServers=[])),
            "refused": await calls_of(call("session/set_mode", sessionId="no:main", modeId="x")),
            "end": await calls_of(call("session/close", sessionId=middle)),
        }


async def test_no_other_session_is_looked_at_when_one_is_listed_found_opened_or_ended(
    open_world: OpenWorld,
) -> None:
    few, many = await costs(open_world, FEW), await costs(open_world, MANY)
    assert few.keys() == many.keys()
    for what, calls in many.items():
        # Four times the sessions; a twentieth is what the lengths of names and numbers may change.
        assert calls <= few[what] * 1.05 + 5, (what, few[what], calls)
