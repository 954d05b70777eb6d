"""What the clients of one conversation may do, by the grants that their attachments carry.

It decides; what is decided about is carried out elsewhere. It knows no connection and no token.
"""

from __future__ import annotations

from acprelay.errors import RelayError
from acprelay.routing.access import Grant, lacking, remote_name
from acprelay.routing.access_rules import rule_for
from acprelay.routing.attachment import Attachment
from acprelay.routing.meta_rules import without_orders
from acprelay.routing.publisher import Publisher
from acprelay.routing.turn_taking import TurnTaking
from acprelay.wire import Envelope

_NONE: frozenset[Grant] = frozenset()


class ClientAccess:
    """The rules of one conversation.

    Args:
        publisher: Has the attachments.
        turns: Knows whose the turns are.
    """

    def __init__(self, *, publisher: Publisher, turns: TurnTaking) -> None:
        self._publisher = publisher
        self._turns = turns
        self._prompters: dict[str, str] = {}

    def admit(self, attachment_id: str, method: str) -> Attachment:
        """Refuses what a client may not say to the agent.

        Returns:
            The client's attachment.

        Raises:
            Forbidden: It lacks the grant, or was let go.
        """
        grant = rule_for(method).grant
        attachment = self._publisher.find(attachment_id)
        if attachment is None or grant not in attachment.grants:
            raise self._lacking(grant)
        if method == "session/prompt":
            self._note_prompter(attachment)
        return attachment

    def owners_of(self, principal: str) -> list[str]:
        """Names whoever has prompted for a principal, by its id, also who was let go since."""
        names = {*self._turns.owners, *self._publisher.attachments, *self._publisher.absent}
        return [name for name in names if self._is_of(name, principal)]

    def check_beginning(self, attachment_id: str) -> None:
        """Refuses what would have a run begun, from a client that may not.

        Raises:
            Forbidden: It lacks the grant to prompt.
        """
        if Grant.PROMPT not in self._grants(attachment_id):
            raise self._lacking(Grant.PROMPT)

    def cleaned(self, attachment_id: str, envelope: Envelope) -> Envelope:
        """Gives a client's message as far as the agent may have it.

        Agents take orders from `_meta`, also about which commands run: only who may manage the
        session gives them. What stands there for tracing passes.
        """
        is_free = "_meta" not in envelope.body or Grant.MANAGE in self._grants(attachment_id)
        return envelope if is_free else without_orders(envelope)

    def may_stop_others(self, attachment_id: str) -> bool:
        """Tells whether a client's `session/cancel` may stop a turn that it has not prompted."""
        attachment = self._publisher.find(attachment_id)
        owner = self._turns.owner
        return attachment is not None and (
            Grant.APPROVE in attachment.grants or self._is_of(owner, attachment.principal)
        )

    def check_stop(self, turn: str, principal: str, grants: frozenset[Grant]) -> None:
        """Refuses to stop a turn of somebody else.

        Args:
            turn: A turn that runs or waits, or none that there is.
            principal: The id of whoever wants it stopped.
            grants: What that principal may do here.

        Raises:
            Forbidden: The turn is another principal's, and the grant to approve is missing.
        """
        owner = self._turns.owner_of(turn)
        if owner is None or Grant.APPROVE in grants or self._is_of(owner, principal):
            return
        raise self._lacking(Grant.APPROVE)

    def _is_of(self, attachment_id: str | None, principal: str) -> bool:
        """Whether an attachment is a principal's, which may have come back by another way."""
        if attachment_id == remote_name(principal):
            return True
        attachment = self._publisher.find(attachment_id or "")
        known = None if attachment is None else attachment.principal
        return principal in (known, self._prompters.get(attachment_id or ""))

    def _note_prompter(self, attachment: Attachment) -> None:
        """Remembers whose a prompt is for as long as it is at the agent, or waits."""
        if len(self._prompters) == 1 and self._prompters.get(attachment.id) == attachment.principal:
            return
        owners = self._turns.owners
        known = {name: whose for name, whose in self._prompters.items() if name in owners}
        self._prompters = {**known, attachment.id: attachment.principal}

    def _grants(self, attachment_id: str) -> frozenset[Grant]:
        attachment = self._publisher.find(attachment_id)
        return _NONE if attachment is None else attachment.grants

    def _lacking(self, grant: Grant) -> RelayError:
        return lacking(grant, self._publisher.public_id)
