"""Starts agents from the catalog as child processes.

Owns no process: each belongs to the caller it is handed to. This module knows no protocol.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from acprelay.agents.catalog import Catalog
from acprelay.agents.child import Child
from acprelay.agents.environment import child_environment
from acprelay.agents.models import AgentLimits, AgentSpec
from acprelay.agents.process_table import ProcessSurvey, read_process_table
from acprelay.agents.program import Program
from acprelay.agents.spawn_failure import spawn_failure
from acprelay.agents.stdio import StdioAgent


class StdioLauncher:
    """An `AgentLauncher` of child processes.

    Args:
        owner: The first part of the marker in the environment of what is started: whose it is.
        catalog: The agents that can be started.
        environment: The relay's own environment; agents get what the allowlist passes.
        cwd: The directory that agents start in.
        limits: What each agent may use.
    """

    def __init__(
        self,
        *,
        owner: str,
        catalog: Catalog,
        environment: Mapping[str, str],
        cwd: Path,
        limits: AgentLimits,
    ) -> None:
        self._owner = owner
        self._catalog = catalog
        self._environment = environment
        self._cwd = cwd
        self._limits = limits
        self._survey = ProcessSurvey(read=read_process_table)

    @property
    def names(self) -> tuple[str, ...]:
        """The agents that can be started, the default one first."""
        return self._catalog.names

    async def launch(self, name: str) -> StdioAgent:
        """Starts an agent; it belongs to the caller, who ends it.

        Nothing is awaited, so a cancellation comes before there is a process, or after the caller
        has it.

        Raises:
            AgentError: No agent has that name.
            SpawnFailed: Its program cannot be started; the hint says what to do.
        """
        return StdioAgent(program=self.start(name))

    def start(self, name: str) -> Program:
        """Starts an agent's program; it belongs to the caller, who sets its owner at once.

        Raises:
            AgentError: No agent has that name.
            SpawnFailed: It cannot be started; the hint says what to do.
        """
        spec = self._catalog.lookup(name)
        run = f"{self._owner}.{secrets.token_hex(16)}"
        child = self._spawn(spec, child_environment(self._environment, spec=spec, run=run))
        try:
            program = Program(
                name=name, run=run, child=child, survey=self._survey, limits=self._limits
            )
            child.connect(program)
        except BaseException:
            child.discard()
            raise
        return program

    def _spawn(self, spec: AgentSpec, environment: Mapping[str, str]) -> Child:
        try:
            return Child.spawn(spec.argv, env=environment, cwd=self._cwd)
        except OSError as error:
            path = environment.get("PATH")
            raise spawn_failure(error, spec=spec, path=path, cwd=self._cwd) from error
