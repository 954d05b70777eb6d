"""What the runtime needs of its surroundings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from acprelay.errors import RelayError
from acprelay.routing.attachment import Attachment
from acprelay.routing.invitations import Invitation
from acprelay.routing.log import PublicLog
from acprelay.routing.records import ConversationRecord, Worktree
from acprelay.routing.tokens import Token
from acprelay.session.models import SessionKey


class Outlet(Protocol):
    """A client's socket, as far as writing goes."""

    @property
    def writing_paused(self) -> bool:
        """Whether the transport holds more than its high-water mark."""
        ...

    def write(self, data: bytes) -> None:
        """Hands bytes to the transport at once; does nothing after the connection is lost."""
        ...

    async def drain(self) -> None:
        """Returns once writing is no longer paused.

        Cancelling it is safe.

        Raises:
            ConnectionError: The connection is lost.
        """
        ...


class ClientWriter(Protocol):
    """Writes what is due to one client, over whatever it is connected by."""

    @property
    def lane_bytes(self) -> int:
        """How much waits that belongs to no session."""
        ...

    def say(self, message: bytes, *, session_id: str | None = None) -> None:
        """Writes a JSON-RPC message that belongs to no attachment.

        Args:
            message: The message.
            session_id: The session that it is about, if the client may be in it.
        """
        ...

    def add(
        self, attachment: Attachment, *, request_id: bytes | None = None, is_told: bool = False
    ) -> None:
        """Begins to write what is due to an attachment. Idempotent.

        Args:
            attachment: Which one.
            request_id: The raw id of the request that brings it in, where its answer comes behind
                what is before it in the lane.
            is_told: Whether that answer says which session it is.
        """
        ...

    def remove(self, attachment: Attachment) -> None:
        """Stops writing what is due to an attachment, at once. Idempotent."""
        ...

    def retire(self, attachment: Attachment, *, then: Callable[[], None] | None = None) -> None:
        """Stops writing what is due to an attachment once its lane is empty.

        Args:
            attachment: Which one.
            then: Called after that, and also if the writer is closed before.
        """
        ...

    def sample(self, attachment: Attachment, read_at: float) -> None:
        """Measures how long it takes until an attachment has been written what its log holds now.

        Where that is being measured already, it goes on.

        Args:
            attachment: Which one.
            read_at: When the latest of that was read, by `time.perf_counter`.
        """
        ...

    def flush(self, attachment: Attachment | None = None) -> None:
        """Writes what is due, as far as there is room.

        Args:
            attachment: The only one, of those that were added, that anything new can be due to;
                None where that may be any.
        """
        ...

    def close(self) -> None:
        """Writes nothing any more, and lets go of what waits. Idempotent."""
        ...

    async def run(self) -> None:
        """Does what goes on beside all that; may be cancelled.

        Raises:
            ConnectionError: The connection is lost.
        """
        ...


class AgentSocketConnection(Protocol):
    """What a socket of an agent that has dialled in belongs to, as far as the socket goes."""

    def receive(self, message: bytes) -> None:
        """Takes a message that came.

        Raises:
            RemoteProtocolError: It breaks the rules: close the socket.
        """
        ...

    async def room(self) -> None:
        """Returns once the next message can be taken. Cancelling is safe."""
        ...

    async def outgoing(self) -> Sequence[bytes]:
        """Gives what is to be sent next; nothing once the socket is to be closed."""
        ...

    def lost(self) -> None:
        """Takes note that the socket has ended. Idempotent."""
        ...


class ConversationStore(Protocol):
    """Keeps conversations: their records, their public logs, and what was decided in them.

    Nothing here blocks for longer than a local file takes; what is given to be written is written
    soon, in the order it was given, and survives the end of this process from then on.
    """

    @property
    def backlog_bytes(self) -> int:
        """How much of what was given is not written yet."""
        ...

    def records(self) -> Sequence[ConversationRecord]:
        """Gives every conversation there is, as it was saved last; for the start of a relay."""
        ...

    def save(self, record: ConversationRecord) -> None:
        """Keeps a record in place of the one before; of several in a row the last is enough."""
        ...

    def open_log(
        self,
        key: SessionKey,
        *,
        on_relief: Callable[[], None],
        on_trouble: Callable[[RelayError], None],
        is_new: bool = False,
    ) -> PublicLog:
        """Opens a conversation's log, which begins a new generation of it.

        To be called once until `close_log`. Neither callback is called before it has returned.

        Args:
            key: The conversation.
            on_relief: Called on the event loop when the log is no longer congested.
            on_trouble: Called on the event loop when the log can no longer be stored, or part of it
                proves to be damaged; the log goes on in memory.
            is_new: Whether the conversation begins now: nothing that is left of an earlier one of
                its name belongs to it.

        Raises:
            StoreError: What is stored cannot be read at all.
        """
        ...

    def close_log(self, key: SessionKey) -> None:
        """Lets go of what a log holds in memory, once it is written. Idempotent."""
        ...

    def sync(self, key: SessionKey) -> None:
        """Has what was given so far of a conversation written through to the disk, soon."""
        ...

    def audit(self, entry: bytes) -> None:
        """Adds one line of JSON to the record of decisions, which is never rewritten."""
        ...

    async def delete(self, key: SessionKey) -> None:
        """Removes a conversation with its log. Idempotent; the log is closed."""
        ...

    def flush(self) -> Awaitable[None]:
        """Has all that was given before written at once, whether it is awaited or not.

        Returns:
            What ends once it is written.
        """
        ...


class Worktrees(Protocol):
    """Makes git worktrees for sessions."""

    async def create(self, key: SessionKey, cwd: str) -> Worktree:
        """Makes a branch and a worktree for a session.

        Cancelling is safe: the call returns once nothing of it is left.

        Args:
            key: The session; names both.
            cwd: A directory of the project.

        Raises:
            WorkspaceError: It cannot be made; nothing is left behind.
        """
        ...

    async def occupy(self, worktree: Worktree) -> Callable[[], None]:
        """Keeps a worktree from being removed while an agent works in it. Cancelling is safe.

        Returns:
            What ends that, to be called once; the end of this process ends it, too.
        """
        ...

    async def discard(self, worktree: Worktree) -> str | None:
        """Removes a worktree and its branch, unless there is work in it. Idempotent.

        Returns:
            None where it is gone; else why it is kept, in words.

        Raises:
            WorkspaceError: It cannot be removed.
        """
        ...


class InvitationStore(Protocol):
    """Keeps invitations."""

    def load(self) -> Sequence[Invitation]:
        """Gives what was saved last.

        Raises:
            ConfigError: It cannot be read.
        """
        ...

    def save(self, invitations: Sequence[Invitation]) -> None:
        """Keeps invitations in place of those before; may block for as long as a disk takes.

        Raises:
            Unavailable: They cannot be stored.
        """
        ...


class TokenStore(Protocol):
    """Keeps tokens."""

    def load(self) -> Sequence[Token]:
        """Gives what was saved last.

        Raises:
            ConfigError: It cannot be read.
        """
        ...

    def save(self, tokens: Sequence[Token]) -> None:
        """Keeps tokens in place of those before; may block for as long as a disk takes.

        Raises:
            Unavailable: They cannot be stored.
        """
        ...
