"""Agents that have dialled in, and whoever waits for one.

An agent joins one role of one group, is greeted at once, and then waits there until a run takes it;
a run that comes first waits for it. One agent at a time has a role. What becomes of a link whose
connection is lost is the agent's business (`acprelay.agents.dialled`); this module knows no socket.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from acprelay.agents.dialled import DialledAgent
from acprelay.agents.link_connection import LinkConnection
from acprelay.config import Limits
from acprelay.errors import AgentAbsent, LimitReached, LinkGone, RelayError, RoleTaken, Unavailable
from acprelay.routing.feed import EventKind
from acprelay.routing.invitations import digest_of
from acprelay.routing.service_modes import Services
from acprelay.runtime.application import Application
from acprelay.runtime.background import Background
from acprelay.runtime.feed import EventFeed
from acprelay.runtime.handshake import Handshake
from acprelay.runtime.invitation_desk import InvitationDesk
from acprelay.session.models import SessionKey
from acprelay.session.ports import IdGenerator
from acprelay.wire import Envelope
from acprelay.wire.link_greeting import Claim, Greeting, write

logger = logging.getLogger(__name__)

_MOST_DESCRIBED = 1000


@dataclass(slots=True, eq=False)
class _Guest:
    agent: DialledAgent
    handshake: Handshake
    digest: str
    link: str
    secret: str
    greeted: asyncio.Future[None]
    is_taken: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class DialIns:
    """Has the agents that have dialled in to a relay.

    Args:
        desk: Checks tokens.
        make: Makes the agent at the end of a link, which can be resumed or not.
        ids: Mints links' ids and secrets.
        background: Owns the tasks.
        limits: Bounds.
        services: What agents are promised.
        feed: Is told who comes and goes.
    """

    def __init__(
        self,
        *,
        desk: InvitationDesk,
        make: Callable[[bool], DialledAgent],
        ids: IdGenerator,
        background: Background,
        limits: Limits,
        services: Services,
        feed: EventFeed,
    ) -> None:
        self._services = services
        self._feed = feed
        self._desk = desk
        self._make = make
        self._ids = ids
        self._background = background
        self._limits = limits
        self._guests: dict[SessionKey, _Guest] = {}
        self._described: OrderedDict[SessionKey, bytes] = OrderedDict()
        self._changed: asyncio.Future[None] | None = None
        self._closing = False

    # -- coming

    def check(self, application: Application) -> None:
        """Tells whether somebody would be admitted now; changes nothing.

        Raises:
            Unauthorized: The token is missing, unknown, revoked, or has expired.
            Forbidden: It is for another role.
            RoleTaken: An agent has the role already.
            LinkGone: The link that is claimed is no longer there.
            LimitReached: There are as many agents as may be.
            Unavailable: The relay is stopping.
        """
        if self._closing:
            raise Unavailable(
                "cannot take an agent: the relay is stopping", hint="join again later"
            )
        if application.claim is not None:
            self._find_claimed(application, application.claim)
            return
        self._desk.check(application.key, application.token)
        if application.key in self._guests:
            raise RoleTaken(key=str(application.key))
        if len(self._guests) >= self._limits.dialled_agents:
            most = self._limits.dialled_agents
            raise LimitReached(
                limit="agents that have dialled in", most=most, setting="dialled-agents"
            )

    def admit(self, application: Application) -> tuple[LinkConnection, bytes | None]:
        """Takes an agent in, or a link up.

        Returns:
            The link's connection, and the message to greet it with, where it is to be greeted.

        Raises:
            RelayError: As `check`.
            RemoteProtocolError: The claim cannot be true.
        """
        self.check(application)
        if application.claim is not None:
            guest = self._find_claimed(application, application.claim)
            connection = guest.agent.connect(application.claim.received)
        else:
            guest = self._take_in(application)
            connection = guest.agent.connect(0)
        if not application.is_resumable:
            return connection, None
        greeting = Greeting(
            link=guest.link,
            secret=guest.secret,
            received=guest.agent.received,
            grace_s=self._limits.link_grace_s,
        )
        return connection, write(greeting)

    def sever(self, key: SessionKey) -> bool:
        """Gives up the link to a role's agent at once; tells whether there was one."""
        guest = self._guests.get(key)
        if guest is not None:
            guest.agent.give_up()
        return guest is not None

    def _find_claimed(self, application: Application, claim: Claim) -> _Guest:
        guest = self._guests.get(application.key)
        if guest is not None and application.token is not None and application.is_resumable:
            shown = f"{claim.link} {claim.secret} {digest_of(application.token)}"
            known = f"{guest.link} {guest.secret} {guest.digest}"
            # A header's bytes that are no UTF-8 become lone surrogates.
            if hmac.compare_digest(shown.encode(errors="surrogatepass"), known.encode()):
                return guest
        self._desk.check(application.key, application.token)
        raise LinkGone

    def _take_in(self, application: Application) -> _Guest:
        agent = self._make(application.is_resumable)
        handshake = Handshake(
            agent=agent,
            deadline_s=self._limits.start_s,
            authenticate_s=self._limits.authenticate_s,
            services=self._services,
        )
        guest = _Guest(
            agent=agent,
            handshake=handshake,
            digest=digest_of(application.token or ""),
            link=self._ids.mint(),
            secret=self._ids.mint(),
            greeted=asyncio.get_running_loop().create_future(),
        )
        key = application.key
        self._guests[key] = guest
        agent.on_gone = lambda: self._gone(key, guest)
        self._background.start(self._greet(key, guest), name=f"greeting of {key}'s agent")
        self._feed.add(EventKind.AGENT_JOINED, key, {})
        self._tell_waiters()
        return guest

    async def _greet(self, key: SessionKey, guest: _Guest) -> None:
        try:
            guest.agent.attach(guest.handshake)
            await guest.handshake.initialize()
        except RelayError as error:
            logger.warning("agent of %s: %s", key, error.message)
            guest.agent.farewell = error.message
            guest.greeted.set_exception(error)
            guest.greeted.exception()  # nobody may be waiting for it
            await guest.handshake.abandon()
        else:
            self._described[key] = guest.handshake.initialize_result
            self._described.move_to_end(key)
            if len(self._described) > _MOST_DESCRIBED:
                self._described.popitem(last=False)
            guest.greeted.set_result(None)
        finally:
            guest.greeted.cancel()

    def _gone(self, key: SessionKey, guest: _Guest) -> None:
        if self._guests.get(key) is guest:
            del self._guests[key]
            self._feed.add(EventKind.AGENT_LEFT, key, {})
            self._tell_waiters()

    # -- for clients and runs

    async def describe(self, key: SessionKey) -> bytes:
        """Gives the answer to `initialize` of a role's agent, or of the one it had last.

        Where there was none it waits for one, for as long as an agent may take to start. Cancelling
        is safe.

        Returns:
            The raw JSON result.

        Raises:
            AgentAbsent: None has joined in time.
            AgentError: It cannot be initialised.
        """
        if key not in self._guests and key in self._described:
            return self._described[key]
        guest = await self._find(key, may_be_taken=True)
        await asyncio.shield(guest.greeted)
        return guest.handshake.initialize_result

    def known(self, key: SessionKey) -> bytes | None:
        """Gives what a role's agent has answered to `initialize`, raw, if one has; waits for none.

        Args:
            key: The role.
        """
        return self._described.get(key)

    async def authenticate(self, key: SessionKey, params: bytes) -> Envelope:
        """Passes a client's `authenticate` to the agent that the role's next run will take.

        Raises:
            AgentAbsent: None is there for that in time.
            AgentError: It cannot be initialised, or did not answer.
        """
        return await self._call(key, lambda handshake: handshake.authenticate(params))

    async def logout(self, key: SessionKey, params: bytes) -> Envelope:
        """Passes a client's `logout` to that agent.

        Raises:
            AgentAbsent: None is there for that in time.
            AgentError: It cannot be initialised, or did not answer.
        """
        return await self._call(key, lambda handshake: handshake.logout(params))

    async def _call(
        self, key: SessionKey, call: Callable[[Handshake], Awaitable[Envelope]]
    ) -> Envelope:
        while True:
            guest = await self._find(key, may_be_taken=False)
            await asyncio.shield(guest.greeted)
            async with guest.lock:
                if not guest.is_taken:
                    return await call(guest.handshake)

    async def take(self, key: SessionKey, *, credentials: bytes | None) -> Handshake:
        """Gives a role's agent to its caller, who ends it; waits for one that is to come.

        Cancelling is safe: the agent waits for the next run then.

        Args:
            key: The role.
            credentials: The params of the `authenticate` that it must have seen, if any.

        Raises:
            AgentAbsent: None has joined in time.
            AgentError: It cannot be initialised, or does not answer.
        """
        guest = await self._find(key, may_be_taken=False)
        guest.is_taken = True
        try:
            await asyncio.shield(guest.greeted)
            async with guest.lock:
                if credentials not in (None, guest.handshake.credentials):
                    await guest.handshake.authenticate(credentials or b"{}")
        except BaseException:
            guest.is_taken = False
            self._tell_waiters()
            raise
        return guest.handshake

    async def aclose(self) -> None:
        """Takes no agent any more, and ends those that are there. Idempotent."""
        self._closing = True
        guests = list(self._guests.values())
        for guest in guests:
            guest.agent.farewell = "the relay is stopping"
        await asyncio.gather(*(guest.handshake.abandon() for guest in guests))

    async def _find(self, key: SessionKey, *, may_be_taken: bool) -> _Guest:
        after_s = self._limits.start_s
        try:
            async with asyncio.timeout(after_s):
                while True:
                    guest = self._guests.get(key)
                    is_there = guest is not None and guest.agent.exit is None
                    if guest is not None and is_there and (may_be_taken or not guest.is_taken):
                        return guest
                    await self._next_change()
        except TimeoutError:
            raise AgentAbsent(session_id=key.session_id, role=key.role, after_s=after_s) from None

    async def _next_change(self) -> None:
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._changed)

    def _tell_waiters(self) -> None:
        if self._changed is not None:
            self._changed.set_result(None)
            self._changed = None
