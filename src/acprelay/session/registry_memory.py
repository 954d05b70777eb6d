"""Holds the live references of sessions in a dictionary; knows nothing of what they refer to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic

from acprelay.errors import SessionExists
from acprelay.session.models import AgentT, AttachmentT, Handle, SessionKey


class MemoryRegistry(Generic[AgentT, AttachmentT]):
    """A `ConnectionRegistry` for one process, and its event loop's thread alone."""

    def __init__(self) -> None:
        self._handles: dict[SessionKey, Handle[AgentT, AttachmentT]] = {}

    def register(self, key: SessionKey, handle: Handle[AgentT, AttachmentT]) -> None:
        """Hold a handle under a key.

        Raises:
            SessionExists: There is one already.
        """
        if key in self._handles:
            raise SessionExists(key=str(key))
        self._handles[key] = handle

    def get(self, key: SessionKey) -> Handle[AgentT, AttachmentT] | None:
        """Return the handle under a key, if there is one."""
        return self._handles.get(key)

    def unregister(self, key: SessionKey) -> None:
        """Let go of the handle under a key, if there is one."""
        self._handles.pop(key, None)

    def __len__(self) -> int:
        return len(self._handles)

    def __iter__(self) -> Iterator[SessionKey]:
        return iter(tuple(self._handles))
