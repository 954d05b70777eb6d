"""The demo agent's side of ACP: its methods, its sessions, and the thread that reads.

One thread reads and answers; every turn runs on a thread of its own, so a turn that is slow, or
waits for a permission, never keeps a cancellation from being read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from acprelay import __version__
from acprelay.testing.demo_agent import rpc
from acprelay.testing.demo_agent.conversation import answer
from acprelay.testing.demo_agent.directives import DIRECTIVES, MODES, UsageError, mode_named
from acprelay.testing.demo_agent.params import bad_params, directory, params_of, prompt_text, string
from acprelay.testing.demo_agent.rpc import JsonObject, Peer, RequestId, RpcError
from acprelay.testing.demo_agent.turn import Session, Turn

PROTOCOL_VERSION = 1
RESOURCE_NOT_FOUND = -32002  # ACP's own code

_FAREWELL_S = 1.0
_MODE_NAMES = {"ask": "Ask before tool calls", "auto": "Never ask"}


class _Request(NamedTuple):
    request_id: RequestId
    params: JsonObject


class DemoAgent:
    """Serves one client.

    Args:
        peer: The client.
        changed: The condition that `peer` notifies; it guards what turns and the reader share.
    """

    def __init__(self, *, peer: Peer, changed: threading.Condition) -> None:
        self._peer = peer
        self._changed = changed
        self._initialized = False
        self._sessions: dict[str, Session] = {}
        self._opened = 0
        self._threads: list[threading.Thread] = []
        self._requests: dict[str, Callable[[_Request], None]] = {
            "initialize": self._initialize,
            "session/new": self._new_session,
            "session/load": self._restore_session,
            "session/resume": self._restore_session,
            "session/set_mode": self._set_mode,
            "session/prompt": self._prompt,
            "session/close": self._close_session,
        }
        self._notifications: dict[str, Callable[[JsonObject], None]] = {
            "session/cancel": self._cancel,
            "$/cancel_request": self._cancel_request,
        }

    def serve(self, lines: Iterable[bytes]) -> None:
        """Serves until the lines end; turns that still wait or stream are then cancelled.

        Raises:
            BrokenPipeError: The client reads no more.
        """
        for line in lines:
            if line.strip():
                self._receive(line)
        self._interrupt_all()
        end_at = time.monotonic() + _FAREWELL_S
        for thread in self._threads:  # bounded, for the client may read no more
            thread.join(max(0.0, end_at - time.monotonic()))

    def _receive(self, line: bytes) -> None:
        try:
            message = rpc.decode(line)
        except RpcError as error:
            self._peer.refuse(None, error)
            return
        if "method" not in message and ("result" in message or "error" in message):
            self._peer.settle(message)
        elif "id" in message or "method" not in message:
            self._serve_request(message)
        elif handler := self._notifications.get(str(message.get("method"))):
            params = message.get("params")
            handler(params if isinstance(params, dict) else {})

    def _serve_request(self, message: JsonObject) -> None:
        request_id = rpc.request_id(message.get("id"))
        try:
            handler = self._handler(message)
            handler(_Request(request_id, params_of(message)))
        except RpcError as error:
            self._peer.refuse(request_id, error)

    def _handler(self, message: JsonObject) -> Callable[[_Request], None]:
        method = message.get("method")
        if not isinstance(method, str) or rpc.request_id(message.get("id")) is None:
            raise RpcError(
                rpc.INVALID_REQUEST,
                "cannot serve what is no JSON-RPC request",
                hint="a request has a method, which is a string, and an id, a string or a number",
            )
        if method not in self._requests:
            raise RpcError(rpc.METHOD_NOT_FOUND, f"cannot serve {method[:120]!r}")
        if (method == "initialize") is self._initialized:
            when = "a second time" if self._initialized else "before initialize"
            raise RpcError(
                rpc.INVALID_REQUEST,
                f"cannot serve {method!r} {when}",
                hint="initialize comes first, and once",
            )
        return self._requests[method]

    def _initialize(self, request: _Request) -> None:
        version = request.params.get("protocolVersion")
        if type(version) is not int and version != str(PROTOCOL_VERSION):  # some write it as text
            raise bad_params("protocolVersion", "a whole number")
        self._initialized = True
        self._peer.reply(
            request.request_id,
            {
                "protocolVersion": PROTOCOL_VERSION,
                "agentCapabilities": {
                    "loadSession": True,
                    "promptCapabilities": {
                        "image": False,
                        "audio": False,
                        "embeddedContext": False,
                    },
                    "mcpCapabilities": {"http": False, "sse": False},
                    "sessionCapabilities": {"close": {}, "resume": {}},
                },
                "agentInfo": {
                    "name": "acprelay-demo",
                    "title": "acprelay demo agent",
                    "version": __version__,
                },
                "authMethods": [],
            },
        )

    def _new_session(self, request: _Request) -> None:
        cwd = _cwd(request)
        self._opened += 1
        while f"demo-{self._opened}" in self._sessions:  # restored from an earlier process
            self._opened += 1
        session = Session(session_id=f"demo-{self._opened}", cwd=cwd)
        self._sessions[session.session_id] = session
        result = {"sessionId": session.session_id, "modes": _modes(session)}
        self._peer.reply(request.request_id, result)
        self._update(session, "available_commands_update", availableCommands=_commands())

    def _restore_session(self, request: _Request) -> None:
        """Takes any session up again, this process's or an earlier one's.

        There is nothing to restore, as no turn depends on those before: a session of an earlier
        process begins anew under its id. And there is nothing to replay, as no history is kept.
        """
        cwd = _cwd(request)
        session_id = string(request.params, "sessionId")
        session = self._sessions.setdefault(session_id, Session(session_id=session_id, cwd=cwd))
        self._peer.reply(request.request_id, {"modes": _modes(session)})
        self._update(session, "available_commands_update", availableCommands=_commands())

    def _set_mode(self, request: _Request) -> None:
        session = self._session(request.params)
        try:
            session.mode = mode_named(string(request.params, "modeId"))
        except UsageError as error:
            raise RpcError(rpc.INVALID_PARAMS, f"cannot set the mode: {error}") from None
        self._update(session, "current_mode_update", currentModeId=session.mode)
        self._peer.reply(request.request_id, {})

    def _prompt(self, request: _Request) -> None:
        session = self._session(request.params)
        text = prompt_text(request.params)
        turn = Turn(
            peer=self._peer,
            session=session,
            request_id=request.request_id,
            changed=self._changed,
        )
        with self._changed:
            if session.turn is not None:
                raise RpcError(
                    rpc.INVALID_REQUEST,
                    "cannot start a turn: one is running in this session",
                    hint="wait for its answer, or send session/cancel",
                )
            session.turn = turn
        thread = threading.Thread(target=self._carry_out, args=(turn, text), daemon=True)
        self._threads = [other for other in self._threads if other.is_alive()]
        self._threads.append(thread)
        thread.start()

    def _carry_out(self, turn: Turn, text: str) -> None:
        """Runs a turn and answers its prompt: what a turn's thread does."""
        try:
            try:
                reason = answer(turn, text)
            finally:
                with self._changed:
                    turn.session.turn = None
            # ACP: a cancelled turn MUST be answered with `cancelled`, however far it came.
            reason = "cancelled" if turn.cancelled else reason
            self._peer.reply(turn.request_id, {"stopReason": reason})
        except RpcError as error:
            self._peer.refuse(turn.request_id, error)
        except (BrokenPipeError, ConnectionResetError):
            return  # the client is gone, as the reading thread finds out for itself
        except Exception as error:  # noqa: BLE001 - a defect must not leave the prompt unanswered
            message = f"cannot finish the turn: {type(error).__name__}: {error}"
            self._peer.refuse(turn.request_id, RpcError(rpc.INTERNAL_ERROR, message))

    def _close_session(self, request: _Request) -> None:
        session = self._session(request.params)
        del self._sessions[session.session_id]
        self._cancel_turn(session)
        self._peer.reply(request.request_id, {})

    def _cancel(self, params: JsonObject) -> None:
        session = self._sessions.get(str(params.get("sessionId")))
        if session is not None:
            self._cancel_turn(session)

    def _cancel_turn(self, session: Session) -> None:
        with self._changed:
            if session.turn is not None:
                session.turn.cancel()

    def _cancel_request(self, params: JsonObject) -> None:
        request_id = rpc.request_id(params.get("requestId"))
        for session in self._sessions.values():
            with self._changed:
                turn = session.turn
                if turn is not None and rpc.same_id(turn.request_id, request_id):
                    turn.cancel()

    def _interrupt_all(self) -> None:
        for session in self._sessions.values():
            with self._changed:
                if session.turn is not None:
                    session.turn.interrupt()

    def _session(self, params: JsonObject) -> Session:
        session_id = string(params, "sessionId")
        if session_id not in self._sessions:
            raise RpcError(
                RESOURCE_NOT_FOUND,
                f"cannot find session {session_id[:80]!r}",
                hint="open one with session/new",
            )
        return self._sessions[session_id]

    def _update(self, session: Session, kind: str, **members: object) -> None:
        update = {"sessionUpdate": kind, **members}
        self._peer.notify("session/update", {"sessionId": session.session_id, "update": update})


def _cwd(request: _Request) -> Path:
    """Returns the directory that a session is opened or restored in.

    Raises:
        RpcError: There is none, or the list of MCP servers is missing.
    """
    cwd = directory(request.params, "cwd")
    if not isinstance(request.params.get("mcpServers"), list):
        raise bad_params("mcpServers", "a list")
    return cwd


def _modes(session: Session) -> JsonObject:
    available = [{"id": mode, "name": _MODE_NAMES[mode]} for mode in MODES]
    return {"currentModeId": session.mode, "availableModes": available}


def _commands() -> list[dict[str, object]]:
    commands = []
    for directive in DIRECTIVES:
        command: dict[str, object] = {"name": directive.name, "description": directive.summary}
        if directive.arguments:
            command["input"] = {"hint": directive.arguments}
        commands.append(command)
    return commands
