"""`/worktrees`: what sessions have worked in git worktrees of their own."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from acprelay.errors import NotFound, WorkspaceError
from acprelay.routing.access import Grant, Principal, lacking
from acprelay.routing.paging import page_of
from acprelay.runtime.inspection import Inspection
from acprelay.runtime.worktree_desk import Contents, Found, WorktreeDesk
from acprelay.server.api.operations import Call, Nothing, Operation, Reach, Struct, Taken
from acprelay.server.api.pages import PageQuery

_Repository = Annotated[str, msgspec.Meta(pattern="^/[^\\x00]*$", max_length=4096)]


class RepositoryQuery(Taken, frozen=True, kw_only=True):
    """Whose worktree.

    Attributes:
        repository: A directory of the repository, absolute; without, the session's own. Takes the
            grant `manage` for everything.
    """

    repository: _Repository | None = None


class RemovalQuery(RepositoryQuery, frozen=True, kw_only=True):
    """How to remove it.

    Attributes:
        force: Whether work that would be lost, and a lock, count for nothing.
    """

    force: bool = False


class WorktreeQuery(PageQuery, frozen=True, kw_only=True):
    """Which worktrees to list.

    Attributes:
        repository: Those of the repository with this directory, absolute; without, those of all
            repositories that sessions have worktrees of. Takes the grant `manage` for everything.
    """

    repository: _Repository | None = None


class WorktreeState(Struct, frozen=True, kw_only=True):
    """A worktree.

    Attributes:
        session_id: The session that it was made for.
        repository: The top level of the tree that it was made from.
        base: The commit that it began at.
        present: Whether its directory is there.
        finished: Whether it was made whole, and is not half removed.
        commits: How many commits it has beyond its base.
        unmerged: How many of them would be lost with it.
        changes: Paths with uncommitted changes.
        merged: Whether it has commits, and all of them are in the project's branches.
        users: Who works in it.
        branch: The branch that was made for it.
        path: Where it is.
        checked_out: The branch that is checked out in it.
        work: What would be lost with it, in words.
        damage: Why git cannot tell what has changed in it.
        locked: Why it is locked.
    """

    session_id: str
    repository: str
    base: str
    present: bool
    finished: bool
    commits: int
    unmerged: int
    changes: tuple[str, ...]
    merged: bool
    users: tuple[str, ...]
    branch: str | None = None
    path: str | None = None
    checked_out: str | None = None
    work: str | None = None
    damage: str | None = None
    locked: str | None = None


class WorktreePage(Struct, frozen=True, kw_only=True):
    """One page of a list of worktrees.

    Attributes:
        worktrees: In the order of their sessions' ids.
        next_cursor: Where the next page begins; there is none without.
    """

    worktrees: list[WorktreeState]
    next_cursor: str | None = None


class ChangedFile(Struct, frozen=True, kw_only=True):
    """A file that differs from the base.

    Attributes:
        path: Its path.
        added: How many lines came; none are told of a binary file.
        deleted: How many went; likewise.
    """

    path: str
    added: int | None = None
    deleted: int | None = None


class WorktreeDetail(WorktreeState, frozen=True, kw_only=True):
    """A worktree, and what has changed in it since its base.

    Attributes:
        files: The files that differ.
        untracked: The paths of files that git does not know.
    """

    files: list[ChangedFile]
    untracked: tuple[str, ...]


class MergeOutcome(Struct, frozen=True, kw_only=True):
    """What a merge did.

    Attributes:
        session_id: The session whose worktree it was.
        into: The branch of the project that has the work now.
        commits: How many commits came into it.
        left: How many uncommitted changes stay behind in the worktree.
    """

    session_id: str
    into: str
    commits: int
    left: int


class WorktreeResource:
    """Serves `/worktrees`.

    Args:
        desk: Looks after worktrees.
        inspection: Knows the sessions that have some.
    """

    def __init__(self, *, desk: WorktreeDesk, inspection: Inspection) -> None:
        self._desk = desk
        self._inspection = inspection

    def operations(self) -> list[Operation]:
        """Gives the operations."""
        return [
            Operation(
                id="listWorktrees",
                method="GET",
                path="/worktrees",
                summary="List worktrees",
                tag="worktrees",
                query=WorktreeQuery,
                result=WorktreePage,
                errors=(WorkspaceError,),
                grant=Grant.OBSERVE,
                reach=Reach.WITHIN,
                handler=self._list,
            ),
            Operation(
                id="getWorktree",
                method="GET",
                path="/worktrees/{session}",
                summary="Show a worktree, and what has changed in it",
                tag="worktrees",
                query=RepositoryQuery,
                result=WorktreeDetail,
                errors=(NotFound, WorkspaceError),
                grant=Grant.OBSERVE,
                reach=Reach.SESSION,
                handler=self._get,
            ),
            Operation(
                id="mergeWorktree",
                method="POST",
                path="/worktrees/{session}/merge",
                summary="Merge a worktree's branch into the branch that its project is on",
                description="Whole or not at all. Idempotent: what is merged stays so.",
                tag="worktrees",
                query=RepositoryQuery,
                body=Nothing,
                result=MergeOutcome,
                errors=(NotFound, WorkspaceError),
                grant=Grant.MANAGE,
                reach=Reach.SESSION,
                handler=self._merge,
                example=MergeOutcome(session_id="login:auth", into="main", commits=2, left=0),
            ),
            Operation(
                id="removeWorktree",
                method="DELETE",
                path="/worktrees/{session}",
                summary="Remove a worktree and its branch",
                description="""
                Work that is unmerged or uncommitted is refused unless `force` is said. A worktree
                that is in use stays in any case. A repetition gives 404.
                """,
                tag="worktrees",
                query=RemovalQuery,
                errors=(NotFound, WorkspaceError),
                grant=Grant.MANAGE,
                reach=Reach.SESSION,
                handler=self._remove,
            ),
        ]

    async def _list(self, call: Call[WorktreeQuery, None]) -> WorktreePage:
        query, principal = call.query, call.principal
        if query.repository is None:
            repositories = [
                each.listed.worktree.repository
                for each in await self._inspection.sessions(principal)
                if each.listed.worktree is not None
            ]
        else:
            _check(principal)
            repositories = [query.repository]
        page = page_of(
            [
                each
                for each in await self._desk.list(repositories)
                if principal.may(Grant.OBSERVE, each.key)
            ],
            place=lambda each: (str(each.key), each.repository),
            shape=tuple[str, str],
            cursor=query.cursor,
            limit=query.limit,
        )
        return WorktreePage(
            worktrees=[
                msgspec.convert(_members(each), type=WorktreeState) for each in page.entries
            ],
            next_cursor=page.next_cursor,
        )

    async def _get(self, call: Call[RepositoryQuery, None]) -> WorktreeDetail:
        found, contents = await self._desk.show(call.key, await self._repository(call))
        members = {**_members(found), **_contents(contents)}
        return msgspec.convert(members, type=WorktreeDetail)

    async def _merge(self, call: Call[RepositoryQuery, Nothing]) -> MergeOutcome:
        merged = await self._desk.merge(call.key, await self._repository(call))
        return MergeOutcome(
            session_id=str(call.key), into=merged.into, commits=merged.commits, left=merged.left
        )

    async def _remove(self, call: Call[RemovalQuery, None]) -> None:
        repository = await self._repository(call)
        await self._desk.remove(call.key, repository, force=call.query.force)

    async def _repository(self, call: Call[Any, Any]) -> str:
        """Gives a directory of the repository that a request is about."""
        named: str | None = call.query.repository
        if named is not None:
            _check(call.principal)
            return named
        for each in await self._inspection.sessions(call.principal):
            if each.key == call.key and each.listed.worktree is not None:
                return each.listed.worktree.repository
        raise NotFound(
            what="worktree",
            name=str(call.key),
            hint="see the list of worktrees; where its session was deleted, name its repository",
        )


def _check(principal: Principal) -> None:
    """Lets git be run in whatever directory only by those who may run anything there."""
    if not principal.manages_everything:
        raise lacking(Grant.MANAGE, "everything")


def _members(found: Found) -> dict[str, Any]:
    status = found.status
    return {
        "sessionId": str(found.key),
        "repository": found.repository,
        "base": status.base,
        "present": status.present,
        "finished": status.finished,
        "commits": status.commits,
        "unmerged": status.unmerged,
        "changes": [_plain(each) for each in status.changes],
        "merged": status.merged,
        "users": list(status.users),
        "branch": status.branch,
        "path": status.path,
        "checkedOut": status.checked_out,
        "work": status.work,
        "damage": status.damage,
        "locked": status.locked,
    }


def _contents(contents: Contents) -> dict[str, Any]:
    return {
        "files": [
            {"path": _plain(each.path), "added": each.added, "deleted": each.deleted}
            for each in contents.files
        ],
        "untracked": [_plain(each) for each in contents.untracked],
    }


def _plain(path: str) -> str:
    """A file's name may be any bytes; what is no UTF-8 is shown as such."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
