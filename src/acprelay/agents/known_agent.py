"""What is known of an agent that others make: how it is started, what it needs, where to get it.

Values only. Whether a machine has it is decided by `acprelay.agents.detection`, and which of them a
relay offers by `acprelay.agents.choosing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAgent:
    """One agent, as its makers document it.

    It is started by the first of its programs that is installed, or else by a runner such as `npx`,
    which downloads it when it is first used.

    Attributes:
        name: What `--agent` and clients call it.
        title: What its makers call it.
        registry_id: Its id in the public ACP registry; empty where that does not list it.
        programs: Programs any one of which it is, the preferred one first; none where only the
            runner is known.
        args: The arguments that make it speak ACP on its standard streams.
        runner: The program and the arguments, before `args`, that fetch it and run it; empty where
            it has to be installed.
        needs: Programs that it starts itself and does not bring along.
        env: Variables that it gets besides the allowlist.
        credentials: Variables that it takes an API key or a token from; any one is enough, and so
            is a login of its own.
        login: The command that logs in; empty where its page has to tell.
        pass_env: Further variables that it gets where the relay has them.
        install: The command that installs it; empty where its page has to tell.
        page: Where its makers say more.
    """

    name: str
    title: str
    registry_id: str = ""
    programs: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    runner: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    credentials: tuple[str, ...] = ()
    login: str = ""
    pass_env: tuple[str, ...] = ()
    install: str = ""
    page: str

    @property
    def how_to_get(self) -> str:
        """How it is installed, in words."""
        return f"{self.install}; see {self.page}" if self.install else f"see {self.page}"

    @property
    def how_to_log_in(self) -> str:
        """What makes its provider know the user, in words: a login, or a variable."""
        login = f"log in with {self.login}" if self.login else f"log in as {self.page} says"
        return f"{login}, or set {' or '.join(self.credentials)}" if self.credentials else login

    @property
    def variables(self) -> tuple[str, ...]:
        """Every variable that it gets from the relay's environment, where it is set."""
        return (*self.credentials, *self.pass_env)

    def commands(self) -> Iterator[tuple[str, ...]]:
        """Gives every way to start it, the preferred one first."""
        for program in self.programs:
            yield (program, *self.args)
        if self.runner:
            yield (*self.runner, *self.args)
