"""What the audit log says of permissions: one entry for each that was decided, and by whom.

An entry is a value, and one line of JSON. This module knows no file.
"""

from __future__ import annotations

import json
from enum import StrEnum

import msgspec

from acprelay.routing.policy import Subject, Verdict
from acprelay.wire import to_json

_in_ascii = json.JSONEncoder(separators=(",", ":")).encode


class Decider(StrEnum):
    """Who, or what, decided."""

    POLICY = "policy"
    CLIENT = "client"
    DEADLINE = "deadline"
    CANCEL = "cancel"
    """A client cancelled the turn."""
    AGENT_WITHDREW = "agent-withdrew"
    AGENT_GONE = "agent-gone"

    @property
    def told_as(self) -> str:
        """What clients are told: how an agent ended it is nothing to them."""
        is_agent = self in (Decider.AGENT_WITHDREW, Decider.AGENT_GONE)
        return "agent" if is_agent else self.value


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a permission was decided.

    Attributes:
        at: When, in seconds, on the clock that the broker is given the time of.
        asked_at: When it was asked for.
        ask: The id of the ask, unique over all conversations.
        session: The conversation's public id.
        turn: The turn that it was asked for in; None between turns.
        subject: What the agent claimed that it wants to do, and which agent it is.
        verdict: What the policy said of it.
        option: The id of the option that was chosen; None where the answer was `cancelled`, or
            nobody got one.
        by: Who decided.
        client: The attachment of the client that decided.
    """

    at: float
    asked_at: float
    ask: str
    session: str
    turn: str | None
    subject: Subject
    verdict: Verdict
    option: str | None
    by: Decider
    client: str | None = None

    def encode(self, *, offset: float = 0.0) -> bytes:
        """Writes the entry as one line of JSON in ASCII, without its newline.

        Args:
            offset: By how much the times that it is to tell are later, in seconds.
        """
        subject, verdict = self.subject, self.verdict
        entry = {
            "at": self.at + offset,
            "askedAt": self.asked_at + offset,
            "ask": self.ask,
            "sessionId": self.session,
            "turn": self.turn,
            "agent": subject.agent,
            "role": subject.role,
            "cwd": subject.cwd,
            "toolCall": {
                "toolCallId": subject.tool_call_id,
                "title": subject.title,
                "kind": subject.kind,
                "paths": subject.paths,
                "commands": subject.commands,
                "whole": subject.whole,
            },
            "policy": {
                "action": verdict.action,
                "rule": verdict.rule,
                "reason": verdict.reason,
            },
            "outcome": "cancelled" if self.option is None else "selected",
            "optionId": self.option,
            "by": self.by,
            "client": self.client,
        }
        line = to_json(entry)  # a quarter of json's time, but in UTF-8
        return line if line.isascii() else _in_ascii(entry).encode()
