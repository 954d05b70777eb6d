"""Looks at the conversations of a relay for whoever asks over the control API.

Nothing is started for it. It shows what a principal may observe, and no more; how that is asked for
and written is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Never

from acprelay.errors import SessionNotFound
from acprelay.routing.access import Grant, Principal
from acprelay.routing.listing import Listed
from acprelay.routing.run_report import DORMANT
from acprelay.runtime.conversation_driver import ConversationDriver
from acprelay.runtime.conversation_host import ConversationHost
from acprelay.runtime.run_inspection import inspect_run
from acprelay.session.models import SessionKey
from acprelay.session.ports import SessionManager


@dataclass(frozen=True, slots=True)
class Seen:
    """A conversation, and where its run is.

    Attributes:
        listed: The conversation.
        state: The state of its run, in lower case; `dormant` where it has none.
    """

    listed: Listed
    state: str

    @property
    def key(self) -> SessionKey:
        """Its name."""
        return SessionKey(self.listed.group, self.listed.role)


class Inspection:
    """Looks at conversations.

    Args:
        host: Has them.
        manager: Knows the states of their runs.
    """

    def __init__(self, *, host: ConversationHost, manager: SessionManager[Never]) -> None:
        self._host = host
        self._manager = manager

    async def sessions(self, principal: Principal) -> list[Seen]:
        """Gives every conversation that somebody may observe, in no promised order.

        Raises:
            StoreError: The session store is out of reach.
        """
        states = {each.key: str(each.state).lower() for each in await self._manager.list()}
        return [
            Seen(listed, states.get(SessionKey(listed.group, listed.role), DORMANT))
            for listed in self._observable(principal)
        ]

    async def session(self, key: SessionKey) -> tuple[Seen, dict[str, Any]]:
        """Gives a conversation, and how its run does.

        What its processes use is read in a thread; cancelling is safe.

        Raises:
            SessionNotFound: There is no such conversation.
            StoreError: The session store is out of reach, or the log cannot be read.
        """
        driver = self.find(key)
        report = await inspect_run(driver, runs=self._host.runs, clock=self._host.clock)
        for listed in self._host.listed():
            if listed.session_id == str(key):
                return Seen(listed, report["state"]), report
        raise SessionNotFound(key=str(key))

    def find(self, key: SessionKey) -> ConversationDriver:
        """Gives the driver of a conversation; one at rest is woken, and no run begun.

        Raises:
            SessionNotFound: There is no such conversation.
            StoreError: Its log cannot be read.
        """
        return self._host.find(str(key))

    def _observable(self, principal: Principal) -> Iterator[Listed]:
        for listed in self._host.listed():
            if principal.may(Grant.OBSERVE, SessionKey(listed.group, listed.role)):
                yield listed
