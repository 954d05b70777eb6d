"""Who may do what: principals, and the grants that their tokens carry.

A grant holds within a scope: everything, a group, or one session. `prompt` and `approve` include
`observe`, `manage` includes them all. This module knows neither tokens nor methods.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from acprelay.errors import Forbidden
from acprelay.session.models import SessionKey


class Grant(StrEnum):
    """What somebody may do."""

    OBSERVE = "observe"
    """See what there is: list, load, resume, read."""
    PROMPT = "prompt"
    """Talk to agents, and so begin a new run of what exists."""
    APPROVE = "approve"
    """Answer permissions, change modes and options, stop what others have begun."""
    MANAGE = "manage"
    """Open, close and delete sessions, and decide which commands run."""


_INCLUDED = {
    Grant.OBSERVE: frozenset({Grant.OBSERVE}),
    Grant.PROMPT: frozenset({Grant.OBSERVE, Grant.PROMPT}),
    Grant.APPROVE: frozenset({Grant.OBSERVE, Grant.APPROVE}),
    Grant.MANAGE: frozenset(Grant),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where grants hold.

    Attributes:
        group: The group that they are confined to; None for everything.
        role: The one session of the group that they are confined to; None for all of them.
    """

    group: str | None = None
    role: str | None = None

    @property
    def is_everything(self) -> bool:
        """Whether there is no confinement."""
        return self.group is None

    def covers(self, key: SessionKey) -> bool:
        """Tells whether a session is within it."""
        return self.covers_group(key.session_id) or (self.group, self.role) == (
            key.session_id,
            key.role,
        )

    def covers_group(self, group: str) -> bool:
        """Tells whether all sessions of a group are within it, those to come included."""
        return self.group is None or (self.group == group and self.role is None)

    def __str__(self) -> str:
        if self.group is None:
            return "everything"
        return self.group if self.role is None else f"{self.group}:{self.role}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who a token says that somebody is.

    Attributes:
        id: The id of the token; `local` where a relay does without.
        name: What its owner calls it.
        grants: What it may do, with all that those include.
        scope: Where.
        login: Names the login of the browser that it comes by; None where the token itself is
            shown. It makes no difference to what it may do, nor to what is its own.
    """

    id: str
    name: str
    grants: frozenset[Grant]
    scope: Scope = Scope()
    login: str | None = field(default=None, compare=False)

    @property
    def manages_everything(self) -> bool:
        """Whether it may do all there is, what concerns the relay itself included."""
        return Grant.MANAGE in self.grants and self.scope.is_everything

    def grants_for(self, key: SessionKey) -> frozenset[Grant]:
        """Gives what it may do in a session."""
        return self.grants if self.scope.covers(key) else frozenset()

    def may(self, grant: Grant, key: SessionKey) -> bool:
        """Tells whether it has a grant for a session."""
        return grant in self.grants and self.scope.covers(key)

    def may_in_group(self, grant: Grant, group: str) -> bool:
        """Tells whether it has a grant for all sessions of a group."""
        return grant in self.grants and self.scope.covers_group(group)

    def may_anywhere(self, grant: Grant) -> bool:
        """Tells whether it has a grant for anything at all."""
        return grant in self.grants

    def require(self, grant: Grant, key: SessionKey) -> None:
        """Refuses what takes a grant for a session that is not there.

        Raises:
            Forbidden: It does not have it.
        """
        if not self.may(grant, key):
            raise lacking(grant, str(key))


def including(grants: Iterable[Grant]) -> frozenset[Grant]:
    """Gives grants with all that they include."""
    return frozenset().union(*(_INCLUDED[grant] for grant in grants))


_NO_NAMES = ("everything", "anything")


def lacking(grant: Grant, what: str) -> Forbidden:
    """What somebody is told who does not have a grant.

    Args:
        grant: The grant.
        what: What it would have to be for: a session, a group, everything, or anything at all.
    """
    where = what if what in _NO_NAMES else repr(what[:200])
    return Forbidden(
        f"cannot do that without the grant to {grant} {where}",
        hint="use a token that has this grant: acprelay token create makes one",
        grant=str(grant),
    )


def remote_name(principal: str) -> str:
    """Names whoever acts in a conversation without a connection, where an attachment is named.

    Args:
        principal: The principal's id.
    """
    return f"api:{principal}"


LOCAL = Principal(id="local", name="local", grants=frozenset(Grant))
"""Whoever reaches a relay that does without tokens."""
