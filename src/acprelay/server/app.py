"""The one HTTP application: routes, and what holds for every request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Never

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from acprelay.config import Limits
from acprelay.errors import InvalidRequest, RelayDraining, RelayError, Unauthorized
from acprelay.routing.access import Principal
from acprelay.runtime.measurements import Census
from acprelay.server.acp import AcpEndpoint
from acprelay.server.agents import PATH as AGENTS_PATH
from acprelay.server.agents import AgentEndpoint
from acprelay.server.api.operations import Operation
from acprelay.server.api.serving import add_operations
from acprelay.server.edge import take_place
from acprelay.server.guard import check_headers, single
from acprelay.server.metrics import PATH as METRICS_PATH
from acprelay.server.metrics import Metrics, MetricsEndpoint
from acprelay.server.principals import Authenticate, admit
from acprelay.server.problems import problem
from acprelay.session.ports import SessionManager

ACP_ROUTE = "acp"
_AGENTS_ROUTE = "agents"
_ALIVE_ROUTE = "healthz"
_OPEN_ROUTES = frozenset({_AGENTS_ROUTE, _ALIVE_ROUTE})
"""What somebody reaches who is not known: agents show tokens of their own."""


def make_app(
    *,
    acp: AcpEndpoint,
    agents: AgentEndpoint,
    api: Sequence[Operation],
    manager: SessionManager[Never],
    authenticate: Authenticate,
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
        limits: Bounds.
        is_draining: Tells whether the relay is about to stop.
        metrics: What is measured.
        census: Tells what there is.
    """
    app = web.Application(
        middlewares=[_explain, take_place, _guard(authenticate)],
        client_max_size=limits.body_bytes,
    )
    health = Health(manager=manager, is_draining=is_draining)
    # A HEAD that asks for an upgrade would get one.
    app.router.add_get("/acp", acp.handle, allow_head=False, name=ACP_ROUTE)
    app.router.add_get(AGENTS_PATH, agents.handle, allow_head=False, name=_AGENTS_ROUTE)
    app.on_response_prepare.append(metrics.answering)
    app.router.add_get(METRICS_PATH, MetricsEndpoint(metrics=metrics, census=census).handle)
    app.router.add_get("/healthz", health.alive, name=_ALIVE_ROUTE)
    app.router.add_get("/readyz", health.ready)
    add_operations(app, api)
    return app


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

    async def ready(self, _request: web.Request) -> web.Response:
        """The relay takes sessions, as its session store can be reached.

        Answers 503 with a problem document where it cannot, or the relay is about to stop.
        """
        if self._is_draining():
            return problem(RelayDraining())
        try:
            counts = await self._manager.state_counts()
        except RelayError as error:
            return problem(error, status=503)
        return _json({"status": "ready", "sessions": {str(s): n for s, n in counts.items()}})


@web.middleware
async def _explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Gives what HTTP itself refuses (a path, a method, an upgrade) the form of all errors."""
    try:
        return await handler(request)
    except web.HTTPClientError as refusal:
        error = InvalidRequest(
            f"cannot serve {request.method} {request.path[:120]!r}: {refusal.reason}",
            hint="GET /healthz and /readyz, and connect to /acp with a WebSocket (RFC 6455)",
        )
        allowed = {name: refusal.headers[name] for name in ("Allow",) if name in refusal.headers}
        return problem(error, status=refusal.status, headers=allowed)


def _guard(authenticate: Authenticate) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            check_headers(
                host=single(request.headers.getall("Host", ()), "Host"),
                origin=single(request.headers.getall("Origin", ()), "Origin"),
                port=_port(request),
            )
            if request.match_info.route.name not in _OPEN_ROUTES:
                admit(request, _known(authenticate(request)))
        except Unauthorized as error:
            return problem(error, headers={"WWW-Authenticate": "Bearer"})
        except RelayError as error:
            return problem(error)
        return await handler(request)

    return guard


def _known(principal: Principal | None) -> Principal:
    if principal is None:
        raise Unauthorized(
            "cannot tell who makes the request", hint="log in, or show a token that is known here"
        )
    return principal


def _port(request: web.Request) -> int:
    """Gives the port that a request came in by, whoever listens; 0 where there is none."""
    transport = request.transport
    name = None if transport is None else transport.get_extra_info("sockname")
    return int(name[1]) if isinstance(name, tuple) else 0


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
