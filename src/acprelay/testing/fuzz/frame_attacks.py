"""What is wrong with WebSockets: frames, fragments, floods of control frames."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from acprelay.testing.fuzz.line import NO_UPGRADE, Opcode, Site, frame, noise

_PAUSE_S = 0.05


async def _tell(site: Site, *frames: bytes, half_closes: bool = False) -> str:
    async with site.line() as line:
        if not await line.upgrade():
            return NO_UPGRADE
        for each in frames:
            await line.say(each)
        if half_closes:
            line.half_close()
        return await line.end()


async def bad_frames(site: Site) -> Sequence[str]:
    """Frames that no WebSocket has."""
    frames = [
        *(frame(b"x", opcode) for opcode in (3, 7, 11, 15)),
        *(frame(b"x", reserved=bits) for bits in (1, 2, 4, 7)),
        frame(b"x", masked=False),
        frame(b"x" * 126, Opcode.PING),
        frame(b"x", Opcode.PING, fin=False),
        frame(b"x", Opcode.CLOSE),
        frame((1005).to_bytes(2), Opcode.CLOSE),
        frame(b"\x03\xe8\xff\xfe", Opcode.CLOSE),
        frame(b"", length=1 << 63),
        frame(b"", length=(1 << 63) - 1),
        frame(b"", length=(1 << 64) - 1),
        frame(b"", length=1 << 40),
        frame(b"x", Opcode.CONTINUATION),
        frame(b"x", fin=False) + frame(b"y", Opcode.TEXT),
    ]
    return [await _tell(site, each) for each in frames]


async def truncated_frames(site: Site) -> Sequence[str]:
    """Frames that end before they are whole."""
    whole = frame(b"x" * 70_000)
    cuts = (1, 2, 5, 9, 14, 100, 60_000)
    return [await _tell(site, whole[:cut], half_closes=True) for cut in cuts]


async def fragments(site: Site) -> Sequence[str]:
    """Messages in too many parts, in empty ones, and with control frames between them."""
    ping = frame(b"", Opcode.PING)
    begun = frame(b"{", fin=False)
    part = frame(b" " * 1_000, Opcode.CONTINUATION, fin=False)
    empty = frame(b"", Opcode.CONTINUATION, fin=False)
    end = frame(b"}", Opcode.CONTINUATION) + frame((1000).to_bytes(2), Opcode.CLOSE)
    return [
        await _tell(site, begun, part * 3_000),
        await _tell(site, begun, empty * 100_000, end),
        await _tell(site, begun, (ping + empty) * 2_000, end),
        await _tell(site, frame(b"", fin=False), frame(b"", Opcode.CONTINUATION), end),
    ]


async def too_large(site: Site) -> Sequence[str]:
    """A message over the limit, in one frame."""
    return [await _tell(site, frame(b"x" * (2 << 20)))]


async def control_floods(site: Site) -> Sequence[str]:
    """Pings and pongs without end, whose answers are not read."""
    seen = []
    for opcode in (Opcode.PING, Opcode.PONG):
        async with site.line() as line:
            if not await line.upgrade():
                return [NO_UPGRADE]
            for _ in range(20):
                await line.say(frame(b"x" * 125, opcode) * 1_000)
            await line.say(frame((1000).to_bytes(2), Opcode.CLOSE))
            seen.append(await line.end())
    return seen


async def slow_frames(site: Site) -> Sequence[str]:
    """A frame that comes byte by byte, and never ends."""

    async def trickle() -> str:
        async with site.line() as line:
            if not await line.upgrade():
                return NO_UPGRADE
            async with line.saying_slowly(frame(b"x" * 100_000)[:400], _PAUSE_S):
                return await line.end()

    return await asyncio.gather(*(trickle() for _ in range(5)))


async def frame_noise(site: Site) -> Sequence[str]:
    """Bytes without meaning where frames should be."""
    sizes = [site.random.randrange(1, 10_000) for _ in range(10)]
    return [await _tell(site, noise(site.random, size), half_closes=True) for size in sizes]
