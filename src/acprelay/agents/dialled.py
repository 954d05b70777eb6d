"""One agent that has dialled in: an `AgentConnection` at the other end of a link.

The link outlives its connections (`acprelay.wire.link`): while none is there, what is sent to the
agent waits, and only after a grace period is the agent lost. Its program is ended by whoever runs
it, on the relay's word.

This module knows no socket: whoever has one takes a connection from `connect`, gives it what comes
and writes what it has to send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from acprelay.agents.allowance import Allowance
from acprelay.agents.delivery import Delivery
from acprelay.agents.link_connection import LinkConnection
from acprelay.agents.models import AgentExit, AgentLimits
from acprelay.agents.outgoing import Outgoing
from acprelay.agents.ports import AgentSink
from acprelay.agents.refusals import being_ended, check_whole
from acprelay.agents.stderr_tail import STDERR_LINES, StderrTail
from acprelay.errors import AgentError, AgentExited, RemoteProtocolError
from acprelay.wire.bare_link import BareEnd
from acprelay.wire.framing import LineSplitter
from acprelay.wire.link import WINDOW, LinkEnd, Parcel, ParcelKind
from acprelay.wire.link_greeting import read_exit

_MOST_UNTAKEN = 4 * WINDOW
"""A joiner that ends may exceed the window by what its agent's pipes hold."""

_WORD_S = 5.0
"""How long the word that an agent is gone may be on its way."""

LOST = AgentExit(is_lost=True)


