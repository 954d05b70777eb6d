"""The values of a session, and the live references that are no part of it.

`SessionKey`, `SessionSpec`, `Session` and `SessionFilter` are frozen: a change makes a new value,
and only `acprelay.session.state_machine` makes one. `Handle` is the opposite: mutable and never
stored, it holds what a session is connected to at this moment.

This module does not know how a session moves (`state_machine` does), where it is kept, or what an
agent is.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

from acprelay.errors import InvalidKey

KEY_PART_PATTERN = "[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
"""What a session id and a role look like: safe in a file name, a URL and a metric label."""

_KEY_PART = re.compile(KEY_PART_PATTERN)

AgentT = TypeVar("AgentT")
AttachmentT = TypeVar("AttachmentT")


class SessionState(StrEnum):
    """Where a session is in its life; `str` gives the state's name."""

    CREATED = "CREATED"
    SPAWNING = "SPAWNING"
    ACTIVE = "ACTIVE"
    TERMINATING = "TERMINATING"
    CLEANED = "CLEANED"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing can follow: such a session has left the store."""
        return self is SessionState.CLEANED

    @property
    def is_ending(self) -> bool:
        """Whether the session's end has begun, or is behind it."""
        return self in (SessionState.TERMINATING, SessionState.CLEANED)


def _check_part(part: str, value: str) -> None:
    if _KEY_PART.fullmatch(value) is None:
        raise InvalidKey(part=part, value=value, pattern=KEY_PART_PATTERN)


@dataclass(frozen=True, slots=True, order=True)
class SessionKey:
    """Names one session: the group it belongs to, and its role there.

    `str` gives `session_id:role`, the session id that clients see; `parse` reads it back.

    Raises:
        InvalidKey: A part does not match `KEY_PART_PATTERN`.
    """

    session_id: str
    role: str

    def __post_init__(self) -> None:
        _check_part("session id", self.session_id)
        _check_part("role", self.role)

    def __str__(self) -> str:
        return f"{self.session_id}:{self.role}"

    @classmethod
    def parse(cls, text: str) -> SessionKey:
        """Read a key back from `session_id:role`.

        Raises:
            InvalidKey: There is no colon, or a part does not match its pattern.
        """
        session_id, colon, role = text.partition(":")
        if not colon:
            pattern = f"{KEY_PART_PATTERN}:{KEY_PART_PATTERN}"
            raise InvalidKey(part="session key", value=text, pattern=pattern)
        return cls(session_id, role)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSpec:
    """What a session is to be: everything that is known before anything is started.

    Attributes:
        session_id: The group to join or to found; None lets the manager mint it.
        role: The agent's name in the group.
        agent: The agent's name in the catalog.
        cwd: The directory the agent is to work in.
        metadata: Facts that the relay keeps and does not interpret; copied, and read-only then.
    """

    session_id: str | None = None
    role: str = "main"
    agent: str
    cwd: str
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One run of a conversation, as it was at one revision.

    Attributes:
        key: Its name; no other session has it while this one lives.
        run: Which run under this key it is, counted from 1 by whoever creates it.
        state: Where it is in its life.
        spec: What it was created from, with the minted session id filled in.
        messages_received: Messages from the agent, as far as heartbeats have told.
        messages_sent: Messages to the agent, likewise.
        created_at: When it was created; all times are the injected clock's, in seconds.
        spawning_at: When its spawn began.
        attached_at: When its agent was attached.
        activated_at: When it became able to serve.
        last_heartbeat_at: When it was last heard of.
        terminating_at: When its end began.
        cleanup_failed_at: When the last cleaner that failed did so.
        cleaned_at: When nothing was left of it.
        reason: Why it ends, in words.
        error: What the last cleaner that failed said.
        revision: The store's number for this value; no two values under one key ever share it.
    """

    key: SessionKey
    run: int
    state: SessionState
    spec: SessionSpec
    messages_received: int = 0
    messages_sent: int = 0
    created_at: float
    spawning_at: float | None = None
    attached_at: float | None = None
    activated_at: float | None = None
    last_heartbeat_at: float | None = None
    terminating_at: float | None = None
    cleanup_failed_at: float | None = None
    cleaned_at: float | None = None
    reason: str | None = None
    error: str | None = None
    revision: int = 0

    @property
    def session_id(self) -> str:
        """The group it belongs to."""
        return self.key.session_id

    @property
    def role(self) -> str:
        """Its role in the group."""
        return self.key.role


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFilter:
    """Which sessions to list: those that satisfy every condition that is not None.

    Attributes:
        session_id: The group.
        role: The role.
        agent: The agent's name in the catalog.
        states: The states; an empty set lists nothing.
    """

    session_id: str | None = None
    role: str | None = None
    agent: str | None = None
    states: frozenset[SessionState] | None = None

    def matches(self, session: Session) -> bool:
        """Whether a session satisfies every condition."""
        return (
            self.session_id in (None, session.session_id)
            and self.role in (None, session.role)
            and self.agent in (None, session.spec.agent)
            and (self.states is None or session.state in self.states)
        )


class Process(Protocol):
    """What a handle knows of an operating system process."""

    @property
    def pid(self) -> int:
        """Its process id."""


class SpawnTask(Protocol):
    """What a handle knows of the task that starts an agent; an `asyncio.Task` is one."""

    def cancel(self) -> bool:
        """Ask it to end early."""

    def done(self) -> bool:
        """Whether it has ended."""

    def __await__(self) -> Generator[object, None, object]:
        """Wait for its end."""


@dataclass(slots=True, eq=False)
class Handle(Generic[AgentT, AttachmentT]):
    """What one session is connected to in this process, while it lives.

    A handle is shared and mutable, and belongs to the event loop's thread. The manager makes it and
    puts the agent in; the rest is filled by whoever starts the agent and serves the clients.

    Attributes:
        agent: The connection to the agent, once it is attached.
        process: The agent's process, unless the agent dialled in.
        spawn_task: The task that starts the agent; a cleaner cancels and awaits it first.
        attachments: The clients that are present, by attachment id.
    """

    agent: AgentT | None = None
    process: Process | None = None
    spawn_task: SpawnTask | None = None
    attachments: dict[str, AttachmentT] = field(default_factory=dict)
