"""`/sessions/{session}/invitations`: lets an agent elsewhere join a role, or takes that back."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from acprelay.errors import LimitReached, Unavailable
from acprelay.routing.access import Grant
from acprelay.routing.invite_params import MOST_S
from acprelay.routing.listing import timestamp
from acprelay.runtime.dial_ins import DialIns
from acprelay.runtime.invitation_desk import InvitationDesk
from acprelay.server.api.operations import Call, Operation, Reach, Struct, Taken

_DAY_S = 24 * 3600.0


class InvitationBody(Taken, frozen=True, kw_only=True):
    """An invitation.

    Attributes:
        ttl_s: For how long its token lets an agent in, in seconds.
    """

    ttl_s: Annotated[float, msgspec.Meta(gt=0, le=MOST_S)] = _DAY_S


class Invited(Struct, frozen=True, kw_only=True):
    """An invitation that was made.

    Attributes:
        token: What the agent shows; it cannot be asked for again.
        path: Where it joins.
        expires_at: Until when the token lets an agent in.
    """

    token: str
    path: str
    expires_at: str


class Revoked(Struct, frozen=True, kw_only=True):
    """What was taken back.

    Attributes:
        revoked: How many invitations.
    """

    revoked: int


class InvitationResource:
    """Serves invitations.

    Args:
        desk: Has the invitations.
        dial_ins: Has the agents that have joined.
    """

    def __init__(self, *, desk: InvitationDesk, dial_ins: DialIns) -> None:
        self._desk = desk
        self._dial_ins = dial_ins

    def operations(self) -> list[Operation]:
        """Gives the operations."""
        return [
            Operation(
                id="invite",
                method="POST",
                path="/sessions/{session}/invitations",
                summary="Invite an agent to join a role",
                description="""
                The session may come later. Not idempotent: each request is an invitation.
                """,
                tag="invitations",
                body=InvitationBody,
                result=Invited,
                status=201,
                errors=(LimitReached, Unavailable),
                grant=Grant.MANAGE,
                reach=Reach.SESSION,
                handler=self._invite,
                body_example=InvitationBody(ttl_s=3600.0),
            ),
            Operation(
                id="revokeInvitations",
                method="DELETE",
                path="/sessions/{session}/invitations",
                summary="Take back every invitation for a role",
                description="An agent that has joined by one is lost at once. Idempotent.",
                tag="invitations",
                result=Revoked,
                errors=(Unavailable,),
                grant=Grant.MANAGE,
                reach=Reach.SESSION,
                handler=self._revoke,
                example=Revoked(revoked=1),
            ),
        ]

    async def _invite(self, call: Call[Any, InvitationBody]) -> Invited:
        key = call.key
        ticket = await self._desk.invite(key, ttl_s=call.body.ttl_s)
        return Invited(
            token=ticket.token,
            path=f"/agents/{key.session_id}/{key.role}",
            expires_at=timestamp(ticket.expires_at),
        )

    async def _revoke(self, call: Call[Any, None]) -> Revoked:
        self._dial_ins.sever(call.key)
        return Revoked(revoked=await self._desk.revoke(call.key))
