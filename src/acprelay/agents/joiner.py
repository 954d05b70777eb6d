"""Joins a program to a role at a relay, over as many connections as that takes.

One connection is made before the program is started, so that a relay that refuses costs nothing. A
link that is cut is taken up again for as long as the relay waits for it; then the program is ended,
as the relay has given it up.

How connections are made is handed in: this module knows no socket, no address and no token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Protocol

from acprelay.agents.models import AgentExit
from acprelay.agents.outgoing import Outgoing
from acprelay.agents.program import Program
from acprelay.agents.wrapped import WrappedProgram
from acprelay.errors import LinkGone, RelayError, RelayUnreachable, SpawnFailed
from acprelay.wire.link import LinkEnd, ParcelKind
from acprelay.wire.link_greeting import Claim, Exit, Greeting, read_greeting, write

_GREETING_S = 15.0
LAST_WORD_S = 5.0
"""How long the relay may take to take note of the program's end."""

_CANNOT_EXECUTE = 127  # as shells have it

_FIRST_DELAY_S, _MOST_DELAY_S = 0.1, 5.0


class LinkSocket(Protocol):
    """An open connection."""

    async def send(self, message: bytes) -> None:
        """Sends a message; waits while the other end does not read.

        Raises:
            RelayUnreachable: The connection is lost.
        """
        ...

    async def receive(self) -> bytes | None:
        """Gives the next message; None once the relay is done with the link. Cancelling is safe.

        Raises:
            RelayUnreachable: The connection is lost.
        """
        ...


Dial = Callable[[Claim | None], AbstractAsyncContextManager[LinkSocket]]
"""Makes a connection, which takes a link up where there is a claim.

It raises `RelayUnreachable` where another attempt makes sense, `LinkGone` where the relay has given
the link up, and other errors of the relay where nothing helps.
"""


class Observer(Protocol):
    """Whoever tells people how things are."""

    def waiting(self, reason: str) -> None:
        """The relay cannot be reached at the beginning; it is tried again."""
        ...

    def joined(self) -> None:
        """The program is joined to its role."""
        ...

    def link_lost(self, reason: str) -> None:
        """The link has no connection; it is tried again."""
        ...

    def link_resumed(self) -> None:
        """It has one again, and nothing was lost."""
        ...

    def complained(self, data: bytes) -> None:
        """The program wrote to its standard error."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a program that had joined.

    Attributes:
        exit: How it ended.
        was_dismissed: Whether the relay had it ended.
        farewell: Why, in the relay's words; empty if it gave no reason.
        loss: Why the relay was lost, if it was.
    """

    exit: AgentExit | None
    was_dismissed: bool
    farewell: str
    loss: RelayError | None


