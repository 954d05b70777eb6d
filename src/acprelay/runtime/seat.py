"""An attachment's way to a client over HTTP: which stream it takes, and what it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from acprelay.routing.attachment import Attachment
from acprelay.routing.lane import Entry, EntryKind
from acprelay.runtime.alarm import Alarm
from acprelay.wire.sse import messages


class Seat:
    """What an outbox keeps of an attachment.

    Args:
        attachment: Whose way it is.
        on_impatience: Called once the session's stream has been waited for in vain.

    Attributes:
        awaited: The raw ids of the client's requests whose answers go to the connection's stream.
        is_told: Whether the client knows that the session has something for it.
        is_held: Whether nothing is taken until the connection's stream has given an answer.
        is_by_connection: Whether what is due, up to the next such answer, goes by the connection's
            stream.
        has_begun: Whether some of what comes before such an answer has gone, so that the rest goes
            the same way, and the answer waits for that.
    """

    def __init__(self, *, attachment: Attachment, on_impatience: Callable[[Seat], None]) -> None:
        self.attachment = attachment
        self.awaited: set[bytes] = set()
        self.is_told = False
        self.is_held = False
        self.is_by_connection = False
        self.has_begun = False
        self._began = (attachment.cursor, attachment.given)
        self._patience = Alarm(on_due=lambda: on_impatience(self))
        self._retires = False
        self._then: Callable[[], None] | None = None

    def due_answer(self) -> Entry | None:
        """What is due next, if that is an answer that goes to the connection's stream."""
        entry = self.attachment.due_entry()
        if entry is None:
            return None
        is_awaited = entry.kind is EntryKind.REPLY and entry.tag in self.awaited
        return entry if is_awaited or entry.kind is EntryKind.LEAD else None

    @property
    def is_retired(self) -> bool:
        """Whether the attachment's last word has been taken."""
        return self._retires and not self.attachment.lane_bytes

    def wait_for_stream(self, patience_s: float) -> None:
        """Gives the session's stream some time to come."""
        self._patience.set(asyncio.get_running_loop().time() + patience_s)

    def begin_again(self) -> None:
        """Goes back to where the attachment was when it came, or was last replayed elsewhere.

        Raises:
            CursorExpired: What it was given since is no longer remembered.
        """
        if not self.is_by_connection:
            self.attachment.return_to(*self._began)

    def stream_came(self) -> None:
        """Goes by the session's stream, unless it is too late for that."""
        self._patience.set(None)
        if not self.has_begun:
            self.is_by_connection = False

    def take_answer(self, answer: Entry) -> bytes:
        """Takes the answer that is due; the way from here on is the session's stream.

        Returns:
            The message.
        """
        self.attachment.step(len(answer.frame))
        if answer.tag is not None:
            self.awaited.discard(answer.tag)
            # It is the connection's lane that remembers it.
            self.attachment.expect_reply(answer.tag)
        if self.is_by_connection:
            self._began = (self.attachment.cursor, self.attachment.given)
        self.is_by_connection = self.has_begun = False
        self._patience.set(None)
        [message] = messages(answer.frame)
        return message

    def retire(self, then: Callable[[], None] | None) -> None:
        """Lets the attachment go once its lane is empty."""
        self._retires = True
        self._then = then

    def leave(self) -> None:
        """Lets the attachment go, and says so to whoever retired it. Idempotent."""
        then = self._then
        self.forget()
        if then is not None:
            then()

    def forget(self) -> None:
        """Lets the attachment go: it is another connection's. Idempotent."""
        self._patience.set(None)
        self._then = None
