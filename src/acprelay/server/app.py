"""The one HTTP application: routes, and what holds for every request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Never, Protocol

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from acprelay.errors import InvalidRequest, RelayError
from acprelay.routing.access import Grant, Principal
from acprelay.server.acp import AcpEndpoint
from acprelay.server.agents import PATH as AGENTS_PATH
from acprelay.server.agents import AgentEndpoint
from acprelay.server.authentication import Authenticator, authentication, cookie_name
from acprelay.server.guard import check_headers
from acprelay.server.login import CODE_PATH, LOGIN_PATH, LOGOUT_PATH, LoginDesk, LoginPages
from acprelay.server.logs import loggable_path
from acprelay.server.principals import known_principal_of
from acprelay.server.problems import problem
from acprelay.session.ports import SessionManager

_OPEN_TO_ALL = frozenset({"/healthz", "/readyz", LOGIN_PATH, CODE_PATH, LOGOUT_PATH, AGENTS_PATH})
"""What needs no token, or looks at tokens of its own."""


class IdentityDesk(Authenticator, LoginDesk, Protocol):
    """Knows who shows a token, and who is logged in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Under which names the relay is reached.

    Attributes:
        scheme: `http` or `https`.
        port: Gives the port that it listens on, once it does.
        public_origins: Further origins that are its own.
    """

    scheme: str
    port: Callable[[], int]
    public_origins: tuple[str, ...]


def make_app(
    *,
    acp: AcpEndpoint,
    agents: AgentEndpoint,
    manager: SessionManager[Never],
    edge: Edge,
    identity: IdentityDesk | None,
) -> web.Application:
    """Makes the application; it serves once somebody runs it.

    Args:
        acp: Serves `/acp`.
        agents: Serves agents that dial in.
        manager: Tells what `/healthz` and `/readyz` report.
        edge: Under which names the relay is reached.
        identity: Knows who makes a request; None lets everybody in.
    """

    def cookie() -> str:
        return cookie_name(edge.port())

    app = web.Application(
        middlewares=[
            _explain,
            _guard(edge),
            authentication(identity, cookie=cookie, open_to_all=_OPEN_TO_ALL),
        ]
    )
    health = Health(manager=manager)
    # A HEAD that asks for an upgrade would get one.
    app.router.add_get("/acp", acp.handle, allow_head=False)
    app.router.add_get(AGENTS_PATH, agents.handle, allow_head=False)
    app.router.add_get("/healthz", health.alive)
    app.router.add_get("/readyz", health.ready)
    if identity is not None:
        LoginPages(desk=identity, cookie=cookie).add_to(app)
    return app


class Health:
    """Says how the relay is: `/healthz` whether it runs, `/readyz` whether it takes sessions.

    Args:
        manager: Counts sessions.
    """

    def __init__(self, *, manager: SessionManager[Never]) -> None:
        self._manager = manager

    async def alive(self, _request: web.Request) -> web.Response:
        """The relay runs."""
        return _json({"status": "ok"})

    async def ready(self, request: web.Request) -> web.Response:
        """The relay takes sessions, as its session store can be reached.

        Answers 503 with a problem document where it cannot. Whoever may observe everything is told
        how many there are.
        """
        try:
            counts = await self._manager.state_counts()
        except RelayError as error:
            return problem(error, status=503)
        if not _may_count(known_principal_of(request)):
            return _json({"status": "ready"})
        return _json({"status": "ready", "sessions": {str(s): n for s, n in counts.items()}})


@web.middleware
async def _explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Gives what HTTP itself refuses (a path, a method, an upgrade) the form of all errors."""
    try:
        return await handler(request)
    except web.HTTPClientError as refusal:
        error = InvalidRequest(
            f"cannot serve {request.method} {loggable_path(request)[:120]!r}: {refusal.reason}",
            hint="GET /healthz and /readyz, and connect to /acp with a WebSocket (RFC 6455)",
        )
        allowed = {name: refusal.headers[name] for name in ("Allow",) if name in refusal.headers}
        return problem(error, status=refusal.status, headers=allowed)


def _may_count(principal: Principal | None) -> bool:
    return (
        principal is not None
        and principal.scope.is_everything
        and principal.may_anywhere(Grant.OBSERVE)
    )


def _guard(edge: Edge) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            check_headers(
                host=request.headers.get("Host"),
                origin=request.headers.get("Origin"),
                port=edge.port(),
                scheme=edge.scheme,
                further=(*edge.public_origins, *_reached_at(request, edge.scheme)),
            )
        except RelayError as error:
            return problem(error)
        return await handler(request)

    return guard


def _reached_at(request: web.Request, scheme: str) -> tuple[str, ...]:
    """Gives the origin of the address at which a request came in: no name stands for it."""
    name = None if request.transport is None else request.transport.get_extra_info("sockname")
    if name is None:
        return ()
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return (f"{scheme}://{host}:{name[1]}",)


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