class Joiner:
    """Joins one program.

    Args:
        dial: Makes connections.
        start: Starts the program.
        observer: Is told how things are.
        wait_s: For how long a relay that cannot be reached is tried at the beginning.
    """

    def __init__(
        self, *, dial: Dial, start: Callable[[], Program], observer: Observer, wait_s: float
    ) -> None:
        self._dial = dial
        self._start = start
        self._observer = observer
        self._grace_s = wait_s
        self._give_up_at = 0.0
        self._link = LinkEnd()
        self._wrapped: WrappedProgram | None = None
        self._outgoing: Outgoing | None = None
        self._greeting: Greeting | None = None
        self._has_waited = False

    def stop(self) -> None:
        """Ends the program, and has `run` return once the relay knows, or soon. Idempotent."""
        if self._wrapped is not None:
            self._wrapped.begin_ending()
            self._grace_s = LAST_WORD_S
            self._give_up_at = min(self._give_up_at, _now() + LAST_WORD_S)

    async def run(self) -> Outcome:
        """Joins, and returns once nothing of the program is left. To be called once.

        Cancelling it ends the program; the relay may learn of that only after its grace period.

        Raises:
            RelayUnreachable: The relay could not be reached at the beginning.
            RelayError: It does not take the program; it was not started.
            SpawnFailed: The program cannot be started; the relay knows.
            AgentError: Processes of the program survive.
        """
        try:
            loss = await self._keep_linked()
        finally:
            if self._wrapped is not None:
                await self._wrapped.end()
        wrapped = self._wrapped
        return Outcome(
            exit=wrapped.exit if wrapped is not None else None,
            was_dismissed=wrapped is not None and wrapped.was_dismissed,
            farewell=wrapped.farewell if wrapped is not None else "",
            loss=loss,
        )

    async def _keep_linked(self) -> RelayError | None:
        """Returns once the link is over; gives why it was lost, if it was."""
        self._give_up_at = _now() + self._grace_s
        delays = _delays()
        while True:
            try:
                await self._link_once()
            except RelayUnreachable as error:
                if self._outgoing is not None:  # there was a connection
                    self._outgoing = None
                    delays = _delays()
                    self._give_up_at = _now() + self._grace_s
                    self._observer.link_lost(error.message)
                elif not self._has_waited and self._greeting is None:
                    self._has_waited = True
                    self._observer.waiting(error.message)
                delay_s = next(delays)
                if _now() + delay_s >= self._give_up_at:
                    return self._lost(error)
                await asyncio.sleep(delay_s)
            except SpawnFailed:
                raise
            except RelayError as error:
                return self._lost(error)
            else:
                return None

    def _lost(self, error: RelayError) -> RelayError | None:
        if self._wrapped is None:
            raise error
        # Where nothing is left of the program, nobody minds that the relay has forgotten it.
        return None if self._wrapped.is_gone and isinstance(error, LinkGone) else error

    async def _link_once(self) -> None:
        """Makes a connection, and returns once the link is over.

        Raises:
            RelayError: The connection cannot be made, or is lost.
        """
        async with self._dial(self._claim()) as socket:
            self._greeting = await _greeted(socket)
            self._link.resume(self._greeting.received, _now())
            self._outgoing = Outgoing(end=self._link)
            if self._wrapped is None:
                self._grace_s = self._greeting.grace_s
                self._wrapped = await self._begin(socket)
                self._observer.joined()
            else:
                self._observer.link_resumed()
            await self._exchange(socket, self._wrapped, self._outgoing)

    def _claim(self) -> Claim | None:
        greeting = self._greeting
        if greeting is None:
            return None
        return Claim(link=greeting.link, secret=greeting.secret, received=self._link.received)

    async def _begin(self, socket: LinkSocket) -> WrappedProgram:
        try:
            program = self._start()
        except SpawnFailed as error:
            await self._refuse(socket, error)
            raise
        wrapped = WrappedProgram(
            program=program,
            end=self._link,
            on_change=self._changed,
            on_complaint=self._observer.complained,
        )
        wrapped.begin()
        return wrapped

    async def _refuse(self, socket: LinkSocket, error: SpawnFailed) -> None:
        """Lets the relay know that there will be no agent, and why."""
        self._link.send(ParcelKind.STDERR, error.message.encode())
        self._link.send(ParcelKind.EXIT, write(Exit(returncode=_CANNOT_EXECUTE)))
        self._link.send(ParcelKind.GONE, b"")
        with suppress(RelayUnreachable, TimeoutError):
            async with asyncio.timeout(LAST_WORD_S):
                for message in self._link.take_messages(_now()):
                    await socket.send(message)
                while await socket.receive() is not None:
                    pass

    def _changed(self) -> None:
        if self._outgoing is None:
            return
        self._outgoing.wake()
        if self._wrapped is not None and self._wrapped.is_gone:
            # A relay that has heard so closes the connection; one that does not is not waited for.
            asyncio.get_running_loop().call_later(LAST_WORD_S, self._outgoing.close)

    async def _exchange(
        self, socket: LinkSocket, wrapped: WrappedProgram, outgoing: Outgoing
    ) -> None:
        loop = asyncio.get_running_loop()
        upward = loop.create_task(_write(socket, outgoing))
        downward = loop.create_task(_read(socket, wrapped))
        self._changed()
        try:
            await asyncio.wait({upward, downward}, return_when=asyncio.FIRST_COMPLETED)
            for task in (downward, upward):
                if task.done():
                    task.result()
        finally:
            for task in (upward, downward):
                task.cancel()
            await asyncio.gather(upward, downward, return_exceptions=True)


async def _write(socket: LinkSocket, outgoing: Outgoing) -> None:
    while messages := await outgoing.take():
        for message in messages:
            await socket.send(message)


async def _read(socket: LinkSocket, wrapped: WrappedProgram) -> None:
    while (message := await socket.receive()) is not None:
        wrapped.message_received(message)
    if wrapped.exit is None:
        wrapped.was_dismissed = True


async def _greeted(socket: LinkSocket) -> Greeting:
    try:
        async with asyncio.timeout(_GREETING_S):
            message = await socket.receive()
    except TimeoutError:
        message = None
    if message is None:
        raise RelayUnreachable(
            "cannot join: the relay does not greet", hint="see what the relay says in its log"
        )
    return read_greeting(message)


def _delays() -> Iterator[float]:
    delay_s = _FIRST_DELAY_S
    while True:
        yield delay_s
        delay_s = min(2 * delay_s, _MOST_DELAY_S)


def _now() -> float:
    return asyncio.get_running_loop().time()
