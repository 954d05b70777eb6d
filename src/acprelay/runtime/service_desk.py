"""Serves one run's agent with files and terminals, where the relay does that itself.

Each request is served beside the agent's other messages. What reads or writes files does so in a
thread, one request of a run after another, in the order in which they came: a read sees the write
before it. Terminals wait for nobody. With the run, everything here is over.

This module knows no client and no conversation: outcomes go to whoever hands the requests in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from acprelay.config import Limits
from acprelay.errors import RelayError, RequestCancelled
from acprelay.routing.events import ServiceAsked, ServiceWithdrawn
from acprelay.routing.service_modes import FILES, TERMINAL_CREATE, TERMINAL_KILL, TERMINAL_RELEASE
from acprelay.runtime.background import together
from acprelay.services.confinement import resolve
from acprelay.services.ports import CommandStarter
from acprelay.services.terminal_orders import read_order
from acprelay.services.terminals import Terminals
from acprelay.services.text_files import TextFiles
from acprelay.session.ports import IdGenerator

logger = logging.getLogger(__name__)

Settle = Callable[[int, bytes | RelayError], None]
"""Takes the outcome of the request with a number."""

T = TypeVar("T")

_ENDINGS = (TERMINAL_KILL, TERMINAL_RELEASE)
_NONE: frozenset[int] = frozenset()
_MOST_THREADS = 8
_PATIENCE_S = 5.0


class _Served(NamedTuple):
    method: str
    task: asyncio.Task[bytes | RelayError]


class ServiceDesk:
    """What one run's agent is served with.

    Args:
        files: Reads and writes files.
        terminals: The run's terminals.
        threads: Where the disk is waited for.
    """

    def __init__(self, *, files: TextFiles, terminals: Terminals, threads: Executor) -> None:
        self._files = files
        self._terminals = terminals
        self._threads = threads
        self._places: dict[str, str] = {}
        self._served: dict[int, _Served] = {}
        self._unwanted: frozenset[int] = _NONE
        self._turn = asyncio.Lock()
        self._is_closed = False
        self._is_abandoned = False

    def heed(
        self, event: ServiceAsked | ServiceWithdrawn, *, roots: Sequence[str], settle: Settle
    ) -> None:
        """Begins to serve a request, or to break one off.

        What ends a command is not broken off: it is half done already.

        Args:
            event: What the agent has asked, or no longer wants.
            roots: The directories of its session, its own first.
            settle: Takes the outcome, later and once; never after `aclose` was called.
        """
        if isinstance(event, ServiceAsked):
            self._begin(event, roots, settle)
        elif (served := self._served.get(event.number)) and served.method not in _ENDINGS:
            self._break_off(event.number)

    async def aclose(self) -> None:
        """Drops what is served, ends every terminal, and serves nothing any more. Idempotent.

        A file that is being written is given some seconds for that.

        Raises:
            AgentError: A terminal's process survives; the next call tries again.
        """
        self._is_closed = True
        await together(self._drop(), self._terminals.aclose())

    async def _drop(self) -> None:
        await self._break_all_off(timeout_s=_PATIENCE_S)
        self._is_abandoned = True  # whatever is left waits for a disk that does not answer
        await self._break_all_off(timeout_s=None)

    async def _break_all_off(self, *, timeout_s: float | None) -> None:
        tasks = [served.task for served in self._served.values()]
        for number in self._served:
            self._break_off(number)
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)

    def _break_off(self, number: int) -> None:
        self._unwanted |= {number}
        self._served[number].task.cancel()

    def _begin(self, asked: ServiceAsked, roots: Sequence[str], settle: Settle) -> None:
        if self._is_closed:
            return
        task = asyncio.get_running_loop().create_task(
            self._outcome(asked, roots), name=f"{asked.method} ({asked.number})"
        )
        self._served[asked.number] = _Served(asked.method, task)
        task.add_done_callback(partial(self._done, asked, settle))

    def _done(
        self, asked: ServiceAsked, settle: Settle, task: asyncio.Task[bytes | RelayError]
    ) -> None:
        del self._served[asked.number]
        self._unwanted -= {asked.number}
        if not self._is_closed:
            cancelled = task.cancelled()
            outcome = RequestCancelled(method=asked.method) if cancelled else task.result()
            settle(asked.number, outcome)

    async def _outcome(self, asked: ServiceAsked, roots: Sequence[str]) -> bytes | RelayError:
        try:
            if asked.method in FILES:
                return await self._serve_file(asked, roots)
            if asked.method == TERMINAL_CREATE:
                return await self._create_terminal(asked, roots)
            return await self._terminals.serve(asked.method, asked.params)
        except RelayError as error:
            return error
        except Exception:
            logger.exception("cannot serve %s", asked.method)
            return RelayError(f"cannot serve {asked.method!r}", hint="see the relay's log")

    async def _serve_file(self, asked: ServiceAsked, roots: Sequence[str]) -> bytes:
        async with self._turn:
            return await self._in_thread(
                lambda: self._files.serve(
                    asked.method,
                    asked.params,
                    roots=self._resolve(roots),
                    is_wanted=lambda: asked.number not in self._unwanted,
                )
            )

    async def _create_terminal(self, asked: ServiceAsked, roots: Sequence[str]) -> bytes:
        path = self._terminals.path
        order = await self._in_thread(
            lambda: read_order(asked.params, roots=self._resolve(roots), path=path)
        )
        if asked.number in self._unwanted:
            raise RequestCancelled(method=asked.method)
        return self._terminals.create(order)

    def _resolve(self, roots: Sequence[str]) -> list[str]:
        """Finds where directories really are, once in a run. In a thread.

        A session's directory that is replaced by a link later leads nowhere.
        """
        for root in roots:
            if root not in self._places:
                self._places.setdefault(root, resolve(root))
        return [self._places[root] for root in roots]

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Does work in a thread; work that has begun is not broken off, for it has its effects."""
        job = self._threads.submit(work)
        future = asyncio.wrap_future(job)
        while True:
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                if job.cancel() or self._is_abandoned:
                    raise


class ServiceDesks:
    """Opens a desk for each run; owns the threads of all. To be used as a context.

    Args:
        commands: Starts commands.
        ids: Mints the ids of terminals.
        limits: Bounds.
    """

    def __init__(self, *, commands: CommandStarter, ids: IdGenerator, limits: Limits) -> None:
        self._commands = commands
        self._ids = ids
        self._limits = limits
        self._files = TextFiles(most_bytes=limits.read_bytes)
        self._threads = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="files")

    def __enter__(self) -> Self:
        """Starts nothing: threads are there when they are needed."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Lets the threads end; every desk is closed by then, so they have nothing left to do."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def open(self) -> ServiceDesk:
        """Opens a desk; whoever it is for closes it."""
        terminals = Terminals(
            starter=self._commands,
            mint=self._ids.mint,
            most=self._limits.terminals,
            most_bytes=self._limits.terminal_bytes,
        )
        return ServiceDesk(files=self._files, terminals=terminals, threads=self._threads)
