"""One agent, tried out: what it says, or why it says nothing and what helps."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import logging
import shlex
from collections.abc import Iterator
from typing import Any

import msgspec

from acprelay.agents.choosing import AgentChoice
from acprelay.agents.known_agent import KnownAgent
from acprelay.agents.models import AgentSpec
from acprelay.cli.configuration import read_agents
from acprelay.cli.exits import ExitCode, of_signal
from acprelay.cli.loop import run_async
from acprelay.cli.output import entry, put, put_json
from acprelay.cli.signals import Interrupts
from acprelay.cli.terminal import one_line
from acprelay.compose import probe_agent
from acprelay.errors import AgentError, AgentExited, AgentUnresponsive, SpawnFailed
from acprelay.runtime.probe import ProbedAgent

_INDENT = 16


def probe_one(arguments: argparse.Namespace, chosen: AgentChoice) -> int:
    """Tries an agent out, and prints what came of it.

    Raises:
        ConfigError: Nothing is known of the agent, or what is known cannot be used.
        AgentError: It cannot be started or initialised; not with `--json`, which prints that too.
    """
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.ERROR)
    [named] = read_agents([arguments.agent])
    known = chosen.known(named) if isinstance(named, str) else None
    spec = chosen.configured(named) if isinstance(named, str) else named
    spec = dataclasses.replace(spec, pass_env=(*spec.pass_env, *arguments.pass_env))
    try:
        _check_there(chosen, known)
        probed = run_async(_probe(spec, deadline_s=arguments.timeout))
    except AgentError as error:
        error.hint = _remedy(error, chosen, known)
        if not arguments.json:
            raise
        put_json({"name": spec.name, "command": spec.argv, "error": _error(error)})
        return ExitCode.ERROR
    if isinstance(probed, int):
        return probed
    answer = msgspec.json.decode(probed.initialize_result)
    if arguments.json:
        put_json(_as_json(spec, probed, answer))
    else:
        put("\n".join(_in_words(spec, probed, answer, _login(chosen, known))))
    return ExitCode.OK


async def _probe(spec: AgentSpec, *, deadline_s: float) -> ProbedAgent | int:
    """Gives what came of it, or the exit code for the signal that came before."""
    interrupts = Interrupts()
    try:
        async with interrupts:
            return await probe_agent(spec, deadline_s=deadline_s)
    except asyncio.CancelledError:
        if interrupts.signal is None:
            raise
        return of_signal(interrupts.signal)


def _check_there(chosen: AgentChoice, known: KnownAgent | None) -> None:
    absence = None if known is None else chosen.absence(known)
    if known is not None and absence is not None:
        reason, hint = absence
        raise SpawnFailed(f"cannot start agent {known.name!r}: {reason}", hint=hint)


def _remedy(error: AgentError, chosen: AgentChoice, known: KnownAgent | None) -> str:
    if isinstance(error, AgentUnresponsive):
        return f"{error.hint}, or give it more time with --timeout"
    if isinstance(error, SpawnFailed):
        return error.hint
    hint = error.hint
    if isinstance(error, AgentExited):
        hint = "see its last words" if error.fields["stderr"] else "run its command by hand"
    login = _login(chosen, known)
    return f"{hint}; {login}" if login else hint


def _login(chosen: AgentChoice, known: KnownAgent | None) -> str:
    """Says how the user becomes known to the agent's provider, unless a key is set."""
    if known is None or (known.credentials and not chosen.detect(known).unset):
        return ""
    return f"if it does not know you: {known.how_to_log_in}"


def _error(error: AgentError) -> dict[str, object]:
    return {"message": error.message, **error.data}


def _as_json(spec: AgentSpec, probed: ProbedAgent, answer: dict[str, Any]) -> dict[str, object]:
    return {
        "name": spec.name,
        "command": spec.argv,
        "startMs": round(probed.start_s * 1000),
        "initialize": answer,
        "stderr": probed.stderr,
    }


def _in_words(
    spec: AgentSpec, probed: ProbedAgent, answer: dict[str, Any], login: str
) -> Iterator[str]:
    yield f"{spec.name} answers"
    yield entry("command", one_line(shlex.join(spec.argv)), indent=_INDENT)
    yield entry("start-up", f"{round(probed.start_s * 1000)} ms until its answer", indent=_INDENT)
    yield entry("protocol", f"ACP version {answer['protocolVersion']}", indent=_INDENT)
    yield entry("agent", _info(answer.get("agentInfo")), indent=_INDENT)
    capabilities = ", ".join(_true(answer.get("agentCapabilities"), "")) or "none"
    yield entry("capabilities", one_line(capabilities), indent=_INDENT)
    yield entry("auth methods", _methods(answer.get("authMethods")), indent=_INDENT)
    if login:
        yield entry("login", login, indent=_INDENT)


def _info(info: object) -> str:
    if not isinstance(info, dict):
        return "does not say who it is"
    words = [str(info[key]) for key in ("title", "name", "version") if info.get(key)]
    return one_line(" ".join(dict.fromkeys(words))) or "does not say who it is"


def _true(value: object, path: str, *, depth: int = 8) -> Iterator[str]:
    """Gives the paths of what a capability object says yes to; an empty object is a yes."""
    if isinstance(value, dict) and depth:
        members = [(name, member) for name, member in value.items() if name != "_meta"]
        if not members and path:
            yield path
        for name, member in members:
            yield from _true(member, f"{path}.{name}" if path else name, depth=depth - 1)
    elif value:
        yield path


def _methods(methods: object) -> str:
    if not isinstance(methods, list) or not methods:
        return "none"
    return one_line("; ".join(map(_method, methods)))


def _method(method: object) -> str:
    if not isinstance(method, dict):
        return str(method)
    name = method.get("name")
    return f"{method.get('id')} ({name})" if name else str(method.get("id"))
