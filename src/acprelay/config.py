"""What a relay is started with: values only, checked when they are made."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

from acprelay.agents.models import AgentSpec
from acprelay.errors import ConfigError
from acprelay.routing.policy import Policy
from acprelay.routing.service_modes import SERVED_BY_RELAY, Services

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8137

_MAX_PORT = 65_535
_MAY_BE_ZERO = ("drain_s",)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_NAME = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*\.?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds that hold for every session and every connection.

    Attributes:
        max_frame: The most bytes that one JSON-RPC message may have, in either direction.
        history_bytes: How much of each conversation's public log is kept where nothing is stored.
        lane_bytes: How much may wait for one client alone before its own messages are left in the
            socket.
        early_bytes: How much an agent may say before it answers `session/new`.
        queued_prompts: How many prompts may wait in a session behind the one that runs.
        session_clients: How many clients may be connected to a session.
        start_s: How long an agent may take to answer `initialize`, and again `session/new`.
        authenticate_s: How long it may take to answer `authenticate`: a person may have to log in.
        cancel_answer_s: How long a cancelled turn's owner waits for the agent before the relay
            answers.
        cancel_end_s: How long an agent may go on with a cancelled turn before its run is ended.
        permission_s: How long a permission waits for an answer before it is refused.
        elicitation_s: How long an elicitation waits before it is cancelled.
        linger_s: How long an attachment can be adopted after its connection is lost.
        idle_s: How long a run may be of no use to anybody before it is ended; its conversation
            stays.
        dialled_agents: How many agents may have dialled in at a time.
        link_grace_s: How long the link to such an agent may be without a connection before the
            agent is lost.
        read_bytes: The most bytes of a file that one `fs/read_text_file` may give.
        terminal_bytes: How much of the end of a terminal's output is kept at most.
        terminals: How many terminals a session may have at once.
        heartbeat_s: How often what sessions have done is told to the session manager, and how runs
            do is looked at.
        sessions: How many runs may live at once, those that are ending included.
        processes: How many agents' processes may live at once, those that are kept ready included.
        stall_s: How long what waits for an agent's standard input may wait untouched before that is
            told, as a warning.
        sessions_per_principal: How many runs one principal may have at once.
        client_message_rate: How many messages a second a principal's clients may send, together;
            answers to what they are asked are not counted.
        client_message_burst: How many they may send at once, after a while without any.
        http_connections: How many connections over Streamable HTTP may be open at a time.
        http_streams: How many streams such a connection may have open.
        http_idle_s: How long such a connection may be without a stream and a request before it is
            ended; its sessions stay.
        silence_s: How long an agent may be silent in a turn, with nobody being asked anything,
            before that is told, as a warning.
        drain_s: How long turns may go on once the relay is asked to stop; 0 gives them no time.
        connections: How many HTTP connections may be open at once.
        address_connections: How many of them one address may have.
        principal_connections: How many connections of ACP one principal may have.
        handshakes: How many connections may not have said their first request yet; one more ends
            the one that has been silent longest.
        handshake_s: How long a connection may take to say its first request, body left out.
        keep_alive_s: How long a connection may be idle between two requests.
        line_bytes: The most bytes of a request's first line, and of each of its headers.
        headers: How many headers a request may have.
        body_bytes: The most bytes of a request's body; `max_frame` holds for one that is a message.
        body_s: How long a body may take to arrive.
        greeting_s: How long a client may take to say `initialize`.
        streams: How many event streams one principal may have open.
        requests: How many requests of one client may be unanswered: by the relay itself, and in
            each session.
        session_requests: How many requests of all clients may be unanswered in a session.
        connection_sessions: How many sessions one connection may be in, or wait for.
        asks: How many requests of an agent may be unanswered in a session.

    Raises:
        ConfigError: A bound is negative, or is zero where nothing would be let through.
    """

    max_frame: int = 64 * 1024 * 1024
    history_bytes: int = 64 * 1024 * 1024
    lane_bytes: int = 4 * 1024 * 1024
    early_bytes: int = 16 * 1024 * 1024
    queued_prompts: int = 16
    session_clients: int = 100
    start_s: float = 60.0
    authenticate_s: float = 600.0
    cancel_answer_s: float = 10.0
    cancel_end_s: float = 30.0
    permission_s: float = 3600.0
    elicitation_s: float = 600.0
    linger_s: float = 300.0
    idle_s: float = 1800.0
    dialled_agents: int = 100
    link_grace_s: float = 60.0
    read_bytes: int = 8 * 1024 * 1024
    terminal_bytes: int = 1024 * 1024
    terminals: int = 32
    heartbeat_s: float = 1.0
    sessions: int = 1000
    processes: int = 1000
    stall_s: float = 30.0
    http_connections: int = 4096
    http_streams: int = 100
    http_idle_s: float = 120.0
    silence_s: float = 300.0
    drain_s: float = 30.0
    connections: int = 4096
    address_connections: int = 2048
    principal_connections: int = 1024
    handshakes: int = 256
    handshake_s: float = 10.0
    keep_alive_s: float = 75.0
    line_bytes: int = 8190
    headers: int = 100
    body_bytes: int = 1024 * 1024
    body_s: float = 30.0
    greeting_s: float = 60.0
    streams: int = 256
    requests: int = 256
    session_requests: int = 4096
    connection_sessions: int = 256
    asks: int = 256
    sessions_per_principal: int = 1000
    client_message_rate: float = 1000.0
    client_message_burst: int = 5000

    def __post_init__(self) -> None:
        for bound in fields(self):
            value = getattr(self, bound.name)
            may_be_zero = bound.name in _MAY_BE_ZERO
            if not (value > 0 or (value == 0 and may_be_zero)):
                raise ConfigError(
                    f"cannot use {value} as limit {bound.name}",
                    hint=f"give {'0 or ' if may_be_zero else ''}a positive number",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What a relay serves TLS with.

    Attributes:
        certificate: The file with the certificate, and those that lead to a known one, in PEM.
        key: The file with its private key, in PEM, without a password.
    """

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayConfig:
    """Everything that `open_relay` needs to know.

    Attributes:
        host: The address to listen on.
        port: The TCP port; 0 lets the system choose.
        agents: Which agents are offered, the default one first; none offers the demo agent.
        limits: Bounds.
        state_dir: Where conversations are stored; None keeps them in memory, within
            `limits.history_bytes` each, and forgets them with the relay.
        worktree_dir: Where git worktrees are made; None is the user's data directory.
        policy: Decides about permissions before anybody is asked.
        services: Who serves files and terminals to agents.
        auth: Whether whoever comes has to show a token. Without, everybody may do everything.
        tls: The certificate to serve with; None serves without TLS.
        public_urls: Further addresses under which clients and browsers come, such as that of a
            proxy that stands before the relay.
        insecure_without_tls: Whether an address that is no loopback address may be listened on
            without TLS: tokens and all that is said can be read on the way then.
        insecure_without_auth: Whether it may be without `auth`: whoever reaches it can run commands
            here then.
        roots: Where clients may have agents work, with what lies below; none for anywhere.
        mcp_commands: The programs that clients may have agents start as MCP servers: as clients
            write them, or the files that they are, without symbolic links; None for any.
        mcp_urls: What the addresses of MCP servers begin with that clients may name; None for any.

    Raises:
        ConfigError: The host would let in others than is said, the port is no port, a public
            address is none, or a root is no absolute path.
    """

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    agents: tuple[AgentSpec, ...] = ()
    limits: Limits = field(default_factory=Limits)
    state_dir: Path | None = None
    worktree_dir: Path | None = None
    policy: Policy = field(default_factory=Policy)
    services: Services = SERVED_BY_RELAY
    auth: bool = True
    tls: Tls | None = None
    public_urls: tuple[str, ...] = ()
    insecure_without_tls: bool = False
    insecure_without_auth: bool = False
    roots: tuple[Path, ...] = ()
    mcp_commands: tuple[str, ...] | None = None
    mcp_urls: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.host and not _is_host(self.host):
            raise ConfigError(
                f"cannot listen on {self.host[:200]!r}: it is neither an address nor a name",
                hint="write an address such as 127.0.0.1 or ::1, without brackets; the port is "
                "given with --port",
                host=self.host,
            )
        self._check_exposure()
        for url in self.public_urls:
            origin_of(url)
        if not 0 <= self.port <= _MAX_PORT:
            raise ConfigError(
                f"cannot listen on port {self.port}",
                hint=f"a port is a number from 0 to {_MAX_PORT}",
                port=self.port,
            )
        for root in self.roots:
            if not root.is_absolute():
                raise ConfigError(
                    f"cannot use the root {str(root)!r}: it is no absolute path",
                    hint="write the whole path, from / on",
                )

    def _check_exposure(self) -> None:
        """Refuses to be open to others unless that is said twice.

        Raises:
            ConfigError: It would be.
        """
        where = [] if is_loopback(self.host) else [f"listen on {self.host!r}"]
        in_clear = where if self.tls is None else []
        for url in self.public_urls:
            parts = urlsplit(origin_of(url))
            if not is_loopback(parts.hostname or ""):
                where = [*where, f"be reached at {url[:200]!r}"]
                in_clear = [*in_clear, where[-1]] if parts.scheme == "http" else in_clear
        if where and not self.auth and not self.insecure_without_auth:
            raise ConfigError(
                f"cannot {where[0]} without tokens: whoever reaches it could run commands here",
                hint="leave out --no-auth, or listen on a loopback address such as 127.0.0.1 and "
                "reach it through SSH; --insecure-without-auth lets everybody in",
                host=self.host,
            )
        if in_clear and not self.insecure_without_tls:
            raise ConfigError(
                f"cannot {in_clear[0]} without TLS: tokens could be read on the way",
                hint="give --tls-cert and --tls-key, or listen on a loopback address such as "
                "127.0.0.1 and reach it through SSH; --insecure-without-tls does without",
                host=self.host,
            )


def origin_of(url: str) -> str:
    """Gives the origin of a public address, as browsers write it.

    Args:
        url: An address such as `https://relay.example.org`; a path that follows is of no matter.

    Raises:
        ConfigError: It is no such address.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    is_plain = parts.username is None and not parts.query and not parts.fragment
    if not (parts.scheme in _DEFAULT_PORTS and is_plain and _is_host(parts.hostname or "")):
        raise ConfigError(
            f"cannot use the public address {url[:200]!r}",
            hint="an address looks like https://relay.example.org",
        )
    name = str(parts.hostname)
    host = f"[{name}]" if ":" in name else name
    suffix = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{suffix}"


def is_loopback(host: str) -> bool:
    """Whether a host name or address, as a user writes it, is this machine's loopback."""
    if host.lower() in _LOOPBACK:
        return True
    address = _as_address(host)
    return address is not None and address.is_loopback


def _is_host(text: str) -> bool:
    """Whether it has the form of an address, or of a name."""
    return _as_address(text) is not None or _NAME.fullmatch(text) is not None


def _as_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
