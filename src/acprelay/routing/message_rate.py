"""How many messages somebody may send: buckets that fill as time goes by.

One for each principal, whatever connections it has. The time is an argument: no clock is here.
"""

from __future__ import annotations

from weakref import WeakValueDictionary


class TokenBucket:
    """Lets so many messages pass a second, and some more at once.

    Args:
        per_s: How many a second.
        burst: How many at once, after a while without any.
    """

    __slots__ = ("__weakref__", "_at", "_burst", "_left", "_per_s")

    def __init__(self, *, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._at = float("-inf")

    def take(self, now: float) -> bool:
        """Tells whether a message may pass, and counts it if so."""
        if now > self._at:
            self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
            self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def is_full(self, now: float) -> bool:
        """Tells whether it is as if nothing had ever been taken."""
        return self._left + (now - self._at) * self._per_s >= self._burst


class MessageRates:
    """The buckets of all principals.

    Args:
        per_s: How many messages a second each may send.
        burst: How many at once.
    """

    def __init__(self, *, per_s: float, burst: float) -> None:
        self.per_s = per_s
        self._burst = max(1.0, burst)
        self._buckets: dict[str, TokenBucket] = {}

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._buckets)

    def bucket(self, principal: str, now: float) -> TokenBucket:
        """Gives the bucket of a principal, the same one for each of its connections.

        A full one that no connection has any more is forgotten: another one is just like it.

        Args:
            principal: The principal's id.
            now: The time.
        """
        known = self._buckets.get(principal)
        if known is None:
            self._forget(now)
            known = self._buckets[principal] = TokenBucket(per_s=self.per_s, burst=self._burst)
        return known

    def _forget(self, now: float) -> None:
        had = WeakValueDictionary(self._buckets)
        self._buckets = {
            name: each for name, each in self._buckets.items() if not each.is_full(now)
        }
        self._buckets.update(had)  # what is full is there only if a connection has it
