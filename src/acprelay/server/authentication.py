"""Who makes a request: whoever shows a token, or has a browser that is logged in.

A token stands in the header `Authorization: Bearer …`, and nowhere else: addresses are kept in
logs. A browser shows the cookie that it got for a one-time code. What somebody may do is not
decided here.
"""

from __future__ import annotations

from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from acprelay.errors import RelayError, Unauthorized
from acprelay.routing.access import LOCAL, Principal
from acprelay.server.guard import check_same_page
from acprelay.server.principals import admit
from acprelay.server.problems import problem

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="acprelay"'}
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Authenticator(Protocol):
    """Tells who shows something."""

    def authenticate(self, text: str) -> Principal:
        """Tells who shows a token.

        Raises:
            Unauthorized: There is no such token, or no longer.
        """
        ...

    def recognize(self, session: str) -> Principal:
        """Tells whose browser shows a session.

        Raises:
            Unauthorized: There is no such session, or no longer.
        """
        ...


def cookie_name(port: int) -> str:
    """Names the cookie: browsers keep them by host, and relays of one host differ by their port."""
    return f"acprelay-{port}"


def identify(request: web.Request, authenticator: Authenticator, *, cookie: str) -> Principal:
    """Tells who makes a request.

    Args:
        request: The request; its Host and Origin were looked at.
        authenticator: Knows tokens and sessions.
        cookie: The name of the cookie.

    Raises:
        Unauthorized: Nobody is known by what it shows.
        Forbidden: It changes something, and shows a cookie, and no page of the relay made it.
    """
    header = request.headers.get("Authorization")
    if header is not None:
        return authenticator.authenticate(_bearer(header))
    session = request.cookies.get(cookie)
    if session is None:
        raise Unauthorized(
            "cannot tell who you are: there is no token",
            hint="send the header Authorization: Bearer TOKEN; acprelay token create makes one, "
            "and acprelay login logs a browser in",
        )
    principal = authenticator.recognize(session)
    if request.method not in _SAFE or "Upgrade" in request.headers:
        check_page(request)
    return principal


def check_page(request: web.Request) -> None:
    """Refuses a request that nothing shows to come from one of the relay's own pages.

    Raises:
        Forbidden: Nothing does.
    """
    check_same_page(
        origin=request.headers.get("Origin"), fetch_site=request.headers.get("Sec-Fetch-Site")
    )


def authentication(
    authenticator: Authenticator | None, *, cookie: str, open_to_all: frozenset[str]
) -> Middleware:
    """Gives what stands before every handler.

    Args:
        authenticator: Knows tokens and sessions; None lets everybody in.
        cookie: The name of the cookie.
        open_to_all: The paths, as routes have them, that anybody may ask for; who asks is noted
            where it is known.
    """

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if authenticator is None:
            admit(request, LOCAL)
            return await handler(request)
        resource = request.match_info.route.resource
        try:
            admit(request, identify(request, authenticator, cookie=cookie))
        except RelayError as error:
            if resource is None or resource.canonical not in open_to_all:
                return refused(error)
        return await handler(request)

    return authenticate


def refused(error: RelayError) -> web.Response:
    """Says why somebody is not let in, and how they would be."""
    is_unknown = isinstance(error, Unauthorized)
    return problem(error, headers=_CHALLENGE if is_unknown else None)


def _bearer(header: str) -> str:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized(
            "cannot tell who you are: the header Authorization has another scheme than Bearer",
            hint="send the header Authorization: Bearer TOKEN",
        )
    return token.strip()
