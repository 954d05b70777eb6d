"""What a peer is: something that stands between an agent and clients, and can be measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.building import LoadTools
from benchmarks.installing import Shop
from benchmarks.processes import rss_bytes, without_agents


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a peer is started with.

    Attributes:
        tools: The agent that it starts, and the load client.
        folder: An empty folder, for whatever it keeps.
        settings: The relay's configuration besides its agent, in TOML; for peers it means nothing.
        prewarm: How many agents the relay keeps ready.
    """

    tools: LoadTools
    folder: Path
    settings: str = ""
    prewarm: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A peer at work.

    Attributes:
        reach: Gives the load client's options that reach it, anew for each run.
        tree: Its process; None where there is none but the agent's.
        agent: The agent's program, whose processes do not count as the peer's.
        url: Where it listens; empty where it does not.
        token: What it asks for.
    """

    reach: Callable[[], Sequence[str]]
    tree: psutil.Process | None
    agent: Path
    url: str = ""
    token: str = ""

    def processes(self) -> list[psutil.Process]:
        """Gives its processes, agents left out."""
        try:
            return [] if self.tree is None else without_agents(self.tree, self.agent)
        except psutil.NoSuchProcess:
            return []  # it has ended, which whoever wants something of it will notice

    def rss_bytes(self) -> int:
        """Tells how much memory it has."""
        return rss_bytes(self.processes())


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One thing that is measured.

    Attributes:
        name: What tables and options call it.
        origin: Where it comes from, and in which version.
        install: Gives its program; raises `CannotInstall`.
        start: Runs it; raises `CannotStart`.
        cannot: Measures, by name, that it cannot take part in, and why.
        version: Asks its program for its version, where the origin does not fix that.
        only_named: Whether it takes part only in measures that name it.
    """

    name: str
    origin: str
    install: Callable[[Shop], Path]
    start: Callable[[Path, Stage], AbstractContextManager[Running]]
    cannot: Mapping[str, str] = field(default_factory=dict, hash=False)
    version: Callable[[Path], str] | None = None
    only_named: bool = False

    def described(self, program: Path) -> str:
        """Tells its name, where it comes from and its version."""
        version = self.version(program) if self.version else ""
        return f"{self.name} ({', '.join(filter(None, (self.origin, version)))})"
