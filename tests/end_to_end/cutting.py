"""A TCP proxy whose connections a test cuts, and keeps cut for as long as it likes.

The relay serves its own address alone, so the proxy puts that into the first bytes of a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit


class CuttingProxy:
    """Passes bytes on between whoever connects and one server.

    Args:
        url: The server's address.

    Attributes:
        url: The proxy's own, for the same path.
        is_cut: Whether it is cut.
        refused: How many connections were refused while it was cut.
    """

    def __init__(self, url: str) -> None:
        self.url = ""
        self.refused = 0
        self._target = urlsplit(url)
        self._writers: set[asyncio.StreamWriter] = set()
        self.is_cut = False
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[CuttingProxy]:
        """Listens for as long as the context lasts."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = urlunsplit(self._target._replace(netloc=f"127.0.0.1:{port}"))
        try:
            yield self
        finally:
            self.cut()
            server.close()
            await server.wait_closed()

    def cut(self) -> None:
        """Ends every connection with all that is on its way, and refuses new ones."""
        self.is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """Takes connections again."""
        self.is_cut = False

    async def refuses(self, count: int) -> None:
        """Returns once so many connections were refused."""
        while self.refused < count:
            self._changed.clear()
            await self._changed.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            self.refused += 1
            self._changed.set()
            writer.transport.abort()
            return
        there, away = await asyncio.open_connection(self._target.hostname, self._target.port)
        self._writers |= {writer, away}
        with suppress(OSError, RuntimeError):
            head = await reader.read(65_536)
            own = urlsplit(self.url).netloc.encode()
            away.write(head.replace(own, self._target.netloc.encode(), 1))
            await asyncio.gather(_pump(reader, away), _pump(there, writer))
        for each in (writer, away):
            each.transport.abort()
            self._writers.discard(each)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
