"""The address of a relay, as people write it and as it is connected to."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from acprelay.errors import ConfigError

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_HTTP = {"ws": "http", "wss": "https"}
_PATH = "/acp"
_HINT = "an address looks like ws://127.0.0.1:8137/acp"


def endpoint(
    url: str,
    *,
    agent: str | None = None,
    role: str | None = None,
    session: str | None = None,
    worktree: bool = False,
) -> str:
    """Gives the WebSocket address to connect to.

    Args:
        url: A relay's address; `http` means `ws`, and a missing path `/acp`.
        agent: The agent to use; None leaves the choice to the relay, or to the address.
        role: The role of the sessions that are opened.
        session: Their session id.
        worktree: Whether each of them works in a git worktree of its own.

    Raises:
        ConfigError: The address cannot be used.
    """
    try:
        parts = urlsplit(url)
        reachable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise ConfigError(f"cannot use the address {url[:200]!r}: {error}", hint=_HINT) from None
    if parts.scheme not in _SCHEMES or not reachable:
        raise ConfigError(f"cannot use the address {url[:200]!r}", hint=_HINT)
    if parts.username is not None:
        raise ConfigError(
            f"cannot use the address of {parts.hostname}: it names a user",
            hint="leave the user out; --token-file shows who you are",
        )
    chosen = {
        "agent": agent,
        "role": role,
        "session": session,
        "worktree": "true" if worktree else None,
    }
    wanted = {name: value for name, value in chosen.items() if value is not None}
    query = [
        pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in wanted
    ]
    return urlunsplit(
        (
            _SCHEMES[parts.scheme],
            parts.netloc,
            parts.path if parts.path not in ("", "/") else _PATH,
            urlencode([*query, *wanted.items()]),
            "",
        )
    )


def agent_endpoint(url: str, *, session: str, role: str) -> str:
    """Gives the WebSocket address that an agent dials in to.

    Args:
        url: A relay's address, as for `endpoint`: the one that clients use is as good.
        session: The session id that it joins: the group.
        role: The role that it has there.

    Raises:
        ConfigError: The address cannot be used.
    """
    parts = urlsplit(endpoint(url))
    path = f"{_base(parts.path)}/agents/{session}/{role}"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def base_url(url: str) -> str:
    """Gives the HTTP address that a relay's pages stand below, without a slash at its end.

    Args:
        url: A relay's address, as for `endpoint`.

    Raises:
        ConfigError: The address cannot be used.
    """
    parts = urlsplit(endpoint(url))
    return urlunsplit((_HTTP[parts.scheme], parts.netloc, _base(parts.path), "", ""))


def _base(path: str) -> str:
    return path.removesuffix(_PATH).rstrip("/")
