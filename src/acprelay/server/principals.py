"""Who makes a request: found once, by what stands before every handler, and kept with the request.

Handlers ask here; how somebody shows who they are is not known here.
"""

from __future__ import annotations

from aiohttp import web

from acprelay.routing.access import LOCAL, Principal

_PRINCIPAL = web.RequestKey("principal", Principal)


def admit(request: web.Request, principal: Principal = LOCAL) -> None:
    """Takes note of who makes a request."""
    request[_PRINCIPAL] = principal


def principal_of(request: web.Request) -> Principal:
    """Gives who makes a request that was admitted."""
    return request[_PRINCIPAL]


def known_principal_of(request: web.Request) -> Principal | None:
    """Gives who makes a request, where that is known; for what anybody may ask for."""
    return request.get(_PRINCIPAL)
