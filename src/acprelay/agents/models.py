"""Values that describe agents: what to start, within which limits, and how it ended.

This module knows no process and no pipe; `acprelay.agents.stdio` does.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from acprelay.errors import ConfigError
from acprelay.routing.choosing import JOINED, NO_AGENT
from acprelay.wire.link_greeting import Stream

MARKER = "ACPRELAY_RUN"
"""The variable that marks every process of one run of an agent, or of one terminal's command."""

DEFAULT_RESTARTS = 3

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset({NO_AGENT, JOINED})
_OWN_PREFIX = "ACPRELAY_"
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """An entry of the catalog: how one agent is started.

    Attributes:
        name: What clients call it; matches `[A-Za-z0-9][A-Za-z0-9_-]{0,63}`, and is neither
            `none` nor `joined`, which in a client's address stand for something else.
        argv: The program and its arguments; no shell reads them.
        env: Variables that it gets besides the allowlist.
        pass_env: Names of variables that it gets from the relay's own environment, where they are
            set.
        prewarm: How many initialised processes are kept ready for sessions to come.
        restarts: How many times in a row a run that ends by itself between turns, while a client is
            there, is begun again without being asked for; 0 leaves that to the next prompt.

    Raises:
        ConfigError: The name, the command or a variable cannot be used.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    pass_env: tuple[str, ...] = ()
    prewarm: int = 0
    restarts: int = DEFAULT_RESTARTS

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise ConfigError(
                f"cannot use {self.name[:80]!r} as an agent's name",
                hint=f"a name matches {_NAME.pattern}",
            )
        if self.name in _RESERVED:
            raise ConfigError(
                f"cannot use {self.name!r} as an agent's name: it stands for something else",
                hint="choose another name",
            )
        if not self.argv or not self.argv[0]:
            raise ConfigError(
                f"cannot start agent {self.name!r}: its command is empty",
                hint="give the program and its arguments, as in --agent NAME='PROGRAM ARGUMENT'",
                agent=self.name,
            )
        if not all(_can_be_passed(text) for text in (*self.argv, *self.env.values())):
            raise ConfigError(
                f"cannot start agent {self.name!r}: its command or a variable cannot be passed on",
                hint="remove NUL characters and lone surrogates",
                agent=self.name,
            )
        for variable in (*self.env, *self.pass_env):
            self._check_variable(variable)
        for setting, value in (("prewarm", self.prewarm), ("restarts", self.restarts)):
            if value < 0:
                raise ConfigError(
                    f"cannot use {value} as {setting} of agent {self.name!r}",
                    hint="give 0 or a positive number",
                    agent=self.name,
                )

    def _check_variable(self, variable: str) -> None:
        if _VARIABLE.fullmatch(variable) is None:
            raise ConfigError(
                f"cannot give agent {self.name!r} the variable {variable[:80]!r}",
                hint=f"a variable's name matches {_VARIABLE.pattern}",
                agent=self.name,
            )
        if variable.startswith(_OWN_PREFIX):
            raise ConfigError(
                f"cannot give agent {self.name!r} the variable {variable!r}: it is the relay's own",
                hint=f"no agent sees a variable that starts with {_OWN_PREFIX}, except {MARKER}",
                agent=self.name,
            )


def _can_be_passed(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentExit:
    """How an agent's program ended: with a status, or by a signal, as far as that is known.

    Attributes:
        returncode: The exit status; None if a signal ended it.
        signal: The number of the signal; None if it ended by itself.
        is_lost: Whether it is not known, since the link to the agent was lost.
        closed: Which of its standard streams it had closed, and was ended for.
    """

    returncode: int | None = None
    signal: int | None = None
    is_lost: bool = False
    closed: Stream | None = None

    @classmethod
    def from_returncode(cls, returncode: int, *, closed: Stream | None = None) -> AgentExit:
        """Reads the convention of `subprocess`: a negative number is a signal."""
        if returncode < 0:
            return cls(signal=-returncode, closed=closed)
        return cls(returncode=returncode, closed=closed)

    def describe(self) -> str:
        """In words: `exit status 3`, `signal SIGKILL`, `the loss of its link`."""
        if self.is_lost:
            return "the loss of its link"
        reason = f", after it had closed its standard {self.closed}" if self.closed else ""
        return self._how + reason

    @property
    def _how(self) -> str:
        if self.signal is None:
            return f"exit status {self.returncode}"
        try:
            return f"signal {signal.Signals(self.signal).name}"
        except ValueError:  # a real-time signal has a number only
            return f"signal {self.signal}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an agent's processes use: the program, its descendants, and those that left its group.

    Attributes:
        cpu_s: Seconds of CPU time since they started, with those of children that have ended and
            that they have waited for.
        memory_bytes: Resident memory; what processes share is counted for each.
        processes: How many they are.
    """

    cpu_s: float
    memory_bytes: int
    processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLimits:
    """What one agent may use.

    Attributes:
        max_frame: The most bytes of one line of its stdout.
        max_stdin_bytes: The most bytes that may wait for its stdin.
        max_stderr_bytes: How much of the end of its stderr is kept.
        grace_s: How long it may take to end after SIGTERM before SIGKILL follows.
        kill_s: How long its processes may take to be gone after SIGKILL.
    """

    max_frame: int = 64 * 1024 * 1024
    max_stdin_bytes: int = 16 * 1024 * 1024
    max_stderr_bytes: int = 64 * 1024
    grace_s: float = 2.0
    kill_s: float = 5.0
