"""Who may talk to a relay that has no identities yet: programs of this machine, and its own pages.

A page of any origin can make a browser connect to a loopback address, and a name that its owner
points there gets past the browser's own rules (DNS rebinding). So the Host must name this machine's
loopback and the relay's port, and an Origin, which browsers always send on a WebSocket's upgrade,
must be the relay's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from acprelay.config import is_loopback
from acprelay.errors import Forbidden


def check_headers(*, host: str | None, origin: str | None, port: int) -> None:
    """Refuses a request that does not come from here.

    Args:
        host: The Host header.
        origin: The Origin header, where there is one.
        port: The port that the relay listens on.

    Raises:
        Forbidden: The request was made for another name, or by a page of another origin.
    """
    if not _is_own(f"http://{host}", port):
        raise Forbidden(
            f"cannot serve host {(host or '')[:120]!r}: this relay serves its own machine alone",
            hint=f"connect to 127.0.0.1:{port} or localhost:{port}",
        )
    if origin is not None and not _is_own(origin, port):
        raise Forbidden(
            f"cannot serve a page of {origin[:120]!r}: it is not the relay's own",
            hint="connect from a program instead of a web page",
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


def _is_own(address: str, port: int) -> bool:
    try:
        parts = urlsplit(address)
        named_port = 80 if parts.port is None else parts.port
    except ValueError:
        return False
    _, _, rest = address.partition("://")
    plain = parts.scheme == "http" and parts.netloc == rest and parts.username is None
    return plain and named_port == port and is_loopback(parts.hostname or "")
