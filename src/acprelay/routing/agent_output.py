"""Routes what an agent writes: updates to the log, answers to who asked, asks to whom they concern.

The order of the agent's pipe is kept. What cannot be relayed is told to whoever waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from acprelay.errors import (
    AgentRefused,
    FrameTooLarge,
    MethodNotFound,
    RelayError,
    RemoteProtocolError,
)
from acprelay.routing.agent_link import AgentLink
from acprelay.routing.asks import Asks
from acprelay.routing.events import Oddities
from acprelay.routing.frames import error_reply
from acprelay.routing.publisher import Publisher
from acprelay.routing.requests import Outstanding, RequestLedger
from acprelay.routing.service_asks import ServiceAsks
from acprelay.routing.snapshot import Snapshot
from acprelay.routing.turn_taking import TurnTaking
from acprelay.wire import (
    Envelope,
    MessageKind,
    OversizedFrame,
    TruncatedEnvelope,
    bare,
    describe,
    peek,
    peek_refused_of_agent,
    peek_truncated,
    rewrite,
    update_kind,
)

_REQUEST, _, _RESPONSE = MessageKind  # a class is slower to ask for its members


class AgentOutput:
    """The router of one conversation's agent.

    Args:
        agent: The agent's name in the catalog, for messages.
        publisher: Writes the log and the lanes.
        requests: The requests that the agent has not answered.
        turns: Takes turns.
        asks: The open asks.
        services: The requests that the relay serves itself.
        snapshot: What is noted of the updates.
        link: The way to the agent.
        max_frame: The limit that an oversized frame went over, in bytes.

    Attributes:
        oddities: What went nowhere.
        snapshot_changed: Whether the snapshot changed since somebody set this to False.
    """

    def __init__(
        self,
        *,
        agent: str,
        publisher: Publisher,
        requests: RequestLedger,
        turns: TurnTaking,
        asks: Asks,
        services: ServiceAsks,
        snapshot: Snapshot,
        link: AgentLink,
        max_frame: int,
    ) -> None:
        self.oddities = Oddities()
        self.snapshot_changed = False
        self._agent = agent
        self._publisher = publisher
        self._requests = requests
        self._turns = turns
        self._asks = asks
        self._services = services
        self._snapshot = snapshot
        self._link = link
        self._max_frame = max_frame

    def receive(
        self, lines: list[bytes], oversized: Sequence[OversizedFrame], *, now: float
    ) -> bool:
        """Routes one batch.

        Args:
            lines: Lines as `LineSplitter` gives them, in order.
            oversized: What was skipped among them because it was over the limit.
            now: The time.

        Returns:
            Whether nothing but the log has changed: as it does by pieces of messages.
        """
        start = 0
        for skipped in oversized:
            self._receive_lines(lines[start : skipped.index], now)
            self._receive_oversized(skipped)
            start = skipped.index
        is_plain = self._receive_lines(lines[start:] if start else lines, now)
        self._publisher.flush()
        return is_plain and not oversized

    def refused(self, error: RelayError) -> None:
        """Takes note that what was last to be written to the agent could not be."""
        for minted in self._link.refuse(error):
            request = self._requests.settle(minted)
            if request is not None:
                self._fail(request, error)

    def _receive_lines(self, lines: list[bytes], now: float) -> bool:
        index, count, is_plain = 0, len(lines), True
        while index < count:
            taken, noted = self._publisher.publish_lines(lines, index)
            for kind, update in noted:
                self._observe(kind, update)
            index += taken
            if index < count:  # the line that ended them
                self._receive_line(bare(lines[index]), now)
                index, is_plain = index + 1, False
        return is_plain

    def _receive_line(self, line: bytes, now: float) -> None:
        try:
            envelope = peek(line)
        except RemoteProtocolError as error:
            self._note_noise(line)
            self._report_loss(peek_refused_of_agent(line), error)
            return
        if envelope.kind is _RESPONSE:
            self._receive_answer(envelope)
        elif envelope.kind is _REQUEST:
            self._receive_ask(envelope, now)
        elif (envelope.method or "").startswith("_acprelay/"):
            self._note_noise(line)  # these are the relay's words: clients rely on them
        elif envelope.method == "$/cancel_request":
            self._asks.withdraw(envelope.request_id or b"", now=now)
            self._services.withdraw(envelope.request_id or b"")
        elif envelope.body or not _is_array(envelope.member("params")):
            self._receive_notification(envelope)
        else:
            self._note_noise(line)  # an array of params has no room for a stamp

    def _note_noise(self, line: bytes) -> None:
        self.oddities.noise_lines += 1
        self.oddities.last_noise = line[:200]

    def _receive_ask(self, envelope: Envelope, now: float) -> None:
        if (envelope.method or "").startswith("_acprelay/"):
            error = MethodNotFound(method=envelope.method or "", hint="the name is the relay's own")
            self._link.send(error_reply(envelope.id or b"null", error))
            return
        if self._services.receive(envelope):
            return
        self._asks.receive(
            envelope,
            now=now,
            turn=self._turns.turn,
            owner=self._turns.owner,
            is_cancelling=self._turns.is_cancelling,
            own_session_id=self._link.session_id or "",
            client_request=lambda client, minted: self._requests.original(minted, client),
        )

    def _receive_notification(self, envelope: Envelope) -> None:
        own_session_id = self._link.session_id or ""
        kind = update_kind(envelope)
        update = None if kind is None else envelope.member("params", "update")
        if kind is not None and update is not None:
            if kind == "user_message_chunk" and self._turns.is_echo(update):
                return
            self._observe(kind, update, is_own=envelope.session_id == own_session_id)
        self._publisher.publish(envelope, own_session_id=own_session_id)

    def _observe(self, kind: str, update: bytes, *, is_own: bool = True) -> None:
        if is_own and self._snapshot.observe(kind, update):
            self.snapshot_changed = True
        else:
            self._asks.observe(kind, update)

    def _receive_answer(self, envelope: Envelope) -> None:
        request = self._requests.settle(envelope.id or b"")
        if request is None:
            self.oddities.dropped_answers += 1
        elif request.method == "session/prompt":
            self._turns.answered(request, envelope)
        else:
            if not envelope.is_error:
                self._note_success(request, envelope)
            names_session = "result.sessionId" in describe(request.method).session_ids
            session_id = self._publisher.public_id if names_session else None
            reply = rewrite(envelope, id=request.id, session_id=session_id)
            self._publisher.push(request.attachment_id, reply, reply_to=request.id)

    def _note_success(self, request: Outstanding, answer: Envelope) -> None:
        """Tells the others what a client has set, where the agent has not said it itself."""
        params = request.envelope.member("params") or b"null"
        update = None
        if request.method == "session/set_mode":
            update = self._snapshot.mode_was_set(params)
        elif request.method == "session/set_config_option":
            result = answer.member("result") or b"null"
            update = self._snapshot.config_was_set(params, result)
        elif request.method == "session/set_model":
            self._snapshot.model_was_set(params)
            self.snapshot_changed = True
        if update is not None:
            self.snapshot_changed = True
            self._publisher.publish_update(update, hidden_from=request.attachment_id)

    def _receive_oversized(self, skipped: OversizedFrame) -> None:
        error = FrameTooLarge(size=skipped.size, limit=self._max_frame)
        self._report_loss(peek_truncated(skipped.head, skipped.tail), error)
        self._publisher.publish_notice(error)

    def _report_loss(self, known: TruncatedEnvelope, error: RemoteProtocolError) -> None:
        """Tells whoever waits for a frame that cannot be relayed, as far as it can be known."""
        if known.id is None:
            return
        if known.kind is _REQUEST:
            self._link.send(error_reply(known.id, error))
        elif known.kind is _RESPONSE:
            request = self._requests.settle(known.id)
            if request is not None:
                self._fail(request, self._unusable(request, error))

    def _unusable(self, request: Outstanding, error: RemoteProtocolError) -> RelayError:
        if isinstance(error, FrameTooLarge):
            return error
        reason = f"a malformed message ({error.message})"
        return AgentRefused(agent=self._agent, method=request.method, reason=reason)

    def _fail(self, request: Outstanding, error: RelayError) -> None:
        if request.method == "session/prompt":
            self._turns.failed(error)
        else:
            reply = error_reply(request.id, error)
            self._publisher.push(request.attachment_id, reply, reply_to=request.id)


def _is_array(value: bytes | None) -> bool:
    return value is not None and value.startswith(b"[")
