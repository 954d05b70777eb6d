"""What is done in a conversation by those who are no clients of it: prompts, answers to asks.

Who does it is a name: it has no attachment, and no reply is for it. Who may do what is decided
before.
"""

from __future__ import annotations

from acprelay.routing.asks import Asks
from acprelay.routing.client_requests import ClientRequests
from acprelay.routing.open_asks import Ask
from acprelay.routing.publisher import Publisher
from acprelay.routing.turn_taking import TurnTaking
from acprelay.wire import Envelope


class Outsiders:
    """Acts in one conversation for those who are outside.

    Args:
        publisher: Writes the log and the lanes.
        requests: What clients have asked for; begins what can begin.
        turns: Takes turns.
        asks: The open asks.
    """

    def __init__(
        self, *, publisher: Publisher, requests: ClientRequests, turns: TurnTaking, asks: Asks
    ) -> None:
        self._publisher = publisher
        self._requests = requests
        self._turns = turns
        self._asks = asks

    def submit_prompt(self, owner: str, envelope: Envelope) -> str:
        """Takes a prompt, and waits for no answer.

        Args:
            owner: Whose it is.
            envelope: A `session/prompt`, with an id that none of this owner's in flight has.

        Returns:
            The id of its turn.

        Raises:
            LimitReached: As many prompts wait as may.
        """
        turn = self._turns.submit(owner, envelope)
        self._requests.go_on()
        return turn

    def asks(self) -> list[Ask]:
        """Gives the requests of the agent that wait for clients, the oldest first."""
        return self._asks.open()

    def decide(self, ask: str, answer: Envelope, *, by: str, now: float) -> bool | None:
        """Takes an answer to a permission.

        Args:
            ask: The id of the ask.
            answer: What a client would answer.
            by: Who answers.
            now: The time.

        Returns:
            Whether it is settled now; None where no such permission is open.

        Raises:
            InvalidParams: It is no answer to this permission; nothing has changed.
        """
        settled = self._asks.decide(ask, answer, by=by, now=now)
        self._publisher.flush()
        return settled
