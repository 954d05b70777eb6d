"""`acprelay doctor`: is this machine ready for a relay, and if not, what to do."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping

from acprelay.agents.models import AgentSpec
from acprelay.cli.configuration import (
    Configured,
    choice,
    config_path,
    find_config,
    read_agents,
    serving,
    written_problems,
)
from acprelay.cli.diagnosis import rules
from acprelay.cli.diagnosis.agents import look_at_agent, look_at_command, try_out
from acprelay.cli.diagnosis.certificates import look_at_tls
from acprelay.cli.diagnosis.directories import (
    look_at_directory,
    look_at_state,
    look_at_temporary,
)
from acprelay.cli.diagnosis.facts import AgentFacts
from acprelay.cli.diagnosis.findings import Finding, Status, fail
from acprelay.cli.diagnosis.machine import (
    look_at_git,
    look_at_port,
    look_at_python,
    look_at_room,
)
from acprelay.cli.exits import ExitCode, of_signal
from acprelay.cli.layers import Problem
from acprelay.cli.loop import run_async
from acprelay.cli.output import put, put_json
from acprelay.cli.signals import Interrupts
from acprelay.cli.terminal import one_line
from acprelay.compose import DEMO_AGENT, probe_agent
from acprelay.config import Limits
from acprelay.errors import ConfigError
from acprelay.routing.service_modes import ServiceMode
from acprelay.runtime.probe import ProbedAgent
from acprelay.services.terminal_orders import SHELL
from acprelay.storage.state_directory import default_state_directory
from acprelay.workspace.folders import default_worktree_directory
from acprelay.workspace.git import OLDEST

_PROBE_S = 60.0
_INDENT = 8


def command(arguments: argparse.Namespace) -> int:
    """Checks the machine, and tells each finding as soon as it is made.

    Returns:
        0; 1 where something fails; that of a signal that came while agents were tried out.
    """
    statuses = [_tell(finding, arguments) for finding in _configuration(arguments, os.environ)]
    try:
        configured = find_config(arguments, os.environ)
    except ConfigError:  # told already; the rest is looked at as if nothing were configured
        configured = Configured()
    statuses += [_tell(finding, arguments) for finding in _machine(configured, os.environ)]
    agents = _agents(arguments, configured, os.environ)
    if arguments.probe:
        code = run_async(
            _try_out(agents, lambda finding: statuses.append(_tell(finding, arguments)))
        )
        if code:
            return code
    else:
        statuses += [_tell(rules.judge_agent(facts), arguments) for _, facts in agents]
    return ExitCode.ERROR if Status.FAIL in statuses else ExitCode.OK


def _tell(finding: Finding, arguments: argparse.Namespace) -> Status:
    if arguments.json:
        put_json(dataclasses.asdict(finding))
    else:
        put(f"{finding.status.ljust(_INDENT)}{finding.check}: {one_line(finding.message)}")
        if finding.remedy:
            put(f"{' ' * _INDENT}{one_line(finding.remedy)}")
    sys.stdout.flush()
    return finding.status


def _configuration(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Iterator[Finding]:
    yield rules.judge_python(look_at_python())
    path = config_path(arguments, environ)
    problems = written_problems(path, environ)
    if not problems:
        try:
            configured = find_config(arguments, environ)
            _start_without_agents(arguments, configured, environ)
        except ConfigError as error:
            problems = [Problem(reason=error.message, hint=error.hint)]
        else:
            yield from _secrecy(configured)
    yield from rules.judge_configuration(path, problems)


def _start_without_agents(
    arguments: argparse.Namespace, configured: Configured, environ: Mapping[str, str]
) -> None:
    """Makes a relay's configuration, for its errors; agents have findings of their own."""
    given = {place: one for place, one in configured.given.items() if place != "default-agent"}
    serving(
        argparse.Namespace(**{**vars(arguments), "agents": []}),
        dataclasses.replace(configured, agents={}, given=given),
        environ,
    )


