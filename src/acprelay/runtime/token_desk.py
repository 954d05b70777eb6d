"""Issues tokens, takes them back, and tells who shows one. It knows no request and no socket.

What somebody shows is a token, or the session that a browser got for a one-time code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from acprelay.errors import Forbidden, NotFound, Unauthorized
from acprelay.routing.access import Grant, Principal
from acprelay.routing.logins import Logins, Pass
from acprelay.routing.tokens import (
    Token,
    Tokens,
    TokenWish,
    check_wish,
    digest_of,
    text_of,
    without_secret,
)
from acprelay.runtime.ports import TokenStore
from acprelay.runtime.saving import Saving
from acprelay.session.ports import Clock, IdGenerator


class Connections(Protocol):
    """The live connections of principals."""

    async def sever(self, principal_id: str) -> int:
        """Ends those of one; returns once they have ended, and tells how many there were."""
        ...

    async def sever_login(self, principal_id: str, login: str) -> int:
        """Does so with those that come by one login."""
        ...


class OwnersFile(Protocol):
    """Where whoever starts the relay finds their token."""

    def load(self) -> str | None:
        """Gives what was saved last, if anything that can be relied on.

        Raises:
            ConfigError: It cannot be read.
        """
        ...

    def save(self, secret: str) -> None:
        """Keeps a token in place of the one before.

        Raises:
            ConfigError: It cannot be written.
        """
        ...


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token that was just made.

    Attributes:
        token: What is kept of it.
        text: What is shown; nobody can be told of it again.
    """

    token: Token
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LoginCode:
    """What a browser logs in with, once.

    Attributes:
        code: The code.
        expires_at: Until when it is good; seconds since the epoch.
    """

    code: str = field(repr=False)
    expires_at: float


@dataclass(frozen=True, slots=True)
class ListedToken:
    """A token, and when it was shown last.

    Attributes:
        token: What is kept of it.
        last_used_at: Seconds since the epoch; None for not since the relay started.
    """

    token: Token
    last_used_at: float | None


