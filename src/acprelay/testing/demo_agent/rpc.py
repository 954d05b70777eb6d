"""JSON-RPC 2.0 as newline-delimited JSON, written and awaited from several threads.

This module knows nothing of ACP: it does not know a method's name.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603

RequestId = int | float | str | None
JsonObject = Mapping[str, object]


class RpcError(Exception):
    """What a request is answered with when it cannot be served.

    Args:
        code: The JSON-RPC error code.
        message: What cannot be done, and why.
        hint: What to do next; it appears in the error's `data`.
    """

    def __init__(self, code: int, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def as_json(self) -> JsonObject:
        """Returns the `error` member of the response."""
        error: dict[str, object] = {"code": self.code, "message": self.message}
        if self.hint:
            error["data"] = {"hint": self.hint}
        return error


def encode(message: JsonObject) -> bytes:
    """Returns the message as one line of UTF-8 JSON, without its newline."""
    try:
        return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8, but an escape
        return json.dumps(message, separators=(",", ":")).encode()


def decode(line: bytes) -> dict[str, object]:
    """Returns the JSON object that a line holds.

    Raises:
        RpcError: The line is not JSON, or no object.
    """
    try:
        message: object = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RpcError(
            PARSE_ERROR,
            f"cannot read the line as JSON: {error}",
            hint="send one JSON-RPC message a line, in UTF-8",
        ) from None
    if isinstance(message, list):
        raise RpcError(
            INVALID_REQUEST, "cannot serve a batch", hint="send one message a line instead"
        )
    if not isinstance(message, dict):
        raise RpcError(INVALID_REQUEST, "cannot serve JSON that is no object")
    return message


def request_id(value: object) -> RequestId:
    """Returns an id as it was sent; None stands for what cannot be one."""
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def same_id(one: RequestId, other: RequestId) -> bool:
    """Returns whether two ids are the same: 1, 1.0 and "1" differ."""
    return type(one) is type(other) and one == other


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


class Peer:
    """The other end of the connection: takes whole lines, answers the agent's own requests.

    Any thread may call any method. A write blocks while the peer does not read, which is all the
    backpressure there is.

    Args:
        write: Writes some of the bytes and returns how many, as `os.write` on a descriptor does.
            It keeps no buffer: a thread that ends with the process must not hold a buffer's lock.
        changed: Notified whenever an answer arrives; whoever waits for one waits on it.
    """

    def __init__(self, *, write: Callable[[memoryview], int], changed: threading.Condition) -> None:
        self._write = write
        self._changed = changed
        self._writing = threading.Lock()
        self._next_id = 0
        self._answers: dict[int, JsonObject | None] = {}

    def write_line(self, line: bytes) -> None:
        """Writes a line, whole, whatever it holds.

        Raises:
            BrokenPipeError: The peer is gone.
        """
        rest = memoryview(line + b"\n")
        with self._writing:
            while rest:
                rest = rest[self._write(rest) :]

    def notify(self, method: str, params: JsonObject) -> None:
        """Sends a notification."""
        self.write_line(encode({"jsonrpc": "2.0", "method": method, "params": params}))

    def reply(self, request_id: RequestId, result: JsonObject) -> None:
        """Answers a request of the peer's."""
        self.write_line(encode({"jsonrpc": "2.0", "id": request_id, "result": result}))

    def refuse(self, request_id: RequestId, error: RpcError) -> None:
        """Answers a request of the peer's with an error."""
        self.write_line(encode({"jsonrpc": "2.0", "id": request_id, "error": error.as_json()}))

    def request(
        self, method: str, params: JsonObject, *, given_up: Callable[[], bool]
    ) -> JsonObject | None:
        """Sends a request and waits for its answer.

        Args:
            method: The method's name.
            params: Its params.
            given_up: Whether to stop waiting; asked again each time `changed` is notified.

        Returns:
            The response, which holds `result` or `error`; None if the wait was given up, in which
            case the peer is told by `$/cancel_request` and an answer that still comes is dropped.
        """
        with self._changed:
            own_id = self._next_id
            self._next_id += 1
            self._answers[own_id] = None
        self.write_line(
            encode({"jsonrpc": "2.0", "id": own_id, "method": method, "params": params})
        )
        with self._changed:
            self._changed.wait_for(lambda: self._answers[own_id] is not None or given_up())
            answer = self._answers.pop(own_id)
        if answer is None:
            self.notify("$/cancel_request", {"requestId": own_id})
        return answer

    def settle(self, response: JsonObject) -> None:
        """Hands an arrived response to whoever waits for it; one nobody waits for is dropped."""
        response_id = response.get("id")
        with self._changed:
            # bool is an int, and 1.0 equals 1: neither is an id that was sent.
            if type(response_id) is int and self._answers.get(response_id, response) is None:
                self._answers[response_id] = response
                self._changed.notify_all()