def _secrecy(configured: Configured) -> Iterator[Finding]:
    has_secrets = any(settings.env for settings in configured.agents.values())
    if configured.file is not None and has_secrets:
        mode = stat.S_IMODE(configured.file.stat().st_mode)
        yield from rules.judge_configuration_mode(configured.file, mode, has_secrets=has_secrets)


def _machine(configured: Configured, environ: Mapping[str, str]) -> Iterator[Finding]:
    yield rules.judge_git(look_at_git(environ), OLDEST)
    yield from _directories(configured, environ)
    yield from rules.judge_roots([look_at_directory(each) for each in configured["roots"] or ()])
    yield rules.judge_temporary(look_at_temporary())
    limits = Limits(**configured.fields("limits"))
    yield from rules.judge_room(look_at_room(), limits)
    is_needed = configured["services.terminal"] == ServiceMode.RELAY
    yield from rules.judge_shell(SHELL, is_there=os.access(SHELL, os.X_OK), is_needed=is_needed)
    certificate, key = configured.given.get("tls-cert"), configured.given.get("tls-key")
    if certificate is not None and key is not None:
        yield rules.judge_tls(look_at_tls(certificate.value, key.value), now=time.time())


def _directories(configured: Configured, environ: Mapping[str, str]) -> Iterator[Finding]:
    has_tls = "tls-cert" in configured.given
    port = look_at_port(configured["host"], configured["port"], has_tls=has_tls)
    yield rules.judge_port(port)
    ahead_s = 0.0
    try:
        if not configured["ephemeral"]:
            state_dir = configured["state-dir"] or default_state_directory(environ)
            yield rules.judge_directory(
                "state directory", "--state-dir", look_at_directory(state_dir)
            )
            state = look_at_state(state_dir)
            ahead_s = state.ahead_s
            yield from rules.judge_state(state, port=port.use)
        worktrees = configured["worktree-dir"] or default_worktree_directory(environ)
        yield rules.judge_directory("worktrees", "--worktree-dir", look_at_directory(worktrees))
    except ConfigError as error:  # there is no HOME
        yield fail("directories", error.message, error.hint)
    yield rules.judge_clock(time.time(), ahead_s)


def _agents(
    arguments: argparse.Namespace, configured: Configured, environ: Mapping[str, str]
) -> list[tuple[AgentSpec | None, AgentFacts]]:
    """Looks at every agent that is offered; there is no entry of the catalog for one unknown."""
    chosen = choice(configured, environ)
    named = read_agents(arguments.agents)
    specs = {one.name: one for one in named if isinstance(one, AgentSpec)}
    names = [one.name if isinstance(one, AgentSpec) else one for one in named]
    if configured["default-agent"] is not None:
        names.append(configured["default-agent"])
    names += configured.agents
    found: list[tuple[AgentSpec | None, AgentFacts]] = []
    for name in dict.fromkeys(names or [DEMO_AGENT.name]):
        if name in specs:
            found.append((specs[name], look_at_command(specs[name], environ)))
        else:
            facts = look_at_agent(name, chosen, environ)
            spec = chosen.configured(name) if facts.program else None
            found.append((spec, facts))
    return found


async def _try_out(
    agents: list[tuple[AgentSpec | None, AgentFacts]], tell: Callable[[Finding], None]
) -> int:
    """Tries agents out one after another; gives the exit code for the signal that came, or 0."""
    interrupts = Interrupts()
    try:
        async with interrupts:
            for spec, facts in agents:
                seen = (
                    facts if spec is None or facts.trouble else await try_out(facts, spec, _probe)
                )
                tell(rules.judge_agent(seen))
    except asyncio.CancelledError:
        if interrupts.signal is None:
            raise
        return of_signal(interrupts.signal)
    return ExitCode.OK


async def _probe(spec: AgentSpec) -> ProbedAgent:
    return await probe_agent(spec, deadline_s=_PROBE_S)
