"""Tokens: who may do what, and the addresses that log browsers in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from acprelay.client.calls import Calls, Value, pages, path


class Token(Value, frozen=True, kw_only=True):
    """What is kept of a token; its secret is not.

    Attributes:
        id: Its public id.
        name: What its owner calls it.
        grants: What it lets somebody do; `prompt` and `approve` include `observe`, `manage` all.
        created_at: When it was made, in ISO 8601.
        group: The group that it is confined to; None where it is good for everything.
        session: The session that it is confined to, if that is one.
        expires_at: Until when it is good; None where that is for ever.
        last_used_at: When it was shown last, since the relay started.
    """

    id: str
    name: str
    grants: tuple[str, ...]
    created_at: str
    group: str | None = None
    session: str | None = None
    expires_at: str | None = None
    last_used_at: str | None = None


class NewToken(Token, frozen=True, kw_only=True):
    """A token that was just made.

    Attributes:
        token: What is to be shown. It is told only now.
    """

    token: str


class LoginLink(Value, frozen=True, kw_only=True):
    """An address that logs a browser in.

    Attributes:
        url: The address; it is good once.
        expires_at: Until when, in ISO 8601.
    """

    url: str
    expires_at: str


class _TokenPage(Value, frozen=True, kw_only=True):
    tokens: tuple[Token, ...]
    next_cursor: str | None = None


class _TokenBody(Value, frozen=True, kw_only=True):
    name: str
    grants: Sequence[str]
    group: str | None = None
    session: str | None = None
    expires_in_s: float | None = None


class TokenCalls(Calls):
    """What can be asked about tokens. All raise as `RelayClient` says."""

    def list_tokens(self) -> AsyncIterator[Token]:
        """Yields the tokens that are good, the oldest first."""
        return pages(self._api, "/tokens", _TokenPage, lambda page: page.tokens, {})

    async def create_token(
        self,
        name: str,
        *,
        grants: Sequence[str],
        group: str | None = None,
        session: str | None = None,
        expires_in_s: float | None = None,
    ) -> NewToken:
        """Makes a token. It ends with the token that makes it at the latest. Not idempotent.

        Args:
            name: What its owner calls it.
            grants: What it lets somebody do: `observe`, `prompt`, `approve`, `manage`.
            group: The group that it is confined to.
            session: The session that it is confined to.
            expires_in_s: For how long it is good, in seconds; None for as long as can be.
        """
        body = _TokenBody(
            name=name, grants=grants, group=group, session=session, expires_in_s=expires_in_s
        )
        return await self._api.post("/tokens", body, NewToken)

    async def revoke_token(self, token_id: str) -> None:
        """Takes a token back; returns once all connections that it let in are out.

        Raises:
            NotFound: There is none by that id, any more.
        """
        await self._api.delete(path("tokens", token_id), type(None))

    async def create_login_link(self) -> LoginLink:
        """Gives an address that logs a browser in, which may then do what this client may."""
        return await self._api.post("/login-links", {}, LoginLink)
