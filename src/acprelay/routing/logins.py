"""Logins of browsers: one-time codes, and the sessions that they become.

A code is good once and for minutes. A session is good until its end, its token's, or the logout.
Of both only hashes are kept. Pure: the time and the random texts are arguments; cookies and pages
are not known here.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from acprelay.errors import Unauthorized

CODE_S = 600.0
"""For how long a login address is good."""

SESSION_S = 7 * 86_400.0
"""For how long a browser stays logged in."""

_MOST_CODES = 100
_MOST_SESSIONS = 1000

_HINT = "get a new login address with: acprelay login"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """Something secret that stands for a token for a while.

    Attributes:
        token_id: The token.
        digest: The hash of the secret.
        expires_at: Until when; seconds since the epoch.
    """

    token_id: str
    digest: str
    expires_at: float


class Passes:
    """Passes of one kind; where there are too many, the oldest one goes.

    Args:
        most: How many are kept.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._known: list[Pass] = []

    def add(self, new: Pass) -> None:
        """Takes one in."""
        self._known = [*self._known, new][-self._most :]

    def find(self, secret: str, now: float) -> Pass | None:
        """Gives the pass of a secret, if it is good; every one is compared, in constant time."""
        digest = _digest_of(secret)
        found = [each for each in self._known if hmac.compare_digest(each.digest, digest)]
        return next((each for each in found if each.expires_at > now), None)

    def drop(self, goes: Callable[[Pass], bool]) -> list[Pass]:
        """Forgets some, and gives them. Idempotent."""
        gone = [each for each in self._known if goes(each)]
        self._known = [each for each in self._known if each not in gone]
        return gone


class Logins:
    """The codes and the sessions of a relay's browsers."""

    def __init__(self) -> None:
        self._codes = Passes(most=_MOST_CODES)
        self._sessions = Passes(most=_MOST_SESSIONS)

    def offer(self, token_id: str, *, code: str, now: float) -> float:
        """Makes a code good for one login; tells until when."""
        ends = now + CODE_S
        self._codes.add(Pass(token_id=token_id, digest=_digest_of(code), expires_at=ends))
        return ends

    def is_open(self, code: str, now: float) -> bool:
        """Tells whether a code is good; it stays so."""
        return self._codes.find(code, now) is not None

    def redeem(self, code: str, *, session: str, now: float) -> str:
        """Turns a code into a session; tells the token's id.

        Args:
            code: The code, which is of no use any more.
            session: The secret of the session.
            now: The time.

        Raises:
            Unauthorized: There is no such code, or it was used, or has expired.
        """
        found = self._codes.find(code, now)
        if found is None:
            raise Unauthorized(
                "cannot log in: this address was used already, or has expired", hint=_HINT
            )
        self._codes.drop(lambda each: each == found)
        opened = Pass(
            token_id=found.token_id, digest=_digest_of(session), expires_at=now + SESSION_S
        )
        self._sessions.add(opened)
        return found.token_id

    def find(self, session: str, now: float) -> Pass | None:
        """Gives what a session stands for, if the session is good."""
        return self._sessions.find(session, now)

    def log_out(self, session: str) -> list[Pass]:
        """Ends a session; gives what it stood for, if it was there. Idempotent."""
        digest = _digest_of(session)
        return self._sessions.drop(lambda each: hmac.compare_digest(each.digest, digest))

    def end_expired(self, now: float) -> list[Pass]:
        """Ends the sessions whose time is over, and gives them."""
        return self._sessions.drop(lambda each: each.expires_at <= now)

    def end_all(self, token_id: str) -> None:
        """Ends whatever stands for a token. Idempotent."""
        for passes in (self._codes, self._sessions):
            passes.drop(lambda each: each.token_id == token_id)


def _digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
