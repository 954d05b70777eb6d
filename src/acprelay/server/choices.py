"""What the address of `/acp` chooses for a connection: its agent, role, group and worktree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from acprelay.errors import InvalidParams
from acprelay.routing.choosing import DEFAULT_ROLE, NO_AGENT, Choice, check_agent_name


def read_choice(query: Mapping[str, str], agents: Sequence[str]) -> Choice:
    """Reads it; refuses now what every `session/new` of the connection would be refused for.

    Args:
        query: The address's query.
        agents: The agents that can be chosen, the default one first.

    Raises:
        InvalidParams: There is no such agent, or a flag cannot be read.
        InvalidKey: The role or the group is none.
    """
    agent = query.get("agent") or agents[0]
    if agent != NO_AGENT:
        check_agent_name(agent, agents)
    return Choice(
        agent=agent,
        role=query.get("role", DEFAULT_ROLE),
        group=query.get("session"),
        worktree=_flag(query, "worktree"),
    )


def _flag(query: Mapping[str, str], name: str) -> bool:
    value = query.get(name, "false")
    if value not in ("true", "false"):
        raise InvalidParams(
            f"cannot read {name}={value[:40]!r} of the address", hint="write true or false"
        )
    return value == "true"
