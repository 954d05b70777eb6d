"""Invitations: tokens that let agents elsewhere join a role."""

from __future__ import annotations

from acprelay.client.calls import Calls, Value, path


class Invited(Value, frozen=True, kw_only=True):
    """An invitation that was made.

    Attributes:
        token: What the agent shows; it cannot be asked for again.
        path: Where it joins, below the relay's address.
        expires_at: Until when the token lets an agent in, in ISO 8601.
    """

    token: str
    path: str
    expires_at: str


class _Revoked(Value, frozen=True, kw_only=True):
    revoked: int


class InvitationCalls(Calls):
    """What can be asked about invitations. All raise as `RelayClient` says."""

    async def invite(self, session_id: str, *, ttl_s: float | None = None) -> Invited:
        """Invites an agent to join a role; the session may come later. Not idempotent.

        Args:
            session_id: The session that it joins, `GROUP:ROLE`.
            ttl_s: For how long the token lets it in, in seconds; None for a day.
        """
        body = {} if ttl_s is None else {"ttlS": ttl_s}
        return await self._api.post(path("sessions", session_id, "invitations"), body, Invited)

    async def revoke_invitations(self, session_id: str) -> int:
        """Takes every invitation for a role back, and gives how many there were. Idempotent.

        An agent that has joined by one is lost at once.
        """
        where = path("sessions", session_id, "invitations")
        return (await self._api.delete(where, _Revoked)).revoked
