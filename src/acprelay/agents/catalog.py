"""The agents that a relay offers, in the order of their options.

Pure: it reads text and knows no process. Whether a program exists is found out when it is started.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from acprelay.agents.models import AgentSpec
from acprelay.errors import AgentError, ConfigError


def parse_agent(option: str, *, pass_env: Iterable[str] = ()) -> AgentSpec:
    """Reads `NAME=COMMAND`, the value of an `--agent` option.

    The command is split as a POSIX shell splits words, quotes and backslashes included; no shell
    runs, so `$VARIABLE`, `~`, `*` and `|` are plain characters.

    Args:
        option: The value as the user wrote it.
        pass_env: Names of variables that the agent gets from the relay's environment.

    Raises:
        ConfigError: The option has no `=`, the name or the command cannot be used.
    """
    name, equals, command = option.partition("=")
    if not equals:
        raise ConfigError(
            f"cannot read the agent {option[:80]!r}: it has no '='",
            hint="write --agent NAME='PROGRAM ARGUMENT'",
        )
    try:
        argv = tuple(shlex.split(command))
    except ValueError as error:
        raise ConfigError(
            f"cannot read the command of agent {name[:80]!r}: {str(error).lower()}",
            hint="close every quote, and write a backslash before one that is meant literally",
        ) from None
    return AgentSpec(name=name, argv=argv, pass_env=tuple(pass_env))


class Catalog:
    """Agents by name; the first one is the default.

    Args:
        specs: The entries, in order.

    Raises:
        ConfigError: There is no entry, or two have the same name.
    """

    def __init__(self, specs: Iterable[AgentSpec]) -> None:
        self._specs: dict[str, AgentSpec] = {}
        for spec in specs:
            if spec.name in self._specs:
                raise ConfigError(
                    f"cannot offer two agents named {spec.name!r}",
                    hint="give each --agent a name of its own",
                    agent=spec.name,
                )
            self._specs[spec.name] = spec
        if not self._specs:
            raise ConfigError("cannot offer no agent at all", hint="name one with --agent")

    @property
    def names(self) -> tuple[str, ...]:
        """All names, the default one first."""
        return tuple(self._specs)

    @property
    def default(self) -> AgentSpec:
        """The agent for clients that name none."""
        return next(iter(self._specs.values()))

    def lookup(self, name: str) -> AgentSpec:
        """Finds the entry with a name.

        Raises:
            AgentError: No agent has that name; the hint lists those that are known.
        """
        try:
            return self._specs[name]
        except KeyError:
            raise AgentError(
                f"cannot find an agent named {name[:80]!r}",
                hint=f"choose one of: {', '.join(self._specs)}; to offer another one, name it with "
                "--agent or in the configuration when the relay is started",
                agent=name[:80],
            ) from None
