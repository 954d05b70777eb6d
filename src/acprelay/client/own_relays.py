"""Relays of this user that run on this machine, and the tokens by which they are reached.

Each tells, in a file for its user alone, how to reach it. The file is locked for as long as its
relay runs. The lock is the operating system's: one that is not locked was left by a relay that was
killed, and counts for nothing, whoever listens there now.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from acprelay.client.addresses import base_url
from acprelay.directories import own_directory
from acprelay.errors import ConfigError

TOKEN_VARIABLE = "ACPRELAY_TOKEN"  # noqa: S105 - the name of one
SUFFIX = ".json"

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOCALHOST = "localhost"


class _Place(NamedTuple):
    scheme: str
    host: str
    port: int


class OwnRelay(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A relay that runs here.

    Attributes:
        urls: The addresses of its HTTP server, the one to use first.
        token: Lets its owner in; None where it lets everybody in.
        pid: Its process.
    """

    urls: tuple[str, ...]
    token: str | None
    pid: int

    def __repr__(self) -> str:
        return f"OwnRelay(urls={self.urls!r}, pid={self.pid})"


def find_token(url: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Finds what says who asks at an address: the environment's token, else an own relay's.

    An own relay is known by the addresses that it tells; `own_address` gives them for `localhost`.

    Args:
        url: The address.
        environ: The environment; None for this process's.

    Returns:
        The token; None where none is known for the address.

    Raises:
        ConfigError: The address or the token cannot be used, or others could read it on the way.
    """
    known = os.environ if environ is None else environ
    named = known.get(TOKEN_VARIABLE, "").strip()
    token = checked_token(named) if named else _owners(url, own_relays(known))
    host = urlsplit(base_url(url)).hostname or ""
    if token is not None and not (base_url(url).startswith("https:") or _is_loopback(host)):
        raise ConfigError(
            f"cannot send a token to {host} without TLS: others could read it on the way",
            hint="use a wss:// address, or name the token with --token-file if that is meant",
        )
    return token


def own_address(url: str, running: Sequence[OwnRelay]) -> str:
    """Gives the address to use for one of the loopback that is meant for an own relay.

    Without TLS, which would tell, nobody knows who listens there: another user may have the same
    port of another address of the loopback, and `localhost` may stand for that. So it is the
    relay's own address that is used for it.

    Args:
        url: The address.
        running: The relays.

    Returns:
        The address, with another host where a relay tells that one.

    Raises:
        ConfigError: The address cannot be used.
    """
    place = _place(url)
    known = [_place(each) for relay in running for each in relay.urls]
    if place.scheme == "https" or place in known:
        return url
    for own in known:
        is_same = (own.scheme, own.port) == (place.scheme, place.port)
        is_meant = _LOCALHOST in (own.host, place.host)
        if is_same and is_meant and _is_loopback(own.host) and _is_loopback(place.host):
            host = f"[{own.host}]" if ":" in own.host else own.host
            return urlsplit(url)._replace(netloc=f"{host}:{own.port}").geturl()
    return url


def checked_token(token: str) -> str:
    """Gives a token that can be sent.

    Raises:
        ConfigError: It is none.
    """
    if not (token and token.isascii() and token.isprintable()):
        raise ConfigError(
            "cannot use the token: it is empty, or no text in ASCII",
            hint="acprelay token create makes one",
        )
    return token


def own_relays(environ: Mapping[str, str]) -> list[OwnRelay]:
    """Gives the relays of this user that run here."""
    directory = relays_directory(environ)
    if directory is None or not directory.is_dir():
        return []
    found = (_read(path) for path in sorted(directory.glob(f"*{SUFFIX}")))
    return [relay for relay in found if relay is not None]


def relays_directory(environ: Mapping[str, str]) -> Path | None:
    """Gives the directory of their files; None where the environment names none."""
    own = own_directory(environ, variable="XDG_STATE_HOME", below_home=".local/state")
    return None if own is None else own / "relays"


def _owners(url: str, running: Sequence[OwnRelay]) -> str | None:
    place = _place(url)
    return next((each.token for each in running if place in map(_place, each.urls)), None)


def _place(url: str) -> _Place:
    """Gives where an address leads to; over TLS, all names of the loopback are one."""
    parts = urlsplit(base_url(url))
    host = parts.hostname or ""
    port = _DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    is_any = parts.scheme == "https" and _is_loopback(host)
    return _Place(parts.scheme, _LOCALHOST if is_any else host, port)


def _is_loopback(host: str) -> bool:
    try:
        return host.lower() == _LOCALHOST or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(path: Path) -> OwnRelay | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # its relay has ended meanwhile, or it is somebody else's
        return None
    try:
        if os.fstat(fd).st_uid != os.getuid() or not is_locked(fd):
            return None
        return msgspec.json.decode(path.read_bytes(), type=OwnRelay)
    except (OSError, msgspec.DecodeError):
        return None
    finally:
        os.close(fd)


def is_locked(fd: int) -> bool:
    """Tells whether the relay of a file runs.

    Args:
        fd: The file, open.

    Raises:
        OSError: It cannot be told.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
