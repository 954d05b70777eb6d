"""Who is present in a conversation: attachments come, lose their connections, return, are given up.

Each way in is one synchronous step, so that no entry of the log falls between what a client is
given of the past and what it is given live. The reply to a client's request goes through its lane,
which orders it: behind the replay for `session/load`, before everything for `session/resume` (ACP,
"Loading Sessions", "Resuming Sessions").
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from operator import attrgetter
from typing import Any

import msgspec

from acprelay.errors import CursorExpired, Forbidden, LimitReached
from acprelay.routing.asks import Asks
from acprelay.routing.attachment import Attachment
from acprelay.routing.frames import loss_notice, result_reply, session_update
from acprelay.routing.log import Position
from acprelay.routing.publisher import Publisher
from acprelay.routing.snapshot import Snapshot

_MOST_ABSENT = 64
_lane_bytes = attrgetter("lane_bytes")


class Presence:
    """The attachments of one conversation.

    Args:
        publisher: Has the attachments, and the log.
        asks: Are offered to whoever comes.
        snapshot: What those need to know who do not read the log from its start.
        most: How many clients may be connected.
        linger_s: How long an attachment outlives its connection.
    """

    def __init__(
        self,
        *,
        publisher: Publisher,
        asks: Asks,
        snapshot: Snapshot,
        most: int,
        linger_s: float,
    ) -> None:
        self._publisher = publisher
        self._asks = asks
        self._snapshot = snapshot
        self._most = most
        self._linger_s = linger_s
        self._until: dict[str, float] = {}

    @property
    def deadline_at(self) -> float | None:
        """When the next attachment is to be given up."""
        return next(iter(self._until.values())) if self._until else None

    @property
    def is_awaited(self) -> bool:
        """Whether an attachment without a connection may still be adopted."""
        return bool(self._until)

    @property
    def has_lanes(self) -> bool:
        """Whether something waits for one connected client alone."""
        return any(map(_lane_bytes, self._publisher.attachments.values()))

    def find(self, attachment_id: str) -> Attachment | None:
        """An attachment, connected or not; None once it is given up."""
        return self._publisher.find(attachment_id)

    # -- coming

    def open(self, attachment: Attachment, reply: bytes) -> None:
        """Brings in the client that opened the session; it gets everything from the start.

        Args:
            attachment: Its presence, at the start of the log.
            reply: The response to its `session/new`; it comes before everything else.
        """
        attachment.lead(reply)
        self._enter(attachment)

    def load(self, attachment: Attachment, request_id: bytes) -> None:
        """Gives a client the whole log, then the reply, then what is open.

        Args:
            attachment: A new one, or one that is present, which reads everything once more.
            request_id: The raw id of its request.

        Raises:
            LimitReached: As many clients are there as may be.
        """
        self._check_room(attachment)
        self._publisher.flush()
        start = attachment.log.start
        if attachment.id in self._publisher.attachments:
            attachment.rewind(start)
        else:
            attachment.cursor = start
        if start:
            error = CursorExpired(oldest=str(attachment.log.position(start)))
            notice = loss_notice(self._publisher.public_id, attachment.log.generation, error)
            attachment.push(notice, barrier=start)
        self._reply(attachment, request_id, self._snapshot.result_members())
        if start:
            self._give_snapshot(attachment)
        self._enter(attachment)

    def resume(self, attachment: Attachment, request_id: bytes) -> None:
        """Gives a client the reply, the snapshot, and what is open; then what comes.

        Args:
            attachment: A new one, or one that is present.
            request_id: The raw id of its request.

        Raises:
            LimitReached: As many clients are there as may be.
        """
        self._check_room(attachment)
        self._publisher.flush()
        if attachment.id not in self._publisher.attachments:
            attachment.cursor = attachment.log.head
        else:
            # Should it lose sight of the log on its way to here, it sees again from here on.
            attachment.rewind(attachment.log.head)
        self._reply(attachment, request_id, self._snapshot.result_members())
        self._give_snapshot(attachment)
        self._enter(attachment)

    def attach(self, attachment: Attachment, request_id: bytes, *, after: int) -> None:
        """Gives a client the reply, then the log from a place on, then what is open.

        Args:
            attachment: A new one.
            request_id: The raw id of its request.
            after: The place.

        Raises:
            LimitReached: As many clients are there as may be.
        """
        self._check_room(attachment)
        self._publisher.flush()
        attachment.cursor = after
        attachment.lead(self._result(attachment, request_id, {}, place=after))
        self._enter(attachment)

    def adopt(
        self,
        attachment_id: str,
        secret: str,
        request_id: bytes,
        *,
        principal: str,
        after: int | None,
        pending: Collection[bytes] | None,
    ) -> Attachment:
        """Lets a connection take over an attachment, with all that it has not seen.

        Args:
            attachment_id: Which one; its connection may be lost, or only seem to be there.
            secret: Its secret.
            request_id: The raw id of the client's request.
            principal: The id of whoever adopts it.
            after: The place of the last entry that the client has seen; None for all it was given.
            pending: The raw ids of the requests that it waits for; None where it does not say.

        Raises:
            Forbidden: There is no such attachment, the secret is another one, or it is of another
                principal.
            LimitReached: It has no connection, and as many clients are there as may be.
            CursorExpired: It was given more of its own behind that place than is remembered.
        """
        attachment = self._publisher.find(attachment_id)
        known = attachment.secret if attachment is not None else ""
        is_known = hmac.compare_digest(known.encode(), secret.encode())
        if attachment is None or not is_known or attachment.principal != principal:
            raise Forbidden(
                "cannot adopt that attachment: it was given up, or the secret is another one",
                hint="attach anew, after the last position you have seen",
            )
        self._check_room(attachment)
        self._publisher.flush()
        attachment.go_back(attachment.cursor if after is None else after, pending)
        attachment.lead(self._result(attachment, request_id, {}, place=attachment.cursor))
        self._until.pop(attachment_id, None)
        self._publisher.absent.pop(attachment_id, None)
        self._enter(attachment)
        return attachment

    # -- going

    def lose(self, attachment_id: str, *, now: float) -> None:
        """Takes note that a client's connection is lost; it may come back for a while."""
        attachment = self._publisher.attachments.pop(attachment_id, None)
        if attachment is None:
            return
        self._publisher.absent[attachment_id] = attachment
        self._until[attachment_id] = now + self._linger_s
        while len(self._until) > _MOST_ABSENT:
            self.give_up(next(iter(self._until)))
        self.tick(now)

    def give_up(self, attachment_id: str) -> None:
        """Lets a client go for good: what it waits for goes nowhere. Idempotent."""
        gone = self._publisher.attachments.pop(attachment_id, None)
        gone = self._publisher.absent.pop(attachment_id, gone)
        self._until.pop(attachment_id, None)
        if gone is not None:
            self._asks.left(attachment_id)
            self._publisher.flush()

    def forsake(self, principal: str) -> None:
        """Gives up every attachment of a principal that has no connection. Idempotent.

        Args:
            principal: The principal's id.
        """
        absent = self._publisher.absent
        for attachment_id in [name for name, each in absent.items() if each.principal == principal]:
            self.give_up(attachment_id)

    def tick(self, now: float) -> None:
        """Gives up the attachments that nobody has come back for."""
        for attachment_id in [each for each, until in self._until.items() if until <= now]:
            self.give_up(attachment_id)

    def locate(self, after: str) -> int:
        """Reads the place that a client names.

        Args:
            after: `generation:seq`, or `start`.

        Raises:
            InvalidParams: It is neither.
            CursorExpired: The log does not reach it.
        """
        self._publisher.flush()
        log = self._publisher.log
        if after != "start":
            return log.locate(Position.parse(after))
        if log.start:
            raise CursorExpired(oldest=str(log.position(log.start)))
        return 0

    def _check_room(self, attachment: Attachment) -> None:
        present = self._publisher.attachments
        if len(present) >= self._most and attachment.id not in present:
            raise LimitReached(
                limit="the clients of a session", most=self._most, setting="session-clients"
            )

    # -- what they are told

    def _enter(self, attachment: Attachment) -> None:
        self._publisher.attachments.setdefault(attachment.id, attachment)
        self._asks.attached(attachment.id)

    def _reply(
        self, attachment: Attachment, request_id: bytes, members: dict[str, msgspec.Raw]
    ) -> None:
        attachment.expect_reply(request_id)
        place = self._publisher.log.head
        reply = self._result(attachment, request_id, members, place=place)
        attachment.push(reply, reply_to=request_id)

    def _result(
        self,
        attachment: Attachment,
        request_id: bytes,
        members: dict[str, msgspec.Raw],
        *,
        place: int,
    ) -> bytes:
        meta = {"acprelay": self.credentials(attachment, place)}
        return result_reply(request_id, {**members, "_meta": meta})

    def credentials(self, attachment: Attachment, place: int) -> dict[str, Any]:
        """What a client is told of its attachment.

        Args:
            attachment: Which one.
            place: Where in the log it is told so.
        """
        return {
            "attachment": attachment.id,
            "secret": attachment.secret,
            "position": str(self._publisher.log.position(place)),
        }

    def _give_snapshot(self, attachment: Attachment) -> None:
        meta = msgspec.json.encode({"generation": attachment.log.generation, "snapshot": True})
        for update in self._snapshot.updates():
            attachment.push(session_update(self._publisher.public_id, update, stamp=meta))
