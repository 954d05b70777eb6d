"""Which relay a command talks to, and what it shows there.

What is named wins over what is found: a file, then the environment, then what a relay of this user
has left for other commands. A token goes to this machine or over TLS, unless somebody insists.
"""

from __future__ import annotations

import argparse
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from acprelay.cli.arguments.common import DEFAULT_URL
from acprelay.cli.running_relays import RunningRelay, running_relays
from acprelay.client.addresses import base_url
from acprelay.config import is_loopback
from acprelay.errors import ConfigError

TOKEN_VARIABLE = "ACPRELAY_TOKEN"  # noqa: S105 - the name of one

URL_VARIABLE = "ACPRELAY_URL"

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How a relay is reached.

    Attributes:
        url: Its address, as it was named or found.
        token: What is shown there; None for nothing.
        tls: Checks its certificate; None does as the system does.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What every request has beside what it is about."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


def reach_of(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Reach:
    """Says which relay a command talks to, and what it shows there.

    Args:
        arguments: With `url`, `token_file` and `ca_file`, each a text or None.
        environ: The environment.

    Raises:
        ConfigError: The address, the token or the certificates cannot be used, or it is not clear
            which relay is meant.
    """
    running = running_relays(environ)
    url = arguments.url or environ.get(URL_VARIABLE, "").strip() or _only(running)
    return Reach(
        url=url,
        token=_token(url, arguments.token_file, environ, running),
        tls=trust(arguments.ca_file),
    )


def trust(ca_file: str | None) -> ssl.SSLContext | None:
    """Gives what checks certificates, those of a file besides what the system knows.

    Raises:
        ConfigError: The file cannot be used.
    """
    if ca_file is None:
        return None
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror if not isinstance(error, ssl.SSLError) else "no certificates in PEM"
        raise ConfigError(
            f"cannot trust the certificates in {ca_file!r}: {reason}",
            hint="name a file with certificates in PEM",
        ) from None
    return context


def read_token_file(path: str, *, hint: str) -> str:
    """Gives the token that stands in a file.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is no token"
        raise ConfigError(f"cannot read the token in {path!r}: {reason}", hint=hint) from None


def _only(running: Sequence[RunningRelay]) -> str:
    if len(running) > 1:
        found = ", ".join(relay.urls[0] for relay in running)
        raise ConfigError(
            f"cannot tell which relay is meant: {len(running)} run here: {found}",
            hint=f"name one of them with --url, or with {URL_VARIABLE}",
        )
    return running[0].urls[0] if running else DEFAULT_URL


def _token(
    url: str, file: str | None, environ: Mapping[str, str], running: Sequence[RunningRelay]
) -> str | None:
    if file is not None:
        return _checked(read_token_file(file, hint="name a file that holds a token, and no more"))
    place = _place(url)
    known = [relay for relay in running if place in map(_place, relay.urls)]
    named = environ.get(TOKEN_VARIABLE, "").strip()
    token = _checked(named) if named else next((relay.token for relay in known), None)
    if token is not None and not _is_private(url):
        raise ConfigError(
            f"cannot send a token to {place[0]} without TLS: others could read it on the way",
            hint="use a wss:// address, or name the token with --token-file if that is meant",
        )
    return token


def _checked(token: str) -> str:
    if not (token and token.isascii() and token.isprintable()):
        raise ConfigError(
            "cannot use the token: it is empty, or no text in ASCII",
            hint="acprelay token create makes one",
        )
    return token


def _is_private(url: str) -> bool:
    parts = urlsplit(base_url(url))
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def _place(url: str) -> tuple[str, int]:
    """Gives the host and the port of an address; all names of the loopback are one."""
    parts = urlsplit(base_url(url))
    host = parts.hostname or ""
    port = _DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    return "localhost" if is_loopback(host) else host, port


def own_reach(arguments: argparse.Namespace) -> Reach:
    """Does as `reach_of`, with the environment of this process."""
    return reach_of(arguments, os.environ)
