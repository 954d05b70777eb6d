"""What a client's message takes: for each method the grant, and what it has to be for.

A table, and the few functions that read it. What a principal may not observe does not exist for it:
it is told what everybody is told who names a session that there is not. It knows no connection, and
not whether a session exists.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

from acprelay.errors import InvalidKey, SessionNotFound
from acprelay.routing.access import Grant, Principal, Scope, lacking
from acprelay.routing.choosing import DEFAULT_ROLE, Choice
from acprelay.session.models import SessionKey


class Reach(Enum):
    """What a grant has to be for."""

    NOTHING = auto()
    """Whoever is let in may do it: what it gives is no more than each may have."""
    SESSION = auto()
    """The session that the message names, or is in."""
    TURN = auto()
    """As `SESSION`, for turns of one's own; the turns of others take the grant to approve."""
    OPENING = auto()
    """The sessions that it opens."""
    ROLE = auto()
    """The session whose role it names, be it there or not."""
    GROUP = auto()
    """The whole group that it names."""
    ANYTHING = auto()
    """Anything at all: it concerns a connection and its agent, and no session."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a method takes.

    Attributes:
        grant: The grant.
        reach: What it has to be for.
    """

    grant: Grant
    reach: Reach


_OBSERVE, _PROMPT, _APPROVE, _MANAGE = Grant

_LOOK = Rule(_OBSERVE, Reach.NOTHING)
_READ = Rule(_OBSERVE, Reach.SESSION)
_TALK = Rule(_PROMPT, Reach.SESSION)
_STOP = Rule(_OBSERVE, Reach.TURN)
_STEER = Rule(_APPROVE, Reach.SESSION)
_OWN = Rule(_MANAGE, Reach.SESSION)
_OPEN = Rule(_MANAGE, Reach.OPENING)
_INVITE = Rule(_MANAGE, Reach.ROLE)
_MANAGE_AGENT = Rule(_MANAGE, Reach.ANYTHING)

RULES: dict[str, Rule] = {
    "initialize": _LOOK,
    "$/cancel_request": _LOOK,  # finds requests of the same connection only
    "session/list": _LOOK,  # names what may be observed only
    "authenticate": _MANAGE_AGENT,
    "logout": _MANAGE_AGENT,
    "providers/list": _MANAGE_AGENT,
    "providers/set": _MANAGE_AGENT,
    "providers/disable": _MANAGE_AGENT,
    "mcp/message": _MANAGE_AGENT,
    "session/new": _OPEN,
    "session/fork": _OWN,
    "session/load": _READ,
    "session/resume": _READ,
    "session/close": _OWN,
    "session/delete": _OWN,
    "session/prompt": _TALK,
    "session/cancel": _STOP,
    "session/set_mode": _STEER,
    "session/set_config_option": _STEER,
    "session/set_model": _STEER,
    "nes/start": Rule(_PROMPT, Reach.ANYTHING),
    "nes/suggest": _TALK,
    "nes/accept": _TALK,
    "nes/reject": _TALK,
    "nes/close": _TALK,
    "document/didOpen": _TALK,
    "document/didChange": _TALK,
    "document/didClose": _TALK,
    "document/didSave": _TALK,
    "document/didFocus": _TALK,
    "_acprelay/attach": _READ,
    "_acprelay/turns": _READ,
    "_acprelay/run": _READ,
    "_acprelay/cancel_turn": _STOP,
    "_acprelay/open_group": _OPEN,
    "_acprelay/close_group": Rule(_MANAGE, Reach.GROUP),
    "_acprelay/invite": _INVITE,
    "_acprelay/revoke_invitations": _INVITE,
}
"""What each method takes that a client may send."""

UNKNOWN = _OWN
"""What any other method takes: nobody here knows what an agent makes of it."""


def rule_for(method: str) -> Rule:
    """Gives what a method takes."""
    return RULES.get(method, UNKNOWN)


def starts_agents(principal: Principal) -> bool:
    """Tells whether somebody may have an agent started at all."""
    return principal.may_anywhere(_PROMPT) or principal.may_anywhere(_MANAGE)


def seen(principal: Principal, key: SessionKey | None) -> SessionKey | None:
    """Gives a session's name where somebody may observe it; else None, as where none is named."""
    return key if key is not None and principal.may(_OBSERVE, key) else None


def check_visible(principal: Principal, public_id: str) -> None:
    """Refuses a session that somebody may not observe, as one that there is not.

    Args:
        principal: Who.
        public_id: The session's name, as the client writes it.

    Raises:
        SessionNotFound: It does not exist for the principal.
    """
    try:
        key = SessionKey.parse(public_id)
    except InvalidKey:
        raise SessionNotFound(key=public_id[:200]) from None
    if not principal.may(_OBSERVE, key):
        raise SessionNotFound(key=public_id[:200])


def check_group(principal: Principal, grant: Grant, group: str) -> None:
    """Refuses what takes a grant for a whole group.

    Raises:
        SessionNotFound: The principal may observe nothing there: it does not exist for it.
        Forbidden: It lacks the grant, or has it for one session of the group only.
    """
    if principal.may_in_group(grant, group):
        return
    sees_some = principal.may_anywhere(_OBSERVE) and principal.scope.group in (None, group)
    if not sees_some:
        raise SessionNotFound(key=group[:200], what="group")
    raise lacking(grant, group)


def check_anything(principal: Principal, grant: Grant) -> None:
    """Refuses what takes a grant for anything at all.

    Raises:
        Forbidden: The principal has it nowhere.
    """
    if not principal.may_anywhere(grant):
        raise lacking(grant, str(principal.scope))


def check_opening(principal: Principal, choice: Choice) -> None:
    """Refuses to open a session that somebody may not manage, be it there or not.

    Raises:
        Forbidden: The principal may not.
    """
    if choice.key is None:
        allowed = principal.manages_everything
    else:
        allowed = principal.may(_MANAGE, choice.key)
    if not allowed:
        raise lacking(_MANAGE, "everything" if choice.key is None else str(choice.key))


def within(choice: Choice, scope: Scope) -> Choice:
    """Gives what an address chooses, with the names that a scope leaves no choice of.

    Who may open sessions in one group opens them there unless another one is named, and who may
    open one session opens that.
    """
    if scope.group is None or choice.group not in (None, scope.group):
        return choice
    role = scope.role if scope.role is not None and choice.role == DEFAULT_ROLE else choice.role
    return replace(choice, group=scope.group, role=role)
