"""The one HTTP application: routes, and what holds for every request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Never

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from acprelay.errors import InvalidRequest, RelayDraining, RelayError
from acprelay.server.acp import AcpEndpoint
from acprelay.server.agents import PATH as AGENTS_PATH
from acprelay.server.agents import AgentEndpoint
from acprelay.server.guard import check_headers
from acprelay.server.principals import admit
from acprelay.server.problems import problem
from acprelay.session.ports import SessionManager


def make_app(
    *,
    acp: AcpEndpoint,
    agents: AgentEndpoint,
    manager: SessionManager[Never],
    port: Callable[[], int],
    is_draining: Callable[[], bool],
) -> web.Application:
    """Makes the application; it serves once somebody runs it.

    Args:
        acp: Serves `/acp`.
        agents: Serves agents that dial in.
        manager: Tells what `/healthz` and `/readyz` report.
        port: Gives the port that the relay listens on, once it does.
        is_draining: Tells whether the relay is about to stop.
    """
    app = web.Application(middlewares=[_explain, _guard(port)])
    health = Health(manager=manager, is_draining=is_draining)
    # A HEAD that asks for an upgrade would get one.
    app.router.add_get("/acp", acp.handle, allow_head=False)
    app.router.add_get(AGENTS_PATH, agents.handle, allow_head=False)
    app.router.add_get("/healthz", health.alive)
    app.router.add_get("/readyz", health.ready)
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


def _guard(port: Callable[[], int]) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            check_headers(
                host=request.headers.get("Host"),
                origin=request.headers.get("Origin"),
                port=port(),
            )
        except RelayError as error:
            return problem(error)
        admit(request)
        return await handler(request)

    return guard


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
