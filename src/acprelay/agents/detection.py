"""Whether this machine has an agent: decided from what is on `PATH` and in the environment.

The decision is pure: who asks says which programs there are. `installed` is the one look at the
file system. No program is run, so nothing is said about whether one works, or whether anybody is
logged in: `acprelay.runtime.probe` finds that out by starting it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from acprelay.agents.known_agent import KnownAgent
from acprelay.agents.models import AgentSpec

Installed = Callable[[str], bool]
"""Tells whether a program can be started by that name."""


class Availability(StrEnum):
    """What a start would come to."""

    READY = "ready"
    """Its program is there."""
    RUNNABLE = "runnable"
    """A runner is there, and downloads it when it is first started."""
    MISSING = "missing"
    """A program is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What was found.

    Attributes:
        availability: What a start would come to.
        argv: How it is started, or would be.
        missing: What is missing, each in words: a program, or programs any one of which would do.
        unset: Variables none of which is set, though one of them would spare a login.
    """

    availability: Availability
    argv: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()


def installed(environment: Mapping[str, str]) -> Installed:
    """Looks programs up as the start of an agent does.

    Args:
        environment: The relay's, with what the agent gets besides; its `PATH` counts.
    """
    path = environment.get("PATH", os.defpath)
    return lambda program: shutil.which(program, path=path) is not None


def detect(
    agent: KnownAgent, *, is_installed: Installed, environment: Mapping[str, str]
) -> Detection:
    """Decides about a well-known agent.

    Args:
        agent: Which one.
        is_installed: Tells which programs there are.
        environment: The relay's, with what the agent gets besides.
    """
    commands = tuple(agent.commands())
    found = next((argv for argv in commands if is_installed(argv[0])), None)
    missing = [program for program in agent.needs if not is_installed(program)]
    if found is None:
        missing.insert(0, " or ".join(argv[0] for argv in commands))
    return Detection(
        availability=_availability(agent, found, missing),
        argv=found or commands[0],
        missing=tuple(missing),
        unset=() if any(map(environment.get, agent.credentials)) else agent.credentials,
    )


def detect_command(spec: AgentSpec, *, is_installed: Installed) -> Detection:
    """Decides about an agent of which only the command is known."""
    there = is_installed(spec.argv[0])
    return Detection(
        availability=Availability.READY if there else Availability.MISSING,
        argv=spec.argv,
        missing=() if there else (spec.argv[0],),
    )


def _availability(
    agent: KnownAgent, found: tuple[str, ...] | None, missing: list[str]
) -> Availability:
    if found is None or missing:
        return Availability.MISSING
    return Availability.READY if found[0] in agent.programs else Availability.RUNNABLE
