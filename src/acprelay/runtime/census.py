"""Counts what a relay has at one moment: conversations, turns, clients, and what waits where."""

from __future__ import annotations

from typing import Never

from acprelay.runtime.archive import Archive
from acprelay.runtime.clients import ConnectedClients
from acprelay.runtime.measurements import Levels
from acprelay.runtime.ports import ConversationStore
from acprelay.session.ports import SessionManager


class RelayCensus:
    """Looks at a relay's parts.

    Args:
        manager: Counts runs.
        archive: Has the conversations.
        clients: Who is connected.
        store: Has what is not written yet.
    """

    def __init__(
        self,
        *,
        manager: SessionManager[Never],
        archive: Archive,
        clients: ConnectedClients,
        store: ConversationStore,
    ) -> None:
        self._manager = manager
        self._archive = archive
        self._clients = clients
        self._store = store

    async def __call__(self) -> Levels:
        """Looks.

        Raises:
            StoreError: The sessions are out of reach.
        """
        runs = await self._manager.state_counts()
        loads = [driver.workload for driver in self._archive.drivers()]
        return Levels(
            runs=runs,
            conversations=self._archive.count,
            turns=sum(load.is_in_turn for load in loads),
            queued_prompts=sum(load.queued_prompts for load in loads),
            open_asks=sum(load.open_asks for load in loads),
            connections=self._clients.count,
            attachments=sum(load.clients for load in loads),
            lane_bytes=self._clients.backlog_bytes,
            log_bytes=self._store.backlog_bytes,
            stdin_bytes=sum(load.stdin_bytes for load in loads),
        )
