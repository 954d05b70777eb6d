"""The clients that are connected to one conversation: which connection has which attachment.

What a client is given when it comes, and what becomes of an attachment without a connection, is
decided by `Presence`; this joins it to connections.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict
from typing import Protocol

import msgspec

from acprelay.errors import RelayError
from acprelay.routing.access import Grant, Principal
from acprelay.routing.attachment import Attachment
from acprelay.routing.frames import loss_notice
from acprelay.routing.log import PublicLog
from acprelay.routing.presence import Presence
from acprelay.routing.records import Worktree
from acprelay.session.models import SessionKey
from acprelay.session.ports import IdGenerator
from acprelay.wire import Envelope, rewrite


class Client(Protocol):
    """The connection of a client that is present."""

    @property
    def principal(self) -> Principal:
        """Who the client is."""
        ...

    @property
    def serves(self) -> frozenset[str]:
        """Which of the methods for files and terminals it has said that it serves."""
        ...

    def flush(self, attachment: Attachment) -> None:
        """Writes what is due to it.

        Args:
            attachment: Its presence that something may be due to.
        """
        ...

    def sample(self, attachment: Attachment, read_at: float) -> None:
        """Measures how long it takes until it has been written what its log holds now.

        Args:
            attachment: Its presence.
            read_at: When the latest of that was read, by `time.perf_counter`.
        """
        ...

    def dispossess(self, attachment: Attachment) -> None:
        """Takes an attachment from it, at once: another connection has it."""
        ...

    def expel(self, attachment: Attachment) -> None:
        """Takes an attachment from it, once what its lane holds is written."""
        ...


class Attendance:
    """Attachments with their connections. Each way in gives the attachment that the client has.

    Args:
        key: The conversation.
        log: Its public log.
        presence: Its attachments.
        ids: Mints secrets.
        on_change: Called after something may have come of a client's going.
    """

    def __init__(
        self,
        *,
        key: SessionKey,
        log: PublicLog,
        presence: Presence,
        ids: IdGenerator,
        on_change: Callable[[], None],
    ) -> None:
        self._key = key
        self._session_id = str(key)
        self._log = log
        self._presence = presence
        self._ids = ids
        self._on_change = on_change
        self._clients: dict[Attachment, Client] = {}

    @property
    def has_clients(self) -> bool:
        """Whether anybody is connected."""
        return bool(self._clients)

    @property
    def has_prompters(self) -> bool:
        """Whether anybody is connected who may prompt."""
        return any(Grant.PROMPT in each.grants for each in self._clients)

    def principal_of(self, attachment_id: str) -> str | None:
        """The id of the principal whose client an attachment is; None where it was given up."""
        attachment = self._presence.find(attachment_id)
        return None if attachment is None else attachment.principal

    @property
    def count(self) -> int:
        """How many are connected."""
        return len(self._clients)

    def flush(self) -> None:
        """Has every connection write what is due."""
        for attachment, client in list(self._clients.items()):
            client.flush(attachment)

    @property
    def has_lanes(self) -> bool:
        """Whether something waits for one client alone."""
        return self._presence.has_lanes

    def sample(self, read_at: float) -> None:
        """Has every connection measure how long it takes to write what the log holds now."""
        for attachment, client in self._clients.items():
            client.sample(attachment, read_at)

    # -- coming

    def found(
        self,
        client: Client,
        attachment_id: str,
        answer: Envelope,
        request_id: bytes,
        *,
        worktree: Worktree | None = None,
    ) -> Attachment:
        """Brings in the client that opened the session.

        Args:
            client: Its connection.
            attachment_id: The id of its presence.
            answer: The agent's answer to `session/new`.
            request_id: The raw id of the client's request.
            worktree: Where the agent works, if that is a worktree of its own.
        """
        attachment = self._new(client, attachment_id)
        facts = self._presence.credentials(attachment, 0)
        if worktree is not None:
            facts["worktree"] = asdict(worktree)
        stamp = msgspec.json.encode(facts)
        reply = rewrite(answer, id=request_id, session_id=self._session_id, stamp=stamp)
        self._presence.open(attachment, reply)
        return self._admit(client, attachment)

    def load(self, client: Client, attachment: Attachment | str, request_id: bytes) -> Attachment:
        """Serves `session/load`.

        Args:
            client: Its connection.
            attachment: The client's presence, or the id for one.
            request_id: The raw id of its request.
        """
        attachment = self._present(client, attachment)
        self._presence.load(attachment, request_id)
        return self._admit(client, attachment)

    def resume(self, client: Client, attachment: Attachment | str, request_id: bytes) -> Attachment:
        """Serves `session/resume`.

        Args:
            client: Its connection.
            attachment: The client's presence, or the id for one.
            request_id: The raw id of its request.
        """
        attachment = self._present(client, attachment)
        self._presence.resume(attachment, request_id)
        return self._admit(client, attachment)

    def attach(
        self, client: Client, attachment_id: str, request_id: bytes, *, after: str
    ) -> Attachment:
        """Serves `_acprelay/attach` for a new attachment.

        Args:
            client: Its connection.
            attachment_id: The id of its presence.
            request_id: The raw id of its request.
            after: `generation:seq` of the last entry it has seen, or `start`.

        Raises:
            InvalidParams: The position cannot be read.
            CursorExpired: The log does not reach it.
        """
        place = self._presence.locate(after)
        attachment = self._new(client, attachment_id)
        self._presence.attach(attachment, request_id, after=place)
        return self._admit(client, attachment)

    def adopt(
        self,
        client: Client,
        attachment_id: str,
        secret: str,
        request_id: bytes,
        *,
        after: str | None,
        pending: Collection[bytes] | None,
    ) -> Attachment:
        """Serves `_acprelay/attach` for an attachment that another connection had.

        Args:
            client: Its new connection.
            attachment_id: Which attachment.
            secret: Its secret.
            request_id: The raw id of its request.
            after: `generation:seq` of the last entry it has seen; None for all it was given.
            pending: The raw ids of the requests that it waits for; None where it does not say.

        Raises:
            Forbidden: There is no such attachment, the secret is another one, or it is of another
                principal.
            LimitReached: It has no connection, and as many clients are there as may be.
            InvalidParams: The position cannot be read.
            CursorExpired: The log does not reach it.
        """
        place = None if after is None else self._presence.locate(after)
        attachment = self._presence.adopt(
            attachment_id,
            secret,
            request_id,
            principal=client.principal.id,
            after=place,
            pending=pending,
        )
        former = self._clients.pop(attachment, None)
        if former is not None:
            former.dispossess(attachment)
        return self._admit(client, attachment)

    def reply(self, attachment: Attachment, reply: bytes, request_id: bytes) -> bool:
        """Answers a client that may have lost its connection, or have another one.

        Args:
            attachment: Its presence.
            reply: The response.
            request_id: The raw id of its request.

        Returns:
            Whether the client has not been let go.
        """
        if self._presence.find(attachment.id) is None:
            return False
        attachment.push(reply, reply_to=request_id)
        client = self._clients.get(attachment)
        if client is not None:
            client.flush(attachment)
        return True

    # -- going

    def lose(self, attachment: Attachment, *, now: float) -> None:
        """Takes note that a client's connection is lost; nothing changes for the agent."""
        if self._clients.pop(attachment, None) is not None:
            self._presence.lose(attachment.id, now=now)
            self._on_change()

    def leave(self, attachment: Attachment) -> None:
        """Lets a client go that will not come back. Idempotent."""
        self._clients.pop(attachment, None)
        self._presence.give_up(attachment.id)
        self._on_change()

    def dismiss(self, why: RelayError) -> None:
        """Lets every client go: the conversation is no longer there.

        Args:
            why: What they are told.
        """
        clients, self._clients = self._clients, {}
        for attachment, client in clients.items():
            attachment.push(loss_notice(self._session_id, self._log.generation, why))
            attachment.is_blind = True  # there is no log any more
            client.expel(attachment)
            self._presence.give_up(attachment.id)

    def _present(self, client: Client, attachment: Attachment | str) -> Attachment:
        return self._new(client, attachment) if isinstance(attachment, str) else attachment

    def _new(self, client: Client, attachment_id: str) -> Attachment:
        return Attachment(
            id=attachment_id,
            secret=self._ids.mint(),
            session_id=self._session_id,
            log=self._log,
            cursor=0,
            principal=client.principal.id,
            grants=client.principal.grants_for(self._key),
        )

    def _admit(self, client: Client, attachment: Attachment) -> Attachment:
        self._clients[attachment] = client
        # What is asked for is said to the agent, as a prompt is.
        is_heard = Grant.PROMPT in attachment.grants
        attachment.serves = client.serves if is_heard else frozenset()
        return attachment
