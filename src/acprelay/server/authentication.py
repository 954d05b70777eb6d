"""Who makes a request: whoever shows a token, or has a browser that is logged in.

A token stands in the header `Authorization: Bearer …`, and nowhere else: addresses are kept in
logs. A browser shows the cookie that it got for a one-time code. What somebody may do is not
decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import partial
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from acprelay.errors import RelayError, Unauthorized
from acprelay.routing.access import Principal
from acprelay.server.guard import check_foreign_read, check_same_page
from acprelay.server.principals import Authenticate, admit
from acprelay.server.problems import problem

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="acprelay"'}
Refuse = Callable[[web.Request, RelayError], web.Response]
"""Says to who made a request why it is not let in."""

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


class Identity:
    """Tells who makes a request, by what it shows.

    Args:
        desk: Knows tokens and sessions.
    """

    def __init__(self, *, desk: Authenticator) -> None:
        self._desk = desk

    def __call__(self, request: web.Request) -> Principal:
        """Tells who makes a request whose Host and Origin were looked at.

        Raises:
            Unauthorized: Nobody is known by what it shows.
            Forbidden: It changes something, and shows a cookie, and no page of the relay made it.
        """
        header = request.headers.get("Authorization")
        if header is not None:
            return self._desk.authenticate(_bearer(header))
        session = request.cookies.get(cookie_name(request))
        if session is None:
            raise Unauthorized(
                "cannot tell who you are: there is no token",
                hint="send the header Authorization: Bearer TOKEN, or name it to a command with "
                "--token-file or ACPRELAY_TOKEN; acprelay token create makes one, and acprelay "
                "login logs a browser in",
            )
        principal = self._desk.recognize(session)
        if request.method not in _SAFE or "Upgrade" in request.headers:
            check_page(request)
        check_foreign_read(
            fetch_site=request.headers.get("Sec-Fetch-Site"),
            fetch_mode=request.headers.get("Sec-Fetch-Mode"),
        )
        return principal


def cookie_name(request: web.Request) -> str:
    """Names the cookie: browsers keep them by host, and relays of one host differ by their port."""
    return f"acprelay-{port_of(request)}"


def port_of(request: web.Request) -> int:
    """Gives the port that a request came in by, whoever listens; 0 where there is none."""
    transport = request.transport
    name = None if transport is None else transport.get_extra_info("sockname")
    return int(name[1]) if isinstance(name, tuple) else 0


def check_page(request: web.Request) -> None:
    """Refuses a request that nothing shows to come from one of the relay's own pages.

    Raises:
        Forbidden: Nothing does.
    """
    check_same_page(
        origin=request.headers.get("Origin"), fetch_site=request.headers.get("Sec-Fetch-Site")
    )


def authentication(
    authenticate: Authenticate, *, refuse: Refuse, open_routes: Container[str]
) -> Middleware:
    """Gives what stands before every handler.

    Args:
        authenticate: Tells who makes a request.
        refuse: Says to who made a request why it is not let in.
        open_routes: The names of the routes that anybody may ask for; who asks is noted where it is
            known.
    """

    def look(request: web.Request) -> Principal:
        return _known(authenticate(request))

    @web.middleware
    async def authenticating(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            admit(request, look(request), look_again=partial(look, request))
        except RelayError as error:
            if request.match_info.route.name not in open_routes:
                return refuse(request, error)
        return await handler(request)

    return authenticating


def refused(_request: web.Request, error: RelayError) -> web.Response:
    """Says why somebody is not let in, and how they would be."""
    is_unknown = isinstance(error, Unauthorized)
    return problem(error, headers=CHALLENGE if is_unknown else None)


def _known(principal: Principal | None) -> Principal:
    if principal is None:
        raise Unauthorized(
            "cannot tell who makes the request", hint="log in, or show a token that is known here"
        )
    return principal


def _bearer(header: str) -> str:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized(
            "cannot tell who you are: the header Authorization has another scheme than Bearer",
            hint="send the header Authorization: Bearer TOKEN",
        )
    return token.strip()
