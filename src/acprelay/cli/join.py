"""`acprelay join`: an agent of this machine in a role at a relay elsewhere."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from acprelay.agents.catalog import Catalog
from acprelay.agents.joiner import Dial, Joiner, Outcome
from acprelay.agents.launcher import StdioLauncher
from acprelay.agents.models import AgentLimits, AgentSpec
from acprelay.cli.credentials import meant_url, read_token_file, trust
from acprelay.cli.exits import ExitCode
from acprelay.cli.link_socket import dial
from acprelay.cli.loop import run_async
from acprelay.cli.signals import Interrupts
from acprelay.cli.terminal import harmless, one_line
from acprelay.client.addresses import agent_endpoint
from acprelay.client.own_relays import TOKEN_VARIABLE
from acprelay.errors import AgentError, ConfigError, LinkGone, RelayUnreachable
from acprelay.session.models import SessionKey

_FIRST_PAUSE_S, _MOST_PAUSE_S = 0.5, 30.0
_LONG_ENOUGH_S = 30.0
"""How long an agent has to work for the next one to follow without a longer pause."""


def command(arguments: argparse.Namespace) -> int:
    """Joins until the relay, the agent or a signal ends it.

    Returns:
        0, also after SIGTERM; 130 after SIGINT.

    Raises:
        ConfigError: The options cannot be used, or there is no token.
        RelayUnreachable: The relay cannot be reached, or the link is lost for good.
        RequestRefused: The relay does not take the agent.
        AgentError: The agent cannot be started, or has ended by itself.
    """
    key = SessionKey(arguments.session, arguments.role)
    url = agent_endpoint(
        meant_url(arguments.url, os.environ), session=key.session_id, role=key.role
    )
    token = read_token(arguments.token_file, os.environ)
    launcher = StdioLauncher(
        owner=secrets.token_hex(16),
        catalog=Catalog(
            [
                AgentSpec(
                    name=key.role,
                    argv=tuple(arguments.agent_command),
                    pass_env=tuple(arguments.pass_env),
                )
            ]
        ),
        environment=os.environ,
        cwd=Path.cwd(),
        limits=AgentLimits(),
    )
    return run_async(
        Joining(
            dial=partial(dial, url, token, tls=trust(arguments.ca_file)),
            where=f"{key} at {url}",
            key=key,
            launcher=launcher,
            wait_s=arguments.wait,
        ).run(again=arguments.again)
    )


def read_token(file: str | None, environ: Mapping[str, str]) -> str:
    """Gives the token, from a file or else from the environment.

    Raises:
        ConfigError: There is none, or it cannot be read.
    """
    hint = f"give --token-file FILE, or set {TOKEN_VARIABLE}; acprelay invite gives a token"
    if file is None:
        token = environ.get(TOKEN_VARIABLE, "").strip()
    else:
        token = read_token_file(file, hint=hint)
    if not (token and token.isascii() and token.isprintable()):
        raise ConfigError("cannot join without a token", hint=hint)
    return token


class Joining:
    """Joins one role, over and over if that is wanted.

    Args:
        dial: Makes connections to the role.
        where: What is joined, for people.
        key: The role.
        launcher: Starts the agent, under the role's name.
        wait_s: For how long a relay that cannot be reached is tried.
    """

    def __init__(
        self, *, dial: Dial, where: str, key: SessionKey, launcher: StdioLauncher, wait_s: float
    ) -> None:
        self._dial = dial
        self._where = where
        self._key = key
        self._launcher = launcher
        self._wait_s = wait_s
        self._interrupts = Interrupts()

    async def run(self, *, again: bool) -> int:
        """Joins until it is over; gives the exit code.

        Args:
            again: Whether an agent that has ended is followed by another one.

        Raises:
            RelayError: As `command`.
        """
        try:
            async with self._interrupts:
                await self._keep_joined(again=again)
        except asyncio.CancelledError:
            if self._interrupts.signal is None:
                raise
        is_interrupted = self._interrupts.signal == signal.SIGINT
        return ExitCode.INTERRUPTED if is_interrupted else ExitCode.OK

    async def _keep_joined(self, *, again: bool) -> None:
        now = asyncio.get_running_loop().time
        pauses = _pauses()
        while True:
            began_at = now()
            outcome = await self._join_once()
            if self._interrupts.signal is not None:
                return
            is_refused = outcome.loss is not None and not isinstance(
                outcome.loss, LinkGone | RelayUnreachable
            )
            if is_refused or not again:
                _tell_failure(outcome)
                return
            if now() - began_at > _LONG_ENOUGH_S:
                pauses = _pauses()
            tell(f"the agent has ended{_why(outcome)}; joining again")
            await asyncio.sleep(next(pauses))

    async def _join_once(self) -> Outcome:
        people = People(
            where=self._where,
            on_joined=lambda: self._interrupts.appeal_to(joiner.stop),
        )
        joiner = Joiner(
            dial=self._dial,
            start=lambda: self._launcher.start(self._key.role),
            observer=people,
            wait_s=self._wait_s,
        )
        try:
            return await joiner.run()
        finally:
            self._interrupts.appeal_to(None)


class People:
    """Tells those who look at standard error how things are.

    Args:
        where: What is joined.
        on_joined: Called once it is.
    """

    def __init__(self, *, where: str, on_joined: Callable[[], None]) -> None:
        self._where = where
        self._on_joined = on_joined

    def waiting(self, reason: str) -> None:
        """The relay is not there yet."""
        tell(f"trying again ({reason})")

    def joined(self) -> None:
        """The agent is joined."""
        self._on_joined()
        tell(f"joined {self._where}")

    def link_lost(self, reason: str) -> None:
        """The link is lost."""
        tell(f"link lost, trying again ({reason})")

    def link_resumed(self) -> None:
        """The link goes on."""
        tell("link resumed")

    def complained(self, data: bytes) -> None:
        """The agent wrote to its standard error."""
        _write(data.decode(errors="replace"))


def tell(text: str) -> None:
    """Writes one line to standard error."""
    _write(f"acprelay: {one_line(text)}\n")


def _write(text: str) -> None:
    with suppress(OSError, ValueError):  # nobody reads it
        sys.stderr.write(harmless(text) if sys.stderr.isatty() else text)
        sys.stderr.flush()


def _tell_failure(outcome: Outcome) -> None:
    """Says how it ended, where that is no success.

    Raises:
        RelayUnreachable: The link is lost for good.
        RelayError: The relay does not take the agent back.
        AgentError: The agent has ended by itself, and not well.
    """
    if isinstance(outcome.loss, LinkGone):
        raise RelayUnreachable(
            "cannot go on: the relay has given the link up", hint="join again with: acprelay join"
        )
    if outcome.loss is not None:
        raise outcome.loss
    if outcome.was_dismissed:
        tell(f"the relay has ended the agent{_why(outcome)}")
    elif outcome.exit is not None and outcome.exit.returncode != 0:
        raise AgentError(
            f"cannot go on: the agent ended with {outcome.exit.describe()}",
            hint="what it wrote to its standard error stands above",
        )


def _why(outcome: Outcome) -> str:
    reason = outcome.farewell
    if outcome.loss is not None:
        reason = outcome.loss.message
    elif not outcome.was_dismissed and outcome.exit is not None:
        reason = outcome.exit.describe()
    return f" ({reason})" if reason else ""


def _pauses() -> Iterator[float]:
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, _MOST_PAUSE_S)
