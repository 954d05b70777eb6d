"""The asks that are open, the ways in which one can end, and what everybody is told of the end.

An end is told in one order: to the agent, to the clients that have not answered, then to the log.
This module does not know who is to be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from acprelay.errors import RequestCancelled
from acprelay.routing.access import Grant
from acprelay.routing.audit import Decider, Decision
from acprelay.routing.frames import (
    PERMISSION_ASKED,
    PERMISSION_SETTLED,
    cancel_request,
    error_reply,
    result_reply,
)
from acprelay.routing.permissions import PermissionRequest, outcome_reply, read_outcome
from acprelay.routing.policy import refusal
from acprelay.routing.publisher import Publisher
from acprelay.routing.referee import Ruling
from acprelay.wire import Envelope, json_string

PERMISSION = "session/request_permission"
ELICITATION = "elicitation/create"


class Permission(msgspec.Struct, frozen=True, gc=False):
    """What makes an ask a permission.

    Attributes:
        request: What is asked for.
        ruling: What the policy says of it.
    """

    request: PermissionRequest
    ruling: Ruling


class Ending(msgspec.Struct, frozen=True, gc=False):
    """How an ask ends.

    Attributes:
        by: Who decided.
        at: When.
        answer: What the agent is told; None where there is no agent any more.
        option_id: The option that was chosen, if one was.
        client: Which client decided.
    """

    by: Decider
    at: float
    answer: bytes | None
    option_id: str | None = None
    client: str | None = None


class Ask(msgspec.Struct, eq=False, kw_only=True):
    """An agent's request.

    Attributes:
        id: The relay's id for it: the same for every client.
        raw_id: The same as JSON-RPC has it: a string.
        agent_id: The agent's own id for it, raw.
        method: What is asked.
        turn: The turn that it belongs to, if it does.
        owner: Who owns that turn.
        addressee: Who alone is asked; None where everybody is, or nobody can be.
        permission: What makes it a permission, if it is one.
        frame: The request as clients get it.
        asked_at: When the agent asked.
        deadline_at: When it ends at the latest, if there is such a time.
        offered: Who was ever asked.
        waiting: Who was asked and has neither answered nor left, in the order of asking.
        cancelled: How a permission ends once everybody abstains, where a client said `cancelled`.
    """

    id: str
    raw_id: bytes
    agent_id: bytes
    method: str
    turn: str | None
    owner: str | None
    addressee: str | None
    permission: Permission | None
    asked_at: float
    frame: bytes = b""
    deadline_at: float | None = None
    offered: set[str] = msgspec.field(default_factory=set)
    waiting: dict[str, None] = msgspec.field(default_factory=dict)
    cancelled: Ending | None = None

    @property
    def conclusion(self) -> Ending | None:
        """How a permission ends now that everybody abstains; None while somebody may decide."""
        return None if self.waiting else self.cancelled


def cancellation(ask: Ask, by: Decider, at: float) -> Ending:
    """Ends an ask whose answer is not wanted any more."""
    if ask.permission is not None:
        answer = outcome_reply(ask.agent_id, None)
    elif ask.method == ELICITATION:
        answer = result_reply(ask.agent_id, {"action": "cancel"})
    else:
        answer = error_reply(ask.agent_id, RequestCancelled(method=ask.method))
    return Ending(by, at, answer)


def expiry(ask: Ask, at: float) -> Ending:
    """Ends an ask that nobody has answered in time: what is asked for is refused."""
    option_id = refusal(ask.permission.request.options) if ask.permission is not None else None
    if option_id is None:
        return cancellation(ask, Decider.DEADLINE, at)
    return Ending(Decider.DEADLINE, at, outcome_reply(ask.agent_id, option_id), option_id)


def count(ask: Ask, answer: Envelope, vote: Ending) -> Ending | None:
    """Counts a client's answer.

    Args:
        ask: What it answers; the client is no longer among those that it waits for.
        answer: The answer. To a permission an error is an abstention, and `cancelled` is one as
            long as others may decide; any answer ends what is no permission.
        vote: How the ask ends if the answer decides.

    Returns:
        How the ask ends now; None where it does not.

    Raises:
        InvalidParams: It is no answer to this permission: an abstention.
    """
    if ask.permission is None:
        return vote
    if not answer.is_error:
        option_id = read_outcome(answer, ask.permission.request.option_ids)
        if option_id is not None:
            return Ending(vote.by, vote.at, vote.answer, option_id, vote.client)
        ask.cancelled = ask.cancelled or vote
    return ask.conclusion


class OpenAsks:
    """The asks of one conversation that are open.

    Args:
        publisher: Has the attachments, and writes to the log and to lanes.
        to_agent: Takes a JSON-RPC message for the agent.

    Attributes:
        decisions: What was decided about permissions, until `take_decisions`.
    """

    def __init__(self, *, publisher: Publisher, to_agent: Callable[[bytes], None]) -> None:
        self._publisher = publisher
        self._to_agent = to_agent
        self._open: dict[bytes, Ask] = {}
        self.decisions: list[Decision] = []

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Ask]:
        """Those that are open now, oldest first; they may be settled meanwhile."""
        return iter([*self._open.values()])

    def find(self, raw_id: bytes) -> Ask | None:
        """The ask with an id, while it is open."""
        return self._open.get(raw_id)

    def take_decisions(self) -> list[Decision]:
        """Gives what was decided about permissions since the last call."""
        decisions = self.decisions.copy()
        self.decisions.clear()
        return decisions

    def add(self, ask: Ask) -> None:
        """Takes an ask in, and puts it to every client that is there and may answer it."""
        self._open[ask.raw_id] = ask
        if ask.permission is not None:
            self._publisher.note(PERMISSION_ASKED, _asked(ask, ask.permission))
        for attachment_id in self._publisher.attachments:
            self.offer(ask, attachment_id)

    def offer(self, ask: Ask, attachment_id: str) -> None:
        """Puts an ask to a client that may answer it, unless that was done before."""
        if self._may_answer(ask, attachment_id) and attachment_id not in ask.offered:
            ask.offered.add(attachment_id)
            ask.waiting[attachment_id] = None
            self._publisher.push_ask(attachment_id, ask.raw_id, ask.frame)

    def settle(self, ask: Ask, ending: Ending) -> None:
        """Ends an ask, which may be one that was never taken in."""
        self._open.pop(ask.raw_id, None)
        if ending.answer is not None:
            self._to_agent(ending.answer)
        for attachment_id in ask.waiting:
            # Where it was not delivered it never is, and there is nothing to close.
            if self._publisher.retract_ask(attachment_id, ask.raw_id):
                self._publisher.push(attachment_id, cancel_request(ask.raw_id))
        if ask.permission is not None:
            self._publisher.mark(PERMISSION_SETTLED, _settled(ask, ask.permission, ending))
            self.decisions.append(self._decision(ask, ask.permission, ending))

    def _may_answer(self, ask: Ask, attachment_id: str) -> bool:
        if ask.permission is None:
            return ask.addressee == attachment_id
        attachment = self._publisher.find(attachment_id)
        return attachment is not None and Grant.APPROVE in attachment.grants

    def _decision(self, ask: Ask, permission: Permission, ending: Ending) -> Decision:
        return Decision(
            at=ending.at,
            asked_at=ask.asked_at,
            ask=ask.id,
            session=self._publisher.public_id,
            turn=ask.turn,
            subject=permission.ruling.subject,
            verdict=permission.ruling.verdict,
            option=ending.option_id,
            by=ending.by,
            client=ending.client,
        )


def _asked(ask: Ask, permission: Permission) -> dict[str, object]:
    """What those are told of a permission who are not asked themselves."""
    subject = permission.ruling.subject
    return {"ask": ask.id, "turn": ask.turn, "kind": subject.kind, "title": subject.title}


def _settled(ask: Ask, permission: Permission, ending: Ending) -> dict[str, object]:
    """What everybody is told of the end of a permission."""
    fields: dict[str, object] = {
        "ask": ask.id,
        "toolCallId": msgspec.Raw(permission.request.tool_call_id or b"null"),
        "outcome": "cancelled",
        "by": ending.by.told_as,
    }
    if ending.option_id is not None:
        fields |= {"outcome": "selected", "optionId": msgspec.Raw(json_string(ending.option_id))}
    return fields
