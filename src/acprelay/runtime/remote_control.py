"""What can be done in a conversation without being a client of it: prompts, permissions, turns.

Who asks is a name, not a presence: nothing is delivered to it, and what it has begun goes on
without it. What clients ask about turns, by the turns' ids, is answered here, too. The rules are
those that hold for clients; who may do what is decided before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from acprelay.routing.access import Grant
from acprelay.routing.conversation import Conversation
from acprelay.routing.log import PublicLog
from acprelay.routing.open_asks import Ask, Permission
from acprelay.routing.permissions import outcome_reply
from acprelay.routing.transcripts import Transcript, read_transcript
from acprelay.routing.turns import TurnList
from acprelay.session.ports import Clock, IdGenerator
from acprelay.wire import json_string, peek, request

MOST_BYTES = 1024 * 1024
"""How much of a log is given at once, but for a single longer entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPermission:
    """A permission that waits for an answer.

    Attributes:
        ask: Its id, which no other one of the relay ever has.
        turn: The turn that it belongs to, if it does.
        asked_at: When it was asked for; seconds since the epoch.
        deadline_at: When it is refused at the latest.
        tool_call: What is asked for: raw JSON, as the agent wrote it.
        options: What may be answered, likewise.
        reason: What the policy says of it.
    """

    ask: str
    turn: str | None
    asked_at: float
    deadline_at: float | None
    tool_call: bytes
    options: bytes
    reason: str


class RemoteControl:
    """Acts in one conversation.

    Args:
        session_id: The conversation's public id.
        conversation: Its router.
        log: Its public log.
        ids: Mints the ids of requests.
        clock: Wall-clock time.
        on_change: Called when the conversation has something to be carried out.
    """

    def __init__(
        self,
        *,
        session_id: str,
        conversation: Conversation,
        log: PublicLog,
        ids: IdGenerator,
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        self._session_id = session_id
        self._conversation = conversation
        self._log = log
        self._ids = ids
        self._clock = clock
        self._on_change = on_change

    def read(self, after: str | None, *, most: int) -> Transcript:
        """Gives a part of the log, as `routing.transcripts` says."""
        return read_transcript(self._log, after, most=most, most_bytes=MOST_BYTES)

    def prompt(self, owner: str, blocks: bytes) -> str:
        """Puts a prompt at the end of the queue; begins a run where there is none.

        Args:
            owner: Whose it is.
            blocks: The prompt: a raw JSON array of content blocks.

        Returns:
            The id of its turn.

        Raises:
            LimitReached: As many prompts wait as may.
        """
        params = {"sessionId": self._session_id, "prompt": msgspec.Raw(blocks)}
        frame = request(
            json_string(self._ids.mint()), "session/prompt", msgspec.json.encode(params)
        )
        turn = self._conversation.outsiders.submit_prompt(owner, peek(frame))
        self._on_change()
        return turn

    def turns(self, owner: str) -> TurnList:
        """Tells which turn runs and which ones wait, as one owner sees them."""
        return self._conversation.describe_turns(owner)

    def cancel_turn(self, turn: str, *, principal: str, grants: frozenset[Grant]) -> bool:
        """Cancels a turn that runs or waits; tells whether there is such a turn.

        Args:
            turn: The turn's id.
            principal: The id of whoever wants it stopped.
            grants: What that principal may do here.

        Raises:
            Forbidden: It is another principal's, and the grant to approve is missing.
        """
        self._conversation.check_stop(turn, principal=principal, grants=grants)
        cancelled = self._conversation.cancel_turn(turn, now=_now())
        self._on_change()
        return cancelled

    def permissions(self) -> list[OpenPermission]:
        """Gives the permissions that wait for an answer, the oldest first."""
        offset = self._clock.now() - _now()
        return [
            _open(ask, ask.permission, offset)
            for ask in self._conversation.outsiders.asks()
            if ask.permission is not None
        ]

    def decide(self, ask: str, option_id: str | None, *, by: str) -> bool | None:
        """Answers a permission; of several answers the first valid one decides.

        Args:
            ask: Its id.
            option_id: The option that is chosen; None to say `cancelled`, which decides once
                nobody else may.
            by: Who answers, for the record.

        Returns:
            Whether it is settled now; None where no such permission is open.

        Raises:
            InvalidParams: The option was not offered; nothing has changed.
        """
        answer = peek(outcome_reply(json_string(ask), option_id))
        settled = self._conversation.outsiders.decide(ask, answer, by=by, now=_now())
        self._on_change()
        return settled


def _open(ask: Ask, permission: Permission, offset: float) -> OpenPermission:
    return OpenPermission(
        ask=ask.id,
        turn=ask.turn,
        asked_at=ask.asked_at + offset,
        deadline_at=None if ask.deadline_at is None else ask.deadline_at + offset,
        tool_call=permission.request.tool_call or b"null",
        options=permission.request.options or b"[]",
        reason=permission.ruling.verdict.reason,
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
