"""`/tokens` and `/login-links`: who may do what, and the addresses that log browsers in."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from acprelay.errors import InvalidParams, InvalidRequest, LimitReached, NotFound, Unavailable
from acprelay.routing.access import Grant, Scope
from acprelay.routing.listing import timestamp
from acprelay.routing.paging import page_of
from acprelay.routing.tokens import MOST_NAME, TokenWish
from acprelay.runtime.token_desk import ListedToken, TokenDesk
from acprelay.server.api.groups import Name
from acprelay.server.api.operations import PREFIX, Call, Nothing, Operation, Reach, Struct, Taken
from acprelay.server.api.pages import PageQuery
from acprelay.server.login import LOGIN_PATH
from acprelay.session.models import SessionKey
from acprelay.session.ports import Clock

_LOGIN_LINKS = "/login-links"
_LONGEST_S = 10 * 365 * 86_400.0


class Token(Struct, frozen=True, kw_only=True):
    """What is kept of a token; its secret is not.

    Attributes:
        id: Its public id.
        name: What its owner calls it.
        grants: What it lets somebody do; `prompt` and `approve` include `observe`, `manage` all.
        created_at: When it was made.
        group: The group that it is confined to; there is none where it is good for everything.
        session: The session that it is confined to, if that is one.
        expires_at: Until when it is good; there is none where that is for ever.
        last_used_at: When it was shown last, since the relay started.
    """

    id: str
    name: str
    grants: list[Grant]
    created_at: str
    group: str | None = None
    session: str | None = None
    expires_at: str | None = None
    last_used_at: str | None = None


class NewToken(Token, frozen=True, kw_only=True):
    """A token that was just made.

    Attributes:
        token: What is to be shown, in the header `Authorization: Bearer …`. It is told only now.
    """

    token: str


class TokenPage(Struct, frozen=True, kw_only=True):
    """One page of a list of tokens.

    Attributes:
        tokens: The oldest one comes first.
        next_cursor: Where the next page begins; there is none without.
    """

    tokens: list[Token]
    next_cursor: str | None = None


class TokenBody(Taken, frozen=True, kw_only=True):
    """What a token is to be.

    Attributes:
        name: What its owner calls it.
        grants: What it lets somebody do.
        group: The group that it is confined to.
        session: The session that it is confined to, `GROUP:ROLE`.
        expires_in_s: For how long it is good, in seconds; as long as can be where nothing is said.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_NAME)]
    grants: Annotated[list[Grant], msgspec.Meta(min_length=1, max_length=len(Grant))]
    group: Name | None = None
    session: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    expires_in_s: Annotated[float, msgspec.Meta(gt=0, le=_LONGEST_S)] | None = None


class LoginLink(Struct, frozen=True, kw_only=True):
    """An address that logs a browser in.

    Attributes:
        url: The address; it is good once.
        expires_at: Until when.
    """

    url: str
    expires_at: str


_EXAMPLE = Token(
    id="5f0c7c2f9a1b4e0d8f6a3b2c1d",
    name="phone",
    grants=[Grant.APPROVE, Grant.PROMPT],
    group="login",
    created_at="2026-01-02T03:04:05.678Z",
    expires_at="2026-02-01T03:04:05.678Z",
)


