"""Looks at the conversations of a relay, and ends them, for whoever asks over the control API.

Nothing is started for it. It lists what a principal may observe, and no more; how that is asked for
and written is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Never

from acprelay.errors import SessionNotFound
from acprelay.routing.access import Grant, Principal
from acprelay.routing.listing import Listed
from acprelay.routing.run_report import DORMANT
from acprelay.runtime.conversation_driver import ConversationDriver
from acprelay.runtime.conversation_host import ConversationHost
from acprelay.runtime.remote_control import OpenPermission
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
            for listed in self._host.listed(partial(principal.may, Grant.OBSERVE))
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
        listed = self._host.describe(key)
        if listed is None:  # it was removed meanwhile
            raise SessionNotFound(key=str(key))
        return Seen(listed, report["state"]), report

    def find(self, key: SessionKey) -> ConversationDriver:
        """Gives the driver of a conversation; one at rest is woken, and no run begun.

        Raises:
            SessionNotFound: There is no such conversation.
            StoreError: Its log cannot be read.
        """
        return self._host.find(str(key))

    def has(self, key: SessionKey) -> bool:
        """Tells whether a conversation has that name, whoever may observe it."""
        return self._host.has(key)

    def permissions(self, principal: Principal) -> list[tuple[SessionKey, OpenPermission]]:
        """Gives the permissions that wait for an answer in what somebody may observe."""
        return [
            (driver.key, each)
            for driver in self._host.in_use()
            if principal.may(Grant.OBSERVE, driver.key)
            for each in driver.control.permissions()
        ]

    async def close(self, key: SessionKey, *, reason: str) -> None:
        """Ends a conversation's run, and returns once it is gone; idempotent.

        Cancelling it does not stop the ending.

        Raises:
            SessionNotFound: There is no such conversation.
            AgentError: A process of its agent survives.
        """
        self.find(key).end_session(reason)
        await self._carry_out(self._host.runs.end(key, reason=reason), f"ending of {key}")

    async def delete(self, key: SessionKey) -> None:
        """Removes a conversation, and returns once nothing is left of it.

        Cancelling it does not stop the removal.

        Raises:
            SessionNotFound: There is no such conversation.
            AgentError: A process of its agent survives; it can be found again.
            StoreError: What is stored of it cannot be removed; it can be found again.
        """
        self._host.withdraw(self.find(key))
        await self._carry_out(self._host.remove(key), f"removal of {key}")

    async def _carry_out(self, work: Coroutine[object, object, None], name: str) -> None:
        task = self._host.background.start(work, name=name)
        await asyncio.wait([task])
        task.result()
