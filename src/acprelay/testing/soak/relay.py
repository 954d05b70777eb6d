"""A relay under trial: a program that can be killed, and started again on the same state directory.

It listens on a port of the system's choice, so its address changes with every start. Nothing of it
is to be left in the end: the agents carry a mark on their command lines by which they are found.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

_LISTENS = re.compile(r"listens on (ws://\S+)")
_START_S = 30.0
_STOP_S = 60.0
_MOST_QUOTED = 2000
_RELAY = "import sys; from acprelay.cli.main import main; sys.exit(main())"


class RelayFailed(Exception):
    """The relay's program did not do what it has to: start, or end."""


class Relay:
    """`acprelay serve`; to be used as a context, which it does not outlive.

    Args:
        folder: Where its state and its log go.
        ephemeral: Whether it keeps conversations in memory only.
        options: What `serve` is told besides where it listens and where its state goes; None is the
            soak's agent, and no configuration.

    Attributes:
        url: Where its clients connect; it changes with every start.
        starts: How often it was started.
        up: Set while it listens.
    """

    def __init__(
        self, *, folder: Path, ephemeral: bool = False, options: Sequence[str] | None = None
    ) -> None:
        self.url = ""
        self.starts = 0
        self.up = asyncio.Event()
        self._folder = folder
        self._ephemeral = ephemeral
        self._mark = f"--mark={uuid.uuid4().hex}"
        agent = [sys.executable, "-m", "acprelay.testing.soak.agent", self._mark]
        self._options = (
            ("--no-config", "--agent", f"soak={shlex.join(agent)}") if options is None else options
        )
        self._process: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> str:
        """What it has said on its standard error, over all starts."""
        path = self._folder / "relay.log"
        return path.read_text(errors="replace") if path.exists() else ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            await self._end(signal.SIGKILL)
        for process in self.left():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    async def start(self) -> None:
        """Starts it, and returns once it listens.

        Raises:
            RelayFailed: It does not.
        """
        where = ["--ephemeral"] if self._ephemeral else ["--state-dir", str(self._folder / "state")]
        with (self._folder / "relay.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-c",
                    _RELAY,
                    "serve",
                    "--no-auth",
                    "--port",
                    "0",
                    *where,
                    *self._options,
                ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={
                    **os.environ,
                    "ACPRELAY_DEBUG": "1",  # it says where it fails
                    "XDG_STATE_HOME": str(self._folder),
                },
                start_new_session=True,  # an interrupt is for the soak, which then ends the relay
            )
        self.starts += 1
        self.url = await self._address(self._process)
        self.up.set()

    async def kill(self) -> None:
        """Kills it, and nothing but it, and starts it again.

        Raises:
            RelayFailed: It does not start.
        """
        self.up.clear()
        await self._end(signal.SIGKILL)
        await self.start()

    async def stop(self) -> None:
        """Tells it to end, and returns once it has.

        Raises:
            RelayFailed: It does not, or with an error.
        """
        self.up.clear()
        status = await self._end(signal.SIGTERM)
        if status != 0:
            raise RelayFailed(f"cannot end the relay in good order: its status is {status}")

    def left(self) -> list[psutil.Process]:
        """The agents' processes that there are."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if self._mark in process.cmdline() and process.pid != self.pid:
                    found.append(process)
        return found

    @property
    def pid(self) -> int | None:
        """Its process's id; None while there is none."""
        return self._process.pid if self._process is not None else None

    async def _address(self, process: asyncio.subprocess.Process) -> str:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        try:
            async with asyncio.timeout(_START_S):
                greeting = (await process.stdout.readline()).decode()
        except TimeoutError:
            greeting = ""
        found = _LISTENS.search(greeting)
        if found is None:
            last_words = self.log.strip()[-_MOST_QUOTED:] or "nothing"
            raise RelayFailed(f"cannot start the relay: its last words are:\n{last_words}")
        return found[1]

    async def _end(self, number: signal.Signals) -> int:
        """Sends a signal, and gives the exit status; kills what does not end in time."""
        process = self._process
        if process is None:
            raise RelayFailed("cannot end the relay: none runs")
        with suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            async with asyncio.timeout(_STOP_S):
                status = await process.wait()
        except TimeoutError:
            process.kill()
            status = await process.wait()
        self._process = None
        return status
