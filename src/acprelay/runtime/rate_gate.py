"""Lets a client's messages in as fast as its principal may send them.

What is over the rate is refused if it is a request; a notification, which nothing answers, is
dropped and counted. Answers always pass: there are no more of them than the client was asked for.
So does what cancels: nothing would tell the client that its agent goes on.
"""

from __future__ import annotations

from acprelay.errors import LimitReached
from acprelay.routing.message_rate import MessageRates, TokenBucket
from acprelay.wire import Envelope, MessageKind

_CANCELLATIONS = frozenset({"session/cancel", "$/cancel_request"})


_RESPONSE = MessageKind.RESPONSE  # a class is slower to ask for its members


class RateGate:
    """The gate of one connection.

    Args:
        rates: The buckets of all principals.
        principal: The id of this client's.

    Attributes:
        dropped: How many notifications were.
    """

    def __init__(self, *, rates: MessageRates, principal: str) -> None:
        self.dropped = 0
        self._rates = rates
        self._principal = principal
        self._bucket: TokenBucket | None = None

    def admits(self, envelope: Envelope, now: float) -> bool:
        """Tells whether a message is to be heard, and counts it.

        Args:
            envelope: The message.
            now: The event loop's time.

        Raises:
            LimitReached: It is a request over the rate.
        """
        if envelope.kind is _RESPONSE or envelope.method in _CANCELLATIONS:
            return True
        if self._bucket is None:
            self._bucket = self._rates.bucket(self._principal, now)
        if self._bucket.take(now):
            return True
        if envelope.kind is MessageKind.REQUEST:
            raise LimitReached(
                limit="a principal's messages in a second",
                most=self._rates.per_s,
                setting="client-message-rate",
            )
        self.dropped += 1
        return False
