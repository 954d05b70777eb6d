"""Asks: an agent's requests to a client. Who is asked, and what becomes of what was asked.

An ask goes to the client that owns the turn, else to the only client there is; with nobody to ask,
the agent is told at once. However an ask ends, its agent gets exactly one answer, and a client
whose ask is closed gets `$/cancel_request` for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from acprelay.errors import MethodNotFound, RequestCancelled
from acprelay.routing.frames import cancel_request, error_reply, result_reply
from acprelay.routing.publisher import Publisher
from acprelay.routing.requests import Ask, AskLedger, RequestLedger
from acprelay.wire import Envelope, describe, rewrite

# The relay tells agents that it serves neither (ACP, "Initialization": clientCapabilities).
_UNSERVED = ("fs/", "terminal/")


class Asks:
    """The asks of one session.

    Args:
        ledger: Those that are open.
        requests: The clients' requests in flight; they tell whose turn it is.
        publisher: Writes to clients' lanes.
        to_agent: Takes a message for the agent.
    """

    def __init__(
        self,
        *,
        ledger: AskLedger,
        requests: RequestLedger,
        publisher: Publisher,
        to_agent: Callable[[bytes], None],
    ) -> None:
        self._ledger = ledger
        self._requests = requests
        self._publisher = publisher
        self._to_agent = to_agent

    def receive(self, envelope: Envelope) -> None:
        """Takes an agent's request to whoever answers it."""
        client = self._who_answers()
        method = envelope.method or ""
        if client is None or method.startswith(_UNSERVED):
            self.refuse(envelope)
            return
        ask_id = self._ledger.mint()
        request_id = None
        if describe(method).request_ids:
            request_id = self._requests.original(envelope.request_id or b"", client)
        frame = rewrite(
            envelope,
            id=ask_id,
            session_id=self._publisher.public_id,
            request_id=request_id,
            strip_stamp=True,
        )
        self._ask(Ask(ask_id, envelope.id or b"null", method, client, frame))

    def refuse(self, envelope: Envelope) -> None:
        """Tells an agent that nobody answers its request."""
        error = MethodNotFound(
            method=envelope.method or "", hint="no client of this session can answer it"
        )
        self._to_agent(error_reply(envelope.id or b"null", error))

    def withdraw(self, agent_id: bytes) -> None:
        """Closes the ask that its agent no longer wants an answer to.

        Args:
            agent_id: The agent's own id for it, raw.
        """
        ask = self._ledger.withdraw(agent_id)
        if ask is not None:
            self._publisher.push(ask.attachment_id, cancel_request(ask.id))
            # ACP, "Cancellation": the original request MUST still be answered.
            self._to_agent(error_reply(ask.agent_id, RequestCancelled(method=ask.method)))

    def answer(self, attachment_id: str, envelope: Envelope) -> bool:
        """Gives a client's answer to the agent.

        Returns:
            Whether this client was asked that, and has not answered yet.
        """
        ask = self._ledger.settle(envelope.id or b"", attachment_id)
        if ask is not None:
            self._to_agent(rewrite(envelope, id=ask.agent_id))
        return ask is not None

    def hand_over(self, attachment_id: str) -> None:
        """Asks whoever is left what a client that has left did not answer."""
        heir = next(iter(self._publisher.attachments), None)
        for ask in self._ledger.of(attachment_id):
            if heir is not None:
                self._ask(replace(ask, attachment_id=heir))
            else:
                self._ledger.settle(ask.id, attachment_id)
                self._to_agent(_unanswered(ask))

    def close(self) -> None:
        """Closes every ask at its client; the agent that asked is gone."""
        for ask in self._ledger.settle_all():
            self._publisher.push(ask.attachment_id, cancel_request(ask.id))

    def _ask(self, ask: Ask) -> None:
        self._ledger.add(ask)
        self._publisher.push(ask.attachment_id, ask.frame)

    def _who_answers(self) -> str | None:
        """The owner of the turn, else the only client."""
        for request in self._requests:
            if request.method == "session/prompt":
                return request.attachment_id
        attached = self._publisher.attachments
        return next(iter(attached)) if len(attached) == 1 else None


def _unanswered(ask: Ask) -> bytes:
    """The answer to an agent that asked a client which has left."""
    if ask.method == "session/request_permission":
        return result_reply(ask.agent_id, {"outcome": {"outcome": "cancelled"}})
    return error_reply(ask.agent_id, MethodNotFound(method=ask.method, hint="the client has left"))
