"""Which client serves an agent's request for a file or a terminal, where clients do.

One alone does, and is never replaced: what a client that has left was asked to do it may have done.
A terminal stays with the client that has made it. What clients can serve they say in `initialize`.
This module does not know how a request travels.
"""

from __future__ import annotations

import msgspec

from acprelay.errors import ClientError, InvalidParams, LimitReached, MethodNotFound, RelayError
from acprelay.routing.publisher import Publisher
from acprelay.routing.service_modes import (
    FILES,
    TERMINAL_CREATE,
    TERMINAL_RELEASE,
    TERMINALS,
    unserved,
)
from acprelay.wire import Envelope

_MOST_TERMINALS = 1024


class _Named(msgspec.Struct, rename="camel"):
    terminal_id: str


class ClientServices:
    """The choice of one conversation.

    Args:
        publisher: Has the attachments.
        most_terminals: How many terminals that were not released are remembered.
    """

    def __init__(self, *, publisher: Publisher, most_terminals: int = _MOST_TERMINALS) -> None:
        self._publisher = publisher
        self._most_terminals = most_terminals
        self._makers: dict[str, str] = {}

    def choose(self, envelope: Envelope, owner: str | None) -> str:
        """Chooses who serves a request: the turn's owner if it can, else who came first and can.

        Args:
            envelope: The request.
            owner: The attachment that owns the turn that runs, if one does.

        Returns:
            The id of an attachment.

        Raises:
            MethodNotFound: Nobody who is there can.
            InvalidParams: It names no terminal, or one that is not known.
            ClientError: The client that has the terminal has left.
            LimitReached: More terminals would be made than are remembered.
        """
        method = envelope.method or ""
        if method in TERMINALS - {TERMINAL_CREATE}:
            return self._maker(envelope)
        if method not in FILES | TERMINALS:
            raise unserved(method)
        if method == TERMINAL_CREATE and len(self._makers) >= self._most_terminals:
            raise LimitReached(
                limit="a session's terminals", most=self._most_terminals, setting="terminals"
            )
        present = self._publisher.attachments
        able = [name for name, each in present.items() if method in each.serves]
        if owner in able:
            return str(owner)
        if able:
            return able[0]
        hint = "no client that is attached can serve it" if present else "no client is attached"
        raise MethodNotFound(method=method, hint=hint)

    def asked(self, envelope: Envelope) -> None:
        """Takes note that a client is asked: the terminal that it is to release is gone."""
        if envelope.method == TERMINAL_RELEASE:
            self._makers.pop(_terminal_id(envelope.member("params")) or "", None)

    def answered(self, method: str, attachment_id: str, answer: Envelope) -> RelayError | None:
        """Takes note of a client's answer.

        Args:
            method: What it was asked.
            attachment_id: The client.
            answer: Its answer.

        Returns:
            Why the agent cannot be given that answer; None where it can.
        """
        if method != TERMINAL_CREATE or answer.is_error:
            return None
        terminal_id = _terminal_id(answer.member("result"))
        if terminal_id is None:
            return ClientError(
                "cannot use the terminal that a client has made: its answer has no terminalId",
                hint="look at the client's own log",
            )
        if self._makers.setdefault(terminal_id, attachment_id) != attachment_id:
            return ClientError(
                f"cannot use terminal {terminal_id[:80]!r}: another client has one of that name",
                hint="release the other one first",
            )
        return None

    def forget(self) -> None:
        """Forgets every terminal: the agent that knew them is gone."""
        self._makers.clear()

    def _maker(self, envelope: Envelope) -> str:
        terminal_id = _terminal_id(envelope.member("params"))
        maker = self._makers.get(terminal_id or "")
        if terminal_id is None or maker is None:
            raise unknown_terminal(terminal_id)
        if self._publisher.find(maker) is None:
            self.asked(envelope)  # it went with its client
            raise left(envelope.method or "")
        return maker


def left(method: str) -> ClientError:
    """What an agent is told that asked a client which has left."""
    return ClientError(
        f"cannot tell what became of {method!r}: the client that serves it has left",
        hint="look at how things are before you ask again",
    )


def unknown_terminal(terminal_id: str | None) -> InvalidParams:
    """What an agent is told that names a terminal which there is not.

    Args:
        terminal_id: What it names; None where it names nothing.
    """
    if terminal_id is None:
        return InvalidParams(
            "cannot tell which terminal is meant", hint="name it in params.terminalId, a string"
        )
    return InvalidParams(
        f"cannot find terminal {terminal_id[:80]!r}",
        hint="terminal/create makes one; one that was released is gone",
    )


def _terminal_id(value: bytes | None) -> str | None:
    try:
        return msgspec.json.decode(value or b"null", type=_Named).terminal_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
