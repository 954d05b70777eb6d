"""`/login` and `/logout`: how a browser gets the cookie that stands for a token, and loses it.

The address that logs in holds a code that is good once. Looking at it uses nothing up, so that
whatever previews links does no harm: the button on the page does. The pages need no script, and
take nothing from elsewhere. Addresses in them are relative: other programs may mount them anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from types import MappingProxyType
from typing import Protocol

from aiohttp import web

from acprelay.errors import RelayError, Unauthorized
from acprelay.routing.logins import SESSION_S
from acprelay.server.authentication import CHALLENGE, check_page, cookie_name, refused
from acprelay.server.principals import known_principal_of

LOGIN_PATH = "/login"

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    # With no-referrer, browsers would send `Origin: null` with the form.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>acprelay</title>
<style>
:root {{ color-scheme: light dark; font: 1.1rem/1.5 system-ui, sans-serif }}
body {{ max-width: 32rem; margin: 15vh auto; padding: 0 1rem }}
button {{ font: inherit; padding: .6rem 1.4rem }}
</style>
<h1>acprelay</h1>
<p>{text}</p>
{form}</html>
"""
_FORM = '<form method="post" action="{action}"><button>{label}</button></form>\n'


_NOBODY = (
    "Nobody is logged in here. The command <code>acprelay login</code> gives an address that logs "
    "a browser in."
)
_USED_UP = (
    "This address was used already, or has expired. The command <code>acprelay login</code> gives "
    "a new one."
)


class LoginDesk(Protocol):
    """Knows codes and the sessions that they become."""

    def can_log_in(self, code: str) -> bool:
        """Tells whether a code is good; it stays so."""
        ...

    def log_in(self, code: str) -> str:
        """Uses a code up; gives the secret of a session.

        Raises:
            Unauthorized: There is no such code, or no longer.
        """
        ...

    async def log_out(self, session: str) -> None:
        """Ends a session, and what is connected with it. Idempotent."""
        ...


class LoginPages:
    """Serves them.

    Args:
        desk: Knows codes and sessions.
    """

    ROUTES = ("login", "login-code", "logout")
    """The names of its routes."""

    def __init__(self, *, desk: LoginDesk) -> None:
        self._desk = desk

    def add_to(self, app: web.Application) -> None:
        """Adds the routes."""
        login, code, logout = self.ROUTES
        app.router.add_get(LOGIN_PATH, self.show, name=login)
        with_code = app.router.add_resource(f"{LOGIN_PATH}/{{code}}", name=code)
        with_code.add_route("GET", self.offer)
        with_code.add_route("POST", self.log_in)
        app.router.add_post("/logout", self.log_out, name=logout)

    async def show(self, request: web.Request) -> web.Response:
        """Says who is logged in."""
        principal = known_principal_of(request)
        if principal is None:
            return _page(_NOBODY)
        text = (
            f"You are logged in as <b>{escape(principal.name)}</b>. "
            '<a href="api/v1/docs">The control API</a> is open to this browser.'
        )
        return _page(text, _FORM.format(action="logout", label="Log out"))

    async def offer(self, request: web.Request) -> web.Response:
        """Shows the button; uses nothing up."""
        if not self._desk.can_log_in(request.match_info["code"]):
            return _page(_USED_UP, status=410)
        return _page("Log this browser in?", _FORM.format(action="", label="Log in"))

    async def log_in(self, request: web.Request) -> web.Response:
        """Uses the code up, and gives the cookie."""
        try:
            check_page(request)
            session = self._desk.log_in(request.match_info["code"])
        except RelayError as error:
            is_used_up = isinstance(error, Unauthorized) and _is_for_people(request)
            return _page(_USED_UP, status=410) if is_used_up else refused(request, error)
        answer = _see("../login")
        answer.set_cookie(
            cookie_name(request),
            session,
            path="/",
            max_age=int(SESSION_S),
            httponly=True,
            samesite="Strict",
            secure=_is_secure(request),
        )
        return answer

    async def log_out(self, request: web.Request) -> web.Response:
        """Ends the session of the browser, whether it is good or not. Idempotent."""
        try:
            check_page(request)
        except RelayError as error:
            return refused(request, error)
        await self._desk.log_out(request.cookies.get(cookie_name(request), ""))
        answer = _see("login")
        answer.del_cookie(
            cookie_name(request),
            path="/",
            httponly=True,
            samesite="Strict",
            secure=_is_secure(request),
        )
        return answer


def refused_here(request: web.Request, error: RelayError) -> web.Response:
    """Says why somebody is not let in: with a page to whoever opens an address in a browser."""
    if isinstance(error, Unauthorized) and _is_for_people(request):
        return _page(_NOBODY, status=401, headers=CHALLENGE)
    return refused(request, error)


def _is_for_people(request: web.Request) -> bool:
    """Whether a browser opens a page: it shows no token, and names HTML before anything else."""
    accept = request.headers.get("Accept", "")
    return "Authorization" not in request.headers and accept.startswith("text/html")


def _is_secure(request: web.Request) -> bool:
    """Whether the browser came over TLS, to the relay or to a proxy that stands before it."""
    return request.secure or request.headers.get("Origin", "").startswith("https:")


def _see(path: str) -> web.Response:
    return web.Response(status=303, headers={**_HEADERS, "Location": path})


def _page(
    text: str,
    form: str = "",
    *,
    status: int = 200,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> web.Response:
    return web.Response(
        status=status,
        text=_PAGE.format(text=text, form=form),
        content_type="text/html",
        headers={**_HEADERS, **headers},
    )
