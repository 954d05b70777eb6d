"""One raw connection to the relay, on which anything at all can be said.

What comes back is read only as far as tells how the relay took it: an HTTP status, the code of a
WebSocket's close, or that it hung up without a word.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import IntEnum
from random import Random

_PATIENCE_S = 20.0
_CLOSE = 8
_MOST_READ = 1 << 20

HUNG_UP = "hung up"
"""The relay closed the connection without a word."""

NO_UPGRADE = "no upgrade"
"""It made no WebSocket of the connection."""

OPEN = "open"
"""It did not close the connection in time."""


class Opcode(IntEnum):
    """RFC 6455, section 5.2."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


def frame(  # each is a part of a frame's head
    payload: bytes,
    opcode: int = Opcode.TEXT,
    *,
    fin: bool = True,
    reserved: int = 0,
    masked: bool = True,
    length: int | None = None,
) -> bytes:
    """Builds a frame, right or wrong.

    Args:
        payload: What it carries, masked with zeros.
        opcode: Its opcode.
        fin: Whether it is the last one of its message.
        reserved: The three reserved bits.
        masked: Whether it says that it is masked.
        length: The length that it claims; None is the payload's.
    """
    size = len(payload) if length is None else length
    bit = 0x80 if masked else 0
    if size < 126:  # noqa: PLR2004 - RFC 6455, section 5.2
        head = bytes([bit | size])
    elif size < 1 << 16:
        head = bytes([bit | 126]) + size.to_bytes(2)
    else:
        head = bytes([bit | 127]) + size.to_bytes(8)
    mask = bytes(4) if masked else b""
    return bytes([0x80 * fin | reserved << 4 | opcode]) + head + mask + payload


class Line:
    """A connection.

    Args:
        reader: What comes.
        writer: What goes.
        host: What a request's Host says.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str
    ) -> None:
        self.host = host
        self._reader = reader
        self._writer = writer

    async def say(self, data: bytes) -> None:
        """Writes; does nothing once the relay has closed. Waits while it does not read."""
        with suppress(OSError):
            async with asyncio.timeout(_PATIENCE_S):
                self._writer.write(data)
                await self._writer.drain()

    @asynccontextmanager
    async def saying_slowly(self, data: bytes, pause_s: float) -> AsyncIterator[None]:
        """Writes byte by byte for as long as the context lasts."""

        async def trickle() -> None:
            for each in data:
                await self.say(bytes([each]))
                await asyncio.sleep(pause_s)

        saying = asyncio.get_running_loop().create_task(trickle())
        try:
            yield
        finally:
            saying.cancel()
            await asyncio.wait({saying})

    async def upgrade(self, query: str = "?agent=none") -> bool:
        """Asks for a WebSocket; tells whether it got one."""
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        await self.say(
            f"GET /acp{query} HTTP/1.1\r\nHost: {self.host}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            "\r\n".encode()
        )
        try:
            async with asyncio.timeout(_PATIENCE_S):
                head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError, TimeoutError):
            return False
        return head.startswith(b"HTTP/1.1 101")

    async def status(self, *, within_s: float = _PATIENCE_S) -> str:
        """How the relay answers over HTTP: the first status, `HUNG_UP` or `OPEN`."""
        try:
            async with asyncio.timeout(within_s):
                head = await self._reader.readline()
        except TimeoutError:
            return OPEN
        except (OSError, ValueError):
            return HUNG_UP
        parts = head.decode("latin-1").split()
        return parts[1] if len(parts) > 1 else HUNG_UP

    async def end(self, *, within_s: float = _PATIENCE_S) -> str:
        """How the relay ends a WebSocket: the code of its close, `HUNG_UP` or `OPEN`."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    opcode, payload = await self._read_frame()
                    if opcode == _CLOSE:
                        return str(int.from_bytes(payload[:2]))
        except TimeoutError:
            return OPEN
        except (asyncio.IncompleteReadError, OSError):
            return HUNG_UP

    async def answer(self, *, within_s: float = _PATIENCE_S) -> bytes:
        """The next message, or nothing where the relay closes, or says none in time."""
        with suppress(TimeoutError, asyncio.IncompleteReadError, OSError):
            async with asyncio.timeout(within_s):
                while True:
                    opcode, payload = await self._read_frame()
                    if opcode == Opcode.TEXT:
                        return payload
                    if opcode == _CLOSE:
                        break
        return b""

    def half_close(self) -> None:
        """Says that nothing more will be said."""
        with suppress(OSError):
            self._writer.write_eof()

    def drop(self) -> None:
        """Hangs up at once. Idempotent."""
        self._writer.transport.abort()

    async def _read_frame(self) -> tuple[int, bytes]:
        first, size = await self._reader.readexactly(2)
        if size == 126:  # noqa: PLR2004 - RFC 6455, section 5.2
            size = int.from_bytes(await self._reader.readexactly(2))
        elif size == 127:  # noqa: PLR2004
            size = int.from_bytes(await self._reader.readexactly(8))
        return first & 0x0F, await self._reader.readexactly(size)


class Site:
    """Where a relay is, and the choices of who abuses it.

    Args:
        host: Its address.
        port: Its port.
        random: Decides.
        crowd: How many connections a crowd has.
    """

    def __init__(self, *, host: str, port: int, random: Random, crowd: int) -> None:
        self.random = random
        self.crowd = crowd
        self._address = (host, port)

    @asynccontextmanager
    async def line(self) -> AsyncIterator[Line]:
        """A connection of its own, which the context does not outlive.

        Raises:
            OSError: The relay does not take it.
        """
        host, port = self._address
        async with asyncio.timeout(_PATIENCE_S):
            reader, writer = await asyncio.open_connection(host, port, limit=_MOST_READ)
        line = Line(reader, writer, f"{host}:{port}")
        try:
            yield line
        finally:
            line.drop()


def noise(random: Random, size: int) -> bytes:
    """Bytes without meaning."""
    return random.randbytes(size)