class TokenDesk:
    """Has the tokens of a relay, and the logins of browsers.

    Args:
        store: Keeps the tokens.
        clock: Wall-clock time.
        ids: Mints their ids.
        mint: Gives secrets that nobody can guess.
        connections: Ends what is connected with a token that is taken back.
    """

    def __init__(
        self,
        *,
        store: TokenStore,
        clock: Clock,
        ids: IdGenerator,
        mint: Callable[[], str],
        connections: Connections,
    ) -> None:
        self._store = store
        self._saving = Saving(current=lambda: self._tokens.known, store=store)
        self._clock = clock
        self._ids = ids
        self._mint = mint
        self._connections = connections
        self._tokens = Tokens()
        self._logins = Logins()
        self._last_used: dict[str, float] = {}

    async def recover(self, owners: OwnersFile) -> str:
        """Takes up the tokens that an earlier relay has left, and sees to the owner's.

        Args:
            owners: Holds the owner's token. Where it does not hold one that is good, a new one is
                made, and the one before is good no more.

        Returns:
            The owner's token.

        Raises:
            ConfigError: The tokens or the owner's file cannot be used.
            Unavailable: A new one cannot be stored.
        """
        self._tokens = Tokens(await asyncio.to_thread(self._store.load))
        text = await asyncio.to_thread(owners.load)
        if text is not None and self._is_owners(text):
            return text
        if (before := self._tokens.owners) is not None:
            self._tokens.remove(before.id)
        issued = self._make(
            TokenWish(name="owner", grants=frozenset({Grant.MANAGE})), is_owners=True
        )
        await self._saving.save()
        await asyncio.to_thread(owners.save, issued.text)
        return issued.text

    def authenticate(self, text: str) -> Principal:
        """Tells who shows a token.

        Raises:
            Unauthorized: There is no such token, or no longer.
        """
        now = self._clock.now()
        token = self._tokens.verify(text, now)
        self._last_used[token.id] = now
        return token.principal

    def recognize(self, session: str) -> Principal:
        """Tells whose browser shows a session.

        Raises:
            Unauthorized: There is no such session, or no longer; or its token is good no more.
        """
        now = self._clock.now()
        login = self._logins.find(session, now)
        token = None if login is None else self._tokens.find(login.token_id, now)
        if login is None or token is None:
            raise Unauthorized(
                "cannot tell who you are: you are logged in no longer",
                hint="get a new login address with: acprelay login",
            )
        self._last_used[token.id] = now
        return replace(token.principal, login=login.digest)

    def list(self) -> Sequence[ListedToken]:
        """Gives the tokens that are good, the oldest first."""
        now = self._clock.now()
        return [
            ListedToken(token, self._last_used.get(token.id))
            for token in self._tokens.known
            if not token.has_expired(now)
        ]

    async def create(self, wish: TokenWish, *, creator: Principal) -> IssuedToken:
        """Makes a token; it outlives the relay once this returns.

        Cancelling is safe: what nobody was told of is of no use to anybody.

        Raises:
            Forbidden: The creator may not make it.
            InvalidParams: It would have expired already.
            LimitReached: There are as many as may be.
            Unavailable: It cannot be stored.
        """
        now = self._clock.now()
        own = self._tokens.find(creator.id, now)
        issued = self._make(
            check_wish(
                wish, creator=creator, until=None if own is None else own.expires_at, now=now
            )
        )
        try:
            await self._saving.save()
        except BaseException:
            self._tokens.remove(issued.token.id)
            raise
        return issued

    async def revoke(self, token_ids: Iterable[str]) -> None:
        """Takes tokens back: returns once they are good no more, and all their connections ended.

        Cancelling does not call that off.

        Raises:
            NotFound: There is no such token; none was taken back.
            Unavailable: That cannot be stored: it holds until the relay stops.
        """
        wanted = list(dict.fromkeys(token_ids))
        known = {token.id for token in self._tokens.known}
        for token_id in wanted:
            if token_id not in known:
                raise NotFound(
                    what="token",
                    name=without_secret(token_id),
                    hint="acprelay token list shows the ids of those that there are",
                )
        for token_id in wanted:
            self._tokens.remove(token_id)
        try:
            await self._saving.save()
        finally:
            await self._end(wanted)

    async def keep_house(self) -> None:
        """Ends what is connected with tokens and logins whose time is over.

        Never fails for a full disk.
        """
        await self._leave(self._logins.end_expired(self._clock.now()))
        expired = self._tokens.take_expired(self._clock.now())
        # The file may keep them until it is written next: they are good no more by their time.
        await self._end([token.id for token in expired])

    def offer_login(self, principal: Principal) -> LoginCode:
        """Gives a code with which a browser becomes a principal, once and for some minutes.

        Raises:
            Forbidden: The principal has no token.
        """
        now = self._clock.now()
        if self._tokens.find(principal.id, now) is None:
            raise Forbidden(
                "cannot make a login address: there is no token that it could stand for",
                hint="authenticate with a token first",
            )
        code = self._mint()
        return LoginCode(code, self._logins.offer(principal.id, code=code, now=now))

    def offer_owners_login(self) -> LoginCode:
        """Gives a code with which a browser becomes the owner.

        Raises:
            Forbidden: The owner's token was revoked.
        """
        owners = self._tokens.owners
        if owners is None:
            raise Forbidden(
                "cannot make a login address: the owner's token was revoked",
                hint="restart the relay: it makes a new one",
            )
        return self.offer_login(owners.principal)

    def can_log_in(self, code: str) -> bool:
        """Tells whether a code is good; it stays so."""
        return self._logins.is_open(code, self._clock.now())

    def log_in(self, code: str) -> str:
        """Uses a code up; gives the secret of the session that it becomes.

        Raises:
            Unauthorized: There is no such code, or it was used, or has expired.
        """
        session = self._mint()
        self._logins.redeem(code, session=session, now=self._clock.now())
        return session

    async def log_out(self, session: str) -> None:
        """Ends a session of a browser; returns once what it was let in by it is out. Idempotent."""
        await self._leave(self._logins.log_out(session))

    async def aclose(self) -> None:
        """Returns once all is stored that was being stored. Idempotent."""
        await self._saving.aclose()

    def _is_owners(self, text: str) -> bool:
        try:
            return self._tokens.verify(text, self._clock.now()).is_owners
        except Unauthorized:
            return False

    def _make(self, wish: TokenWish, *, is_owners: bool = False) -> IssuedToken:
        now = self._clock.now()
        secret = self._mint()
        token = Token(
            id=self._ids.mint(),
            name=wish.name,
            grants=wish.grants,
            scope=wish.scope,
            digest=digest_of(secret),
            created_at=now,
            expires_at=wish.expires_at,
            is_owners=is_owners,
        )
        self._tokens.add(token, now)
        return IssuedToken(token, text_of(token.id, secret))

    async def _end(self, token_ids: Sequence[str]) -> None:
        for token_id in token_ids:
            self._logins.end_all(token_id)
            self._last_used.pop(token_id, None)
        if token_ids:
            async with asyncio.TaskGroup() as severing:
                for token_id in token_ids:
                    severing.create_task(self._connections.sever(token_id))

    async def _leave(self, logins: Sequence[Pass]) -> None:
        for login in logins:
            await self._connections.sever_login(login.token_id, login.digest)
