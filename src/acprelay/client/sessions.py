"""Sessions: which ones there are, how their runs do, and their ends."""

from __future__ import annotations

from collections.abc import AsyncIterator

from acprelay.client.calls import Calls, Value, pages, path


class WorktreeInfo(Value, frozen=True, kw_only=True):
    """A git worktree that a session has for itself.

    Attributes:
        path: Its top level.
        workdir: What the agent works in.
        branch: The branch that was made for it.
        base: The commit that it began at.
        repository: The tree that it was made from.
        dirty: Whether that tree had changes that are not in it.
        notes: What its user should know.
    """

    path: str
    workdir: str
    branch: str
    base: str
    repository: str
    dirty: bool = False
    notes: tuple[str, ...] = ()


class Session(Value, frozen=True, kw_only=True):
    """A conversation.

    Attributes:
        session_id: Its public id, `GROUP:ROLE`.
        group: Its group.
        role: Its role there.
        agent: The agent's name.
        cwd: The directory that its first client named.
        state: The state of its run; `dormant` where it has none.
        live: Whether a run serves it.
        updated_at: When something last happened in it, in ISO 8601.
        title: What its agent calls it.
        worktree: Where its agent works, if that is a worktree of its own.
    """

    session_id: str
    group: str
    role: str
    agent: str
    cwd: str
    state: str
    live: bool
    updated_at: str
    title: str | None = None
    worktree: WorktreeInfo | None = None


class Usage(Value, frozen=True, kw_only=True):
    """What the processes of an agent use.

    Attributes:
        cpu_s: Processor time, in seconds.
        memory_bytes: Memory.
        processes: How many they are.
    """

    cpu_s: float
    memory_bytes: int
    processes: int


class RunReport(Value, frozen=True, kw_only=True):
    """How a conversation's run does.

    Attributes:
        state: Where it is in its life.
        run: Its number, from 1.
        queued: How many prompts wait.
        asks: How many requests of the agent wait for clients.
        clients: How many clients are connected.
        health: The conditions that hold; nothing where all is well.
        turn: The turn that runs.
        pid: The agent's process, if that is on the relay's machine.
        started_at: When it began, in ISO 8601.
        idle_s: For how long nothing was said, in seconds; while nothing is under way.
        usage: What its processes use.
        restart_in_s: When a run begins that nobody has asked for, in seconds.
    """

    state: str
    run: int
    queued: int
    asks: int
    clients: int
    health: tuple[str, ...]
    turn: str | None = None
    pid: int | None = None
    started_at: str | None = None
    idle_s: float | None = None
    usage: Usage | None = None
    restart_in_s: float | None = None


class SessionDetail(Session, frozen=True, kw_only=True):
    """A conversation, and how its run does.

    Attributes:
        run: The run.
    """

    run: RunReport


class _Sessions(Value, frozen=True, kw_only=True):
    sessions: tuple[Session, ...]
    next_cursor: str | None = None


class SessionCalls(Calls):
    """What can be asked about sessions. All raise as `RelayClient` says."""

    def list_sessions(
        self, *, group: str | None = None, agent: str | None = None, state: str | None = None
    ) -> AsyncIterator[Session]:
        """Yields sessions, those that changed last first.

        Args:
            group: Only those of this group.
            agent: Only those of this agent.
            state: Only those in this state.
        """
        query = {"group": group, "agent": agent, "state": state}
        return pages(self._api, "/sessions", _Sessions, lambda page: page.sessions, query)

    async def get_session(self, session_id: str) -> SessionDetail:
        """Gives a session, and how its run does.

        Raises:
            SessionNotFound: There is none.
        """
        return await self._api.get(path("sessions", session_id), SessionDetail)

    async def close_session(self, session_id: str) -> None:
        """Ends a session's run, and returns once it has ended; the conversation stays. Idempotent.

        Raises:
            SessionNotFound: There is no such session.
        """
        await self._api.post(path("sessions", session_id, "close"), {}, type(None))

    async def delete_session(self, session_id: str) -> None:
        """Removes a session, with its run and all that is kept of it; its worktree stays.

        Raises:
            SessionNotFound: There is none, any more.
        """
        await self._api.delete(path("sessions", session_id), type(None))
