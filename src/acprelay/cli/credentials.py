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

from acprelay.cli.arguments.common import DEFAULT_URL
from acprelay.client.own_relays import OwnRelay, checked_token, find_token, own_address, own_relays
from acprelay.errors import ConfigError

URL_VARIABLE = "ACPRELAY_URL"


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
    url = meant_url(arguments.url, environ)
    return Reach(
        url=url,
        token=_token(url, arguments.token_file, environ),
        tls=trust(arguments.ca_file),
    )


def meant_url(typed: str | None, environ: Mapping[str, str]) -> str:
    """Says which relay is meant: the one that is typed, else named, else found.

    Args:
        typed: The address that is typed, if any is.
        environ: The environment.

    Raises:
        ConfigError: The address cannot be used, or it is not clear which relay is meant.
    """
    named = environ.get(URL_VARIABLE, "").strip()
    running = own_relays(environ)
    return own_address(typed or named or _only(running), running)


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


def _only(running: Sequence[OwnRelay]) -> str:
    if len(running) > 1:
        found = ", ".join(relay.urls[0] for relay in running)
        raise ConfigError(
            f"cannot tell which relay is meant: {len(running)} run here: {found}",
            hint=f"name one of them with --url, or with {URL_VARIABLE}",
        )
    return running[0].urls[0] if running else DEFAULT_URL


def _token(url: str, file: str | None, environ: Mapping[str, str]) -> str | None:
    if file is None:
        return find_token(url, environ)
    return checked_token(read_token_file(file, hint="name a file that holds a token, and no more"))


def own_reach(arguments: argparse.Namespace) -> Reach:
    """Does as `reach_of`, with the environment of this process."""
    return reach_of(arguments, os.environ)
