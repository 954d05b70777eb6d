"""`acprelay run`: one prompt, its answer, and an exit code that says how the turn ended."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from acprelay.agents.models import AgentSpec
from acprelay.cli.configuration import embedded, find_config, read_agents
from acprelay.cli.credentials import Reach, reach_of
from acprelay.cli.exits import STOP_REASONS, ExitCode, of_signal
from acprelay.cli.loop import run_async
from acprelay.cli.permission_ways import RulePermission, TerminalPermission
from acprelay.cli.screen import Screen
from acprelay.cli.signals import Interrupts
from acprelay.cli.stdio import STANDARD_INPUT, STANDARD_OUTPUT, InputLines, Output
from acprelay.cli.terminal import complain
from acprelay.cli.turn import Turn
from acprelay.cli.turn_view import TurnView
from acprelay.client.acp_client import AcpClient, OnPermission
from acprelay.client.acp_messages import JsonObject, as_list, own_member
from acprelay.client.addresses import endpoint
from acprelay.client.websocket import open_socket
from acprelay.compose import open_relay
from acprelay.errors import ConfigError, RelayError

_FLUSH_S = 1.0
_NO_TERMINAL = "there is no terminal to ask on; --permission allow allows everything"


def command(arguments: argparse.Namespace) -> int:
    """Runs a turn.

    Returns:
        How it ended, as an exit code.

    Raises:
        ConfigError: The options cannot be used.
        RelayUnreachable: The relay cannot be reached, or went away.
        RequestRefused: The relay or the agent answered with an error.
        BrokenPipeError: Nobody reads standard output any more.
    """
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.ERROR)
    return run_async(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    interrupts = Interrupts()
    try:
        async with interrupts:
            reason = await _converse(arguments, interrupts)
    except asyncio.CancelledError:
        if interrupts.signal is None:
            raise
        return of_signal(interrupts.signal)
    if interrupts.signal is not None:
        return of_signal(interrupts.signal)
    if reason != "end_turn":
        complain(f"the turn ended with {reason}")
    return STOP_REASONS.get(reason, ExitCode.ERROR)


async def _converse(arguments: argparse.Namespace, interrupts: Interrupts) -> str:
    """Runs the turn; returns its stop reason."""
    cwd = _utf8(_cwd(arguments), "the directory")
    prompt = _utf8(arguments.prompt, "the prompt")
    async with (
        Output(descriptor=STANDARD_OUTPUT) as output,
        _relay(arguments) as reach,
        open_socket(reach.url, token=reach.token, tls=reach.tls) as socket,
    ):
        screen = _screen(output)
        view = TurnView(screen=screen)
        client = AcpClient(
            socket=socket,
            on_notification=view.notified,
            on_permission=_permission(arguments.permission, screen),
        )
        async with client:
            turn = Turn(
                client=client,
                interrupts=interrupts,
                on_opened=partial(_tell_of_worktree, screen),
            )
            try:
                reason = await turn.run(cwd=cwd, prompt=prompt)
            except RelayError:
                await _finish(view, interrupts)  # what came before the error is said before it
                raise
        await _finish(view, interrupts)
        return reason


async def _tell_of_worktree(screen: Screen, opened: JsonObject) -> None:
    """Says where the work will be, as it is nowhere that its user would look."""
    worktree = own_member(opened, "worktree")
    if worktree:
        await screen.warn(
            f"the agent works in {worktree.get('workdir')}, on branch {worktree.get('branch')}"
        )
        for note in as_list(worktree.get("notes")):
            await screen.warn(str(note))


async def _finish(view: TurnView, interrupts: Interrupts) -> None:
    """Waits until the answer is written: for whoever interrupts, not long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(None if interrupts.signal is None else _FLUSH_S):
            await view.finish()


@asynccontextmanager
async def _relay(arguments: argparse.Namespace) -> AsyncIterator[Reach]:
    """Gives what to connect to: a running relay, or one which ends with this."""
    named = read_agents(arguments.agents)
    names = [one for one in named if isinstance(one, str)]
    if len(names) > 1:
        raise ConfigError(
            f"cannot use {len(names)} agents at once: {', '.join(names)}", hint="name one of them"
        )
    agent = names[0] if names else None
    if arguments.url is not None:
        _check_running(arguments, named)
        reach = reach_of(arguments, os.environ)
        yield replace(reach, url=endpoint(reach.url, agent=agent, worktree=arguments.worktree))
        return
    if arguments.token_file is not None:
        raise ConfigError(
            "cannot show a token without --url: the relay of this turn is one of its own",
            hint="name the relay that the token is for with --url, or leave out --token-file",
        )
    with tempfile.TemporaryDirectory(prefix="acprelay-") as state_dir:
        configured = find_config(arguments, os.environ)
        config = embedded(arguments, configured, os.environ, state_dir=Path(state_dir))
        async with open_relay(config) as relay:
            url = endpoint(relay.url, agent=agent, worktree=arguments.worktree)
            yield Reach(url=url, token=relay.owner_token)


def _check_running(arguments: argparse.Namespace, named: Sequence[AgentSpec | str]) -> None:
    """Refuses what a relay that runs already cannot be given any more."""
    for one in named:
        if isinstance(one, AgentSpec):
            raise ConfigError(
                f"cannot give a running relay the agent {one.name!r}",
                hint="give the command to acprelay serve, and only the name here",
            )
    if arguments.config is not None:
        raise ConfigError(
            f"cannot give a running relay the configuration {arguments.config!r}",
            hint="give it to acprelay serve",
        )
    if arguments.pass_env:
        raise ConfigError(
            f"cannot give a running relay the variable {arguments.pass_env[0][:80]!r}",
            hint="give --pass-env to acprelay serve",
        )


def _cwd(arguments: argparse.Namespace) -> str:
    """Gives the session's directory; a relay that runs elsewhere may know one that is not here."""
    cwd = Path(arguments.cwd or ".").absolute()
    if arguments.url is None and not cwd.is_dir():
        raise ConfigError(f"cannot work in {str(cwd)!r}: it is no directory", hint="see --cwd")
    return str(cwd)


def _utf8(text: str, what: str) -> str:
    """Lets text pass that JSON can carry; an argument that is no UTF-8 holds lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"cannot send {what}: it is not UTF-8", hint="write it in UTF-8"
        ) from None
    return text


def _screen(output: Output) -> Screen:
    return Screen(
        output=output,
        output_is_terminal=sys.stdout.isatty(),
        notes=sys.stderr,
        styled=not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
    )


def _permission(way: str, screen: Screen) -> OnPermission:
    if way != "ask":
        return RulePermission(screen=screen, verdict=way)
    if sys.stdin.isatty() and sys.stderr.isatty():
        return TerminalPermission(screen=screen, lines=InputLines(descriptor=STANDARD_INPUT))
    return RulePermission(screen=screen, verdict="reject", reason=_NO_TERMINAL)
