"""What a connection has to do with its agent before it has a session: initialize, authenticate.

ACP, "Initialization" and "Authentication": both concern the connection, and come before any
session. The agent that answers them comes from the pool; this module knows no session.
"""

from __future__ import annotations

from acprelay.errors import InvalidRequest
from acprelay.routing.capabilities import check_client, client_result, relay_result
from acprelay.routing.choosing import JOINED, NO_AGENT
from acprelay.routing.frames import result_reply
from acprelay.routing.service_modes import read_offer
from acprelay.runtime.agent_source import AgentSource
from acprelay.session.models import SessionKey
from acprelay.wire import Envelope, peek, rewrite


class AgentAccess:
    """One connection's dealings with the agent that its address chooses.

    Args:
        agent: Which one; `NO_AGENT` for the relay itself.
        key: The session that the address names, if it names one.
        pool: Gives agents.
        may_start: Whether the client may have an agent started.

    Attributes:
        initialized: Whether the client has been greeted.
        credentials: The params of an `authenticate` that it made, if any.
        serves: Which of the methods for files and terminals it has said that it serves.
    """

    def __init__(
        self, *, agent: str, key: SessionKey | None, pool: AgentSource, may_start: bool
    ) -> None:
        self.initialized = False
        self.credentials: bytes | None = None
        self.serves: frozenset[str] = frozenset()
        self._agent = agent
        self._key = key
        self._pool = pool
        self._may_start = may_start
        self._greeting = False

    @property
    def is_begun(self) -> bool:
        """Whether an `initialize` has been answered, or is being served."""
        return self.initialized or self._greeting

    def begin_greeting(self) -> None:
        """Takes note of an `initialize`, before it is served.

        Raises:
            InvalidRequest: Another one is being served.
        """
        if self._greeting:
            raise InvalidRequest(
                "cannot initialize a connection twice", hint="wait for the first answer"
            )
        self._greeting = True

    def greet_at_once(self, envelope: Envelope) -> bytes | None:
        """Does as `greet`, where the answer is at hand.

        Returns:
            The reply; None where an agent has to be waited for.

        Raises:
            InvalidParams: As `greet`.
        """
        described = self._known()
        return None if described is None else self._greet(envelope, described)

    async def greet(self, envelope: Envelope) -> bytes:
        """Serves the `initialize` that has begun; one that fails may be repeated.

        Cancelling is safe.

        Returns:
            The reply.

        Raises:
            InvalidParams: The client speaks no version of the protocol that the relay does.
            AgentError: The agent cannot be started or initialised.
        """
        try:
            check_client(envelope.member("params"))
            described = await self._pool.describe(self._agent, key=self._key)
        finally:
            self._greeting = False
        return self._greet(envelope, described)

    def _greet(self, envelope: Envelope, described: bytes) -> bytes:
        self._greeting = False
        params = envelope.member("params")
        check_client(params)
        result = client_result(described)
        self.initialized = True
        self.serves = read_offer(params)
        return result_reply(envelope.id or b"null", result)

    def _known(self) -> bytes | None:
        """What the answer is made of; None where that takes waiting for an agent."""
        if self._agent == NO_AGENT:
            return relay_result()
        if not self._may_start:
            return self._pool.known(self._agent, key=self._key) or relay_result()
        # Another one may have joined since, which is then asked.
        is_joined = self._agent == JOINED
        return None if is_joined else self._pool.known(self._agent, key=self._key)

    async def pass_on(self, envelope: Envelope) -> bytes:
        """Lets the process that serves the next session answer `authenticate` or `logout`.

        Cancelling is safe.

        Returns:
            The reply.

        Raises:
            AgentError: The agent cannot be started, or did not answer.
        """
        params = peek(rewrite(envelope, strip_stamp=True)).member("params") or b"{}"
        if envelope.method == "authenticate":
            answer = await self._pool.authenticate(self._agent, params, key=self._key)
            kept = params
        else:
            answer = await self._pool.logout(self._agent, params, key=self._key)
            kept = None
        if not answer.is_error:
            self.credentials = kept
        return rewrite(answer, id=envelope.id)
