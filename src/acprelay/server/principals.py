"""Who makes a request: found once, by what stands before every handler, and kept with the request.

Handlers ask here; how somebody shows who they are is not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from aiohttp import web

from acprelay.routing.access import LOCAL, Principal

Authenticate = Callable[[web.Request], Principal | None]
"""Tells who makes a request; None for nobody who is known. It is called before a request's handler,
and once more when a body was waited for; it does not wait: what takes waiting is for a middleware
of an application around."""


class _LookAgain(Protocol):
    """Raises what a request is refused with whose maker is known no longer."""

    def __call__(self) -> object:
        """Looks."""
        ...


_PRINCIPAL = web.RequestKey("principal", Principal)
_LOOK_AGAIN = web.RequestKey("look_again", _LookAgain)


def admit(
    request: web.Request,
    principal: Principal = LOCAL,
    *,
    look_again: _LookAgain = lambda: None,
) -> None:
    """Takes note of who makes a request.

    Args:
        request: The request.
        principal: Who.
        look_again: Raises what it is refused with, should they be known no longer.
    """
    request[_PRINCIPAL] = principal
    request[_LOOK_AGAIN] = look_again


def check_still_admitted(request: web.Request) -> None:
    """Refuses a request that was admitted, where its body has outlasted what was shown.

    Raises:
        RelayError: Whoever makes it is known no longer.
    """
    request[_LOOK_AGAIN]()


def principal_of(request: web.Request) -> Principal:
    """Gives who makes a request that was admitted."""
    return request[_PRINCIPAL]


def everybody(_request: web.Request) -> Principal:
    """Knows everybody: of a relay that does without tokens."""
    return LOCAL


def known_principal_of(request: web.Request) -> Principal | None:
    """Gives who makes a request, where that is known; for what anybody may ask for."""
    return request.get(_PRINCIPAL)
