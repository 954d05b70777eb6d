"""`/sessions`: the conversations that there are, and how their runs do."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

import msgspec

from acprelay.errors import AgentError, SessionNotFound, StoreError
from acprelay.routing.access import Grant
from acprelay.routing.listing import timestamp
from acprelay.routing.paging import page_of
from acprelay.routing.records import Worktree
from acprelay.runtime.inspection import Inspection, Seen
from acprelay.server.api.operations import Call, Nothing, Operation, Reach, Struct
from acprelay.server.api.pages import PageQuery

State = Literal["dormant", "created", "spawning", "active", "terminating", "cleaned"]


class WorktreeInfo(Struct, frozen=True, kw_only=True):
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


class Session(Struct, frozen=True, kw_only=True):
    """A conversation.

    Attributes:
        session_id: Its public id, `GROUP:ROLE`.
        group: Its group.
        role: Its role there.
        agent: The agent's name.
        cwd: The directory that its first client named.
        state: The state of its run; `dormant` where it has none.
        live: Whether a run serves it.
        updated_at: When something last happened in it.
        title: What its agent calls it.
        worktree: Where its agent works, if that is a worktree of its own.
    """

    session_id: str
    group: str
    role: str
    agent: str
    cwd: str
    state: State
    live: bool
    updated_at: str
    title: str | None = None
    worktree: WorktreeInfo | None = None


class Sessions(Struct, frozen=True, kw_only=True):
    """One page of a list of sessions.

    Attributes:
        sessions: The session that changed last comes first.
        next_cursor: Where the next page begins; there is none without.
    """

    sessions: list[Session]
    next_cursor: str | None = None


class Usage(Struct, frozen=True, kw_only=True):
    """What the processes of an agent use.

    Attributes:
        cpu_s: Processor time, in seconds.
        memory_bytes: Memory.
        processes: How many they are.
    """

    cpu_s: float
    memory_bytes: int
    processes: int


class RunReport(Struct, frozen=True, kw_only=True):
    """How a conversation's run does.

    Attributes:
        state: Where it is in its life.
        run: Its number, from 1.
        queued: How many prompts wait.
        asks: How many requests of the agent wait for clients.
        clients: How many clients are connected.
        health: The conditions that hold; nothing where all is well.
        turn: The turn that runs.
        pid: The agent's process, if that is on this machine.
        started_at: When it began.
        idle_s: For how long nothing was said, in seconds; while nothing is under way.
        usage: What its processes use.
        restart_in_s: When a run begins that nobody has asked for, in seconds.
    """

    state: State
    run: int
    queued: int
    asks: int
    clients: int
    health: list[str]
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


class SessionQuery(PageQuery, frozen=True, kw_only=True):
    """Which sessions to list: those that satisfy all that is given.

    Attributes:
        group: Their group.
        agent: Their agent.
        state: The state of their run.
    """

    group: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    agent: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    state: State | None = None


EXAMPLE = Session(
    session_id="login:auth",
    group="login",
    role="auth",
    agent="claude",
    cwd="/home/me/project",
    state="active",
    live=True,
    updated_at="2026-01-02T03:04:05.678Z",
    title="Add a login page",
)


class SessionResource:
    """Serves `/sessions`.

    Args:
        inspection: Looks at conversations.
    """

    def __init__(self, *, inspection: Inspection) -> None:
        self._inspection = inspection

    def operations(self) -> list[Operation]:
        """Gives the operations."""
        return [
            Operation(
                id="listSessions",
                method="GET",
                path="/sessions",
                summary="List sessions, those that changed last first",
                tag="sessions",
                query=SessionQuery,
                result=Sessions,
                errors=(StoreError,),
                grant=Grant.OBSERVE,
                reach=Reach.WITHIN,
                handler=self._list,
                example=Sessions(sessions=[EXAMPLE]),
            ),
            Operation(
                id="getSession",
                method="GET",
                path="/sessions/{session}",
                summary="Show a session, and how its run does",
                tag="sessions",
                result=SessionDetail,
                errors=(SessionNotFound, StoreError),
                grant=Grant.OBSERVE,
                reach=Reach.SESSION,
                handler=self._get,
            ),
            Operation(
                id="closeSession",
                method="POST",
                path="/sessions/{session}/close",
                summary="End a session's run; the conversation stays",
                description="Idempotent. It is answered once the run has ended.",
                tag="sessions",
                body=Nothing,
                errors=(AgentError, StoreError),
                grant=Grant.MANAGE,
                reach=Reach.SESSION,
                handler=self._close,
            ),
            Operation(
                id="deleteSession",
                method="DELETE",
                path="/sessions/{session}",
                summary="Remove a session, with all that is kept of it",
                description="""
                Its worktree stays. It is answered once nothing else is left; a repetition gives
                404.
                """,
                tag="sessions",
                errors=(AgentError, StoreError),
                grant=Grant.MANAGE,
                reach=Reach.SESSION,
                handler=self._delete,
            ),
        ]

    async def _list(self, call: Call[SessionQuery, None]) -> Sessions:
        query = call.query
        seen = [
            each
            for each in await self._inspection.sessions(call.principal)
            if query.group in (None, each.listed.group)
            and query.agent in (None, each.listed.agent)
            and query.state in (None, each.state)
        ]
        page = page_of(
            seen,
            place=lambda each: (-each.listed.updated_at, each.listed.session_id),
            shape=tuple[float, str],
            cursor=query.cursor,
            limit=query.limit,
        )
        return Sessions(
            sessions=[session(each) for each in page.entries], next_cursor=page.next_cursor
        )

    async def _get(self, call: Call[Any, None]) -> SessionDetail:
        seen, report = await self._inspection.session(call.key)
        return msgspec.convert({**_members(seen), "run": report}, type=SessionDetail)

    async def _close(self, call: Call[Any, Nothing]) -> None:
        await self._inspection.close(call.key, reason="it was closed over the control API")

    async def _delete(self, call: Call[Any, None]) -> None:
        await self._inspection.delete(call.key)


def session(seen: Seen) -> Session:
    """Shows a conversation."""
    return msgspec.convert(_members(seen), type=Session)


def worktree_info(worktree: Worktree) -> WorktreeInfo:
    """Shows a worktree."""
    return WorktreeInfo(**asdict(worktree))


def _members(seen: Seen) -> dict[str, Any]:
    listed = seen.listed
    worktree = listed.worktree
    return {
        "sessionId": listed.session_id,
        "group": listed.group,
        "role": listed.role,
        "agent": listed.agent,
        "cwd": listed.cwd,
        "state": seen.state,
        "live": listed.is_live,
        "updatedAt": timestamp(listed.updated_at),
        "title": listed.title,
        "worktree": None if worktree is None else msgspec.to_builtins(worktree_info(worktree)),
    }
