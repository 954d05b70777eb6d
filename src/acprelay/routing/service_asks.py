"""An agent's requests for files and terminals, as far as the relay serves them itself.

Each becomes an event for whoever owns the conversation, who gives the outcome back under the number
that the event names. Outcomes go to the agent in the order in which they are there. What a request
wants, and how it is served, is not known here.
"""

from __future__ import annotations

from acprelay.errors import LimitReached, RelayError
from acprelay.routing.agent_link import AgentLink
from acprelay.routing.events import ServiceAsked, ServiceWithdrawn
from acprelay.routing.frames import error_reply
from acprelay.routing.service_modes import ServiceMode, Services, is_service, unserved
from acprelay.wire import Envelope, response


class ServiceAsks:
    """Those of one conversation.

    Args:
        services: Who serves what.
        link: The way to the agent.
        most_open: How many may wait for an outcome at once.
    """

    def __init__(self, *, services: Services, link: AgentLink, most_open: int = 256) -> None:
        self._services = services
        self._link = link
        self._most_open = most_open
        self._last_number = 0
        self._open: dict[int, bytes] = {}
        self._events: list[ServiceAsked | ServiceWithdrawn] = []

    @property
    def is_open(self) -> bool:
        """Whether any waits for its outcome."""
        return bool(self._open)

    def take_events(self) -> list[ServiceAsked | ServiceWithdrawn]:
        """Gives what has happened since the last call."""
        events, self._events = self._events, []
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
        elif len(self._open) >= self._most_open:
            full = LimitReached(limit="open requests of an agent", most=self._most_open)
            self._link.send(error_reply(agent_id, full))
        else:
            self._last_number += 1
            self._open[self._last_number] = agent_id
            params = envelope.member("params") or b"null"
            self._events.append(ServiceAsked(self._last_number, method, params))
        return True

    def withdraw(self, agent_id: bytes) -> None:
        """Takes note that the agent no longer wants an answer (ACP, "Cancellation").

        What cannot be broken off is answered as it ends: the answer has to be true.

        Args:
            agent_id: The agent's own id of its request, raw.
        """
        for number, known_id in self._open.items():
            if known_id == agent_id:
                self._events.append(ServiceWithdrawn(number))

    def settle(self, number: int, outcome: bytes | RelayError) -> None:
        """Answers a request; nothing if the run that asked is over.

        Args:
            number: Which.
            outcome: The raw result, or why there is none.
        """
        agent_id = self._open.pop(number, None)
        if agent_id is None:
            return
        if isinstance(outcome, RelayError):
            self._link.send(error_reply(agent_id, outcome))
        else:
            self._link.answer(response(agent_id, outcome), agent_id)

    def close(self) -> None:
        """Drops what waits: the agent is gone."""
        self._open.clear()
        self._events.clear()
