"""The least that a relay in Python can do: bytes from an agent's pipe to a WebSocket, and back.

It stands on what the relay stands on, aiohttp and uvloop, and does nothing else: no token, no ids,
no log, no JSON. Each connection starts an agent; each read of its pipe is one write to the socket.
So it shows which part of the relay's figures is the language's and the libraries' own.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import uvloop
from aiohttp import web

from acprelay.server.whole_messages import WholeMessages
from acprelay.wire.websocket import text_header

if TYPE_CHECKING:
    from aiohttp.http_websocket import WebSocketReader

LONGEST = 64 * 1024 * 1024


class AgentPipe(asyncio.Protocol):
    """Frames what an agent writes, a line a message.

    Args:
        write: Gets the frames of the lines that one read has completed.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._begun: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        """Takes what one read brought."""
        first, *lines = data.split(b"\n")
        self._begun.append(first)
        if lines:
            whole = b"".join(self._begun)
            self._begun = [lines.pop()]
            parts = [text_header(len(whole)), whole]
            for line in lines:
                parts += (text_header(len(line)), line)
            self._write(b"".join(parts))


class Connection(web.RequestHandler):
    """A connection that takes its WebSocket's messages as the relay does, and holds its agent back.

    Args:
        server: The server that it is one of.
    """

    def __init__(self, server: web.Server) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), access_log=cast("Any", None))
        self.messages = WholeMessages(most=LONGEST)
        self.agent: asyncio.ReadTransport | None = None

    def set_parser(
        self, parser: WebSocketReader, data_received_cb: Callable[[], None] | None = None
    ) -> None:
        """Puts the short way before aiohttp's reader."""
        super().set_parser(cast("WebSocketReader", self.messages.before(parser)), data_received_cb)

    def pause_writing(self) -> None:
        """Leaves in the pipe what the client does not take."""
        super().pause_writing()
        if self.agent is not None:
            self.agent.pause_reading()

    def resume_writing(self) -> None:
        """Lets it flow again."""
        super().resume_writing()
        if self.agent is not None:
            self.agent.resume_reading()


def started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Starts an agent."""
    return subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


async def attend(request: web.BaseRequest, command: Sequence[str]) -> web.WebSocketResponse:
    """Serves one WebSocket from its upgrade to its end, with an agent of its own."""
    connection = cast("Connection", request.protocol)
    socket = web.WebSocketResponse(compress=False, max_msg_size=LONGEST, decode_text=False)
    await socket.prepare(request)
    transport = cast("asyncio.Transport", request.transport)
    loop = asyncio.get_running_loop()
    with started(command) as process:
        stdin, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, process.stdin)
        stdout, _ = await loop.connect_read_pipe(lambda: AgentPipe(transport.write), process.stdout)
        connection.agent = stdout

        def take(message: bytes) -> bool:
            stdin.write(message + b"\n")
            return True

        connection.messages.begin(take)
        try:
            async for message in socket:
                take(message.data)
                connection.messages.handled()
        finally:
            connection.messages.end()
            connection.agent = None
            stdin.abort()
            stdout.close()
            process.terminate()
    return socket


async def serve(port: int, command: Sequence[str]) -> None:
    """Serves on loopback until it is cancelled."""
    server = web.Server(lambda request: attend(request, command))
    listener = await asyncio.get_running_loop().create_server(
        lambda: Connection(server), "127.0.0.1", port
    )
    await listener.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.command))
