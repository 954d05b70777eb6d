"""Which of a client's requests are still unanswered, read off the messages that pass.

It reads `id` and `method` and nothing else; what it cannot read, it leaves to the two ends.
"""

from __future__ import annotations

import asyncio

import msgspec

from acprelay.error_mapping import outside
from acprelay.errors import RelayError


class _Envelope(msgspec.Struct):
    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    method: str | msgspec.UnsetType = msgspec.UNSET


class OpenRequests:
    """The ids of the requests that wait for an answer, as the bytes they were sent as."""

    def __init__(self) -> None:
        self._ids: dict[bytes, None] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ids)

    def sent(self, message: bytes) -> None:
        """Takes note of a message on its way to the relay."""
        envelope = _peek(message)
        if envelope.id is not msgspec.UNSET and envelope.method is not msgspec.UNSET:
            self._ids[bytes(envelope.id)] = None
            self._changed.set()

    def received(self, message: bytes) -> None:
        """Takes note of a message that the relay sent."""
        envelope = _peek(message)
        if envelope.id is not msgspec.UNSET and envelope.method is msgspec.UNSET:
            self._ids.pop(bytes(envelope.id), None)
            self._changed.set()

    async def all_answered(self) -> None:
        """Returns once no request waits. Cancelling is safe."""
        while self._ids:
            self._changed.clear()
            await self._changed.wait()

    def refuse_all(self, error: RelayError) -> list[bytes]:
        """Gives an error response for every request that waits, and forgets them.

        Args:
            error: Why none of them will be answered.
        """
        body = msgspec.json.encode(
            {"code": outside(error).jsonrpc_code, "message": error.message, "data": error.data}
        )
        ids, self._ids = self._ids, {}
        return [b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (request_id, body) for request_id in ids]


def _peek(message: bytes) -> _Envelope:
    try:
        return msgspec.json.decode(message, type=_Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Envelope()
