"""A TCP proxy between two programs that know nothing of it, and what becomes of bytes on the way.

The relay it leads to has to take the proxy's address for its own (`--public-url`): what passes is
not changed.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from random import Random
from urllib.parse import urlsplit


class Cut(Enum):
    """How a connection ends on the way."""

    RESET = auto()
    """Both ends get a reset, with all that is on its way lost."""
    CLOSE = auto()
    """Both ends are told that the other one has closed it."""
    SILENCE = auto()
    """Nobody is told: what is sent in this direction is lost from here on, and each end believes
    that the other one is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What becomes of the bytes of one direction.

    Attributes:
        slice_bytes: How many bytes pass at a time, at most.
        latency_s: How long each slice is on its way.
        jitter_s: By how much longer it may be.
        bytes_per_s: How fast they pass; None as fast as they come.
        cut_after: How many bytes pass before it is cut; None for no cut.
        cut: How it is cut.
    """

    slice_bytes: int = 65_536
    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    cut_after: int | None = None
    cut: Cut = Cut.RESET


FINE = Weather()


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What becomes of one connection: of what its client sends, and of what it is sent."""

    up: Weather = FINE
    down: Weather = FINE


class _Way:
    """One direction of a connection, with the weather that it has at this moment."""

    def __init__(self, weather: Weather) -> None:
        self.turn(weather)

    def turn(self, weather: Weather) -> None:
        """Changes the weather; bytes are counted from here on."""
        self.weather = weather
        self._left = weather.cut_after

    @property
    def is_over(self) -> bool:
        """Whether as much has passed as may."""
        return self._left == 0

    def next_slice(self, rest: memoryview) -> memoryview:
        """Takes from what is to pass what passes next."""
        most = self.weather.slice_bytes if self._left is None else self._left
        piece = rest[: min(most, self.weather.slice_bytes)]
        if self._left is not None:
            self._left -= len(piece)
        return piece


class _Line:
    """A connection: its two sockets, and its two directions."""

    def __init__(
        self, near: asyncio.StreamWriter, away: asyncio.StreamWriter, forecast: Forecast
    ) -> None:
        self.up = _Way(forecast.up)
        self.down = _Way(forecast.down)
        self._writers = (near, away)

    def end(self, cut: Cut) -> None:
        """Ends it at both ends, with a reset or without."""
        for writer in self._writers:
            if cut is Cut.RESET:
                held = writer.get_extra_info("socket")
                with suppress(OSError):
                    held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            else:
                writer.close()


class StormyProxy:
    """Passes bytes on between whoever connects and one server, which is set before anybody does.

    Args:
        seed: Decides jitter.

    Attributes:
        connections: How many there were.
        silenced: Set once bytes begin to be lost in silence; whoever minds clears it.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self._target = ("", 0)
        self.connections = 0
        self.silenced = asyncio.Event()
        self._random = Random(seed)
        self._forecasts: deque[Forecast] = deque()
        self._lines: list[_Line] = []
        self._pumps: asyncio.TaskGroup

    @asynccontextmanager
    async def listening(self, door: socket.socket) -> AsyncIterator[StormyProxy]:
        """Listens for as long as the context lasts.

        Args:
            door: A listening socket, which stays open: others may listen there afterwards.
        """
        async with asyncio.TaskGroup() as self._pumps:
            server = await asyncio.start_server(self._serve, sock=door.dup())
            try:
                yield self
            finally:
                server.close()
                self.end()

    def lead_to(self, url: str) -> None:
        """Chooses the server, by an address of it."""
        parts = urlsplit(url)
        self._target = (str(parts.hostname), int(parts.port or 0))

    def expect(self, *forecasts: Forecast) -> None:
        """Decides what becomes of the next connections; those after them have fine weather."""
        self._forecasts = deque(forecasts)

    def turn(self, forecast: Forecast) -> None:
        """Changes the weather for the connections that there are."""
        for line in self._lines:
            line.up.turn(forecast.up)
            line.down.turn(forecast.down)

    def end(self, how: Cut = Cut.RESET) -> None:
        """Ends every connection that there is."""
        for line in self._lines:
            line.end(how)
        self._lines.clear()

    async def _serve(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        forecast = self._forecasts.popleft() if self._forecasts else Forecast()
        self.connections += 1
        there, away = await asyncio.open_connection(*self._target)
        line = _Line(near, away, forecast)
        self._lines.append(line)
        self._pumps.create_task(self._pass_on(reader, away, line, line.up))
        self._pumps.create_task(self._pass_on(there, near, line, line.down))

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: _Line, way: _Way
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                rest = memoryview(data)
                while rest and not way.is_over:
                    piece = way.next_slice(rest)
                    rest = rest[len(piece) :]
                    await self._travel(len(piece), way.weather)
                    writer.write(piece)
                    await writer.drain()
                if way.is_over and way.weather.cut is not Cut.SILENCE:
                    line.end(way.weather.cut)
                    return
                if way.is_over:
                    self.silenced.set()
            writer.write_eof()

    async def _travel(self, size: int, weather: Weather) -> None:
        delay_s = weather.latency_s + self._random.random() * weather.jitter_s
        if weather.bytes_per_s is not None:
            delay_s += size / weather.bytes_per_s
        if delay_s:
            await asyncio.sleep(delay_s)
