"""What is chosen for a session that is to be opened: by the connection's address, and by itself.

An address chooses for every session of its connection. `session/new` may choose otherwise for its
own, in `params._meta.acprelay`. This module knows which choices there are; whether a name is taken,
or an agent can be started, is found out by whoever opens the session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from acprelay.errors import InvalidParams
from acprelay.session.models import SessionKey
from acprelay.wire import Envelope

DEFAULT_ROLE = "main"

NO_AGENT = "none"
"""What an address names whose connection is to the relay itself: it lists, ends and removes."""

JOINED = "joined"
"""What names the agent that has dialled in to a session's role, from whatever machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a session is to be.

    Attributes:
        agent: The agent's name in the catalog.
        role: The session's role in its group.
        group: The group that it belongs to, the first part of its id; None lets the relay mint one.
        worktree: Whether it works in a git worktree of its own.

    Raises:
        InvalidKey: The group or the role is malformed.
        InvalidParams: An agent from elsewhere is to have a worktree.
    """

    agent: str
    role: str = DEFAULT_ROLE
    group: str | None = None
    worktree: bool = False

    def __post_init__(self) -> None:
        SessionKey("any" if self.group is None else self.group, self.role)
        if self.worktree and self.agent == JOINED:
            raise InvalidParams(
                "cannot give an agent that has dialled in a worktree: it may be on another machine",
                hint="let it work in a directory of its own machine",
            )

    @property
    def key(self) -> SessionKey | None:
        """The session, where its group is named."""
        return None if self.group is None else SessionKey(self.group, self.role)


class _Chosen(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    agent: str | None = None
    role: str | None = None
    group: str | None = None
    worktree: bool | None = None


def choose(address: Choice, envelope: Envelope, *, agents: Sequence[str]) -> Choice:
    """Gives what a `session/new` chooses, the connection's choice where it does not.

    Args:
        address: What the connection's address chooses.
        envelope: The request.
        agents: The agents that there are.

    Raises:
        InvalidParams: `params._meta.acprelay` is malformed, or there is no such agent, or neither
            chooses one.
        InvalidKey: The group or the role is malformed.
    """
    own = _read(envelope.member("params", "_meta", "acprelay"))
    agent = address.agent if own.agent is None else own.agent
    check_agent_name(agent, agents)
    return Choice(
        agent=agent,
        role=address.role if own.role is None else own.role,
        group=address.group if own.group is None else own.group,
        worktree=address.worktree if own.worktree is None else own.worktree,
    )


def check_agent_name(name: str, agents: Sequence[str]) -> None:
    """Refuses a name that no agent has.

    Raises:
        InvalidParams: There is no such agent.
    """
    if name not in agents:
        raise InvalidParams(
            f"cannot find agent {name[:120]!r}",
            hint=f"choose one of {', '.join(agents)}; to offer another one, name it with --agent "
            "or in the configuration when the relay is started",
        )


def _read(value: bytes | None) -> _Chosen:
    try:
        return msgspec.json.decode(value or b"null", type=_Chosen | None) or _Chosen()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParams(
            f"cannot read params._meta.acprelay: {error}",
            hint="session/new takes agent, role and group there, strings, and worktree, a boolean",
        ) from error
