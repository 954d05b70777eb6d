"""A small ACP client: one connection, requests and their answers, notifications in their order.

One task reads. It hands each notification over, waits until that is dealt with, and only then looks
at the next message; so an answer is never seen before what came before it. Permission requests are
answered by tasks of their own, because they may take a person's time.

It shows nothing and decides nothing: that is up to whoever deals with notifications and permission
requests.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from acprelay import __version__
from acprelay.client.acp_messages import (
    JsonObject,
    PermissionOption,
    PermissionRequest,
    as_object,
    decode,
    identity,
    permission_request,
    refusal,
)
from acprelay.client.message_socket import MessageSocket
from acprelay.errors import RelayUnreachable, RemoteProtocolError

PROTOCOL_VERSION = 1
METHOD_NOT_FOUND = -32601

OnNotification = Callable[[str, JsonObject], Awaitable[None]]
"""Deals with a notification: its method and its params."""

OnPermission = Callable[[PermissionRequest], Awaitable[PermissionOption | None]]
"""Answers a permission request; None answers `cancelled`. Cancelled when nobody waits any more."""


class AcpClient:
    """The client's side of one connection; enter it to start reading.

    Args:
        socket: The connection.
        on_notification: Called for every notification, one after another.
        on_permission: Called for every permission request; where it is None, this client abstains,
            and leaves the answer to others.
    """

    def __init__(
        self,
        *,
        socket: MessageSocket,
        on_notification: OnNotification,
        on_permission: OnPermission | None,
    ) -> None:
        self._socket = socket
        self._on_notification = on_notification
        self._on_permission = on_permission
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[JsonObject]] = {}
        self._questions: dict[str, _Question] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._cancelling = False
        self._failure: Exception | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._reader = asyncio.get_running_loop().create_task(self._read())
        self._own(self._reader)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # what failed is kept in _failure

    async def initialize(self) -> JsonObject:
        """Greets the agent; comes first.

        Returns:
            What the agent can do: `agentCapabilities`.

        Raises:
            RelayError: The answer is an error, which its class tells.
            RemoteProtocolError: The agent speaks another version of the protocol.
            RelayUnreachable: The connection is lost.
        """
        result = await self.call(
            "initialize",
            {
                "protocolVersion": PROTOCOL_VERSION,
                "clientCapabilities": {
                    "fs": {"readTextFile": False, "writeTextFile": False},
                    "terminal": False,
                },
                "clientInfo": {"name": "acprelay", "title": "acprelay run", "version": __version__},
            },
        )
        version = result.get("protocolVersion")
        if version != PROTOCOL_VERSION:
            raise RemoteProtocolError(
                f"cannot speak version {version!r} of the protocol",
                hint=f"use an agent that speaks version {PROTOCOL_VERSION}",
            )
        return as_object(result.get("agentCapabilities"))

    async def new_session(self, *, cwd: str) -> JsonObject:
        """Opens a session; returns the result, with `sessionId`. Raises as `call` does."""
        return await self.call("session/new", {"cwd": cwd, "mcpServers": []})

    async def prompt(self, session_id: str, text: str) -> str:
        """Sends a prompt and waits for the end of the turn; returns the stop reason.

        Every notification of the turn has been dealt with by then. One turn runs at a time. Raises
        as `call` does; cancelling the call does not cancel the turn, `cancel` does.
        """
        return await self.prompt_with(session_id, [{"type": "text", "text": text}])

    async def prompt_with(self, session_id: str, blocks: Sequence[JsonObject]) -> str:
        """Sends a prompt of content blocks; else as `prompt`."""
        params: JsonObject = {"sessionId": session_id, "prompt": list(blocks)}
        result = await self.call("session/prompt", params)
        self._cancelling = False
        return str(result.get("stopReason"))

    async def cancel(self, session_id: str) -> None:
        """Cancels the running turn, whose `prompt` then returns. Idempotent.

        ACP, "Cancellation": the client MUST answer all its pending permission requests with
        `cancelled`; those that still arrive are answered so too.
        """
        self._cancelling = True
        await self.notify("session/cancel", {"sessionId": session_id})
        for key in tuple(self._questions):
            await self._withdraw(key)

    async def close_session(self, session_id: str) -> None:
        """Closes a session; does not wait for that once a notification could not be dealt with.

        Raises as `call` does.
        """
        params = {"sessionId": session_id}
        if self._failure is None:
            await self.call("session/close", params)
        else:
            await self._send({"id": self._mint(), "method": "session/close", "params": params})

    async def call(self, method: str, params: JsonObject) -> JsonObject:
        """Sends a request and waits for its answer. Cancelling is safe: a late answer is dropped.

        Returns:
            The result.

        Raises:
            RelayError: The answer is an error, which its class tells.
            RelayUnreachable: The connection is lost.
            RemoteProtocolError: The relay sent what cannot be read.
            Exception: What dealing with a notification raised.
        """
        if self._failure is not None:
            raise self._failure
        request_id = self._mint()
        answer: asyncio.Future[JsonObject] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = answer
        try:
            await self._send({"id": request_id, "method": method, "params": params})
            response = await answer
        finally:
            del self._waiting[request_id]
        if "error" in response:
            raise refusal(method, as_object(response["error"]))
        return as_object(response.get("result"))

    async def notify(self, method: str, params: JsonObject) -> None:
        """Sends a notification. Raises RelayUnreachable if the connection is lost."""
        await self._send({"method": method, "params": params})

    async def until_lost(self) -> Exception:
        """Returns once nothing comes any more, and gives the reason. Cancelling is safe."""
        if self._reader is not None:
            await asyncio.wait([self._reader])
        return self._failure or RelayUnreachable(
            "cannot go on: the connection was closed", hint="connect again"
        )

    async def _send(self, message: JsonObject) -> None:
        # Escapes, since what an agent named may hold lone surrogates, which UTF-8 does not have.
        text = json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":"))
        await self._socket.send(text.encode())

    def _mint(self) -> int:
        self._last_id += 1
        return self._last_id

    async def _read(self) -> None:
        with self._failing():
            while True:
                await self._take(decode(await self._socket.receive()))

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Makes an error of a task the error of every call: even a defect leaves none waiting."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - every call raises it
            self._failure = self._failure or error
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(self._failure)

    async def _take(self, message: JsonObject) -> None:
        params = as_object(message.get("params"))
        match message.get("method"):
            case None:
                self._settle(message)
            case "$/cancel_request":
                await self._withdraw(identity(params.get("requestId")))
            case "session/request_permission" if self._on_permission is not None:
                await self._open_question(message.get("id"), params, self._on_permission)
            case method if "id" in message:
                error = {"code": METHOD_NOT_FOUND, "message": f"cannot serve {method!r}"}
                await self._send({"id": message["id"], "error": error})
            case method:
                await self._on_notification(str(method), params)

    def _settle(self, response: JsonObject) -> None:
        request_id = response.get("id")
        answer = self._waiting.get(request_id) if isinstance(request_id, int) else None
        if answer is not None and not answer.done():
            answer.set_result(response)

    async def _open_question(
        self, request_id: object, params: JsonObject, on_permission: OnPermission
    ) -> None:
        if self._cancelling:
            await self._answer(request_id, None)
            return
        key = identity(request_id)
        task = asyncio.get_running_loop().create_task(
            self._ask(key, request_id, partial(on_permission, permission_request(params)))
        )
        self._questions[key] = _Question(request_id=request_id, task=task)
        self._own(task)

    async def _ask(
        self,
        key: str,
        request_id: object,
        decide: Callable[[], Awaitable[PermissionOption | None]],
    ) -> None:
        with self._failing():
            option = await decide()
            del self._questions[key]
            await self._answer(request_id, option)

    async def _withdraw(self, key: str) -> None:
        """Stops asking, and answers `cancelled`; does nothing if the answer is already given."""
        question = self._questions.pop(key, None)
        if question is not None:
            question.task.cancel()
            await self._answer(question.request_id, None)

    async def _answer(self, request_id: object, option: PermissionOption | None) -> None:
        outcome = (
            {"outcome": "cancelled"}
            if option is None
            else {"outcome": "selected", "optionId": option.option_id}
        )
        await self._send({"id": request_id, "result": {"outcome": outcome}})

    def _own(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Question(NamedTuple):
    request_id: object
    task: asyncio.Task[None]
