"""One prompt turn of the demo agent: what a directive may do in it.

A turn runs on a thread of its own and is interrupted from another. It knows the session it belongs
to and the peer it writes to; it knows neither the directives nor how requests arrive.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from acprelay.testing.demo_agent.rpc import JsonObject, Peer, RequestId

StopReason = Literal["end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled"]
Mode = Literal["ask", "auto"]

ALLOW, ALWAYS, REJECT = "allow", "always", "reject"
PERMISSION_OPTIONS: Sequence[JsonObject] = (
    {"optionId": ALLOW, "name": "Allow", "kind": "allow_once"},
    {"optionId": ALWAYS, "name": "Always allow in this session", "kind": "allow_always"},
    {"optionId": REJECT, "name": "Reject", "kind": "reject_once"},
)


class TurnCancelled(Exception):
    """The client cancelled the turn, or is gone, while the turn waited or streamed."""


class Session:
    """What outlives a turn: the directory, the mode, the permissions given for good.

    Args:
        session_id: As the client knows it.
        cwd: The directory that files are written below.
    """

    def __init__(self, *, session_id: str, cwd: Path) -> None:
        self.session_id = session_id
        self.cwd = cwd
        self.mode: Mode = "ask"
        self.always_allowed: set[str] = set()
        self.tool_calls = 0
        self.turn: Turn | None = None


class Turn:
    """One turn, from the prompt to its stop reason.

    Args:
        peer: Where updates go.
        session: The session that was prompted.
        request_id: The id of the prompt request.
        changed: Notified when the turn is interrupted; what waits in the turn waits on it.
    """

    def __init__(
        self, *, peer: Peer, session: Session, request_id: RequestId, changed: threading.Condition
    ) -> None:
        self.peer = peer
        self.session = session
        self.request_id = request_id
        self._changed = changed
        self._interrupted = False
        self._cancelled = False

    def cancel(self) -> None:
        """Interrupts the turn; it is answered `cancelled` however far it came."""
        self._cancelled = True
        self.interrupt()

    def interrupt(self) -> None:
        """Ends the turn where it next waits or streams; called from any thread, idempotent."""
        with self._changed:
            self._interrupted = True
            self._changed.notify_all()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    @property
    def interrupted(self) -> bool:
        """Whether `interrupt` or `cancel` was called."""
        return self._interrupted

    def pause(self, seconds: float) -> None:
        """Waits that long; 0 waits not at all and still notices an interruption.

        Raises:
            TurnCancelled: The turn was interrupted.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._interrupted, timeout=seconds)
            if self._interrupted:
                raise TurnCancelled

    def update(self, kind: str, /, **members: object) -> None:
        """Sends a `session/update` of that kind."""
        self.peer.notify("session/update", self.update_params(kind, **members))

    def update_params(self, kind: str, /, **members: object) -> JsonObject:
        """Returns the params of a `session/update`, unsent."""
        return {
            "sessionId": self.session.session_id,
            "update": {"sessionUpdate": kind, **members},
        }

    def say(self, text: str) -> None:
        """Sends a piece of the answer."""
        self.update("agent_message_chunk", content={"type": "text", "text": text})

    def think(self, text: str) -> None:
        """Sends a piece of a thought."""
        self.update("agent_thought_chunk", content={"type": "text", "text": text})

    def plan(self, entries: Sequence[str], *, done: int) -> None:
        """Sends the plan: so many entries are completed, the next one is in progress."""
        self.update(
            "plan",
            entries=[
                {"content": entry, "priority": "medium", "status": _plan_status(index, done)}
                for index, entry in enumerate(entries)
            ],
        )

    def ask(self, method: str, params: JsonObject) -> JsonObject:
        """Sends a request that concerns the session, and returns the response.

        Raises:
            TurnCancelled: The turn was interrupted.
        """
        response = self.peer.request(
            method,
            {"sessionId": self.session.session_id, **params},
            given_up=lambda: self.interrupted,
        )
        if response is None:
            raise TurnCancelled
        return response

    def call_tool(self, *, title: str, kind: str, **members: object) -> ToolCall:
        """Announces a tool call, pending."""
        self.session.tool_calls += 1
        return ToolCall(
            turn=self,
            call_id=f"call-{self.session.tool_calls}",
            title=title,
            kind=kind,
            members=members,
        )


class ToolCall:
    """One tool call: pending when made, then in progress, then completed or failed."""

    def __init__(
        self, *, turn: Turn, call_id: str, title: str, kind: str, members: JsonObject
    ) -> None:
        self._turn = turn
        self._call_id = call_id
        self._kind = kind
        self._described = {"toolCallId": call_id, "title": title, "kind": kind, **members}
        turn.update("tool_call", status="pending", **self._described)

    def ask_permission(self, **members: object) -> bool:
        """Returns whether the call is permitted; asks unless mode or an earlier answer settles it.

        Args:
            members: What the question shows beside the call, such as `content`.

        Raises:
            TurnCancelled: The answer is `cancelled`, or the turn was interrupted: the call failed.
        """
        session = self._turn.session
        if session.mode == "auto" or self._kind in session.always_allowed:
            return True
        chosen = self._ask(members)
        if chosen == ALWAYS:
            session.always_allowed.add(self._kind)
        return chosen in (ALLOW, ALWAYS)

    def _ask(self, members: JsonObject) -> object:
        response = self._turn.peer.request(
            "session/request_permission",
            {
                "sessionId": self._turn.session.session_id,
                "toolCall": {**self._described, "status": "pending", **members},
                "options": PERMISSION_OPTIONS,
            },
            given_up=lambda: self._turn.interrupted,
        )
        outcome = _outcome(response)
        if outcome.get("outcome") == "cancelled":
            self.fail("The turn was cancelled before the permission was given.")
            raise TurnCancelled
        return outcome.get("optionId")

    def start(self) -> None:
        """Says that the work has begun."""
        self._progress("in_progress")

    def complete(self, *content: JsonObject) -> None:
        """Says that the work is done."""
        self._progress("completed", content=list(content))

    def fail(self, reason: str) -> None:
        """Says that the work was not done, and why."""
        self._progress("failed", content=[text_content(reason)])

    def _progress(self, status: str, **members: object) -> None:
        self._turn.update("tool_call_update", toolCallId=self._call_id, status=status, **members)


def text_content(text: str) -> JsonObject:
    """Returns a tool call's text content."""
    return {"type": "content", "content": {"type": "text", "text": text}}


def _outcome(response: JsonObject | None) -> JsonObject:
    """Returns the outcome that a permission's answer holds; an error answer chooses nothing."""
    if response is None:
        return {"outcome": "cancelled"}
    result = response.get("result")
    outcome = result.get("outcome") if isinstance(result, dict) else None
    return outcome if isinstance(outcome, dict) else {}


def _plan_status(index: int, done: int) -> str:
    if index < done:
        return "completed"
    return "in_progress" if index == done else "pending"
