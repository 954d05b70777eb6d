"""Issues invitations, and checks what agents show that want to join. It knows no link."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from acprelay.routing.invitations import Invitation, Invitations, digest_of
from acprelay.runtime.ports import InvitationStore
from acprelay.runtime.saving import Saving
from acprelay.session.models import SessionKey
from acprelay.session.ports import Clock


@dataclass(frozen=True, slots=True)
class Ticket:
    """What somebody who was invited gets.

    Attributes:
        token: Shown by the agent; nobody can be told of it again.
        expires_at: Until when it lets an agent in; seconds since the epoch.
    """

    token: str
    expires_at: float


class InvitationDesk:
    """Has the invitations of a relay.

    Args:
        store: Keeps them.
        clock: Wall-clock time.
        mint: Gives tokens that nobody can guess.
    """

    def __init__(self, *, store: InvitationStore, clock: Clock, mint: Callable[[], str]) -> None:
        self._store = store
        self._saving = Saving(current=lambda: self._invitations.known, store=store)
        self._clock = clock
        self._mint = mint
        self._invitations = Invitations()

    def recover(self) -> None:
        """Takes up the invitations that an earlier relay has left.

        Raises:
            ConfigError: They cannot be read.
        """
        self._invitations = Invitations(self._store.load())

    def check(self, key: SessionKey, token: str | None) -> None:
        """Lets an agent with a token join a role.

        Raises:
            Unauthorized: There is no such token, or no longer.
            Forbidden: It is for another role.
        """
        self._invitations.check(key, token, self._clock.now())

    async def invite(self, key: SessionKey, *, ttl_s: float) -> Ticket:
        """Issues an invitation; it outlives the relay once this returns.

        Cancelling is safe: what nobody was told of is of no use to anybody.

        Raises:
            LimitReached: There are as many as may be.
            Unavailable: It cannot be stored.
        """
        now = self._clock.now()
        ticket = Ticket(self._mint(), now + ttl_s)
        invitation = Invitation(
            key=key, digest=digest_of(ticket.token), expires_at=ticket.expires_at
        )
        self._invitations.add(invitation, now)
        try:
            await self._saving.save()
        except BaseException:
            self._invitations.remove(invitation)
            raise
        return ticket

    async def revoke(self, key: SessionKey) -> int:
        """Takes back every invitation for a role, with immediate effect; tells how many.

        Once that is stored, no later start finds them. Cancelling does not call it off.

        Raises:
            Unavailable: That cannot be stored: it holds until the relay stops.
        """
        count = self._invitations.revoke(key)
        await self._saving.save()
        return count

    async def aclose(self) -> None:
        """Returns once all is stored that was being stored. Idempotent."""
        await self._saving.aclose()
