"""An agent's requests for files and terminals, as far as the relay serves them itself.

Each becomes an event for whoever owns the conversation, who gives the outcome back under the number
that the event names. Outcomes go to the agent in the order in which they are there. What a request
wants, and how it is served, is not known here.
"""

from __future__ import annotations

from typing import NamedTuple

from acprelay.errors import LimitReached, RelayError
from acprelay.routing.agent_link import AgentLink
from acprelay.routing.events import ServiceAsked, ServiceWithdrawn
from acprelay.routing.frames import error_reply
from acprelay.routing.service_modes import ServiceMode, Services, is_service, unserved
from acprelay.wire import Envelope, response


class _Open(NamedTuple):
    agent_id: bytes
    size: int


class ServiceAsks:
    """Those of one conversation.

    Args:
        services: Who serves what.
        link: The way to the agent.
        most_open: How many may wait for an outcome at once.
        most_bytes: How large all together may be that wait; a single one may be larger.

    Attributes:
        events: What has happened, until `take_events`.
    """

    def __init__(
        self,
        *,
        services: Services,
        link: AgentLink,
        most_open: int = 256,
        most_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._services = services
        self._link = link
        self._most_open = most_open
        self._most_bytes = most_bytes
        self._bytes = 0
        self._last_number = 0
        self._open: dict[int, _Open] = {}
        self.events: list[ServiceAsked | ServiceWithdrawn] = []

    @property
    def is_open(self) -> bool:
        """Whether any waits for its outcome."""
        return bool(self._open)

    def take_events(self) -> list[ServiceAsked | ServiceWithdrawn]:
        """Gives what has happened since the last call."""
        events, self.events = self.events, []
        return events

    def receive(self, envelope: Envelope) -> bool:
        """Takes an agent's request, unless it is for somebody else.

        Returns:
            Whether it was taken: a request for a file or a terminal, which no client serves.
        """
        method = envelope.method or ""
        if not is_service(method):
            return False
        mode = self._services.mode(method)
        if mode is ServiceMode.CLIENT:
            return False
        agent_id = envelope.id or b"null"
        if mode is ServiceMode.OFF:
            self._link.send(error_reply(agent_id, unserved(method)))
        else:
            self._take(agent_id, method, envelope.member("params") or b"null")
        return True

    def _take(self, agent_id: bytes, method: str, params: bytes) -> None:
        full = None
        if len(self._open) >= self._most_open:
            full = LimitReached(
                limit="open requests of an agent", most=self._most_open, setting="asks"
            )
        elif self._open and self._bytes + len(params) > self._most_bytes:
            full = LimitReached(
                limit="the bytes of an agent's open requests", most=self._most_bytes
            )
        if full is not None:
            self._link.send(error_reply(agent_id, full))
            return
        self._last_number += 1
        self._open[self._last_number] = _Open(agent_id, len(params))
        self._bytes += len(params)
        self.events.append(ServiceAsked(self._last_number, method, params))

    def withdraw(self, agent_id: bytes) -> None:
        """Takes note that the agent no longer wants an answer (ACP, "Cancellation").

        What cannot be broken off is answered as it ends: the answer has to be true.

        Args:
            agent_id: The agent's own id of its request, raw.
        """
        for number, request in self._open.items():
            if request.agent_id == agent_id:
                self.events.append(ServiceWithdrawn(number))

    def settle(self, number: int, outcome: bytes | RelayError) -> None:
        """Answers a request; nothing if the run that asked is over.

        Args:
            number: Which.
            outcome: The raw result, or why there is none.
        """
        request = self._open.pop(number, None)
        if request is None:
            return
        self._bytes -= request.size
        if isinstance(outcome, RelayError):
            self._link.send(error_reply(request.agent_id, outcome))
        else:
            self._link.answer(response(request.agent_id, outcome), request.agent_id)

    def close(self) -> None:
        """Drops what waits: the agent is gone."""
        self._open.clear()
        self._bytes = 0
        self.events.clear()
