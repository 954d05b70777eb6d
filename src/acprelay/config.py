"""What a relay is started with: values only, checked when they are made."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, fields
from pathlib import Path

from acprelay.agents.models import AgentSpec
from acprelay.errors import ConfigError
from acprelay.routing.policy import Policy
from acprelay.routing.service_modes import SERVED_BY_RELAY, Services

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8137

_MAX_PORT = 65_535
_MAY_BE_ZERO = ("drain_s",)


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
        silence_s: How long an agent may be silent in a turn, with nobody being asked anything,
            before that is told, as a warning.
        drain_s: How long turns may go on once the relay is asked to stop; 0 gives them no time.

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
    silence_s: float = 300.0
    drain_s: float = 30.0

    def __post_init__(self) -> None:
        for bound in fields(self):
            value = getattr(self, bound.name)
            is_zero = value == 0 and bound.name in _MAY_BE_ZERO
            if not (value > 0 or is_zero):
                raise ConfigError(
                    f"cannot use {value} as limit {bound.name}", hint="give a positive number"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayConfig:
    """Everything that `open_relay` needs to know.

    Attributes:
        host: The address to listen on; a loopback address, since there are no identities.
        port: The TCP port; 0 lets the system choose.
        agents: Which agents are offered, the default one first; none offers the demo agent.
        limits: Bounds.
        state_dir: Where conversations are stored; None keeps them in memory, within
            `limits.history_bytes` each, and forgets them with the relay.
        worktree_dir: Where git worktrees are made; None is the user's data directory.
        policy: Decides about permissions before anybody is asked.
        services: Who serves files and terminals to agents.

    Raises:
        ConfigError: The host is no loopback address, or the port is no port.
    """

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    agents: tuple[AgentSpec, ...] = ()
    limits: Limits = field(default_factory=Limits)
    state_dir: Path | None = None
    worktree_dir: Path | None = None
    policy: Policy = field(default_factory=Policy)
    services: Services = SERVED_BY_RELAY

    def __post_init__(self) -> None:
        if not is_loopback(self.host):
            raise ConfigError(
                f"cannot listen on {self.host!r}: whoever reaches it could run commands here",
                hint="listen on a loopback address such as 127.0.0.1, and reach it through SSH",
                host=self.host,
            )
        if not 0 <= self.port <= _MAX_PORT:
            raise ConfigError(
                f"cannot listen on port {self.port}",
                hint=f"a port is a number from 0 to {_MAX_PORT}",
                port=self.port,
            )


def is_loopback(host: str) -> bool:
    """Whether a host name or address, as a user writes it, is this machine's loopback."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
