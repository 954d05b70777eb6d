"""Tokens: what somebody shows to say who they are, and what it lets them do.

A token reads `acpr_ID_SECRET`. The id is public and finds the token; only a hash of the secret is
kept. The secret is random and long, so a fast hash is as good as a slow one: there is nothing to
guess. Pure: the time and the random texts are arguments. How a token gets here is not known.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass

from acprelay.errors import Forbidden, InvalidParams, LimitReached, Unauthorized
from acprelay.routing.access import Grant, Principal, Scope, including

PREFIX = "acpr_"
"""Begins every token, so that people and scanners recognise one."""

MOST_NAME = 100

EVERYTHING = Scope()
"""No confinement."""

_SHAPE = re.compile(r"acpr_([0-9a-zA-Z]{1,64})_([0-9A-Za-z_-]{1,200})")
_HINT = "get another one with: acprelay token create"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is kept of a token.

    Attributes:
        id: Finds it; no secret.
        name: What its owner calls it.
        grants: What it lets somebody do.
        scope: Where.
        digest: The hash of its secret.
        created_at: When it was made; seconds since the epoch.
        expires_at: Until when it is good; None for ever.
        is_owners: Whether the relay made it for whoever started it.
    """

    id: str
    name: str
    grants: frozenset[Grant]
    scope: Scope
    digest: str
    created_at: float
    expires_at: float | None = None
    is_owners: bool = False

    @property
    def principal(self) -> Principal:
        """Who shows it."""
        return Principal(
            id=self.id, name=self.name, grants=including(self.grants), scope=self.scope
        )

    def has_expired(self, now: float) -> bool:
        """Tells whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWish:
    """What a token is to be.

    Attributes:
        name: What its owner calls it; one line.
        grants: What it is to let somebody do; at least one grant.
        scope: Where.
        expires_at: Until when; None for as long as it can be.

    Raises:
        InvalidParams: The name cannot be used, or there is no grant.
    """

    name: str
    grants: frozenset[Grant]
    scope: Scope = EVERYTHING
    expires_at: float | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if not self.grants:
            raise InvalidParams(
                "cannot make a token without a grant",
                hint=f"name one or more of {', '.join(Grant)}",
            )


def check_name(name: str) -> None:
    """Lets pass what a token can be called.

    Raises:
        InvalidParams: It cannot be called so.
    """
    if not 0 < len(name) <= MOST_NAME or not name.isprintable():
        raise InvalidParams(
            f"cannot name a token {name[:MOST_NAME]!r}",
            hint=f"give a name of 1 to {MOST_NAME} characters that can be printed",
        )


def digest_of(secret: str) -> str:
    """Hashes a secret."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def text_of(token_id: str, secret: str) -> str:
    """Gives what is shown."""
    return f"{PREFIX}{token_id}_{secret}"


def without_secret(named: str) -> str:
    """Gives what may be told of a text that is, or should have been, a token's id."""
    shape = _SHAPE.fullmatch(named)
    return named if shape is None else text_of(shape[1], "…")


class Tokens:
    """The tokens that there are.

    Args:
        known: Those that were kept.
        most: How many may be valid at a time.
    """

    def __init__(self, known: Iterable[Token] = (), *, most: int = 1000) -> None:
        self._known = {token.id: token for token in known}
        self._most = most

    @property
    def known(self) -> tuple[Token, ...]:
        """What is to be kept, the oldest first."""
        return tuple(self._known.values())

    @property
    def owners(self) -> Token | None:
        """The token of whoever starts the relay, if there is one."""
        return next((token for token in self._known.values() if token.is_owners), None)

    def add(self, token: Token, now: float) -> None:
        """Takes one in.

        Raises:
            LimitReached: There are as many as may be.
        """
        valid = sum(not each.has_expired(now) for each in self._known.values())
        if valid >= self._most:
            raise LimitReached(limit="tokens that are valid at a time", most=self._most)
        self._known[token.id] = token

    def remove(self, token_id: str) -> Token | None:
        """Takes one back; gives it, if it was there."""
        return self._known.pop(token_id, None)

    def take_expired(self, now: float) -> tuple[Token, ...]:
        """Takes back those whose time is over, and gives them."""
        expired = tuple(each for each in self._known.values() if each.has_expired(now))
        for token in expired:
            del self._known[token.id]
        return expired

    def find(self, token_id: str, now: float) -> Token | None:
        """Gives the token of an id, if it is good."""
        token = self._known.get(token_id)
        return None if token is None or token.has_expired(now) else token

    def verify(self, text: str, now: float) -> Token:
        """Gives the token that somebody shows; the secret is compared in constant time.

        Args:
            text: What they show.
            now: The time.

        Raises:
            Unauthorized: There is no such token, or no longer.
        """
        shape = _SHAPE.fullmatch(text)
        if shape is None:
            raise Unauthorized(
                "cannot tell who you are: that is no token of a relay",
                hint=f"a token begins with {PREFIX}; acprelay token create makes one",
            )
        token_id, secret = shape.groups()
        token = self._known.get(token_id)
        # An unknown id is compared too: nobody learns from the time which ids there are.
        known = digest_of("") if token is None else token.digest
        if not hmac.compare_digest(known, digest_of(secret)) or token is None:
            raise Unauthorized(
                "cannot tell who you are: the token is unknown, has expired or was revoked",
                hint=_HINT,
            )
        if token.has_expired(now):
            raise Unauthorized("cannot tell who you are: the token has expired", hint=_HINT)
        return token


def check_wish(
    wish: TokenWish, *, creator: Principal, until: float | None, now: float
) -> TokenWish:
    """Holds a token that is wished for to what its creator may do.

    Args:
        wish: What it is to be.
        creator: Who asks for it.
        until: Until when the creator's own token is good; None for ever.
        now: The time.

    Returns:
        The wish; where it names no end, the creator's own is its end.

    Raises:
        Forbidden: The creator does not manage everything, or the token would outlive theirs.
        InvalidParams: It would have expired already.
    """
    if not creator.manages_everything:
        raise Forbidden(
            "cannot make tokens without the grant to manage everything",
            hint="ask whoever started the relay: theirs has this grant",
            grant=str(Grant.MANAGE),
        )
    if wish.expires_at is not None and wish.expires_at <= now:
        raise InvalidParams(
            "cannot make a token that has expired already", hint="name a later time"
        )
    if until is None or (wish.expires_at is not None and wish.expires_at <= until):
        return wish
    if wish.expires_at is not None:
        raise Forbidden(
            "cannot make a token that outlives the one that makes it",
            hint="name an earlier time, or leave it out: it ends with yours then",
        )
    return TokenWish(name=wish.name, grants=wish.grants, scope=wish.scope, expires_at=until)
