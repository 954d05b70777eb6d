"""The judge of what one client gets for itself: replies, each once, and asks, once per attachment.

Pure. An adoption may bring an ask again that came at the very place from which the client goes on:
the relay cannot know whether it arrived.
"""

from __future__ import annotations


class Lane:
    """Watches the replies and asks of one client, over all of its connections."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, str] = {}
        self._asked_at: dict[bytes, int | None] = {}
        self._settled: set[bytes] = set()

    @property
    def waiting(self) -> tuple[bytes, ...]:
        """The raw ids of the requests that have no reply yet."""
        return tuple(self._waiting)

    def requested(self, request_id: bytes, method: str) -> None:
        """Takes note of a request of the client."""
        self._waiting[request_id] = method

    def replied(self, request_id: bytes) -> bool:
        """Takes note of a reply; tells whether one was waited for."""
        return self._waiting.pop(request_id, None) is not None

    def given_up(self, request_id: bytes) -> None:
        """Takes note that no reply to a request will come: the attachment is left behind."""
        self._waiting.pop(request_id, None)

    def asked(self, ask: bytes, *, at: int | None) -> bool:
        """Takes note of an ask.

        Args:
            ask: Its raw id.
            at: How far the client has read the log.

        Returns:
            Whether it had to come: it is new to the attachment, and open.
        """
        is_new = ask not in self._asked_at and ask not in self._settled
        self._asked_at[ask] = at
        return is_new

    def settled(self, ask: bytes) -> None:
        """Takes note that the log says how an ask ended."""
        self._settled.add(ask)

    def adopted(self, *, at: int | None) -> None:
        """Takes note that the attachment goes on over a new connection, from a place on."""
        self._asked_at = {ask: when for ask, when in self._asked_at.items() if when != at}

    def attached(self) -> None:
        """Takes note that the client has a new attachment, which is asked anew."""
        self._asked_at.clear()
