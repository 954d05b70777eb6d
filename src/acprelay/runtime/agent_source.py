"""Where a session's agent comes from: started here, or dialled in. It knows neither way itself."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext

from acprelay.errors import InvalidParams
from acprelay.routing.choosing import JOINED
from acprelay.runtime.agent_pool import AgentPool
from acprelay.runtime.dial_ins import DialIns
from acprelay.runtime.handshake import Handshake
from acprelay.session.models import SessionKey
from acprelay.wire import Envelope


class AgentSource:
    """Gives agents by their names.

    Args:
        pool: Those that are started.
        dial_ins: Those that have dialled in.
    """

    def __init__(self, *, pool: AgentPool, dial_ins: DialIns) -> None:
        self._pool = pool
        self._dial_ins = dial_ins

    @property
    def names(self) -> tuple[str, ...]:
        """The agents that can be chosen, the default one first."""
        return (*self._pool.names, JOINED)

    def hold(self, name: str) -> AbstractAsyncContextManager[None]:
        """Lets an agent's process stay warm for as long as the context lasts."""
        return nullcontext() if name == JOINED else self._pool.hold(name)

    async def describe(self, name: str, *, key: SessionKey | None) -> bytes:
        """Gives an agent's answer to `initialize`. Cancelling is safe.

        Args:
            name: Which agent.
            key: The session that it is for, if that is known.

        Returns:
            The raw JSON result.

        Raises:
            InvalidParams: The agent is one that dials in, and nobody says to which session.
            AgentError: The agent cannot be started or initialised, or none has joined.
        """
        if name == JOINED:
            return await self._dial_ins.describe(_known(key))
        return await self._pool.describe(name)

    def known(self, name: str, *, key: SessionKey | None) -> bytes | None:
        """Gives an agent's answer to `initialize` as far as it is known; starts nothing.

        Args:
            name: Which agent.
            key: The session that it is for, if that is known.

        Returns:
            The raw JSON result; None where no such agent has answered yet.
        """
        if name == JOINED:
            return None if key is None else self._dial_ins.known(key)
        return self._pool.known(name)

    async def authenticate(self, name: str, params: bytes, *, key: SessionKey | None) -> Envelope:
        """Passes a client's `authenticate` to the agent that its next session will have.

        Raises:
            InvalidParams: As `describe`.
            AgentError: The agent cannot be had, or did not answer.
        """
        if name == JOINED:
            return await self._dial_ins.authenticate(_known(key), params)
        return await self._pool.authenticate(name, params)

    async def logout(self, name: str, params: bytes, *, key: SessionKey | None) -> Envelope:
        """Passes a client's `logout` to that agent.

        Raises:
            InvalidParams: As `describe`.
            AgentError: The agent cannot be had, or did not answer.
        """
        if name == JOINED:
            return await self._dial_ins.logout(_known(key), params)
        return await self._pool.logout(name, params)

    async def take(self, name: str, *, key: SessionKey, credentials: bytes | None) -> Handshake:
        """Gives an initialised agent to its caller, who ends it. Cancelling is safe.

        Args:
            name: Which agent.
            key: The session that it is for.
            credentials: The params of the `authenticate` that it must have seen, if any.

        Raises:
            AgentError: The agent cannot be started or initialised, or none has joined.
        """
        if name == JOINED:
            return await self._dial_ins.take(key, credentials=credentials)
        return await self._pool.take(name, credentials=credentials)


def _known(key: SessionKey | None) -> SessionKey:
    if key is None:
        raise InvalidParams(
            "cannot tell which agent is meant: the address names no session",
            hint=f"connect to /acp?agent={JOINED}&session=ID&role=ROLE, with what the agent joins",
        )
    return key
