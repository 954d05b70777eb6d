"""`/groups`: sessions on one task, opened together and ended together."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated, Any

import msgspec

from acprelay.errors import (
    AgentError,
    RelayError,
    SessionError,
    SessionExists,
    SessionNotFound,
    StoreError,
    WorkspaceError,
)
from acprelay.routing.access import Grant
from acprelay.routing.group_params import MOST_ROLES, GroupSpec, RoleSpec, check_spec
from acprelay.routing.paging import page_of
from acprelay.runtime.groups import Groups, RoleOutcome
from acprelay.runtime.inspection import Inspection, Seen
from acprelay.runtime.live_connections import LiveConnections
from acprelay.server.api.operations import Call, Nothing, Operation, Reach, Struct, Taken
from acprelay.server.api.pages import PageQuery
from acprelay.server.api.refusals import refusal_of
from acprelay.server.api.sessions import EXAMPLE, Session, WorktreeInfo, session, worktree_info
from acprelay.session.models import KEY_PART_PATTERN, SessionKey

Name = Annotated[
    str, msgspec.Meta(pattern=f"^{KEY_PART_PATTERN}$", description="Letters, digits, `_`, `-`.")
]


class Group(Struct, frozen=True, kw_only=True):
    """Sessions on one task.

    Attributes:
        group: The group's id.
        sessions: Its sessions, those of them that may be observed.
    """

    group: str
    sessions: list[Session]


class GroupPage(Struct, frozen=True, kw_only=True):
    """One page of a list of groups.

    Attributes:
        groups: In the order of their ids.
        next_cursor: Where the next page begins; there is none without.
    """

    groups: list[Group]
    next_cursor: str | None = None


class RoleBody(Taken, frozen=True, kw_only=True):
    """One session of a group that is to be opened.

    Attributes:
        role: Its role; no other session of the group has it.
        agent: The agent's name; the default one without.
        worktree: Whether it works in a git worktree of its own; without, as the group has it.
    """

    role: Name = "main"
    agent: str | None = None
    worktree: bool | None = None


class GroupBody(Taken, frozen=True, kw_only=True):
    """Sessions that are to be opened at once, one or many.

    Attributes:
        cwd: The directory that they work in, or whose repository their worktrees are made from.
        roles: The sessions.
        group: The group that they belong to, new or not; without, one is minted.
        mcp_servers: ACP's `mcpServers` for each of them.
        worktree: Whether each works in a git worktree of its own.
    """

    cwd: Annotated[str, msgspec.Meta(pattern="^/[^\\x00]*$")]
    roles: Annotated[list[RoleBody], msgspec.Meta(min_length=1, max_length=MOST_ROLES)]
    group: Name | None = None
    mcp_servers: list[dict[str, Any]] = msgspec.field(default_factory=list)
    worktree: bool = False


class Refusal(Struct, frozen=True, kw_only=True):
    """Why a session could not be opened.

    Attributes:
        code: What programs branch on.
        message: What cannot be done, and why.
        hint: What to do next.
        retryable: Whether the same request may succeed later.
    """

    code: str
    message: str
    hint: str
    retryable: bool


class Opened(Struct, frozen=True, kw_only=True):
    """What became of one role.

    Attributes:
        role: The role.
        session_id: The session's public id.
        worktree: Where its agent works, if that is a worktree of its own.
        error: Why there is no session.
    """

    role: str
    session_id: str | None = None
    worktree: WorktreeInfo | None = None
    error: Refusal | None = None


class OpenedGroup(Struct, frozen=True, kw_only=True):
    """What became of a group that was to be opened.

    Attributes:
        group: Its id.
        roles: What became of each role, in the order they were asked for.
    """

    group: str
    roles: list[Opened]


class Closed(Struct, frozen=True, kw_only=True):
    """Sessions whose runs have ended.

    Attributes:
        sessions: Their public ids.
    """

    sessions: list[str]


class GroupResource:
    """Serves `/groups`.

    Args:
        groups: Opens and ends groups.
        inspection: Looks at conversations.
        connections: Ends what is being opened for a principal that is no longer let in.
    """

    def __init__(
        self, *, groups: Groups, inspection: Inspection, connections: LiveConnections
    ) -> None:
        self._groups = groups
        self._inspection = inspection
        self._connections = connections

    def operations(self) -> list[Operation]:
        """Gives the operations."""
        return [
            Operation(
                id="listGroups",
                method="GET",
                path="/groups",
                summary="List groups, with their sessions",
                tag="groups",
                query=PageQuery,
                result=GroupPage,
                errors=(StoreError,),
                grant=Grant.OBSERVE,
                reach=Reach.WITHIN,
                handler=self._list,
                example=GroupPage(groups=[Group(group="login", sessions=[EXAMPLE])]),
            ),
            Operation(
                id="openGroup",
                method="POST",
                path="/groups",
                summary="Open sessions, each with its agent",
                description="""
                They are opened side by side, and one that fails leaves the others alone: its role
                says why. Where none could be opened, the first one's error is the answer. Not
                idempotent: a session that is there already is `session_exists`, and nothing is
                begun then.
                """,
                tag="groups",
                body=GroupBody,
                result=OpenedGroup,
                status=201,
                errors=(SessionExists, SessionError, AgentError, WorkspaceError, StoreError),
                grant=Grant.MANAGE,
                reach=Reach.WITHIN,
                handler=self._open,
                body_example=GroupBody(
                    cwd="/home/me/project",
                    group="login",
                    roles=[RoleBody(role="auth", agent="claude"), RoleBody(role="db")],
                    worktree=True,
                ),
                example=OpenedGroup(
                    group="login", roles=[Opened(role="auth", session_id="login:auth")]
                ),
            ),
            Operation(
                id="getGroup",
                method="GET",
                path="/groups/{group}",
                summary="Show a group",
                tag="groups",
                result=Group,
                errors=(SessionNotFound, StoreError),
                grant=Grant.OBSERVE,
                reach=Reach.WITHIN,
                handler=self._get,
            ),
            Operation(
                id="closeGroup",
                method="POST",
                path="/groups/{group}/close",
                summary="End the runs of all sessions of a group; their conversations stay",
                description="Idempotent. It is answered once they have ended.",
                tag="groups",
                body=Nothing,
                result=Closed,
                errors=(AgentError, StoreError),
                grant=Grant.MANAGE,
                reach=Reach.GROUP,
                handler=self._close,
                example=Closed(sessions=["login:auth", "login:db"]),
            ),
        ]

    async def _list(self, call: Call[PageQuery, None]) -> GroupPage:
        seen = await self._inspection.sessions(call.principal)
        page = page_of(
            {each.key.session_id for each in seen},
            place=lambda group: (group,),
            shape=tuple[str],
            cursor=call.query.cursor,
            limit=call.query.limit,
        )
        wanted = set(page.entries)
        chosen = [each for each in seen if each.key.session_id in wanted]
        return GroupPage(groups=_grouped(chosen), next_cursor=page.next_cursor)

    async def _get(self, call: Call[Any, None]) -> Group:
        group = call.group
        for found in _grouped(
            [
                each
                for each in await self._inspection.sessions(call.principal)
                if each.key.session_id == group
            ]
        ):
            return found
        raise SessionNotFound(key=group, what="group")

    async def _open(self, call: Call[Any, GroupBody]) -> OpenedGroup:
        body, principal = call.body, call.principal
        group = principal.scope.group if body.group is None else body.group
        for key in [SessionKey(group, role.role) for role in body.roles if group is not None]:
            principal.require(Grant.MANAGE, key)
            if self._inspection.has(key):
                raise SessionExists(key=str(key))
        asked = _spec(body)
        check_spec(asked)
        async with self._connections.working(principal):
            outcome = await self._groups.open(asked, principal=principal)
        errors = [refusal_of(each.error) for each in outcome.roles if each.error is not None]
        if len(errors) == len(outcome.roles):
            raise errors[0]
        return OpenedGroup(group=outcome.group, roles=[_opened(each) for each in outcome.roles])

    async def _close(self, call: Call[Any, None]) -> Closed:
        return Closed(sessions=await self._groups.close(call.group, principal=call.principal))


def _spec(body: GroupBody) -> GroupSpec:
    return GroupSpec(
        cwd=body.cwd,
        roles=tuple(
            RoleSpec(role=each.role, agent=each.agent, worktree=each.worktree)
            for each in body.roles
        ),
        group=body.group,
        mcp_servers=[msgspec.Raw(msgspec.json.encode(each)) for each in body.mcp_servers],
        worktree=body.worktree,
    )


def _grouped(seen: list[Seen]) -> list[Group]:
    in_order = sorted(seen, key=lambda each: each.key)
    return [
        Group(group=group, sessions=[session(each) for each in members])
        for group, members in groupby(in_order, key=lambda each: each.key.session_id)
    ]


def _opened(outcome: RoleOutcome) -> Opened:
    if outcome.error is not None:
        return Opened(role=outcome.role, error=_refusal(refusal_of(outcome.error)))
    return Opened(
        role=outcome.role,
        session_id=outcome.session_id,
        worktree=None if outcome.worktree is None else worktree_info(outcome.worktree),
    )


def _refusal(error: RelayError) -> Refusal:
    return Refusal(
        code=error.code, message=error.message, hint=error.hint, retryable=error.retryable
    )
