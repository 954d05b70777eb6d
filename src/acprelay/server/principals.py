"""Who makes a request: found once, by what stands before every handler, and kept with the request.

Handlers ask here; how somebody shows who they are is not known here.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from acprelay.routing.access import LOCAL, Principal

Authenticate = Callable[[web.Request], Principal | None]
"""Tells who makes a request; None for nobody who is known. It is called once a request, before its
handler, and does not wait: what takes waiting is for a middleware of an application around."""

_PRINCIPAL = web.RequestKey("principal", Principal)


def admit(request: web.Request, principal: Principal = LOCAL) -> None:
    """Takes note of who makes a request."""
    request[_PRINCIPAL] = principal


def principal_of(request: web.Request) -> Principal:
    """Gives who makes a request that was admitted."""
    return request[_PRINCIPAL]


def everybody(_request: web.Request) -> Principal:
    """Knows everybody: of a relay that does without tokens."""
    return LOCAL


def known_principal_of(request: web.Request) -> Principal | None:
    """Gives who makes a request, where that is known; for what anybody may ask for."""
    return request.get(_PRINCIPAL)
