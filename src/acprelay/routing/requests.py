"""The clients' requests that an agent has not answered.

The relay mints its own ids on every hop and keeps the original beside them, as the bytes that were
sent: JSON-RPC's `1`, `"1"` and `1.0` are three ids. An id that nobody waits for settles nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from acprelay.errors import InvalidRequest, LimitReached
from acprelay.wire import Envelope


class Outstanding(msgspec.Struct, frozen=True):
    """A client's request that the agent has not answered.

    Attributes:
        attachment_id: Who waits.
        envelope: The request as the client sent it.
    """

    attachment_id: str
    envelope: Envelope

    @property
    def id(self) -> bytes:
        """The client's own id for it, raw."""
        return self.envelope.id or b"null"

    @property
    def method(self) -> str:
        """What was asked."""
        return self.envelope.method or ""


class RequestLedger:
    """Clients' requests by the ids under which the agent knows them.

    Ids are never used again within a ledger, whichever run of an agent they go to.

    Args:
        most: How many requests may be in flight.
        most_of_one: How many of them one client may have.
    """

    def __init__(self, *, most: int = 4096, most_of_one: int = 256) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._waiting: dict[str, int] = {}
        self._minted = 0
        self._by_minted: dict[bytes, Outstanding] = {}
        self._by_original: dict[tuple[str, bytes], bytes] = {}

    def __iter__(self) -> Iterator[Outstanding]:
        """Oldest first."""
        return iter(self._by_minted.values())

    def skip_to(self, last_id: int) -> None:
        """Keeps clear of the ids up to this one: the relay has asked the agent itself."""
        self._minted = max(self._minted, last_id)

    def add(self, request: Outstanding) -> bytes:
        """Notes a request.

        Returns:
            The raw id for the agent.

        Raises:
            InvalidRequest: The same client still waits for a request with this id.
        """
        attachment_id, original = request.attachment_id, request.id
        self.check(attachment_id, original)
        self._minted += 1
        minted = b"%d" % self._minted
        self._by_minted[minted] = request
        self._by_original[attachment_id, original] = minted
        self._waiting[attachment_id] = self._waiting.get(attachment_id, 0) + 1
        return minted

    def check(self, attachment_id: str, request_id: bytes) -> None:
        """Makes sure that a client waits for no request with this id.

        Raises:
            InvalidRequest: It does.
        """
        if (attachment_id, request_id) in self._by_original:
            raise request_id_in_use(request_id)

    def check_room(self, attachment_id: str) -> None:
        """Makes sure that a client may have one more request in flight.

        Raises:
            LimitReached: It may not.
        """
        if self._waiting.get(attachment_id, 0) >= self._most_of_one:
            raise LimitReached(
                limit="a client's unanswered requests", most=self._most_of_one, setting="requests"
            )
        if len(self._by_minted) >= self._most:
            raise LimitReached(
                limit="a session's unanswered requests",
                most=self._most,
                setting="session-requests",
            )

    def settle(self, minted: bytes) -> Outstanding | None:
        """Takes out the request that an answer is for; None for an unknown or repeated answer."""
        request = self._by_minted.pop(minted, None)
        if request is not None:
            attachment_id, original = request.attachment_id, request.id
            if self._by_original.get((attachment_id, original)) == minted:
                self.release(attachment_id, original)
        return request

    def release(self, attachment_id: str, original: bytes) -> None:
        """Lets a client use an id again: it has its answer, and the agent's goes nowhere."""
        if self._by_original.pop((attachment_id, original), None) is not None:
            left = self._waiting.pop(attachment_id) - 1
            if left:
                self._waiting[attachment_id] = left

    def original(self, minted: bytes, attachment_id: str) -> bytes | None:
        """A client's own id of its request, while it is in flight."""
        request = self._by_minted.get(minted)
        return request.id if request and request.attachment_id == attachment_id else None

    def minted(self, attachment_id: str, original: bytes) -> bytes | None:
        """The agent's id of a client's request, while it is in flight."""
        return self._by_original.get((attachment_id, original))

    def settle_all(self) -> list[Outstanding]:
        """Takes out everything that is in flight, oldest first."""
        settled = list(self._by_minted.values())
        self._by_minted.clear()
        self._by_original.clear()
        self._waiting.clear()
        return settled


def request_id_in_use(request_id: bytes) -> InvalidRequest:
    """What a client is told that uses the id of a request in flight for another one."""
    return InvalidRequest(
        f"cannot take a second request with id {request_id[:80].decode(errors='ignore')}",
        hint="choose an id that no request in flight has",
    )
