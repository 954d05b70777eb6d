"""Permissions: what agents wait for somebody to allow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from acprelay.client.calls import Calls, Value, pages, path


class PermissionInfo(Value, frozen=True, kw_only=True):
    """A permission that waits for an answer.

    Attributes:
        ask: Its id.
        session_id: The session whose agent asks.
        asked_at: When it was asked for, in ISO 8601.
        tool_call: ACP's `toolCall`, as the agent wrote it: its claim.
        options: ACP's `options`, likewise.
        reason: Why no rule has answered it.
        turn: The turn that it belongs to.
        deadline_at: When it is refused at the latest, in ISO 8601.
    """

    ask: str
    session_id: str
    asked_at: str
    tool_call: Any
    options: Any
    reason: str
    turn: str | None = None
    deadline_at: str | None = None


class Answered(Value, frozen=True, kw_only=True):
    """What an answer has done.

    Attributes:
        ask: The permission.
        settled: Whether it is settled now. None chosen settles it once nobody else is asked.
    """

    ask: str
    settled: bool


class _Permissions(Value, frozen=True, kw_only=True):
    permissions: tuple[PermissionInfo, ...]
    next_cursor: str | None = None


class PermissionCalls(Calls):
    """What can be asked about permissions. All raise as `RelayClient` says."""

    def list_permissions(
        self, *, session: str | None = None, group: str | None = None
    ) -> AsyncIterator[PermissionInfo]:
        """Yields the permissions that wait for an answer.

        Args:
            session: Only those of this session.
            group: Only those of this group.
        """
        query = {"session": session, "group": group}
        return pages(self._api, "/permissions", _Permissions, lambda page: page.permissions, query)

    async def answer_permission(self, ask: str, option_id: str | None) -> Answered:
        """Answers a permission; the first valid answer decides, whoever gives it.

        Args:
            ask: The permission's id.
            option_id: The `optionId` of what is chosen; None to choose nothing.

        Raises:
            NotFound: There is no such permission, or it is settled.
            InvalidParams: The option is none of those that are offered.
        """
        body = {"outcome": "cancelled"} if option_id is None else {"optionId": option_id}
        return await self._api.post(path("permissions", ask), body, Answered)