class TokenResource:
    """Serves them.

    Args:
        desk: Has the tokens; None where the relay does without.
        clock: Wall-clock time.
        public_origin: Where browsers come in, if not where the request came in.
    """

    def __init__(self, *, desk: TokenDesk | None, clock: Clock, public_origin: str | None) -> None:
        self._tokens = desk
        self._clock = clock
        self._public_origin = public_origin

    def operations(self) -> list[Operation]:
        """Gives the operations."""
        return [
            Operation(
                id="listTokens",
                method="GET",
                path="/tokens",
                summary="List the tokens that are good, the oldest first",
                tag="tokens",
                query=PageQuery,
                result=TokenPage,
                errors=(InvalidRequest,),
                grant=Grant.MANAGE,
                reach=Reach.RELAY,
                handler=self._list,
                example=TokenPage(tokens=[_EXAMPLE]),
            ),
            Operation(
                id="createToken",
                method="POST",
                path="/tokens",
                summary="Make a token",
                description="It is told only now. It ends with the token that makes it at the "
                "latest. A repetition makes another one.",
                tag="tokens",
                body=TokenBody,
                result=NewToken,
                status=201,
                errors=(InvalidRequest, LimitReached, Unavailable),
                grant=Grant.MANAGE,
                reach=Reach.RELAY,
                handler=self._create,
                body_example=TokenBody(
                    name="phone",
                    grants=[Grant.APPROVE, Grant.PROMPT],
                    group="login",
                    expires_in_s=30 * 86_400.0,
                ),
            ),
            Operation(
                id="revokeToken",
                method="DELETE",
                path="/tokens/{token}",
                summary="Take a token back, by its id",
                description="It is answered once the token is good no more, and all connections "
                "and browsers that it let in are out. A repetition gives 404.",
                tag="tokens",
                errors=(InvalidRequest, NotFound, Unavailable),
                grant=Grant.MANAGE,
                reach=Reach.RELAY,
                handler=self._revoke,
            ),
            Operation(
                id="createLoginLink",
                method="POST",
                path=_LOGIN_LINKS,
                summary="Get an address that logs a browser in",
                description="The browser may do what the token may that asks. The address is good "
                "once, for some minutes. A repetition gives another one.",
                tag="tokens",
                body=Nothing,
                result=LoginLink,
                status=201,
                errors=(InvalidRequest,),
                grant=Grant.OBSERVE,
                reach=Reach.WITHIN,
                handler=self._link,
            ),
        ]

    async def _list(self, call: Call[PageQuery, None]) -> TokenPage:
        page = page_of(
            self._desk().list(),
            place=lambda each: (each.token.created_at, each.token.id),
            shape=tuple[float, str],
            cursor=call.query.cursor,
            limit=call.query.limit,
        )
        return TokenPage(
            tokens=[Token(**_members(each)) for each in page.entries],
            next_cursor=page.next_cursor,
        )

    async def _create(self, call: Call[Any, TokenBody]) -> NewToken:
        body = call.body
        wish = TokenWish(
            name=body.name,
            grants=frozenset(body.grants),
            scope=_scope(body),
            expires_at=None if body.expires_in_s is None else self._clock.now() + body.expires_in_s,
        )
        issued = await self._desk().create(wish, creator=call.principal)
        return NewToken(**_members(ListedToken(issued.token, None)), token=issued.text)

    async def _revoke(self, call: Call[Any, None]) -> None:
        await self._desk().revoke([call.path["token"]])

    async def _link(self, call: Call[Any, Nothing]) -> LoginLink:
        offered = self._desk().offer_login(call.principal)
        request = call.request
        mount = request.path.removesuffix(PREFIX + _LOGIN_LINKS)
        base = self._public_origin or f"{request.scheme}://{request.host}{mount}"
        return LoginLink(
            url=f"{base}{LOGIN_PATH}/{offered.code}", expires_at=timestamp(offered.expires_at)
        )

    def _desk(self) -> TokenDesk:
        if self._tokens is None:
            raise InvalidRequest(
                "cannot do that here: this relay does without tokens, and lets everybody in",
                hint="serve without --no-auth",
            )
        return self._tokens


def _scope(body: TokenBody) -> Scope:
    if body.session is None:
        return Scope(group=body.group)
    key = SessionKey.parse(body.session)
    if body.group not in (None, key.session_id):
        raise InvalidParams(
            "cannot confine a token to a session of another group", hint="name one of them"
        )
    return Scope(group=key.session_id, role=key.role)


def _members(listed: ListedToken) -> dict[str, Any]:
    token = listed.token
    used, ends = listed.last_used_at, token.expires_at
    return {
        "id": token.id,
        "name": token.name,
        "grants": sorted(token.grants),
        "created_at": timestamp(token.created_at),
        "group": token.scope.group,
        "session": None if token.scope.role is None else str(token.scope),
        "expires_at": None if ends is None else timestamp(ends),
        "last_used_at": None if used is None else timestamp(used),
    }
