"""Under which names the relay is asked, and whose pages may ask it.

A page of any origin can make a browser connect to a loopback address, and a name that its owner
points there gets past the browser's own rules (DNS rebinding). So the Host must be a name of the
relay, and an Origin, which browsers always send on a WebSocket's upgrade, must be the relay's own.
Who asks is not known here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from acprelay.config import is_loopback
from acprelay.errors import Forbidden

_DEFAULT_PORTS = {"http": 80, "https": 443}
_Place = tuple[str, str, int]
"""A scheme, a host and a port: an origin, taken apart."""


def check_headers(
    *,
    host: str | None,
    origin: str | None,
    port: int,
    scheme: str = "http",
    further: Collection[str] = (),
) -> None:
    """Refuses a request that was made for another name, or by a page of another origin.

    Args:
        host: The Host header.
        origin: The Origin header, where there is one.
        port: The port that the relay listens on.
        scheme: How it serves: `http` or `https`.
        further: Origins that are its own too, besides the loopback's.

    Raises:
        Forbidden: It was.
    """
    named = _place(f"{scheme}://{host}")
    if origin is None and named is not None and _is_own(named, scheme, port):
        return  # as nearly every program asks
    places = {_place(each) for each in further}
    schemes = {scheme, *(place[0] for place in places if place is not None)}
    names = [_place(f"{each}://{host}") for each in schemes]
    if not any(_is_own(name, scheme, port) or name in places for name in names if name):
        raise Forbidden(
            f"cannot serve host {(host or '')[:120]!r}: it is no name of this relay",
            hint=f"connect to 127.0.0.1:{port} or localhost:{port}; "
            "serve --public-url names a further address",
        )
    if origin is None:
        return
    page = _place(origin)
    if page is None or not (_is_own(page, scheme, port) or page in places):
        raise Forbidden(
            f"cannot serve a page of {origin[:120]!r}: it is not the relay's own",
            hint="connect from a program instead of a web page; "
            "serve --public-url names a further address of the relay",
        )


def check_same_page(*, origin: str | None, fetch_site: str | None) -> None:
    """Refuses what a browser does with a cookie unless one of the relay's own pages asks for it.

    Args:
        origin: The Origin header, which passed `check_headers`.
        fetch_site: The Sec-Fetch-Site header.

    Raises:
        Forbidden: Nothing shows that it does.
    """
    if fetch_site not in (None, "same-origin") or (origin is None and fetch_site is None):
        raise Forbidden(
            "cannot do that with a cookie: nothing shows that a page of the relay asks for it",
            hint="send the header Origin with the relay's address, or a token instead of a cookie",
        )


def check_foreign_read(*, fetch_site: str | None, fetch_mode: str | None) -> None:
    """Refuses what a page of another origin has a browser read with a cookie.

    Such a page never sees the answer, but it could open streams until there are no more to be had.
    To follow a link is no such thing.

    Args:
        fetch_site: The Sec-Fetch-Site header.
        fetch_mode: The Sec-Fetch-Mode header.

    Raises:
        Forbidden: It does.
    """
    if fetch_site in ("same-site", "cross-site") and fetch_mode != "navigate":
        raise Forbidden(
            "cannot do that with a cookie: a page of another origin asks for it",
            hint="ask from a page of the relay, or send a token instead of a cookie",
        )


def single(values: Sequence[str], name: str) -> str | None:
    """Gives a header's value; None where there is none.

    Args:
        values: Each value that the request gives it.
        name: Its name.

    Raises:
        Forbidden: There are two: who checks one could be shown the other.
    """
    if len(values) > 1:
        raise Forbidden(
            f"cannot serve a request with {len(values)} headers {name}", hint="send one of them"
        )
    return values[0] if values else None


def _is_own(place: _Place, scheme: str, port: int) -> bool:
    return place[0] == scheme and place[2] == port and is_loopback(place[1])


@lru_cache(maxsize=64)
def _place(address: str) -> _Place | None:
    """Takes an origin apart; nothing else is one, whatever a lenient reader would make of it."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    _, _, rest = address.partition("://")
    if parts.scheme not in _DEFAULT_PORTS or parts.netloc != rest or parts.username is not None:
        return None
    return (
        parts.scheme,
        parts.hostname or "",
        _DEFAULT_PORTS[parts.scheme] if port is None else port,
    )
