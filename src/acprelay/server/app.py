"""The one HTTP application: routes, and what holds for every request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Never

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from acprelay.config import Limits
from acprelay.errors import InvalidRequest, RelayDraining, RelayError
from acprelay.routing.access import Grant, Principal
from acprelay.runtime.measurements import Census
from acprelay.server.acp import AcpEndpoint
from acprelay.server.agents import PATH as AGENTS_PATH
from acprelay.server.agents import AgentEndpoint
from acprelay.server.api.operations import Operation
from acprelay.server.api.serving import add_operations
from acprelay.server.authentication import authentication, port_of, refused
from acprelay.server.edge import take_place
from acprelay.server.guard import check_headers, single
from acprelay.server.login import LoginDesk, LoginPages, refused_here
from acprelay.server.logs import loggable_path
from acprelay.server.metrics import PATH as METRICS_PATH
from acprelay.server.metrics import Metrics, MetricsEndpoint
from acprelay.server.principals import Authenticate, known_principal_of
from acprelay.server.problems import problem
from acprelay.session.ports import SessionManager

ACP_ROUTE = "acp"
_AGENTS_ROUTE = "agents"
_FRONT_ROUTE = "front"
_ALIVE_ROUTE = "healthz"
_READY_ROUTE = "readyz"
_OPEN_ROUTES = frozenset(
    {_FRONT_ROUTE, _AGENTS_ROUTE, _ALIVE_ROUTE, _READY_ROUTE, *LoginPages.ROUTES}
)
"""What somebody reaches who is not known: agents show tokens of their own."""


def make_app(
    *,
    acp: AcpEndpoint,
    agents: AgentEndpoint,
    api: Sequence[Operation],
    manager: SessionManager[Never],
    authenticate: Authenticate,
    logins: LoginDesk | None,
    public_origins: tuple[str, ...],
    limits: Limits,
    is_draining: Callable[[], bool],
    metrics: Metrics,
    census: Census,
) -> web.Application:
    """Makes the application; it serves once somebody runs it, or an application that mounts it.

    Args:
        acp: Serves `/acp`.
        agents: Serves agents that dial in.
        api: The operations of the control API.
        manager: Tells what `/healthz` and `/readyz` report.
        authenticate: Tells who makes a request.
        logins: Logs browsers in; None where they cannot.
        public_origins: Further origins that are its own, besides this machine's loopback.
        limits: Bounds.
        is_draining: Tells whether the relay is about to stop.
        metrics: What is measured.
        census: Tells what there is.
    """
    app = web.Application(
        middlewares=[
            _explain,
            take_place,
            _guard(public_origins),
            authentication(
                authenticate,
                refuse=refused if logins is None else refused_here,
                open_routes=_OPEN_ROUTES,
            ),
        ],
        client_max_size=limits.body_bytes,
    )
    health = Health(manager=manager, is_draining=is_draining)
    # A HEAD that asks for an upgrade would get one.
    app.router.add_get("/acp", acp.handle, allow_head=False, name=ACP_ROUTE)
    app.router.add_post("/acp", acp.http.post)
    app.router.add_delete("/acp", acp.http.delete)
    app.router.add_get(AGENTS_PATH, agents.handle, allow_head=False, name=_AGENTS_ROUTE)
    app.on_response_prepare.append(metrics.answering)
    app.router.add_get(METRICS_PATH, MetricsEndpoint(metrics=metrics, census=census).handle)
    app.router.add_get("/", _front(logins), name=_FRONT_ROUTE)
    app.router.add_get("/healthz", health.alive, name=_ALIVE_ROUTE)
    app.router.add_get("/readyz", health.ready, name=_READY_ROUTE)
    if logins is not None:
        LoginPages(desk=logins).add_to(app)
    add_operations(app, api, limits=limits)
    return app


def _front(logins: LoginDesk | None) -> Handler:
    """Gives what leads from the bare address to the page where people begin."""
    # Relative: other programs may mount the application anywhere.
    location = "api/v1/docs" if logins is None else "login"

    async def front(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=303, headers={"Location": location})

    return front


class Health:
    """Says how the relay is: `/healthz` whether it runs, `/readyz` whether it takes sessions.

    Args:
        manager: Counts sessions.
        is_draining: Tells whether the relay is about to stop.
    """

    def __init__(self, *, manager: SessionManager[Never], is_draining: Callable[[], bool]) -> None:
        self._manager = manager
        self._is_draining = is_draining

    async def alive(self, _request: web.Request) -> web.Response:
        """The relay runs."""
        return _json({"status": "ok"})

    async def ready(self, request: web.Request) -> web.Response:
        """The relay takes sessions, as its session store can be reached.

        Answers 503 with a problem document where it cannot, or the relay is about to stop. Whoever
        may observe everything is told how many there are.
        """
        if self._is_draining():
            return problem(RelayDraining())
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
            hint="GET /healthz and /readyz, speak ACP with /acp, over a WebSocket or HTTP, and see "
            "/api/v1/docs for the control API",
        )
        allowed = {name: refusal.headers[name] for name in ("Allow",) if name in refusal.headers}
        return problem(error, status=refusal.status, headers=allowed)


def _guard(public_origins: tuple[str, ...]) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        scheme = "https" if request.secure else "http"
        try:
            check_headers(
                host=single(request.headers.getall("Host", ()), "Host"),
                origin=single(request.headers.getall("Origin", ()), "Origin"),
                port=port_of(request),
                scheme=scheme,
                further=(*public_origins, *_reached_at(request, scheme)),
            )
        except RelayError as error:
            return problem(error)
        return await handler(request)

    return guard


def _reached_at(request: web.Request, scheme: str) -> tuple[str, ...]:
    """Gives the origin of the address at which a request came in: no name stands for it."""
    name = None if request.transport is None else request.transport.get_extra_info("sockname")
    if not isinstance(name, tuple):
        return ()
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return (f"{scheme}://{host}:{name[1]}",)


def _may_count(principal: Principal | None) -> bool:
    return (
        principal is not None
        and principal.scope.is_everything
        and principal.may_anywhere(Grant.OBSERVE)
    )


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
