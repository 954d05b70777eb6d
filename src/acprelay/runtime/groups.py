"""Groups: several sessions on one task, opened together and ended together.

Each session of a group is a conversation of its own, and stays one: what becomes of one does not
touch the others. This module knows neither connections nor sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from acprelay.routing.access import LOCAL, Grant, Principal
from acprelay.routing.access_rules import check_group, check_opening
from acprelay.routing.choosing import Choice, check_agent_name
from acprelay.routing.group_params import GroupSpec, check_spec
from acprelay.routing.records import Worktree
from acprelay.runtime.conversation_driver import ConversationDriver
from acprelay.runtime.conversation_host import ConversationHost
from acprelay.runtime.opening import Opening
from acprelay.session.ports import IdGenerator
from acprelay.wire import Envelope, peek, request

_LEFT = "whoever asked for it no longer waits"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleOutcome:
    """What became of one role that was to be opened.

    Attributes:
        role: The role.
        session_id: The session's public id; None where there is none.
        worktree: Where its agent works, if that is a worktree of its own.
        error: Why there is no session: raw JSON of an error object of JSON-RPC.
    """

    role: str
    session_id: str | None = None
    worktree: Worktree | None = None
    error: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupOutcome:
    """What became of a group that was to be opened.

    Attributes:
        group: Its id.
        roles: What became of each role, in the order they were asked for.
    """

    group: str
    roles: tuple[RoleOutcome, ...]


class Groups:
    """Opens and ends groups.

    Args:
        host: Opens and ends sessions.
        ids: Mints the ids of groups.
        agents: The agents that there are, the default one first.
    """

    def __init__(self, *, host: ConversationHost, ids: IdGenerator, agents: Sequence[str]) -> None:
        self._host = host
        self._ids = ids
        self._agents = agents

    async def open(self, asked: GroupSpec, *, principal: Principal = LOCAL) -> GroupOutcome:
        """Opens sessions side by side; one that fails leaves the others alone.

        Nobody is attached to them. Cancelling it ends those that are still on their way.

        Args:
            asked: The sessions. Who may manage one group opens them there if it names none.
            principal: Who asks for them.

        Raises:
            Forbidden: The principal may not manage one of them; nothing was begun.
            InvalidParams: The roles cannot be used, or there is no such agent; nothing was begun.
            InvalidKey: The group or a role is malformed; nothing was begun.
        """
        check_spec(asked)
        group = principal.scope.group if asked.group is None else asked.group
        if group is None:
            check_group(principal, Grant.MANAGE, group := self._ids.mint())
        choices = self._choices(asked, group)
        for choice in choices:
            check_opening(principal, choice)
        members = [_Member(asked, choice, sponsor=principal.id) for choice in choices]
        try:
            for member in members:
                self._host.open(member.opening)
            await asyncio.wait([member.outcome for member in members])
        finally:
            for member in members:
                self._abandon(member)
        return GroupOutcome(group=group, roles=tuple(member.outcome.result() for member in members))

    async def close(self, group: str, *, principal: Principal = LOCAL) -> list[str]:
        """Ends the runs of every session of a group; their conversations stay.

        Cancelling it does not stop the endings. Idempotent.

        Args:
            group: The group's id.
            principal: Who wants it ended.

        Returns:
            The public ids of the sessions, in order.

        Raises:
            SessionNotFound: The group has no session, or none that the principal may observe.
            Forbidden: The principal may not manage the whole group.
            AgentError: A process of an agent survives.
        """
        check_group(principal, Grant.MANAGE, group)
        return [str(key) for key in await self._host.close_group(group, reason="its group ends")]

    def _choices(self, asked: GroupSpec, group: str) -> list[Choice]:
        for role in asked.roles:
            if role.agent is not None:
                check_agent_name(role.agent, self._agents)
        return [
            Choice(
                agent=self._agents[0] if role.agent is None else role.agent,
                role=role.role,
                group=group,
                worktree=asked.worktree if role.worktree is None else role.worktree,
            )
            for role in asked.roles
        ]

    def _abandon(self, member: _Member) -> None:
        """Ends a session whose opening nobody waits for any more. Idempotent."""
        if member.outcome.cancel() and member.opening.key is not None:
            self._host.runs.begin_termination(member.opening.key, reason=_LEFT)


class _Member:
    """Whoever opens one session of a group: a `Founder` without a connection."""

    def __init__(self, asked: GroupSpec, choice: Choice, *, sponsor: str) -> None:
        params = {"cwd": asked.cwd, "mcpServers": asked.mcp_servers}
        self.opening = Opening(
            client=self,
            request=peek(request(b"0", "session/new", msgspec.json.encode(params))),
            choice=choice,
            cwd=asked.cwd,
            sponsor=sponsor,
            credentials=None,
        )
        self.outcome: asyncio.Future[RoleOutcome] = asyncio.get_running_loop().create_future()

    def wants_session(self, opening: Opening) -> bool:  # noqa: ARG002 - it has only this one
        return not self.outcome.done()

    def session_opened(
        self,
        opening: Opening,
        driver: ConversationDriver,
        answer: Envelope,  # noqa: ARG002 - clients learn of its content when they come
    ) -> None:
        if not self.outcome.done():
            self.outcome.set_result(
                RoleOutcome(
                    role=opening.choice.role,
                    session_id=str(driver.key),
                    worktree=driver.record.worktree,
                )
            )

    def session_refused(self, opening: Opening, reply: bytes) -> None:
        if not self.outcome.done():
            error = peek(reply).member("error")
            self.outcome.set_result(RoleOutcome(role=opening.choice.role, error=error))
