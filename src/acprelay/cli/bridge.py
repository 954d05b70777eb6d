"""Lines on one side, WebSocket messages on the other, each passed on unchanged.

Neither side is read faster than the other one takes it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from acprelay.cli.open_requests import OpenRequests
from acprelay.cli.stdio import InputLines, Output
from acprelay.client.message_socket import MessageSocket
from acprelay.errors import RelayError

ANSWERS_S = 5.0
"""How long open requests have to be answered once the input has ended."""

FIRST_REQUEST_S = 2.0
"""How long the first request has to come, to be told that there is no relay."""

_NOT_UTF8 = (
    b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"cannot pass a line on that is '
    b'not UTF-8","data":{"code":"parse_failed","retryable":false,"hint":"send JSON in UTF-8"}}}'
)


class Bridge:
    """Passes messages on between a client's lines and a relay.

    Args:
        lines: What the client writes.
        output: What it reads.
    """

    def __init__(self, *, lines: InputLines, output: Output) -> None:
        self._lines = lines
        self._output = output
        self._requests = OpenRequests()
        self._ahead: bytes | None = None
        self._has_spoken = False
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Makes `run` return as if the lines had ended, without waiting for answers. Idempotent."""
        self._stopping.set()

    @property
    def is_silent(self) -> bool:
        """Whether the client has not written a line yet."""
        return not self._has_spoken

    async def first_line(self) -> bool:
        """Waits for the client's first line, which the next `run` passes on.

        Cancelling is safe.

        Returns:
            Whether it came; otherwise the lines ended, or `stop` was called.

        Raises:
            OSError: Nobody reads the output any more.
        """
        loop = asyncio.get_running_loop()
        reading = loop.create_task(self._read_ahead())
        unread = loop.create_task(self._output.failure())
        stopping = loop.create_task(self._stopping.wait())
        tasks: list[asyncio.Task[object]] = [reading, unread, stopping]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            _raise_failure(unread)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self._ahead is not None

    async def run(self, socket: MessageSocket) -> None:
        """Passes messages on until the lines end.

        Requests that are open then have `ANSWERS_S` to be answered. When this returns, the relay
        has read every line, unless it reads none.

        Args:
            socket: The connection; closed in the end.

        Raises:
            RelayUnreachable: The relay went away; `refuse` answers what waits.
            OSError: Nobody reads the output any more.
        """
        loop = asyncio.get_running_loop()
        upward = loop.create_task(self._pass_lines(socket))
        downward = loop.create_task(self._pass_messages(socket))
        unread = loop.create_task(self._output.failure())
        stopping = loop.create_task(self._stopping.wait())
        tasks: list[asyncio.Task[object]] = [upward, downward, unread, stopping]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            _raise_failure(upward, downward, unread)
            answered = loop.create_task(self._requests.all_answered())
            tasks.append(answered)
            await asyncio.wait(
                {downward, unread, stopping, answered},
                timeout=ANSWERS_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            _raise_failure(downward, unread)
            await self._flush()
            await socket.close()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def refuse(self, error: RelayError, *, await_first: bool) -> None:
        """Answers every request that waits with an error.

        Args:
            error: Why there is no relay.
            await_first: Whether to wait a moment for a first request, where none has come.
        """
        if await_first:
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_REQUEST_S):
                    await self._read_first_request()
        with suppress(OSError):  # nobody reads: nobody waits
            for response in self._requests.refuse_all(error):
                await self._output.write(response + b"\n")
            await self._flush()

    async def _read_ahead(self) -> None:
        self._ahead = await anext(self._lines, None)

    async def _line(self) -> bytes | None:
        """Gives the next line; None once they have ended."""
        line, self._ahead = self._ahead, None
        if line is None:
            line = await anext(self._lines, None)
        self._has_spoken = self._has_spoken or line is not None
        return line

    async def _read_first_request(self) -> None:
        while (line := await self._line()) is not None:
            self._requests.sent(line)
            if self._requests:
                return

    async def _pass_lines(self, socket: MessageSocket) -> None:
        while (line := await self._line()) is not None:
            if not _is_utf8(line):
                # A text message that is not UTF-8 costs the connection (RFC 6455, section 8.1).
                await self._output.write(_NOT_UTF8 + b"\n")
            elif line.strip():
                self._requests.sent(line)
                await socket.send(line)

    async def _pass_messages(self, socket: MessageSocket) -> None:
        while True:
            message = await socket.receive()
            # A newline in JSON is white space, and would end the line.
            await self._output.write(message.replace(b"\n", b" ") + b"\n")
            self._requests.received(message)

    async def _flush(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWERS_S):
                await self._output.drain()


def _raise_failure(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        if task.done():
            task.result()


def _is_utf8(line: bytes) -> bool:
    if line.isascii():
        return True
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
