"""Principals: their grants, and where those hold."""

from __future__ import annotations

import pytest

from acprelay.errors import Forbidden
from acprelay.routing.access import LOCAL, Grant, Principal, Scope, including, lacking
from acprelay.session.models import SessionKey

G_R, G_Q, H_R = (SessionKey.parse(name) for name in ("g:r", "g:q", "h:r"))


@pytest.mark.parametrize(
    ("grants", "expected"),
    [
        ({Grant.OBSERVE}, {Grant.OBSERVE}),
        ({Grant.PROMPT}, {Grant.OBSERVE, Grant.PROMPT}),
        ({Grant.APPROVE}, {Grant.OBSERVE, Grant.APPROVE}),
        ({Grant.PROMPT, Grant.APPROVE}, {Grant.OBSERVE, Grant.PROMPT, Grant.APPROVE}),
        ({Grant.MANAGE}, set(Grant)),
        (set(), set()),
    ],
)
def test_grants_include_what_they_are_of_no_use_without(
    grants: set[Grant], expected: set[Grant]
) -> None:
    assert including(grants) == expected


@pytest.mark.requirement("access.grants-have-a-scope")
@pytest.mark.parametrize(
    ("scope", "sessions", "groups", "name"),
    [
        (Scope(), {G_R, G_Q, H_R}, {"g", "h"}, "everything"),
        (Scope(group="g"), {G_R, G_Q}, {"g"}, "g"),
        (Scope(group="g", role="r"), {G_R}, set(), "g:r"),
    ],
)
def test_a_grant_holds_within_its_scope(
    scope: Scope, sessions: set[SessionKey], groups: set[str], name: str
) -> None:
    principal = Principal(id="t", name="T", grants=including({Grant.PROMPT}), scope=scope)
    for key in (G_R, G_Q, H_R):
        is_within = key in sessions
        assert principal.may(Grant.PROMPT, key) is is_within
        assert not principal.may(Grant.APPROVE, key)
        assert principal.grants_for(key) == (principal.grants if is_within else frozenset())
        if is_within:
            principal.require(Grant.PROMPT, key)
        else:
            with pytest.raises(Forbidden):
                principal.require(Grant.PROMPT, key)
    for group in ("g", "h"):
        assert principal.may_in_group(Grant.PROMPT, group) is (group in groups)
        assert not principal.may_in_group(Grant.MANAGE, group)
    assert principal.may_anywhere(Grant.PROMPT)
    assert not principal.may_anywhere(Grant.MANAGE)
    assert not principal.manages_everything
    assert str(scope) == name


def test_whoever_reaches_a_relay_without_tokens_may_do_everything() -> None:
    assert LOCAL.manages_everything
    assert LOCAL.grants_for(G_R) == set(Grant)


def test_a_refusal_names_the_grant() -> None:
    error = lacking(Grant.APPROVE, "g:r")
    assert error.message == "cannot do that without the grant to approve 'g:r'"
    assert error.fields["grant"] == "approve"
    for where in ("everything", "anything"):
        message = f"cannot do that without the grant to manage {where}"
        assert lacking(Grant.MANAGE, where).message == message
