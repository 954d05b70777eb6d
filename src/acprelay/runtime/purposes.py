"""What runs are begun for: a session that a client opens, or one that an earlier run has left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from acprelay.errors import AgentRefused, LocalProtocolError, NotRestorable, SessionEnded
from acprelay.routing.records import ConversationRecord, Worktree
from acprelay.routing.restoring import restore_request
from acprelay.routing.snapshot import Snapshot
from acprelay.runtime.agent_run import AgentRun
from acprelay.runtime.conversation_driver import ConversationDriver
from acprelay.runtime.opening import Opening
from acprelay.runtime.run_ports import RunSink
from acprelay.runtime.worktree_claims import WorktreeClaims
from acprelay.session.models import SessionKey
from acprelay.session.ports import Clock
from acprelay.wire import Envelope, peek, request, rewrite

Lost = Callable[[AgentRun, str], None]


@dataclass(slots=True, kw_only=True, eq=False)
class Founding:
    """A new session: its conversation is made while the agent opens it, and stored with its answer.

    Attributes:
        key: The session.
        opening: The client's request.
        make: Makes the driver of a conversation, and opens it.
        store: Begins to store what is made; gives what ends once that is written.
        clock: Wall-clock time.
        worktrees: Makes its worktree, if it wants one.
        on_lost: Called when the run cannot go on.
        driver: The conversation's, once the agent is asked.
    """

    key: SessionKey
    opening: Opening
    make: Callable[[ConversationRecord], ConversationDriver]
    store: Callable[[ConversationDriver], Awaitable[None]]
    clock: Clock
    worktrees: WorktreeClaims
    on_lost: Lost
    driver: ConversationDriver | None = None
    agent_session_id: str | None = None
    snapshot: Snapshot | None = None
    _stored: Awaitable[None] | None = None
    _worktree: Worktree | None = None

    @property
    def agent(self) -> str:
        """The agent's name in the catalog."""
        return self.opening.choice.agent

    @property
    def credentials(self) -> bytes | None:
        """What the client has authenticated with."""
        return self.opening.credentials

    async def prepare(self) -> None:
        """Makes the session's worktree, if it wants one.

        Raises:
            WorkspaceError: It cannot be made.
        """
        if self.opening.choice.worktree:
            self._worktree = await self.worktrees.claim(self.key, self.opening.cwd)

    def request(self, _initialize_result: bytes, request_id: bytes) -> tuple[str, bytes]:
        """The client's own `session/new`, in the session's worktree if it has one."""
        return "session/new", self._request(request_id)

    def _request(self, request_id: bytes | None = None) -> bytes:
        workdir = None if self._worktree is None else self._worktree.workdir
        return rewrite(self.opening.request, id=request_id, cwd=workdir, strip_stamp=True)

    def _params(self) -> bytes:
        frame = self._request()
        asked = self.opening.request
        return (asked if frame == asked.raw else peek(frame)).member("params") or b"{}"

    def asked(self) -> None:
        """Makes the conversation.

        Raises:
            StoreError: It cannot be stored.
        """
        now = self.clock.now()
        self.driver = self.make(
            ConversationRecord(
                key=self.key,
                agent=self.agent,
                cwd=self.opening.cwd,
                worktree=self._worktree,
                params=self._params(),
                agent_session_id="",
                created_at=now,
                updated_at=now,
            )
        )

    def opened(self, run: AgentRun, answer: Envelope, *, last_id: int) -> RunSink:
        """Begins to store the conversation.

        Raises:
            AgentRefused: The agent gives no session id, or none that can be stored.
            LocalProtocolError: The agent was not asked.
        """
        driver = self.driver
        if driver is None:
            raise LocalProtocolError(
                "cannot open a session before it is asked for", hint="report this as a defect"
            )
        driver.keeper.name_agent_session(_session_id(self.agent, answer))
        driver.snapshot.open(answer.member("result") or b"null")
        driver.run_opened(run, last_id=last_id)
        self._stored = self.store(driver)
        return driver

    async def kept(self) -> None:
        """Returns once the conversation is stored: what a client knows of outlives the relay."""
        if self._stored is not None:
            await self._stored


def _session_id(agent: str, answer: Envelope) -> str:
    reason = "a result without sessionId"
    try:
        if answer.session_id and answer.session_id.encode():
            return answer.session_id
    except UnicodeEncodeError:  # it could not be stored
        reason = "a sessionId that has half a character"
    raise AgentRefused(agent=agent, method="session/new", reason=reason)


@dataclass(slots=True, kw_only=True, eq=False)
class Restoration:
    """A later run of a conversation: the agent takes up what the earlier one has left.

    Attributes:
        driver: The conversation's.
        worktrees: Keeps its worktree from being removed meanwhile, if it has one.
        on_lost: Called when the run cannot go on.
    """

    driver: ConversationDriver
    worktrees: WorktreeClaims
    on_lost: Lost
    credentials: bytes | None = None
    _known: Sequence[bytes] = ()

    @property
    def agent(self) -> str:
        """The agent's name in the catalog."""
        return self.driver.record.agent

    @property
    def agent_session_id(self) -> str:
        """What the agent called the session when it was new."""
        return self.driver.record.agent_session_id

    @property
    def snapshot(self) -> Snapshot:
        """What the agent replays is in the log already, but its state may be another one."""
        return self.driver.snapshot

    async def prepare(self) -> None:
        """Takes up the session's worktree, if it has one.

        Raises:
            NotRestorable: It is gone.
        """
        worktree = self.driver.record.worktree
        if worktree is None:
            return
        await self.worktrees.occupy(self.driver.key, worktree)
        if not await asyncio.to_thread(Path(worktree.workdir).is_dir):
            reason = f"its worktree {worktree.workdir} is gone"
            raise NotRestorable(key=str(self.driver.key), reason=reason)

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

    def asked(self) -> None:
        """Does nothing: the conversation is there."""

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

    async def kept(self) -> None:
        """Does nothing: it is stored."""
