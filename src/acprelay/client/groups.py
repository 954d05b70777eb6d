"""Groups: sessions on one task, opened together and ended together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from acprelay.client.calls import Calls, Value, pages, path
from acprelay.client.sessions import Session, WorktreeInfo


class Group(Value, frozen=True, kw_only=True):
    """Sessions on one task.

    Attributes:
        group: The group's id.
        sessions: Its sessions, those of them that may be observed.
    """

    group: str
    sessions: tuple[Session, ...]


class Role(Value, frozen=True, kw_only=True):
    """One session of a group that is to be opened.

    Attributes:
        role: Its role; no other session of the group has it.
        agent: The agent's name; the default one without.
        worktree: Whether it works in a git worktree of its own; without, as the group has it.
    """

    role: str = "main"
    agent: str | None = None
    worktree: bool | None = None


class Refusal(Value, frozen=True, kw_only=True):
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


class Opened(Value, frozen=True, kw_only=True):
    """What became of one role.

    Attributes:
        role: The role.
        session_id: The session's public id; None where there is none.
        worktree: Where its agent works, if that is a worktree of its own.
        error: Why there is no session.
    """

    role: str
    session_id: str | None = None
    worktree: WorktreeInfo | None = None
    error: Refusal | None = None


class OpenedGroup(Value, frozen=True, kw_only=True):
    """What became of a group that was to be opened.

    Attributes:
        group: Its id.
        roles: What became of each role, in the order they were asked for.
    """

    group: str
    roles: tuple[Opened, ...]


class _GroupPage(Value, frozen=True, kw_only=True):
    groups: tuple[Group, ...]
    next_cursor: str | None = None


class _GroupBody(Value, frozen=True, kw_only=True):
    cwd: str
    roles: Sequence[Role]
    group: str | None = None
    mcp_servers: Sequence[dict[str, Any]] = ()
    worktree: bool = False


class _Closed(Value, frozen=True, kw_only=True):
    sessions: tuple[str, ...]


class GroupCalls(Calls):
    """What can be asked about groups. All raise as `RelayClient` says."""

    def list_groups(self) -> AsyncIterator[Group]:
        """Yields groups with their sessions, in the order of their ids."""
        return pages(self._api, "/groups", _GroupPage, lambda page: page.groups, {})

    async def open_group(
        self,
        *,
        cwd: str,
        roles: Sequence[Role] = (Role(),),
        group: str | None = None,
        mcp_servers: Sequence[dict[str, Any]] = (),
        worktree: bool = False,
    ) -> OpenedGroup:
        """Opens sessions side by side, and returns once each is open or refused.

        One that fails leaves the others alone: its `error` says why. Not idempotent.

        Args:
            cwd: The directory that they work in, absolute, on the relay's machine.
            roles: The sessions.
            group: The group that they belong to, new or not; None for a new one.
            mcp_servers: ACP's `mcpServers` for each of them.
            worktree: Whether each works in a git worktree of its own.

        Raises:
            SessionExists: One of them is there already; nothing was begun.
            RelayError: None could be opened: the first one's error.
        """
        body = _GroupBody(
            cwd=cwd, roles=roles, group=group, mcp_servers=mcp_servers, worktree=worktree
        )
        return await self._api.post("/groups", body, OpenedGroup)

    async def get_group(self, group: str) -> Group:
        """Gives a group, with its sessions.

        Raises:
            SessionNotFound: It has none.
        """
        return await self._api.get(path("groups", group), Group)

    async def close_group(self, group: str) -> tuple[str, ...]:
        """Ends the runs of all sessions of a group, and gives their ids. Idempotent.

        Raises:
            SessionNotFound: It has none.
        """
        return (await self._api.post(path("groups", group, "close"), {}, _Closed)).sessions
