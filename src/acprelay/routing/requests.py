"""What is in flight: requests that wait for the agent, and asks that wait for a client.

The relay mints its own ids on every hop and keeps the original beside them, as the bytes that were
sent: JSON-RPC's `1`, `"1"` and `1.0` are three ids. An id that nobody waits for settles nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from acprelay.errors import InvalidRequest
from acprelay.routing.frames import string_id


@dataclass(frozen=True, slots=True)
class Outstanding:
    """A client's request that the agent has not answered.

    Attributes:
        attachment_id: Who waits.
        id: The client's own id for it, raw.
        method: What was asked.
    """

    attachment_id: str
    id: bytes
    method: str


class RequestLedger:
    """Clients' requests by the ids under which the agent knows them."""

    def __init__(self) -> None:
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
        original = (request.attachment_id, request.id)
        if original in self._by_original:
            raise InvalidRequest(
                f"cannot take a second request with id {request.id[:80].decode(errors='ignore')}",
                hint="choose an id that no request in flight has",
            )
        self._minted += 1
        minted = str(self._minted).encode()
        self._by_minted[minted] = request
        self._by_original[original] = minted
        return minted

    def settle(self, minted: bytes) -> Outstanding | None:
        """Takes out the request that an answer is for; None for an unknown or repeated answer."""
        request = self._by_minted.pop(minted, None)
        if request is not None:
            del self._by_original[(request.attachment_id, request.id)]
        return request

    def original(self, minted: bytes, attachment_id: str) -> bytes | None:
        """A client's own id of its request, while it is in flight."""
        request = self._by_minted.get(minted)
        return request.id if request and request.attachment_id == attachment_id else None

    def minted(self, attachment_id: str, original: bytes) -> bytes | None:
        """The agent's id of a client's request, while it is in flight."""
        return self._by_original.get((attachment_id, original))

    def settle_all(self, method: str | None = None) -> list[Outstanding]:
        """Takes out what is in flight, oldest first; of one method, where it is given."""
        return self._settle_where(lambda request: method in (None, request.method))

    def forget(self, attachment_id: str) -> None:
        """Lets the answers for a client that has left settle nothing."""
        self._settle_where(lambda request: request.attachment_id == attachment_id)

    def _settle_where(self, chosen: Callable[[Outstanding], bool]) -> list[Outstanding]:
        settled = {m: request for m, request in self._by_minted.items() if chosen(request)}
        for minted in settled:
            self.settle(minted)
        return list(settled.values())


@dataclass(frozen=True, slots=True)
class Ask:
    """An agent's request that a client has not answered.

    Attributes:
        id: The relay's id for it, raw: a JSON string that no other ask ever has.
        agent_id: The agent's own id for it, raw.
        method: What is asked.
        attachment_id: Who was asked.
        frame: The request as that client gets it.
    """

    id: bytes
    agent_id: bytes
    method: str
    attachment_id: str
    frame: bytes


class AskLedger:
    """Agents' requests by the ids under which clients know them.

    Args:
        prefix: Makes ids unique over all sessions and all runs of the relay.
    """

    def __init__(self, *, prefix: str) -> None:
        self._prefix = prefix
        self._minted = 0
        self._open: dict[bytes, Ask] = {}

    def mint(self) -> bytes:
        """A new raw id."""
        self._minted += 1
        return string_id(f"{self._prefix}-{self._minted}")

    def add(self, ask: Ask) -> None:
        """Notes an ask, or that another client is asked now."""
        self._open[ask.id] = ask

    def settle(self, ask_id: bytes, attachment_id: str) -> Ask | None:
        """Takes out the ask that an answer is for; None unless this very client was asked."""
        ask = self._open.get(ask_id)
        if ask is None or ask.attachment_id != attachment_id:
            return None
        return self._open.pop(ask_id)

    def withdraw(self, agent_id: bytes) -> Ask | None:
        """Takes out the ask that the agent no longer wants an answer to."""
        found = next((ask for ask in self._open.values() if ask.agent_id == agent_id), None)
        return self._open.pop(found.id) if found else None

    def of(self, attachment_id: str) -> list[Ask]:
        """The open asks of one client."""
        return [ask for ask in self._open.values() if ask.attachment_id == attachment_id]

    def settle_all(self) -> list[Ask]:
        """Takes out everything that is open, oldest first."""
        asks = list(self._open.values())
        self._open.clear()
        return asks
