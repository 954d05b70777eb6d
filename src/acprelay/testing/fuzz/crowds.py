"""Many at once: connections that never speak, that never greet, that come and go."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from acprelay.testing.fuzz.line import NO_UPGRADE, Line, Site, frame

_AT_ONCE = 64


async def _each(site: Site, deed: Callable[[Line], Awaitable[str]]) -> Sequence[str]:
    """Has a crowd do something, all of whose connections are open before the first one ends."""
    gate = asyncio.Semaphore(_AT_ONCE)
    there = asyncio.Barrier(site.crowd)

    async def one() -> str:
        async with gate:
            context = site.line()
            line = await context.__aenter__()
        try:
            await there.wait()
            return await deed(line)
        finally:
            await context.__aexit__(None, None, None)

    seen = Counter(await asyncio.gather(*(one() for _ in range(site.crowd))))
    return list(seen)


async def silent_crowd(site: Site) -> Sequence[str]:
    """Connections that never speak."""
    return await _each(site, Line.status)


async def unfinished_crowd(site: Site) -> Sequence[str]:
    """Connections that begin a head and go on no more."""

    async def begin(line: Line) -> str:
        await line.say(b"GET /acp HTTP/1.1\r\nHost: ")
        return await line.status()

    return await _each(site, begin)


async def ungreeted_crowd(site: Site) -> Sequence[str]:
    """Connections that become WebSockets and never speak."""

    async def upgrade(line: Line) -> str:
        return await line.end() if await line.upgrade() else NO_UPGRADE

    return await _each(site, upgrade)


async def churn(site: Site) -> Sequence[str]:
    """Connections that come and go, at any instant of what they are for."""
    begun = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}'

    async def visit(instant: int) -> None:
        async with site.line() as line:
            if instant > 0 and not await line.upgrade():
                return
            if instant > 1:
                await line.say(frame(begun))
            if instant > 2:  # noqa: PLR2004 - one more thing to be in the middle of
                await line.answer()

    for _ in range(max(1, site.crowd // _AT_ONCE)):
        instants = [site.random.randrange(4) for _ in range(_AT_ONCE)]
        await asyncio.gather(*map(visit, instants))
    return []
