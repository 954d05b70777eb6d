"""One session's router: an agent's frames go to log, lanes or back; clients' frames, to the agent.

Values in, values out: `receive_agent` and `receive_client` take what peers sent;
`take_agent_output` and `take_events` give what is to be written and what has happened, each thing
once; attachments give what is due to clients. There is no clock, no socket and no process here, and
no lifecycle: whoever owns a conversation brings those.

The order of an agent's pipe is kept: a reply goes behind the updates that were written before it,
and nothing reaches a client before the reply that tells it the session's id.
"""

from __future__ import annotations

from collections.abc import Sequence

from acprelay.errors import (
    AgentRefused,
    FrameTooLarge,
    RelayError,
    RemoteProtocolError,
)
from acprelay.routing.asks import Asks
from acprelay.routing.attachment import Attachment
from acprelay.routing.events import Event, Oddities, OpeningRefused, SessionOpened
from acprelay.routing.frames import cancel_request, error_reply, result_reply
from acprelay.routing.publisher import Publisher
from acprelay.routing.requests import AskLedger, Outstanding, RequestLedger
from acprelay.wire import (
    Envelope,
    MessageKind,
    OversizedFrame,
    TruncatedEnvelope,
    describe,
    peek,
    peek_refused,
    peek_truncated,
    rewrite,
    to_line,
)


