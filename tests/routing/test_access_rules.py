"""What each method takes, and what a principal is told of what it may not do."""

from __future__ import annotations

import pytest

from acprelay.errors import Forbidden, SessionNotFound
from acprelay.routing.access import LOCAL, Grant, Principal, Scope, including
from acprelay.routing.access_rules import (
    RULES,
    UNKNOWN,
    Reach,
    Rule,
    check_anything,
    check_group,
    check_opening,
    check_visible,
    rule_for,
    seen,
    starts_agents,
    within,
)
from acprelay.routing.choosing import Choice
from acprelay.routing.destinations import _REQUESTS
from acprelay.session.models import SessionKey
from acprelay.wire.methods import METHODS, Sender

GROUP, ROLE, EVERYTHING = Scope(group="g"), Scope(group="g", role="r"), Scope()


def holder(*grants: Grant, scope: Scope = EVERYTHING) -> Principal:
    return Principal(id="t", name="T", grants=including(grants), scope=scope)


# --- the table


def test_every_method_that_a_client_may_send_has_a_rule_and_nothing_else_has() -> None:
    of_clients = {name for name, method in METHODS.items() if method.sender is not Sender.AGENT}
    assert set(RULES) == of_clients | set(_REQUESTS)


def test_a_method_that_nobody_here_knows_takes_the_grant_to_manage() -> None:
    assert rule_for("_x/anything") == UNKNOWN == Rule(Grant.MANAGE, Reach.SESSION)


@pytest.mark.parametrize(
    ("method", "grant"),
    [
        ("session/load", Grant.OBSERVE),
        ("session/prompt", Grant.PROMPT),
        ("session/set_mode", Grant.APPROVE),
        ("session/set_config_option", Grant.APPROVE),
        ("session/set_model", Grant.APPROVE),
        ("session/new", Grant.MANAGE),
        ("session/close", Grant.MANAGE),
        ("session/delete", Grant.MANAGE),
        ("authenticate", Grant.MANAGE),
    ],
)
def test_what_has_consequences_takes_more_than_to_look(method: str, grant: Grant) -> None:
    assert rule_for(method).grant is grant


# --- what there is


@pytest.mark.parametrize(
    ("scope", "visible"),
    [
        (EVERYTHING, {"g:r", "g:q", "h:r"}),
        (GROUP, {"g:r", "g:q"}),
        (ROLE, {"g:r"}),
    ],
)
def test_what_lies_outside_of_a_scope_does_not_exist(scope: Scope, visible: set[str]) -> None:
    principal = holder(Grant.OBSERVE, scope=scope)
    for name in ("g:r", "g:q", "h:r"):
        key = SessionKey.parse(name)
        if name in visible:
            check_visible(principal, name)
            assert seen(principal, key) == key
        else:
            with pytest.raises(SessionNotFound) as refusal:
                check_visible(principal, name)
            assert refusal.value.message == SessionNotFound(key=name).message
            assert seen(principal, key) is None
    assert seen(principal, None) is None


def test_what_is_no_name_is_told_to_be_unknown() -> None:
    with pytest.raises(SessionNotFound):
        check_visible(LOCAL, "no colon")


def test_without_any_grant_nothing_exists() -> None:
    with pytest.raises(SessionNotFound):
        check_visible(holder(), "g:r")
    with pytest.raises(SessionNotFound):
        check_group(holder(), Grant.MANAGE, "g")


# --- groups, openings, and what concerns no session


@pytest.mark.parametrize(
    ("principal", "refusal"),
    [
        (holder(Grant.MANAGE), None),
        (holder(Grant.MANAGE, scope=GROUP), None),
        (holder(Grant.MANAGE, scope=ROLE), Forbidden),
        (holder(Grant.APPROVE), Forbidden),
        (holder(Grant.APPROVE, scope=GROUP), Forbidden),
        (holder(Grant.MANAGE, scope=Scope(group="h")), SessionNotFound),
    ],
)
def test_a_group_is_managed_as_a_whole(
    principal: Principal, refusal: type[Exception] | None
) -> None:
    if refusal is None:
        check_group(principal, Grant.MANAGE, "g")
        return
    with pytest.raises(refusal):
        check_group(principal, Grant.MANAGE, "g")


@pytest.mark.parametrize(
    ("principal", "group", "role", "allowed"),
    [
        (holder(Grant.MANAGE), None, "main", True),
        (holder(Grant.MANAGE), "g", "main", True),
        (holder(Grant.MANAGE, scope=GROUP), None, "main", False),
        (holder(Grant.MANAGE, scope=GROUP), "g", "main", True),
        (holder(Grant.MANAGE, scope=GROUP), "h", "main", False),
        (holder(Grant.MANAGE, scope=ROLE), "g", "r", True),
        (holder(Grant.MANAGE, scope=ROLE), "g", "main", False),
        (holder(Grant.PROMPT, Grant.APPROVE), "g", "r", False),
    ],
)
def test_a_session_is_opened_by_who_manages_it(
    principal: Principal, group: str | None, role: str, allowed: bool
) -> None:
    choice = Choice(agent="a", group=group, role=role)
    if allowed:
        check_opening(principal, choice)
        return
    with pytest.raises(Forbidden) as refusal:
        check_opening(principal, choice)
    assert refusal.value.fields["grant"] == "manage"


@pytest.mark.parametrize(
    ("scope", "group", "role", "expected"),
    [
        (EVERYTHING, None, "main", (None, "main")),
        (GROUP, None, "main", ("g", "main")),
        (GROUP, None, "q", ("g", "q")),
        (GROUP, "h", "main", ("h", "main")),
        (ROLE, None, "main", ("g", "r")),
        (ROLE, "g", "main", ("g", "r")),
        (ROLE, "g", "q", ("g", "q")),
        (ROLE, "h", "main", ("h", "main")),
    ],
)
def test_a_scope_chooses_what_an_address_leaves_open(
    scope: Scope, group: str | None, role: str, expected: tuple[str | None, str]
) -> None:
    chosen = within(Choice(agent="a", group=group, role=role), scope)
    assert (chosen.group, chosen.role) == expected


def test_what_concerns_no_session_takes_the_grant_for_anything_at_all() -> None:
    check_anything(holder(Grant.MANAGE, scope=ROLE), Grant.MANAGE)
    with pytest.raises(Forbidden):
        check_anything(holder(Grant.PROMPT), Grant.MANAGE)


@pytest.mark.parametrize("grant", Grant)
def test_only_who_talks_to_agents_or_manages_them_has_them_started(grant: Grant) -> None:
    expected = grant in (Grant.PROMPT, Grant.MANAGE)
    assert starts_agents(holder(grant, scope=ROLE)) is expected
