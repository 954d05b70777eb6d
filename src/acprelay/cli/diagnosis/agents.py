"""Looks at the agents that are offered, and tries them out if that is wished."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from acprelay.agents.choosing import AgentChoice
from acprelay.agents.models import AgentSpec
from acprelay.cli.diagnosis.facts import AgentFacts
from acprelay.errors import AgentError, ConfigError
from acprelay.runtime.probe import ProbedAgent

Probe = Callable[[AgentSpec], Awaitable[ProbedAgent]]
"""Tries an agent out."""


def look_at_agent(name: str, chosen: AgentChoice, environ: Mapping[str, str]) -> AgentFacts:
    """Looks whether an agent that is configured can be started."""
    try:
        spec = chosen.configured(name)
    except ConfigError as error:
        return AgentFacts(name=name, program="", trouble=error.message, remedy=error.hint)
    program = shlex.join(spec.argv)
    known = chosen.known(name)
    if known is not None:
        absence = chosen.absence(known)
        if absence is not None:
            reason, hint = absence
            return AgentFacts(name=name, program=program, trouble=reason, remedy=hint)
        unset = chosen.detect(known).unset
        return AgentFacts(name=name, program=program, credentials=unset)
    return look_at_command(spec, environ)


def look_at_command(spec: AgentSpec, environ: Mapping[str, str]) -> AgentFacts:
    """Looks whether an agent of which only the command is known can be started."""
    trouble, remedy = _trouble(spec, environ)
    return AgentFacts(
        name=spec.name,
        program=shlex.join(spec.argv),
        trouble=trouble,
        remedy=remedy,
        unset=tuple(each for each in spec.pass_env if each not in environ),
    )


def _trouble(spec: AgentSpec, environ: Mapping[str, str]) -> tuple[str, str]:
    path = {**environ, **spec.env}.get("PATH")
    program = spec.argv[0]
    if shutil.which(program, path=path) is not None:
        return "", ""
    if "/" in program and Path(program).is_file():
        return f"{program} cannot be executed", f"chmod +x {program}"
    where = "" if "/" in program else " on PATH"
    return f"there is no {program}{where}", f"install it, or mend the command of {spec.name}"


async def try_out(facts: AgentFacts, spec: AgentSpec, probe: Probe) -> AgentFacts:
    """Starts an agent and ends it again.

    Cancelling is safe: nothing of the agent is left.
    """
    try:
        probed = await probe(spec)
    except AgentError as error:
        remedy = f"acprelay agents probe {facts.name} shows its last words and says what helps"
        return AgentFacts(
            name=facts.name, program=facts.program, trouble=error.message, remedy=remedy
        )
    return AgentFacts(
        name=facts.name, program=facts.program, unset=facts.unset, answered_s=probed.start_s
    )