class DialledAgent:
    """An agent over a link.

    Args:
        name: The agent's name in the catalog.
        end: The relay's end of the link.
        limits: Bounds.
        grace_s: How long the link may be without a connection before the agent is lost.

    Attributes:
        farewell: Why it is ended, for whoever runs it.
        on_gone: Called once, when nothing of it is left, or nothing more can be learned.
    """

    pid: None = None

    def __init__(
        self, *, name: str, end: LinkEnd | BareEnd, limits: AgentLimits, grace_s: float
    ) -> None:
        self.name = name
        self.exit: AgentExit | None = None
        self.farewell = ""
        self.on_gone: Callable[[], None] = lambda: None
        self._link = end
        self._limits = limits
        self._allowance = Allowance(agent=name, limit=limits.max_stdin_bytes)
        self._grace_s = grace_s
        self._loop = asyncio.get_running_loop()
        self._splitter = LineSplitter(max_frame=limits.max_frame)
        self._stderr_tail = StderrTail(limit=limits.max_stderr_bytes)
        self._delivery = Delivery()
        self.received_bytes = 0
        self._connection: LinkConnection | None = None
        self._despair: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[AgentExit] | None = None
        self._failure: asyncio.Future[str] | None = None
        self._has_failed = False  # the other end's latest attempt to end the program
        self._stuck_since = 0.0
        self._gone: asyncio.Future[None] = self._loop.create_future()

    @property
    def received(self) -> int:
        """How many parcels have come over the link."""
        return self._link.received

    @property
    def is_gone(self) -> bool:
        """Whether nothing of it is left, or nothing more can be learned."""
        return self._gone.done()

    @property
    def is_resumable(self) -> bool:
        """Whether a connection that is lost may be followed by another one."""
        return isinstance(self._link, LinkEnd)

    @property
    def stderr_tail(self) -> str:
        """The last lines that the agent wrote to its standard error, as far as they were told."""
        return self._stderr_tail.text(lines=STDERR_LINES)

    @property
    def waiting_since(self) -> float | None:
        """Since when the agent has taken nothing of what waits for it; None where nothing waits."""
        return self._stuck_since if self._link.unacknowledged else None

    @property
    def waiting_bytes(self) -> int:
        """How much of what was written to the agent it has not taken."""
        return self._link.unacknowledged

    async def measure(self) -> None:
        """Its processes are not on this machine; see `AgentConnection.measure`."""

    # -- AgentConnection

    def attach(self, sink: AgentSink | None) -> None:
        """Chooses who receives what the agent says from now on; see `AgentConnection.attach`."""
        self._delivery.attach(sink)
        self._deliver()

    def pause_reading(self) -> None:
        """Stops calls to the sink until `resume_reading`. Idempotent."""
        self._delivery.pause()

    def resume_reading(self) -> None:
        """Takes `pause_reading` back. Idempotent."""
        self._delivery.resume()
        self._deliver()

    def send(self, data: bytes, *, is_owed: bool = False) -> None:
        """Writes one or more whole lines to the agent; see `AgentConnection.send`.

        What the agent has not taken yet counts as waiting, wherever it is.

        Raises:
            AgentExited: The agent has ended, or is lost.
            AgentBackedUp: Too much waits for it already.
            AgentError: It is being ended.
            LocalProtocolError: The last line has no newline.
        """
        if self.exit is not None:
            status = self.exit.describe()
            raise AgentExited(agent=self.name, status=status, stderr=self.stderr_tail)
        check_whole(self.name, data)
        waiting = self._link.unacknowledged
        self._allowance.check(len(data), waiting=waiting, is_owed=is_owed)
        if self._ending is not None:
            raise being_ended(self.name)
        if not waiting:
            self._stuck_since = self._loop.time()
        self._link.send(ParcelKind.STREAM, data)
        self._wake()

    async def end(self) -> AgentExit:
        """Has the agent ended with every process it has left behind; see `AgentConnection.end`.

        Where there is no connection at that moment, or none any more before its end is confirmed,
        the link is given up: its program is ended once whoever runs it comes back, or has waited
        for the relay for long enough.

        Raises:
            AgentError: A process survives; the next call tries again.
        """
        return await asyncio.shield(self._begin_ending())

    def give_up(self) -> None:
        """Lets the agent be lost at once, with its link. Idempotent."""
        self._conclude(LOST)
        if not self._gone.done():
            self._gone.set_result(None)
            self._detach()
            self.on_gone()

    # -- the link

    def connect(self, peer_received: int) -> LinkConnection:
        """Lets the link go on over another connection; the one before, if any, is over.

        Args:
            peer_received: How many parcels the other end has received by its own account.

        Raises:
            RemoteProtocolError: That cannot be.
        """
        self._link.resume(peer_received, self._loop.time())
        self._detach()
        self._connection = LinkConnection(agent=self, outgoing=Outgoing(end=self._link))
        return self._connection

    def connection_lost(self) -> None:
        """Takes note that the connection that there was is lost."""
        self._detach()
        if not self.is_resumable or self._ending is not None:
            self.give_up()
        else:
            self._despair = self._loop.call_later(self._grace_s, self.give_up)

    def message_received(self, message: bytes) -> None:
        """Takes a message from the connection that there is.

        Raises:
            RemoteProtocolError: It breaks the rules of the link; the agent is lost.
        """
        waiting = self._link.unacknowledged
        try:
            parcel = self._link.receive(message)
            if self._link.unacknowledged < waiting:
                self._stuck_since = self._loop.time()
            if parcel is not None:
                self._take(parcel)
            if self._link.untaken > _MOST_UNTAKEN and self.is_resumable:
                raise _broken("more is sent than its window lets through")
        except RemoteProtocolError:
            self.give_up()
            raise

    def _take(self, parcel: Parcel) -> None:
        match parcel.kind:
            case ParcelKind.STREAM:
                self.received_bytes += len(parcel.body)
                self._hand_on(self._splitter.feed(parcel.body))
            case ParcelKind.STDERR:
                self._stderr_tail.append(parcel.body)
            case ParcelKind.EXIT:
                told = read_exit(parcel.body)
                how = AgentExit(returncode=told.returncode, signal=told.signal, closed=told.closed)
                self._conclude(how)
                self._begin_ending()
            case ParcelKind.GONE if self.exit is not None:
                self.give_up()
            case ParcelKind.FAILURE:
                self._has_failed = True
                if self._failure is not None and not self._failure.done():
                    self._failure.set_result(parcel.body.decode(errors="replace"))
            case _:
                raise _broken(f"its other end has no business to send {parcel.kind.name}")
        self._deliver()

    def _hand_on(self, lines: list[bytes]) -> None:
        self._delivery.add(lines, self._splitter.take_oversized())

    def _deliver(self) -> None:
        try:
            self._delivery.deliver()
        finally:
            self._acknowledge()

    def _acknowledge(self) -> None:
        if self._delivery.is_empty:
            self._link.take_all(self._loop.time())
            self._wake()
        if self._connection is not None:
            self._connection.set_room(is_there=self._link.untaken < WINDOW)

    def _conclude(self, how: AgentExit) -> None:
        if self.exit is None:
            self.exit = how
            self._hand_on(self._splitter.finish())
            self._delivery.close(how)
            self._loop.call_soon(self._deliver)

    def _wake(self) -> None:
        if self._connection is not None:
            self._connection.wake()

    def _detach(self) -> None:
        """Lets go of the connection, which learns of it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._despair is not None:
            self._despair.cancel()
            self._despair = None

    # -- the end

    def _begin_ending(self) -> asyncio.Task[AgentExit]:
        if self._ending is None:
            self._ending = self._loop.create_task(self._end())
        return self._ending

    async def _end(self) -> AgentExit:
        if self._connection is None or not self.is_resumable:
            self.give_up()
        elif self.exit is None or self._has_failed:  # else the other end is at it by itself
            self._has_failed = False
            self._link.send(ParcelKind.END, self.farewell.encode()[:4096])
            self._wake()
        self._failure = self._loop.create_future()
        patience_s = self._limits.grace_s + self._limits.kill_s + _WORD_S
        outcomes: set[asyncio.Future[None] | asyncio.Future[str]] = {self._gone, self._failure}
        first = asyncio.FIRST_COMPLETED
        await asyncio.wait(outcomes, timeout=patience_s, return_when=first)
        if self._failure.done():
            self._ending = None
            raise AgentError(
                f"cannot end agent {self.name!r} where it runs: {self._failure.result()}",
                hint="ending it again retries",
                agent=self.name,
            )
        self.give_up()
        return self.exit or LOST


def _broken(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"cannot go on with the link to an agent: {what}",
        hint="let both ends be acprelay, of versions that fit together",
    )
