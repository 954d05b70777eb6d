"""What `terminal/create` asks for: which command, where, with which environment.

Nothing is started here; what is asked for is made ready to be.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from acprelay.errors import InvalidParams, ServiceError
from acprelay.routing.service_modes import TERMINAL_CREATE
from acprelay.services.confinement import locate
from acprelay.services.params import Natural, read_params

SHELL = "/bin/sh"
"""Runs what is more than the name of a program."""

_PLAIN = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
_OWN_PREFIX = "ACPRELAY_"


class _Variable(msgspec.Struct):
    name: str
    value: str


class _Create(msgspec.Struct, rename="camel"):
    command: str
    args: list[str] | None = None
    env: list[_Variable] | None = None
    cwd: str | None = None
    output_byte_limit: Natural | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalOrder:
    """A command that is to be started.

    Attributes:
        argv: The program and its arguments.
        env: Variables that it gets besides those that every command sees.
        cwd: Where it starts; a directory of the session.
        output_bytes: How much of its output the agent wants to be kept; None where it does not say.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    output_bytes: int | None


def read_order(params: bytes, *, roots: Sequence[str], path: str | None) -> TerminalOrder:
    """Reads the params of a `terminal/create`. Reads the file system: to be called in a thread.

    A command with arguments is a program. One without is a program too if there is one of that
    name; else, if it is more than a word, it is a line for the shell: agents send both.

    Args:
        params: The raw params.
        roots: The directories that the command may start in, the default one first.
        path: The `PATH` of commands, unless the agent sets another.

    Raises:
        InvalidParams: They cannot be used.
        Forbidden: The directory lies outside.
        ServiceError: The directory is none.
    """
    asked = read_params(params, _Create, TERMINAL_CREATE)
    if not asked.command:
        raise InvalidParams("cannot run an empty command", hint="name a program in params.command")
    env = {variable.name: variable.value for variable in asked.env or ()}
    for name in env:
        _check_variable(name)
    place = locate(asked.cwd if asked.cwd is not None else next(iter(roots), ""), roots)
    cwd = Path(place.resolved)
    if not cwd.is_dir():
        raise ServiceError(
            f"cannot run a command in {place.path[:200]!r}: it is no directory",
            hint="name a directory in params.cwd, or leave it out",
        )
    return TerminalOrder(
        argv=_argv(asked.command, asked.args or [], path=env.get("PATH", path)),
        env=env,
        cwd=cwd,
        output_bytes=asked.output_byte_limit,
    )


def _argv(command: str, arguments: list[str], *, path: str | None) -> tuple[str, ...]:
    is_program = bool(arguments) or _PLAIN.fullmatch(command) is not None
    if is_program or "\0" in command or shutil.which(command, path=path) is not None:
        return (command, *arguments)
    return (SHELL, "-c", command)


def _check_variable(name: str) -> None:
    if not name or "=" in name or name.startswith(_OWN_PREFIX):
        raise InvalidParams(
            f"cannot give a command the variable {name[:80]!r}",
            hint=f"a variable has a name without =, which does not start with {_OWN_PREFIX}",
        )
