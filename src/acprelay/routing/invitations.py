"""Invitations: who may let an agent join which role, shown by a token that only its owner knows.

Only the hash of a token is kept. A token is random and long, so a fast hash is as good as a slow
one: there is nothing to guess. Pure: the time and the tokens are arguments.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from acprelay.errors import Forbidden, LimitReached, Unauthorized
from acprelay.session.models import SessionKey

_HINT = "get another one with: acprelay invite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """Lets an agent join one role of one group.

    Attributes:
        key: The group and the role.
        digest: What `digest_of` gives for the token.
        expires_at: Until when the token lets an agent in; seconds since the epoch.
    """

    key: SessionKey
    digest: str
    expires_at: float


def digest_of(token: str) -> str:
    """Hashes a token."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


class Invitations:
    """The invitations that there are.

    Args:
        known: Those that were kept.
        most: How many may be valid at a time.
    """

    def __init__(self, known: Iterable[Invitation] = (), *, most: int = 1000) -> None:
        self._known = list(known)
        self._most = most

    @property
    def known(self) -> tuple[Invitation, ...]:
        """What is to be kept."""
        return tuple(self._known)

    def add(self, invitation: Invitation, now: float) -> None:
        """Takes one in; those that have expired are forgotten.

        Raises:
            LimitReached: There are as many as may be.
        """
        self._known = [each for each in self._known if each.expires_at > now]
        if len(self._known) >= self._most:
            raise LimitReached(limit="invitations that are valid at a time", most=self._most)
        self._known.append(invitation)

    def remove(self, invitation: Invitation) -> None:
        """Takes one back. Idempotent."""
        self._known = [each for each in self._known if each != invitation]

    def revoke(self, key: SessionKey) -> int:
        """Takes back all that are for a role; tells how many there were."""
        before = len(self._known)
        self._known = [each for each in self._known if each.key != key]
        return before - len(self._known)

    def check(self, key: SessionKey, token: str | None, now: float) -> None:
        """Lets an agent with a token join a role.

        Every token is compared with every hash, in constant time.

        Args:
            key: The group and the role.
            token: What it shows; None for nothing.
            now: The time.

        Raises:
            Unauthorized: There is no such token, or no longer.
            Forbidden: It is for another role.
        """
        if token is None:
            raise Unauthorized(
                "cannot join without a token",
                hint="send the header Authorization: Bearer TOKEN; acprelay invite gives one",
            )
        digest = digest_of(token)
        found = [each for each in self._known if hmac.compare_digest(each.digest, digest)]
        if not found:
            raise Unauthorized(
                "cannot join: the token is unknown, has expired or was revoked", hint=_HINT
            )
        [invitation] = found
        if invitation.expires_at <= now:
            raise Unauthorized("cannot join: the token has expired", hint=_HINT)
        if invitation.key != key:
            raise Forbidden(f"cannot join {str(key)!r}: the token is for another role", hint=_HINT)
