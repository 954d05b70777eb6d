"""The relay's own requests about agents that are to join: `_acprelay/invite`, and to take it back.

Whoever may manage a role may invite agents to it, be the role there or not.
"""

from __future__ import annotations

from datetime import UTC, datetime

from acprelay.routing.access import Grant, Principal
from acprelay.routing.frames import result_reply
from acprelay.routing.invite_params import read_invite
from acprelay.runtime.dial_ins import DialIns
from acprelay.runtime.invitation_desk import InvitationDesk
from acprelay.wire import Envelope


class InvitationRequests:
    """Serves them, for every client.

    Args:
        desk: Has the invitations.
        dial_ins: Has the agents that have joined.
    """

    def __init__(self, *, desk: InvitationDesk, dial_ins: DialIns) -> None:
        self._desk = desk
        self._dial_ins = dial_ins

    async def invite(self, envelope: Envelope, *, principal: Principal) -> bytes:
        """Serves `_acprelay/invite`.

        Args:
            envelope: The request.
            principal: Whose it is.

        Returns:
            The reply.

        Raises:
            Forbidden: The principal may not manage that role.
            InvalidParams: The params are malformed.
            InvalidKey: The group or the role does not match its pattern.
            LimitReached: There are as many invitations as may be.
            Unavailable: It cannot be stored.
        """
        asked = read_invite(envelope.member("params"))
        principal.require(Grant.MANAGE, asked.key)
        ticket = await self._desk.invite(asked.key, ttl_s=asked.ttl_s)
        expires_at = datetime.fromtimestamp(ticket.expires_at, UTC).isoformat(timespec="seconds")
        result = {
            "token": ticket.token,
            "path": f"/agents/{asked.key.session_id}/{asked.key.role}",
            "expiresAt": expires_at,
        }
        return result_reply(envelope.id or b"null", result)

    async def revoke(self, envelope: Envelope, *, principal: Principal) -> bytes:
        """Serves `_acprelay/revoke_invitations`; an agent that has joined by one is lost.

        Args:
            envelope: The request.
            principal: Whose it is.

        Returns:
            The reply.

        Raises:
            Forbidden: The principal may not manage that role.
            InvalidParams: The params are malformed.
            InvalidKey: The group or the role does not match its pattern.
            Unavailable: It cannot be stored.
        """
        asked = read_invite(envelope.member("params"))
        principal.require(Grant.MANAGE, asked.key)
        self._dial_ins.sever(asked.key)
        revoked = await self._desk.revoke(asked.key)
        return result_reply(envelope.id or b"null", {"revoked": revoked})
