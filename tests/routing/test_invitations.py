"""Who is invited to join which role: by a token of which only the hash is kept."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from acprelay.errors import Forbidden, InvalidKey, InvalidParams, LimitReached, Unauthorized
from acprelay.routing.invitations import Invitation, Invitations, digest_of
from acprelay.routing.invite_params import read_invite
from acprelay.session.models import SessionKey

AUTH, DB = SessionKey("task", "auth"), SessionKey("task", "db")


def invitation(token: str, key: SessionKey = AUTH, *, expires_at: float = 10.0) -> Invitation:
    return Invitation(key=key, digest=digest_of(token), expires_at=expires_at)


@pytest.mark.requirement("joining.tokens-are-for-one-role")
def test_a_token_lets_its_role_in_and_no_other() -> None:
    invitations = Invitations([invitation("a"), invitation("b", DB)])
    invitations.check(AUTH, "a", 0.0)
    invitations.check(DB, "b", 0.0)
    with pytest.raises(Forbidden, match="another role"):
        invitations.check(DB, "a", 0.0)


@pytest.mark.parametrize("token", ["", "A", "aa", "é", "\ud800", "a" * 100_000])
def test_any_other_token_is_unknown(token: str) -> None:
    with pytest.raises(Unauthorized, match="unknown"):
        Invitations([invitation("a")]).check(AUTH, token, 0.0)


def test_no_token_is_no_invitation() -> None:
    with pytest.raises(Unauthorized, match="without a token"):
        Invitations([invitation("a")]).check(AUTH, None, 0.0)


@pytest.mark.requirement("access.tokens-end")
def test_a_token_ends_with_its_time() -> None:
    invitations = Invitations([invitation("a", expires_at=10.0)])
    invitations.check(AUTH, "a", 9.9)
    with pytest.raises(Unauthorized, match="has expired"):
        invitations.check(AUTH, "a", 10.0)


@pytest.mark.requirement("access.tokens-end")
def test_a_token_ends_when_its_role_is_revoked() -> None:
    invitations = Invitations([invitation("a"), invitation("b"), invitation("c", DB)])
    assert invitations.revoke(AUTH) == 2
    assert invitations.revoke(AUTH) == 0
    with pytest.raises(Unauthorized, match="revoked"):
        invitations.check(AUTH, "a", 0.0)
    invitations.check(DB, "c", 0.0)


@pytest.mark.requirement("access.tokens-are-stored-hashed")
def test_what_is_kept_tells_no_token() -> None:
    invitations = Invitations()
    invitations.add(invitation("a secret"), 0.0)
    [kept] = invitations.known
    assert "secret" not in repr(kept)
    assert kept.digest == hashlib.sha256(b"a secret").hexdigest()


@pytest.mark.requirement("access.tokens-are-compared-in-constant-time")
def test_a_token_is_compared_with_every_hash_in_constant_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[Any, Any]] = []

    def compare(known: str, shown: str) -> bool:
        compared.append((known, shown))
        return known == shown

    monkeypatch.setattr(hmac, "compare_digest", compare)
    invitations = Invitations([invitation("a"), invitation("b"), invitation("c")])
    invitations.check(AUTH, "a", 0.0)
    assert compared == [(digest_of(each), digest_of("a")) for each in "abc"]


def test_as_many_as_may_be_are_valid_and_those_that_ended_are_forgotten() -> None:
    invitations = Invitations([invitation("a", expires_at=1.0)], most=2)
    invitations.add(invitation("b"), 0.0)
    with pytest.raises(LimitReached, match="limited to 2"):
        invitations.add(invitation("c"), 0.0)
    invitations.add(invitation("c"), 1.0)
    assert [each.digest for each in invitations.known] == [digest_of("b"), digest_of("c")]


def test_one_can_be_taken_back() -> None:
    one, other = invitation("a"), invitation("b")
    invitations = Invitations([one, other])
    invitations.remove(one)
    invitations.remove(one)
    assert invitations.known == (other,)


def test_params_are_read_with_their_defaults() -> None:
    read = read_invite(b'{"group":"task"}')
    assert (read.key, read.ttl_s) == (SessionKey("task", "main"), 86_400.0)
    read = read_invite(b'{"group":"task","role":"db","ttl_s":60,"more":1}')
    assert (read.key, read.ttl_s) == (DB, 60.0)


@pytest.mark.parametrize(
    "params",
    [None, b"[]", b"{}", b'{"group":null}', b'{"group":"g","ttl_s":0}', b'{"group":"\xff"}'],
)
def test_malformed_params_are_refused(params: bytes | None) -> None:
    with pytest.raises(InvalidParams):
        read_invite(params)


def test_a_group_that_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidKey):
        read_invite(b'{"group":"-"}')
