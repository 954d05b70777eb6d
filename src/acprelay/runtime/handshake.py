"""An agent before it has a session: the relay's own requests to it.

ACP, "Initialization": once per agent process, before anything else. A handshake knows no session
and no client. Notifications that an agent sends this early are kept for the session that gets the
process; requests are refused, as there is nobody yet to answer them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from acprelay.agents.models import AgentExit
from acprelay.agents.ports import AgentConnection
from acprelay.errors import (
    AgentError,
    AgentExited,
    AgentRefused,
    AgentUnresponsive,
    MethodNotFound,
    RemoteProtocolError,
)
from acprelay.routing.capabilities import check_agent, initialize_params
from acprelay.routing.frames import error_reply
from acprelay.routing.service_modes import NOT_SERVED, Services
from acprelay.wire import (
    Envelope,
    MessageKind,
    OversizedFrame,
    bare,
    peek,
    peek_refused_of_agent,
    request,
    to_line,
)

logger = logging.getLogger(__name__)

_MAX_EARLY_LINES = 1_000
_MAX_EARLY_BYTES = 4 * 1024 * 1024


class Handshake:
    """The relay's requests to one agent process, one at a time.

    Args:
        agent: The process; its output comes here from now on.
        deadline_s: How long an answer may take.
        authenticate_s: How long the answer to `authenticate` may take: a person may have to log in.
        services: What the agent is promised.

    Attributes:
        on_exit: Called when the process has ended, if somebody wants to know.
    """

    def __init__(
        self,
        *,
        agent: AgentConnection,
        deadline_s: float,
        authenticate_s: float = 600.0,
        services: Services = NOT_SERVED,
    ) -> None:
        self.agent = agent
        self.last_id = 0
        self.early: list[bytes] = []
        self.initialize_result = b"null"
        self.credentials: bytes | None = None
        self.on_exit: Callable[[], None] | None = None
        self._early_bytes = 0
        self._is_full = False
        self._method = ""
        self._noise = b""
        self._deadline_s = deadline_s
        self._authenticate_s = authenticate_s
        self._services = services
        self._waiting: tuple[bytes, asyncio.Future[Envelope]] | None = None

    async def initialize(self) -> None:
        """Greets the agent and keeps its answer.

        Raises:
            AgentExited: It ended instead.
            AgentUnresponsive: It did not answer in time.
            AgentRefused: It answered with an error, or speaks another version.
        """
        answer = await self.call("initialize", initialize_params(self._services))
        if answer.is_error:
            reason = (answer.member("error") or b"")[:500].decode(errors="replace")
            raise AgentRefused(agent=self.agent.name, method="initialize", reason=reason)
        result = answer.member("result") or b"null"
        check_agent(self.agent.name, result)
        self.initialize_result = result

    async def authenticate(self, params: bytes) -> Envelope:
        """Passes a client's `authenticate` on, and remembers it where it succeeded.

        Raises:
            AgentExited: The agent ended instead.
            AgentUnresponsive: It did not answer in time.
        """
        answer = await self.call("authenticate", params, deadline_s=self._authenticate_s)
        if not answer.is_error:
            self.credentials = params
        return answer

    async def logout(self, params: bytes) -> Envelope:
        """Passes a client's `logout` on, and forgets what it takes back where it succeeded.

        Raises:
            AgentExited: The agent ended instead.
            AgentUnresponsive: It did not answer in time.
        """
        answer = await self.call("logout", params)
        if not answer.is_error:
            self.credentials = None
        return answer

    async def call(
        self, method: str, params: bytes, *, deadline_s: float | None = None
    ) -> Envelope:
        """Asks the agent something and waits for its answer.

        Calls do not overlap: whoever owns the handshake awaits one before the next. Cancelling is
        safe; a late answer is dropped.

        Raises:
            AgentExited: The agent ended instead.
            AgentUnresponsive: It did not answer in time.
        """
        after_s = self._deadline_s if deadline_s is None else deadline_s
        self.last_id += 1
        request_id = str(self.last_id).encode()
        answer: asyncio.Future[Envelope] = asyncio.get_running_loop().create_future()
        self._method = method
        self._waiting = (request_id, answer)
        try:
            self.agent.send(to_line(request(request_id, method, params)))
            async with asyncio.timeout(after_s):
                return await answer
        except TimeoutError:
            raise AgentUnresponsive(
                agent=self.agent.name,
                method=method,
                after_s=after_s,
                stderr=self.agent.stderr_tail,
                noise=self._noise[:200].decode(errors="replace"),
            ) from None
        finally:
            self._waiting = None

    async def abandon(self) -> None:
        """Ends a process that no session has; what survives is told, and hides no other error.

        Idempotent. Returns, also when it is cancelled, only once the process is gone: nobody else
        knows of it, so nobody else could wait for its end.
        """
        ending = asyncio.get_running_loop().create_task(self.agent.end())
        cancelled = False
        while not ending.done():
            try:
                await asyncio.wait({ending})
            except asyncio.CancelledError:
                cancelled = True
        error = ending.exception()
        if error is not None:
            logger.warning("%s", error)
        if cancelled:
            raise asyncio.CancelledError

    def lines_received(self, lines: list[bytes], oversized: Sequence[OversizedFrame]) -> None:  # noqa: ARG002 - no message this early is over the limit and still needed
        """Takes what the agent wrote."""
        for line in lines:
            try:
                envelope = peek(bare(line))
            except RemoteProtocolError as error:
                self._receive_noise(bare(line), error)
                continue
            if envelope.kind is MessageKind.RESPONSE:
                self._settle(envelope)
            elif envelope.kind is MessageKind.REQUEST:
                self._refuse(envelope)
            else:
                self._keep(line)

    def agent_exited(self, exit: AgentExit) -> None:  # noqa: A002 - ACP agents exit
        """Takes note that the process has ended."""
        if self._waiting is not None and not self._waiting[1].done():
            self._waiting[1].set_exception(
                AgentExited(
                    agent=self.agent.name, status=exit.describe(), stderr=self.agent.stderr_tail
                )
            )
        if self.on_exit is not None:
            self.on_exit()

    def _receive_noise(self, line: bytes, error: RemoteProtocolError) -> None:
        """Takes a line that is no message: if it is an answer that is malformed, it is none."""
        self._noise = self._noise or line
        known = peek_refused_of_agent(line)
        if self._waiting is None or self._waiting[1].done():
            return
        request_id, answer = self._waiting
        if known.kind is MessageKind.RESPONSE and known.id == request_id:
            reason = f"a malformed message ({error.message})"
            answer.set_exception(
                AgentRefused(agent=self.agent.name, method=self._method, reason=reason)
            )

    def _refuse(self, envelope: Envelope) -> None:
        error = MethodNotFound(method=envelope.method or "", hint="there is no session yet")
        # An agent that takes nothing any more needs no answer either.
        with suppress(AgentError):
            self.agent.send(to_line(error_reply(envelope.id or b"null", error)))

    def _keep(self, line: bytes) -> None:
        self._early_bytes += len(line)
        if len(self.early) < _MAX_EARLY_LINES and self._early_bytes <= _MAX_EARLY_BYTES:
            self.early.append(line)
        elif not self._is_full:
            self._is_full = True  # told once: it may wait for its session for days, and talk
            logger.warning("agent %s: notifications before its session are lost", self.agent.name)

    def _settle(self, envelope: Envelope) -> None:
        if self._waiting is None or self._waiting[1].done():
            return
        request_id, answer = self._waiting
        if envelope.id == request_id:
            answer.set_result(envelope)
