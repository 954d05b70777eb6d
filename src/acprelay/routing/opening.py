"""An agent that opens its session: from the relay's request until the agent's answer.

The request is `session/new`, or `session/resume` or `session/load` where an earlier run is taken
up. What an agent says before it answers belongs to the conversation, but nobody may see it before
the session's id: it is kept, or, where an agent replays what the log already has, only noted in the
snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from acprelay.errors import AgentRefused, MethodNotFound, RelayError, RemoteProtocolError
from acprelay.routing.frames import error_reply
from acprelay.routing.snapshot import Snapshot
from acprelay.wire import (
    Envelope,
    MessageKind,
    OversizedFrame,
    TruncatedEnvelope,
    bare,
    peek,
    peek_refused_of_agent,
    peek_truncated,
    to_line,
    update_kind,
)


class SessionOpening:
    """Reads an agent's output up to the answer to one request.

    Args:
        agent: The agent's name in the catalog, for messages.
        request_id: The raw id of the request.
        method: What was asked.
        own_session_id: What the agent calls the session; None where it is new.
        snapshot: Takes note of a replay; None keeps what the agent says, for the log.
        most_kept: How many bytes are kept.

    Attributes:
        answer: The agent's answer, once it is there.
        failure: Why there will be none.
        kept: Lines that the agent wrote around its answer, and that the conversation is to have.
        skipped: What was skipped among those, as it is over the limit.
    """

    def __init__(
        self,
        *,
        agent: str,
        request_id: bytes,
        method: str,
        own_session_id: str | None,
        snapshot: Snapshot | None,
        most_kept: int,
    ) -> None:
        self.answer: Envelope | None = None
        self.failure: RelayError | None = None
        self.kept: list[bytes] = []
        self.skipped: list[OversizedFrame] = []
        self._agent = agent
        self._request_id = request_id
        self._method = method
        self._own_session_id = own_session_id
        self._snapshot = snapshot
        self._most_kept = most_kept
        self._kept_bytes = 0
        self._output: list[bytes] = []

    @property
    def is_over(self) -> bool:
        """Whether the agent has answered, or cannot any more."""
        return self.answer is not None or self.failure is not None

    def take_agent_output(self) -> bytes:
        """Gives the lines that are to be written to the agent, once."""
        output, self._output = self._output, []
        return b"".join(output)

    def receive(self, lines: list[bytes], oversized: Sequence[OversizedFrame]) -> None:
        """Reads lines until the answer, and keeps those after it.

        Args:
            lines: Lines as `LineSplitter` gives them.
            oversized: What was skipped among them, as it is over the limit.
        """
        start = 0
        for skipped in oversized:
            self._receive_lines(lines[start : skipped.index])
            self._receive_oversized(skipped)
            start = skipped.index
        self._receive_lines(lines[start:])

    def _receive_lines(self, lines: list[bytes]) -> None:
        for index, line in enumerate(lines):
            if self.is_over:
                self.kept += lines[index:]
                return
            self._receive_line(line)

    def _receive_oversized(self, skipped: OversizedFrame) -> None:
        known = peek_truncated(skipped.head, skipped.tail)
        if self.is_over or (known.kind is None and self._snapshot is None):
            self.skipped.append(replace(skipped, index=len(self.kept)))
            self._count(len(skipped.head) + len(skipped.tail))
        else:
            self._report_loss(known, f"a result of {skipped.size} bytes")

    def _receive_line(self, line: bytes) -> None:
        try:
            envelope = peek(bare(line))
        except RemoteProtocolError as error:
            reason = f"a malformed message ({error.message})"
            self._report_loss(peek_refused_of_agent(line), reason)
            return
        if envelope.kind is MessageKind.RESPONSE:
            if envelope.id == self._request_id:
                self.answer = envelope
        elif envelope.kind is MessageKind.REQUEST:
            self._refuse(envelope.id or b"null", envelope.method)
        elif self._snapshot is None:
            self.kept.append(line)
            self._count(len(line))
        elif envelope.session_id == self._own_session_id:  # and no sub-agent's
            update = envelope.member("params", "update")
            kind = update_kind(envelope)
            if kind is not None and update is not None:
                self._snapshot.observe(kind, update)

    def _report_loss(self, known: TruncatedEnvelope, reason: str) -> None:
        """Answers a request that cannot be read; an answer that cannot be is the end."""
        if known.kind is MessageKind.REQUEST and known.id is not None:
            self._refuse(known.id, known.method)
        elif known.kind is MessageKind.RESPONSE and known.id == self._request_id:
            self._fail(reason)

    def _refuse(self, request_id: bytes, method: str | None) -> None:
        hint = "no client is there before the session is open"
        refusal = MethodNotFound(method=method or "", hint=hint)
        self._output.append(to_line(error_reply(request_id, refusal)))

    def _count(self, size: int) -> None:
        self._kept_bytes += size
        if self._kept_bytes > self._most_kept and not self.is_over:
            self._fail(f"{self._kept_bytes} bytes of updates before its answer")

    def _fail(self, reason: str) -> None:
        self.failure = AgentRefused(agent=self._agent, method=self._method, reason=reason)
