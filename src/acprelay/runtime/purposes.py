"""What runs are begun for: a session that a client opens, or one that an earlier run has left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from acprelay.errors import AgentRefused, SessionEnded
from acprelay.routing.records import ConversationRecord
from acprelay.routing.restoring import restore_request
from acprelay.routing.snapshot import Snapshot
from acprelay.runtime.agent_run import AgentRun
from acprelay.runtime.conversation_driver import ConversationDriver
from acprelay.runtime.opening import Opening
from acprelay.runtime.run_ports import RunSink
from acprelay.session.models import SessionKey
from acprelay.session.ports import Clock
from acprelay.wire import Envelope, peek, request, rewrite

Lost = Callable[[AgentRun, str], None]


@dataclass(slots=True, kw_only=True, eq=False)
class Founding:
    """A new session: its conversation comes to be with the agent's answer.

    Attributes:
        key: The session.
        opening: The client's request.
        make: Makes the driver of a conversation, and opens it.
        clock: Wall-clock time.
        on_lost: Called when the run cannot go on.
        driver: The conversation's, once the agent has opened its session.
    """

    key: SessionKey
    opening: Opening
    make: Callable[[ConversationRecord], ConversationDriver]
    clock: Clock
    on_lost: Lost
    driver: ConversationDriver | None = None
    snapshot: Snapshot | None = None

    @property
    def agent(self) -> str:
        """The agent's name in the catalog."""
        return self.opening.choice.agent

    @property
    def credentials(self) -> bytes | None:
        """What the client has authenticated with."""
        return self.opening.credentials

    def request(self, _initialize_result: bytes, request_id: bytes) -> tuple[str, bytes]:
        """The client's own `session/new`."""
        return "session/new", rewrite(self.opening.request, id=request_id, strip_stamp=True)

    def opened(self, run: AgentRun, answer: Envelope, *, last_id: int) -> RunSink:
        """Makes the conversation.

        Raises:
            AgentRefused: The agent gives no session id.
            StoreError: The conversation cannot be stored.
        """
        if not answer.session_id:
            raise AgentRefused(
                agent=self.agent, method="session/new", reason="a result without sessionId"
            )
        stripped = peek(rewrite(self.opening.request, strip_stamp=True))
        now = self.clock.now()
        self.driver = self.make(
            ConversationRecord(
                key=self.key,
                agent=self.agent,
                cwd=self.opening.cwd,
                params=stripped.member("params") or b"{}",
                agent_session_id=answer.session_id,
                created_at=now,
                updated_at=now,
            )
        )
        self.driver.snapshot.open(answer.member("result") or b"null")
        self.driver.run_opened(run, last_id=last_id)
        return self.driver

    def lost(self, run: AgentRun, reason: str) -> None:
        """Has the session ended."""
        self.on_lost(run, reason)


@dataclass(slots=True, kw_only=True, eq=False)
class Restoration:
    """A later run of a conversation: the agent takes up what the earlier one has left.

    Attributes:
        driver: The conversation's.
        on_lost: Called when the run cannot go on.
    """

    driver: ConversationDriver
    on_lost: Lost
    credentials: bytes | None = None
    _known: Sequence[bytes] = ()

    @property
    def agent(self) -> str:
        """The agent's name in the catalog."""
        return self.driver.record.agent

    @property
    def snapshot(self) -> Snapshot:
        """What the agent replays is in the log already, but its state may be another one."""
        return self.driver.snapshot

    def request(self, initialize_result: bytes, request_id: bytes) -> tuple[str, bytes]:
        """`session/resume` or `session/load`.

        Raises:
            NotRestorable: The agent can do neither.
        """
        record = self.driver.record
        self._known = self.driver.snapshot.updates()
        method, params = restore_request(
            initialize_result=initialize_result,
            key=str(record.key),
            agent=record.agent,
            params=record.params,
            agent_session_id=record.agent_session_id,
        )
        return method, request(request_id, method, params)

    def opened(self, run: AgentRun, answer: Envelope, *, last_id: int) -> RunSink:
        """Gives the conversation its run.

        Raises:
            SessionEnded: The conversation no longer waits for it.
        """
        if not self.driver.awaits(run):
            # Its conversation was closed meanwhile, and may be waiting for the next run already.
            raise SessionEnded(key=str(run.key), reason="it was ended while it started")
        self.driver.snapshot.open(answer.member("result") or b"null")
        news = [each for each in self.driver.snapshot.updates() if each not in self._known]
        self.driver.run_opened(run, last_id=last_id, news=news)
        return self.driver

    def lost(self, run: AgentRun, reason: str) -> None:
        """Has the run ended."""
        self.on_lost(run, reason)