class Conversation:
    """The router of one session.

    Args:
        agent_name: The agent's name in the catalog, for messages.
        publisher: Writes the session's log and lanes.
        asks: The open asks.
        requests: The requests that the agent has not answered.
        max_frame: The limit that an oversized frame went over, in bytes.
    """

    def __init__(
        self,
        *,
        agent_name: str,
        publisher: Publisher,
        asks: AskLedger,
        requests: RequestLedger,
        max_frame: int,
    ) -> None:
        self.oddities = Oddities()
        self._agent_name = agent_name
        self._publisher = publisher
        self._asks = Asks(
            ledger=asks, requests=requests, publisher=publisher, to_agent=self._to_agent
        )
        self._requests = requests
        self._max_frame = max_frame
        self._agent_session_id: str | None = None
        self._failure: RelayError | None = None
        self._early: list[bytes] = []
        self._early_bytes = 0
        self._agent_output: list[bytes] = []
        self._events: list[Event] = []

    def take_agent_output(self) -> bytes:
        """Gives the lines that are to be written to the agent, once."""
        output, self._agent_output = self._agent_output, []
        return b"".join(output)

    def take_events(self) -> list[Event]:
        """Gives what has happened since the last call."""
        events, self._events = self._events, []
        return events

    @property
    def unread_bytes(self) -> int:
        """How much waits for the slowest client, and for the opening."""
        return self._publisher.unread_bytes + self._early_bytes

    # -- the agent's side

    def receive_agent(self, lines: list[bytes], oversized: Sequence[OversizedFrame] = ()) -> None:
        """Routes one batch of what the agent wrote; drops it once the session is over.

        Args:
            lines: Whole lines, in order.
            oversized: What was skipped among them because it was over the limit.
        """
        if self._failure is not None:
            return
        start = 0
        for skipped in oversized:
            self._receive_lines(lines[start : skipped.index])
            self._receive_oversized(skipped)
            start = skipped.index
        self._receive_lines(lines[start:] if start else lines)
        self._publisher.flush()
        self._publisher.trim()

    def fail(self, error: RelayError) -> None:
        """Tells everybody that the session is over: requests in flight fail, open asks close.

        Only the first call does something.

        Args:
            error: Why; it answers every request in flight, refuses later ones, and stands in the
                log as a notice.
        """
        if self._failure is not None:
            return
        self._failure = error
        if self._agent_session_id is not None:
            self._publisher.publish_notice(error)
        for request in self._requests.settle_all():
            self._answer(request, error_reply(request.id, error))
        self._asks.close()
        self._publisher.flush()

    def _receive_lines(self, lines: list[bytes]) -> None:
        if self._agent_session_id is None:
            lines = self._receive_before_opening(lines)
        index = 0
        while index < len(lines):
            taken = self._publisher.publish_lines(lines, index)
            if not taken:
                self._receive_line(lines[index])
            index += taken or 1

    def _receive_before_opening(self, lines: list[bytes]) -> list[bytes]:
        """Keeps notifications until the session's id is known; then gives what is to be routed."""
        for index, line in enumerate(lines):
            envelope = self._peek(line)
            if envelope is None:
                continue
            if envelope.kind is MessageKind.NOTIFICATION:
                self._early.append(line)
                self._early_bytes += len(line)
            elif envelope.kind is MessageKind.REQUEST:
                self._asks.refuse(envelope)
            else:
                self._receive_answer(envelope)
                if self._agent_session_id is not None:
                    early, self._early, self._early_bytes = self._early, [], 0
                    return early + lines[index + 1 :]
        return []

    def _receive_line(self, line: bytes) -> None:
        envelope = self._peek(line)
        if envelope is None:
            return
        if envelope.kind is MessageKind.RESPONSE:
            self._receive_answer(envelope)
        elif envelope.kind is MessageKind.REQUEST:
            self._asks.receive(envelope)
        elif envelope.method == "$/cancel_request":
            self._asks.withdraw(envelope.request_id or b"")
        else:
            self._publisher.publish(envelope, own_session_id=self._agent_session_id or "")

    def _peek(self, line: bytes) -> Envelope | None:
        try:
            return peek(line)
        except RemoteProtocolError as error:
            self.oddities.noise_lines += 1
            self.oddities.last_noise = line[:200]
            self._report_loss(peek_refused(line), error)
            return None

    def _receive_oversized(self, skipped: OversizedFrame) -> None:
        error = FrameTooLarge(size=skipped.size, limit=self._max_frame)
        self._report_loss(peek_truncated(skipped.head, skipped.tail), error)
        if self._agent_session_id is not None:
            self._publisher.publish_notice(error)

    def _report_loss(self, known: TruncatedEnvelope, error: RemoteProtocolError) -> None:
        """Tells whoever waits for a frame that cannot be relayed, as far as it can be known."""
        if known.id is None:
            return
        if known.kind is MessageKind.REQUEST:
            self._to_agent(error_reply(known.id, error))
        elif known.kind is MessageKind.RESPONSE:
            request = self._requests.settle(known.id)
            if request is not None:
                self._answer(request, error_reply(request.id, self._unusable(request, error)))

    def _unusable(self, request: Outstanding, error: RemoteProtocolError) -> RelayError:
        if isinstance(error, FrameTooLarge):
            return error
        reason = f"a malformed message ({error.message})"
        return AgentRefused(agent=self._agent_name, method=request.method, reason=reason)

    def _receive_answer(self, envelope: Envelope) -> None:
        request = self._requests.settle(envelope.id or b"")
        if request is None:
            self.oddities.dropped_answers += 1
        elif request.method == "session/new" and not envelope.is_error:
            self._receive_opening(request, envelope)
        else:
            names_session = "result.sessionId" in describe(request.method).session_ids
            session_id = self._publisher.public_id if names_session else None
            self._answer(request, rewrite(envelope, id=request.id, session_id=session_id))

    def _receive_opening(self, request: Outstanding, envelope: Envelope) -> None:
        if not envelope.session_id:
            error = AgentRefused(
                agent=self._agent_name, method="session/new", reason="a result without sessionId"
            )
            self._answer(request, error_reply(request.id, error))
            return
        self._agent_session_id = envelope.session_id
        reply = rewrite(envelope, id=request.id, session_id=self._publisher.public_id)
        self._events.append(SessionOpened(reply))

    def _answer(self, request: Outstanding, reply: bytes) -> None:
        if request.method == "session/new":
            self._events.append(OpeningRefused(reply))
        else:
            self._publisher.push(request.attachment_id, reply)

    # -- the clients' side

    def attach(self, attachment: Attachment) -> None:
        """Adds a client; it is given nothing until `Attachment.admit` is called."""
        self._publisher.attachments[attachment.id] = attachment

    def detach(self, attachment_id: str) -> None:
        """Lets a client go: answers to it settle nothing, its open asks go to whoever is left."""
        self._publisher.attachments.pop(attachment_id, None)
        self._requests.forget(attachment_id)
        self._asks.hand_over(attachment_id)

    def receive_client(self, attachment_id: str, envelope: Envelope) -> None:
        """Sends a client's request or notification to the agent.

        Raises:
            InvalidRequest: The client still waits for a request with this id.
            RelayError: The session is over; the error that `fail` was given.
        """
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        minted = None
        if envelope.kind is MessageKind.REQUEST:
            minted = self._requests.add(
                Outstanding(attachment_id, envelope.id or b"null", envelope.method or "")
            )
        self._to_agent(
            rewrite(envelope, id=minted, session_id=self._agent_session_id, strip_stamp=True)
        )

    def forget_request(self, attachment_id: str, envelope: Envelope) -> None:
        """Takes back a client's request that could not be written to the agent."""
        if envelope.kind is MessageKind.REQUEST:
            minted = self._requests.minted(attachment_id, envelope.id or b"null")
            self._requests.settle(minted or b"")

    def receive_ask_answer(self, attachment_id: str, envelope: Envelope) -> bool:
        """Gives a client's answer to the agent.

        Returns:
            Whether this client was asked that, and has not answered yet.
        """
        return self._asks.answer(attachment_id, envelope)

    def cancel_client_request(self, attachment_id: str, request_id: bytes) -> bool:
        """Passes a client's `$/cancel_request` on.

        Returns:
            Whether that request is in flight here.
        """
        minted = self._requests.minted(attachment_id, request_id)
        if minted is not None:
            self._to_agent(cancel_request(minted))
        return minted is not None

    def cancel_turns(self) -> None:
        """Answers every prompt in flight with `cancelled` (ACP, "Prompt Turn": cancellation)."""
        for request in self._requests.settle_all("session/prompt"):
            self._answer(request, result_reply(request.id, {"stopReason": "cancelled"}))

    def _to_agent(self, message: bytes) -> None:
        self._agent_output.append(to_line(message))
