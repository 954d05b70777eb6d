"""Which agents a relay offers, of those that options, a configuration and the table name.

Pure. Only what is named is offered: a program that happens to be installed is none that clients may
start. A name alone stands for an agent of the configuration or else for a well-known one. This
module knows neither command lines nor files.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from acprelay.agents.detection import Availability, Detection, Installed, detect
from acprelay.agents.known_agent import KnownAgent
from acprelay.agents.models import DEFAULT_RESTARTS, AgentSpec
from acprelay.errors import ConfigError

_HINT_TYPED = (
    "acprelay agents --all lists the known ones; give any other its command, as in "
    "--agent NAME='PROGRAM ARGUMENT' or in [agents.NAME] of the configuration"
)
# What the configuration says stands in the way of the list, too.
_HINT_WRITTEN = (
    "the configuration names it: give it a command in [agents.NAME] there, or leave it out; "
    "acprelay agents --all --no-config lists the known ones"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """What a configuration says of one agent.

    Attributes:
        command: How it is started; None starts the well-known agent of that name as ever.
        env: Variables that it gets besides those that it gets anyway.
        pass_env: Names of further variables that it gets from the relay's environment.
        prewarm: See `AgentSpec`.
        restarts: See `AgentSpec`.
    """

    command: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    pass_env: tuple[str, ...] = ()
    prewarm: int = 0
    restarts: int = DEFAULT_RESTARTS


class AgentChoice:
    """Turns names into entries of the catalog.

    Args:
        well_known: The agents that a name alone can stand for.
        own: Agents that are part of the relay, which a name alone can stand for too.
        settings: What the configuration says, by the agent's name, in its order.
        installed: Tells which programs there are for whoever has such an environment.
        environment: The relay's environment.
    """

    def __init__(
        self,
        *,
        well_known: Iterable[KnownAgent],
        own: Iterable[AgentSpec],
        settings: Mapping[str, AgentSettings],
        installed: Callable[[Mapping[str, str]], Installed],
        environment: Mapping[str, str],
    ) -> None:
        self._known = {agent.name: agent for agent in well_known}
        self._own = {spec.name: spec for spec in own}
        self._settings = settings
        self._installed = installed
        self._environment = environment

    def offer(
        self, named: Sequence[AgentSpec | str], *, default: str | None
    ) -> tuple[AgentSpec, ...]:
        """Chooses what is offered, the default agent first.

        What is named comes before what is configured, and replaces it where the names are the same.
        A name alone that has a command elsewhere among them stands for that.

        Args:
            named: Agents with a command, and names alone, in the order of their options.
            default: The default agent of the configuration.

        Raises:
            ConfigError: A name is unknown, or stands for an agent that is missing here.
        """
        given = [one.name for one in named if isinstance(one, AgentSpec)]
        specs = [
            self.choose(one) if isinstance(one, str) else one
            for one in named
            if isinstance(one, AgentSpec) or one not in given
        ]
        taken = {spec.name for spec in specs}
        configured = dict.fromkeys([*([default] if default else []), *self._settings])
        specs += [self._find(name, is_written=True) for name in configured if name not in taken]
        return tuple(specs)

    def choose(self, name: str) -> AgentSpec:
        """Gives the agent that a name stands for, which can be started.

        Raises:
            ConfigError: The name is unknown, or the agent is missing here.
        """
        spec = self.configured(name)
        known = self.known(name)
        absence = None if known is None else self.absence(known)
        if absence is not None:
            reason, hint = absence
            raise ConfigError(f"cannot start agent {name!r}: {reason}", hint=hint, agent=name)
        return spec

    def known(self, name: str) -> KnownAgent | None:
        """Gives the well-known agent that a name stands for; None where it has another command."""
        settings = self._settings.get(name)
        return self._known.get(name) if settings is None or settings.command is None else None

    def configured(self, name: str) -> AgentSpec:
        """Gives the agent that a name stands for, whether or not it can be started.

        Raises:
            ConfigError: The name is unknown, or what the configuration says cannot be used.
        """
        return self._find(name, is_written=name in self._settings)

    def _find(self, name: str, *, is_written: bool) -> AgentSpec:
        settings = self._settings.get(name, AgentSettings())
        if settings.command is not None:
            spec = AgentSpec(name=name, argv=settings.command)
        elif name in self._own:
            spec = self._own[name]
        elif name in self._known:
            known = self._known[name]
            spec = AgentSpec(
                name=name,
                argv=self.detect(known).argv,
                env=known.env,
                pass_env=known.variables,
            )
        else:
            raise self._unknown(name, is_written=is_written)
        return dataclasses.replace(
            spec,
            env={**spec.env, **settings.env},
            pass_env=(*spec.pass_env, *settings.pass_env),
            prewarm=settings.prewarm,
            restarts=settings.restarts,
        )

    def detect(self, known: KnownAgent) -> Detection:
        """Tells whether a well-known agent can be started here, with what is configured for it."""
        settings = self._settings.get(known.name, AgentSettings())
        environment = {**self._environment, **settings.env}
        return detect(known, is_installed=self._installed(environment), environment=environment)

    def absence(self, known: KnownAgent) -> tuple[str, str] | None:
        """Says why a well-known agent cannot be started here, and how to get it.

        Returns:
            The reason and the hint; None where it can be started.
        """
        found = self.detect(known)
        if found.availability is not Availability.MISSING:
            return None
        lacking = " and no ".join(found.missing)
        return f"there is no {lacking} on PATH", f"to get it: {known.how_to_get}"

    def _unknown(self, name: str, *, is_written: bool) -> ConfigError:
        near = self._near(name)
        return ConfigError(
            f"cannot find an agent named {name[:80]!r}",
            hint=(f"did you mean {near!r}? " if near else "")
            + (_HINT_WRITTEN if is_written else _HINT_TYPED),
            agent=name[:80],
        )

    def _near(self, name: str) -> str | None:
        """Gives the agent that somebody means who calls it so."""
        called = {known.title.lower(): known.name for known in self._known.values()}
        for known in self._known.values():
            called |= dict.fromkeys(filter(None, (known.registry_id, *known.programs)), known.name)
        configured = [one for one, says in self._settings.items() if says.command is not None]
        called |= {one: one for one in (*self._own, *self._known, *configured)}
        near = difflib.get_close_matches(name[:80].lower(), called, n=1)
        return called[near[0]] if near else None
