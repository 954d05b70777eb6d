"""HTTP and WebSocket clients, bare enough to be rude.

They frame by hand, read only when told to, and hang up hard. Nothing of them comes from the code
under test, nor from the library that it uses.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple
from urllib.parse import urlsplit

PATIENCE_S = 30.0

Message = dict[str, Any]

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
"""The headers that ask for a WebSocket."""

_MASK = b"\x37\xfa\x21\x3d"


class Answer(NamedTuple):
    """An HTTP response; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def problem(self) -> Message:
        """The problem document that it must be (RFC 9457)."""
        assert self.headers["content-type"] == "application/problem+json"
        document: Message = json.loads(self.body)
        assert document["status"] == self.status
        assert document["title"].startswith("cannot ")
        assert document["hint"]
        return document


async def request_http(
    base_url: str,
    path: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """Sends one request on a connection of its own."""
    reader, writer = await _connect(base_url)
    length = {} if body is None else {"Content-Length": str(len(body))}
    head = _head(base_url, path, method, {**length, **(headers or {})})
    try:
        return await _exchange(reader, writer, head + (body or b""))
    finally:
        writer.transport.abort()


async def request_raw(base_url: str, data: bytes) -> Answer:
    """Sends bytes as they are on a connection of its own, and reads an HTTP response."""
    reader, writer = await _connect(base_url)
    try:
        return await _exchange(reader, writer, data)
    finally:
        writer.transport.abort()


class Opcode(IntEnum):
    """RFC 6455, section 5.2."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Frame(NamedTuple):
    """A frame as the relay sent it."""

    fin: bool
    opcode: Opcode
    payload: bytes


class Closed(Exception):
    """The other side closed the WebSocket; `code` is None where no close frame came."""

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


def frame(payload: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True) -> bytes:
    """Frames a client's payload, masked."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65_536:
        length = bytes([0x80 | 126]) + struct.pack(">H", size)
    else:
        length = bytes([0x80 | 127]) + struct.pack(">Q", size)
    mask = (_MASK * (size // 4 + 1))[:size]
    masked = (int.from_bytes(payload) ^ int.from_bytes(mask)).to_bytes(size)
    return bytes([0x80 * fin | opcode]) + length + _MASK + masked


class WebSocketPeer:
    """A WebSocket's client end, after the upgrade.

    Args:
        reader: Where the relay's frames come from.
        writer: Where they go.
        headers: Those of the upgrade's response.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        headers: Mapping[str, str],
    ) -> None:
        self.headers = headers
        self._reader = reader
        self._writer = writer

    async def write(self, data: bytes) -> None:
        """Writes bytes as they are."""
        async with asyncio.timeout(PATIENCE_S):
            self._writer.write(data)
            await self._writer.drain()

    async def send(self, payload: bytes, opcode: Opcode = Opcode.TEXT) -> None:
        """Sends one unfragmented frame."""
        await self.write(frame(payload, opcode))

    async def read_frame(self) -> Frame:
        """Reads one frame, of whatever kind.

        Raises:
            Closed: The connection ended instead.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._read_frame()
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Closed(None) from None

    async def receive(self) -> bytes:
        """Reads one message, which must be a whole text frame.

        Raises:
            Closed: The other side closes instead.
        """
        fin, opcode, payload = await self.read_frame()
        if opcode is Opcode.CLOSE:
            raise Closed(int.from_bytes(payload[:2]), payload[2:].decode())
        assert (fin, opcode) == (True, Opcode.TEXT)
        return payload

    async def expect_end(self) -> Closed:
        """Reads and forgets until the connection is closed, and tells how."""
        while True:
            try:
                await self.receive()
            except Closed as closed:
                return closed

    async def close(self, code: int = 1000) -> Closed:
        """Does the closing handshake, and hangs up."""
        await self.send(struct.pack(">H", code), Opcode.CLOSE)
        closed = await self.expect_end()
        self.abort()
        return closed

    def half_close(self) -> None:
        """Says no more, and goes on listening."""
        self._writer.write_eof()

    def abort(self) -> None:
        """Hangs up without a word: the relay sees a reset, or the end of the stream."""
        self._writer.transport.abort()

    async def _read_frame(self) -> Frame:
        first, second = await self._reader.readexactly(2)
        assert second < 128, "a server's frames are not masked"
        size = second
        if second == 126:
            size = int.from_bytes(await self._reader.readexactly(2))
        elif second == 127:
            size = int.from_bytes(await self._reader.readexactly(8))
        return Frame(first >= 128, Opcode(first & 0x7F), await self._reader.readexactly(size))


async def connect(
    url: str, *, headers: Mapping[str, str] | None = None, receive_buffer: int | None = None
) -> WebSocketPeer:
    """Opens a WebSocket.

    Args:
        url: A `ws:` address, with its query.
        headers: Further headers of the upgrade.
        receive_buffer: The size of the socket's receive buffer, in bytes: a small one makes a
            client that does not read a burden soon.
    """
    reader, writer = await _connect(url, receive_buffer)
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    head = _head(url, path, "GET", {**UPGRADE, **(headers or {})})
    try:
        answer = await _exchange(reader, writer, head)
    except BaseException:
        writer.transport.abort()
        raise
    assert answer.status == 101, answer
    return WebSocketPeer(reader, writer, answer.headers)


async def refused(url: str, *, headers: Mapping[str, str] | None = None) -> Answer:
    """Asks for a WebSocket and gets an HTTP response instead."""
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    answer = await request_http(url, path, headers={**UPGRADE, **(headers or {})})
    assert answer.status != 101
    return answer


def _head(url: str, path: str, method: str, headers: Mapping[str, str]) -> bytes:
    all_headers = {"Host": urlsplit(url).netloc, **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in all_headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _connect(
    url: str, receive_buffer: int | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    sock = socket.socket()
    sock.setblocking(False)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        async with asyncio.timeout(PATIENCE_S):
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, (parts.hostname, parts.port))
            return await asyncio.open_connection(sock=sock)
    except BaseException:
        sock.close()
        raise


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes
) -> Answer:
    async with asyncio.timeout(PATIENCE_S):
        writer.write(data)
        answer = await _read_head(reader)
        has_body = answer.status != 101 and not data.startswith(b"HEAD ")
        size = int(answer.headers["content-length"]) if has_body else 0
        return answer._replace(body=await reader.readexactly(size))


async def _read_head(reader: asyncio.StreamReader) -> Answer:
    async with asyncio.timeout(PATIENCE_S):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields = (line.partition(": ") for line in head[1:-2])
    headers = {name.lower(): value for name, _, value in fields}
    return Answer(int(head[0].split()[1]), headers, b"")


class Event(NamedTuple):
    """A server-sent event; `data` is the text of a JSON-RPC message."""

    id: str
    data: str

    @property
    def message(self) -> Message:
        """The message."""
        message: Message = json.loads(self.data)
        return message


class StreamPeer:
    """The client end of an HTTP response that is a stream of events, after its head.

    Args:
        reader: Where it comes from.
        writer: Where the request went.
        answer: The response's head.

    Attributes:
        last_id: The last id that came, with an event or without.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer
    ) -> None:
        self.answer = answer
        self.last_id: str | None = None
        self._reader = reader
        self._writer = writer
        self._text = b""

    async def receive(self) -> Event:
        """Reads one event.

        Raises:
            Closed: The stream ended instead.
        """
        while True:
            block = await self.receive_block()
            lines = [line.partition(": ") for line in block.split("\n")]
            fields = {name: value for name, _, value in lines}
            self.last_id = fields.get("id", self.last_id)
            if "data" in fields:
                data = "\n".join(value for name, _, value in lines if name == "data")
                return Event(fields["id"], data)

    async def expect_end(self) -> None:
        """Reads and forgets until the stream has ended."""
        try:
            while True:
                await self.receive_block()
        except Closed:
            pass

    def abort(self) -> None:
        """Hangs up without a word."""
        self._writer.transport.abort()

    async def receive_block(self) -> str:
        """Reads what stands before the next empty line: an event, or a comment.

        Raises:
            Closed: The stream ended instead.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                while b"\n\n" not in self._text:
                    self._text += await self._chunk()
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Closed(None) from None
        block, _, self._text = self._text.partition(b"\n\n")
        return block.decode()

    async def _chunk(self) -> bytes:
        size = int(await self._reader.readuntil(b"\r\n"), 16)
        chunk = await self._reader.readexactly(size)
        assert await self._reader.readexactly(2) == b"\r\n"
        if not size:
            raise ConnectionResetError
        return chunk


async def open_stream(
    url: str,
    path: str,
    *,
    headers: Mapping[str, str],
    receive_buffer: int | None = None,
) -> StreamPeer:
    """Opens a stream of events, which must be given.

    Args:
        url: The relay's address.
        path: What is asked for.
        headers: Further headers.
        receive_buffer: The size of the socket's receive buffer, in bytes.
    """
    reader, writer = await _connect(url, receive_buffer)
    accept = {"Accept": "text/event-stream"}
    try:
        writer.write(_head(url, path, "GET", {**accept, **headers}))
        answer = await _read_head(reader)
        assert answer.status == 200, answer
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["transfer-encoding"] == "chunked"
    except BaseException:
        writer.transport.abort()
        raise
    return StreamPeer(reader, writer, answer)
