"""The terminals of one run of an agent: commands, their output, and their end (ACP, "Terminals").

A terminal is there until it is released, also when its command has exited, so that its output can
be read. What a command leaves running lives as long as its terminal. No terminal outlives the run.
This module knows no process and no frame.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import msgspec

from acprelay.errors import LimitReached, ServiceError
from acprelay.routing.client_services import unknown_terminal
from acprelay.routing.service_modes import TERMINAL_KILL, TERMINAL_OUTPUT, TERMINAL_WAIT
from acprelay.services.output_tail import OutputTail
from acprelay.services.params import read_params
from acprelay.services.ports import CommandExit, CommandStarter, RunningCommand
from acprelay.services.terminal_orders import TerminalOrder


class _Named(msgspec.Struct, rename="camel"):
    terminal_id: str


class _Terminal:
    """One command with its output.

    Args:
        command: The command.
        output: What it has written.
    """

    def __init__(self, *, command: RunningCommand, output: OutputTail) -> None:
        self.command = command
        self._output = output

    def describe(self) -> dict[str, object]:
        """What `terminal/output` answers."""
        ended = self.command.exit
        text, is_truncated = self._output.text(is_over=ended is not None)
        told: dict[str, object] = {"output": text, "truncated": is_truncated}
        return told if ended is None else {**told, "exitStatus": _describe(ended)}


_NONE: frozenset[_Terminal] = frozenset()


class Terminals:
    """Makes terminals, and ends them.

    Args:
        starter: Starts commands.
        mint: Gives ids that were never used.
        most: How many terminals there may be at once.
        most_bytes: How much of each one's output is kept at most.
    """

    def __init__(
        self, *, starter: CommandStarter, mint: Callable[[], str], most: int, most_bytes: int
    ) -> None:
        self._starter = starter
        self._mint = mint
        self._most = most
        self._most_bytes = most_bytes
        self._terminals: dict[str, _Terminal] = {}
        self._leaving: frozenset[_Terminal] = _NONE
        self._is_closed = False

    @property
    def path(self) -> str | None:
        """Where commands look for programs."""
        return self._starter.environment.get("PATH")

    def create(self, order: TerminalOrder) -> bytes:
        """Serves `terminal/create`. Awaits nothing.

        Returns:
            The raw result.

        Raises:
            LimitReached: There are as many terminals as may be.
            SpawnFailed: The command cannot be started.
            ServiceError: The run is over.
        """
        if self._is_closed:
            raise ServiceError(
                "cannot make a terminal: the run is over", hint="ask again in the next run"
            )
        if len(self._terminals) + len(self._leaving) >= self._most:
            raise LimitReached(limit="a session's terminals", most=self._most, setting="terminals")
        wanted = self._most_bytes if order.output_bytes is None else order.output_bytes
        output = OutputTail(limit=min(wanted, self._most_bytes))
        command = self._starter.start(
            order.argv, env=order.env, cwd=order.cwd, on_output=output.append
        )
        terminal_id = f"term-{self._mint()}"
        self._terminals[terminal_id] = _Terminal(command=command, output=output)
        return msgspec.json.encode({"terminalId": terminal_id})

    async def serve(self, method: str, params: bytes) -> bytes:
        """Serves any other method for terminals. Cancelling is safe: what was begun goes on.

        Args:
            method: Which.
            params: Its raw params.

        Returns:
            The raw result; that of `terminal/wait_for_exit` once the command has exited, those of
            `terminal/kill` and `terminal/release` once no process of it is left.

        Raises:
            InvalidParams: They name no terminal that there is.
            AgentError: A process survives.
        """
        terminal_id = read_params(params, _Named, method).terminal_id
        terminal = self._terminals.get(terminal_id)
        if terminal is None:
            raise unknown_terminal(terminal_id)
        if method == TERMINAL_OUTPUT:
            return msgspec.json.encode(terminal.describe())
        if method == TERMINAL_WAIT:
            return msgspec.json.encode(_describe(await terminal.command.wait_exited()))
        if method == TERMINAL_KILL:
            await terminal.command.end()
        else:
            self._leaving |= {self._terminals.pop(terminal_id)}
            await self._end(terminal)
        return b"{}"

    async def aclose(self) -> None:
        """Ends every terminal, and makes none any more. Idempotent.

        Raises:
            AgentError: A process survives; the next call tries again.
        """
        self._is_closed = True
        self._leaving |= {*self._terminals.values()}
        self._terminals.clear()
        ends = await asyncio.gather(*map(self._end, [*self._leaving]), return_exceptions=True)
        for failure in ends:
            if failure is not None:
                raise failure

    async def _end(self, terminal: _Terminal) -> None:
        await terminal.command.end()
        self._leaving -= {terminal}


def _describe(ended: CommandExit) -> dict[str, object]:
    name = None
    if ended.signal is not None:
        try:
            name = signal.Signals(ended.signal).name
        except ValueError:  # a real-time signal has a number only
            name = str(ended.signal)
    return {"exitCode": ended.returncode, "signal": name}
