"""The list of agents: the configured ones, the relay's own one, and the well-known ones."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from acprelay.agents.choosing import AgentChoice
from acprelay.agents.detection import Availability, Detection, detect_command, installed
from acprelay.agents.known_agent import KnownAgent
from acprelay.agents.models import AgentSpec
from acprelay.agents.well_known import WELL_KNOWN
from acprelay.cli.configuration import Configured
from acprelay.cli.exits import ExitCode
from acprelay.cli.output import WIDTH, columns, put, put_json
from acprelay.cli.terminal import cut, one_line
from acprelay.compose import DEMO_AGENT

_LEAST_COMMAND = 20
Row: TypeAlias = tuple[str, str, str, str]

_ORDER = (Availability.READY, Availability.RUNNABLE, Availability.MISSING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An agent of the list.

    Attributes:
        name: What it is called.
        source: Who says how it is started: `configuration`, `acprelay` or `well-known`.
        found: What this machine has of it.
        known: What is known of it; None for one with a command of the user's.
    """

    name: str
    source: str
    found: Detection
    known: KnownAgent | None = None


def list_agents(arguments: argparse.Namespace, configured: Configured, chosen: AgentChoice) -> int:
    """Prints the list.

    Raises:
        ConfigError: The configuration names an agent that is not known.
    """
    offered = chosen.offer([], default=configured["default-agent"]) or (DEMO_AGENT,)
    listed = list(_listed(offered, chosen))
    shown = [one for one in listed if arguments.all or _is_shown(one)]
    if arguments.json:
        names = [spec.name for spec in offered]
        for one in shown:
            put_json(_as_json(one, names))
    else:
        for line in _table([("NAME", "STATUS", "COMMAND", "NOTE"), *map(_row, shown)]):
            put(line)
        put("")
        for line in _remarks(offered, hidden=len(listed) - len(shown)):
            put(line)
    return ExitCode.OK


def _listed(offered: tuple[AgentSpec, ...], chosen: AgentChoice) -> Iterator[Listed]:
    """Gives what is offered without being asked for, and then whatever can be asked for."""
    taken = {spec.name for spec in offered}
    own = () if DEMO_AGENT.name in taken else (DEMO_AGENT,)
    for spec in (*offered, *own):
        known = chosen.known(spec.name)
        yield Listed(
            name=spec.name,
            source="acprelay" if spec.argv == DEMO_AGENT.argv else "configuration",
            found=chosen.detect(known)
            if known is not None
            else detect_command(spec, is_installed=installed({**os.environ, **spec.env})),
            known=known,
        )
    others = [
        Listed(name=known.name, source="well-known", found=chosen.detect(known), known=known)
        for known in WELL_KNOWN
        if known.name not in taken
    ]
    yield from sorted(others, key=lambda one: _ORDER.index(one.found.availability))


def _is_shown(one: Listed) -> bool:
    return one.source != "well-known" or one.found.availability is not Availability.MISSING


def _table(rows: Sequence[Row]) -> list[str]:
    """Lays the rows out; commands are cut where the line would be too long."""
    without = columns([(name, status, "", note) for name, status, _, note in rows])
    width = max(_LEAST_COMMAND, WIDTH - max(map(len, without)))
    return columns(
        [(name, status, cut(command, width=width), note) for name, status, command, note in rows]
    )


def _row(one: Listed) -> Row:
    found = one.found
    note = f"no {', no '.join(found.missing)}" if found.missing else ""
    return (
        one.name,
        str(found.availability),
        one_line(shlex.join(found.argv)),
        note or ("no key is set" if found.unset else ""),
    )


def _as_json(one: Listed, offered: list[str]) -> dict[str, object]:
    known = one.known
    return {
        "name": one.name,
        "title": None if known is None else known.title,
        "source": one.source,
        "status": one.found.availability,
        "offered": one.name in offered,
        "default": one.name == offered[0],
        "command": one.found.argv,
        "missing": one.found.missing,
        "unset": one.found.unset,
        "howToGet": None if known is None else known.how_to_get,
        "howToLogIn": None if known is None else known.how_to_log_in,
        "page": None if known is None else known.page,
    }


def _remarks(offered: tuple[AgentSpec, ...], *, hidden: int) -> Iterator[str]:
    names = ", ".join(spec.name for spec in offered)
    yield f"acprelay serve offers {names}, and what --agent NAME and the configuration name."
    if hidden:
        yield f"acprelay agents --all lists {hidden} more, which are missing here."
    yield "acprelay agents probe NAME starts one, or says how to get it."
