"""A program at the joiner's end of a link: what it writes goes over the link, and the other way.

What the program does not take from its standard input is not acknowledged, and while as much is
out as may be, its standard output is not read. So either side of the link waits for the other as
the two ends of a pipe do, and in bounded memory. The program's standard error is never left unread:
where the link does not keep up, only the end of it is told.

This module knows no socket and no line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from acprelay.agents.models import AgentExit
from acprelay.agents.program import Program
from acprelay.agents.stderr_tail import StderrTail
from acprelay.errors import AgentError, RemoteProtocolError
from acprelay.wire.link import LinkEnd, ParcelKind
from acprelay.wire.link_greeting import Exit, write


class WrappedProgram:
    """The owner of a program that speaks over a link.

    Args:
        program: The program.
        end: The joiner's end of the link.
        on_change: Called when something may be to be sent.
        on_complaint: Called with each piece of what it writes to its standard error.

    Attributes:
        exit: How it ended; None while it lives.
        is_gone: Whether nothing of it is left.
        was_dismissed: Whether it is the relay that wants it ended.
        farewell: Why, in the relay's words.
    """

    def __init__(
        self,
        *,
        program: Program,
        end: LinkEnd,
        on_change: Callable[[], None],
        on_complaint: Callable[[bytes], None],
    ) -> None:
        self.exit: AgentExit | None = None
        self.is_gone = False
        self.was_dismissed = False
        self.farewell = ""
        self._program = program
        self._link = end
        self._on_change = on_change
        self._on_complaint = on_complaint
        self._complaints = StderrTail(limit=program.limits.max_stderr_bytes)
        self._loop = asyncio.get_running_loop()
        self._ending: asyncio.Task[None] | None = None
        program.owner = self
        program.stdin.on_taken = self._taken

    def begin(self) -> None:
        """Begins to read what the program writes."""
        self._regulate()

    # -- from the relay

    def message_received(self, message: bytes) -> None:
        """Takes a message.

        Raises:
            RemoteProtocolError: It breaks the rules of the link.
        """
        parcel = self._link.receive(message)
        if parcel is not None:
            match parcel.kind:
                case ParcelKind.STREAM:
                    self._program.stdin.write(parcel.body)
                case ParcelKind.END:
                    self.was_dismissed = True
                    self.farewell = parcel.body.decode(errors="replace")
                    self.begin_ending()
                case _:
                    raise RemoteProtocolError(
                        f"cannot go on with the link: the relay sent {parcel.kind.name}",
                        hint="let both ends be acprelay, of versions that fit together",
                    )
            if not self._program.stdin.waiting:
                self._taken()
        self._regulate()

    def _taken(self) -> None:
        self._link.take_all(self._loop.time())
        self._on_change()

    # -- from the program

    def output_received(self, data: bytes) -> None:
        """Takes what the program wrote."""
        self._link.send(ParcelKind.STREAM, data)
        self._regulate()
        self._on_change()

    def complaint_received(self, data: bytes) -> None:
        """Takes what it wrote to its standard error."""
        self._on_complaint(data)
        self._complaints.append(data)
        self._regulate()

    def output_ended(self) -> None:
        """Takes note that nothing more comes from its standard output."""

    def program_exited(self, exit: AgentExit) -> None:  # noqa: A002 - the word for it; nobody exits here
        """Takes note of its end."""
        self.exit = exit
        self._tell_complaints()
        told = Exit(returncode=exit.returncode, signal=exit.signal, closed=exit.closed)
        self._link.send(ParcelKind.EXIT, write(told))
        self.begin_ending()
        self._on_change()

    def _regulate(self) -> None:
        if self._link.is_full:
            self._program.stdout.pause()
        else:
            self._tell_complaints()
            self._program.stdout.resume()

    def _tell_complaints(self) -> None:
        if complaints := self._complaints.take():
            self._link.send(ParcelKind.STDERR, complaints)
            self._on_change()

    # -- the end

    def begin_ending(self) -> None:
        """Begins to end the program with all that it has started, and tells what comes of it.

        Idempotent; an attempt that failed is followed by another one.
        """
        if self._ending is None and not self.is_gone:
            self._ending = self._loop.create_task(self._end())

    async def end(self) -> None:
        """Ends the program with all that it has started. Idempotent; cancelling it stops nothing.

        Raises:
            AgentError: A process survives.
        """
        await self._program.end()

    async def _end(self) -> None:
        try:
            await self._program.end()
        except (AgentError, OSError) as error:
            self._ending = None
            self._link.send(ParcelKind.FAILURE, str(error).encode())
        else:
            self.is_gone = True
            self._link.send(ParcelKind.GONE, b"")
        self._on_change()
