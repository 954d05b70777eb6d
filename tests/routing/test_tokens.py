"""Tokens: who is known by what they show, until when, and what a new one may be."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.errors import Forbidden, InvalidParams, LimitReached, Unauthorized
from acprelay.routing.access import LOCAL, Grant, Principal, Scope
from acprelay.routing.tokens import (
    Token,
    Tokens,
    TokenWish,
    check_wish,
    digest_of,
    text_of,
    without_secret,
)

MANAGE = frozenset({Grant.MANAGE})


def token(
    token_id: str = "a", secret: str = "s", *, expires_at: float | None = None, **more: Any
) -> Token:
    return Token(
        id=token_id,
        name="mine",
        grants=more.pop("grants", MANAGE),
        scope=more.pop("scope", Scope()),
        digest=digest_of(secret),
        created_at=0.0,
        expires_at=expires_at,
        **more,
    )


def test_a_token_is_known_by_its_id_and_its_secret() -> None:
    tokens = Tokens([token("a", "one"), token("b", "two")])
    assert tokens.verify(text_of("b", "two"), 0.0).id == "b"


@given(
    st.from_regex(r"[0-9a-zA-Z]{1,64}", fullmatch=True),
    st.from_regex(r"[0-9A-Za-z_-]{1,60}", fullmatch=True),
)
def test_any_secret_of_the_urls_alphabet_comes_through(token_id: str, secret: str) -> None:
    tokens = Tokens([token(token_id, secret)])
    assert tokens.verify(text_of(token_id, secret), 0.0).id == token_id


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "acpr_", "acpr_a", "acpr_a_", "acpr__s", "ACPR_a_s", " acpr_a_s", "acpr_a_s\n"),
        *("acpr_a_é", "acpr_a_\ud800", "acpr_a_" + "s" * 1000, "Bearer acpr_a_s"),
    ],
)
def test_what_is_no_token_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(Unauthorized, match="that is no token") as caught:
        Tokens([token()]).verify(text, 0.0)
    assert text not in caught.value.message or len(text) < 2


@pytest.mark.parametrize("text", ["acpr_b_s", "acpr_a_S", "acpr_a_ss", "acpr_A_s", "acpr_a_-"])
def test_an_unknown_id_and_a_wrong_secret_are_told_alike(text: str) -> None:
    with pytest.raises(Unauthorized, match="unknown, has expired or was revoked"):
        Tokens([token()]).verify(text, 0.0)


@pytest.mark.requirement("access.tokens-are-compared-in-constant-time")
@pytest.mark.parametrize("shown", ["acpr_a_x", "acpr_unknown_x"])
def test_a_secret_is_compared_in_constant_time_whether_its_id_is_known_or_not(
    monkeypatch: pytest.MonkeyPatch, shown: str
) -> None:
    compared = []

    def compare(known: str, given_one: str) -> bool:
        compared.append(given_one)
        return known == given_one

    monkeypatch.setattr(hmac, "compare_digest", compare)
    with pytest.raises(Unauthorized):
        Tokens([token()]).verify(shown, 0.0)
    assert compared == [digest_of("x")]


def test_the_hash_of_nothing_lets_nobody_in() -> None:
    with pytest.raises(Unauthorized):
        Tokens().verify("acpr_a_", 0.0)


@pytest.mark.requirement("access.tokens-are-stored-hashed")
def test_what_is_kept_tells_no_secret() -> None:
    tokens = Tokens()
    tokens.add(token(secret="hidden"), 0.0)
    [kept] = tokens.known
    assert "hidden" not in repr(kept)
    assert kept.digest == hashlib.sha256(b"hidden").hexdigest()


@pytest.mark.requirement("access.tokens-end")
def test_a_token_ends_with_its_time() -> None:
    tokens = Tokens([token(expires_at=10.0), token("b")])
    assert tokens.verify("acpr_a_s", 9.9).id == "a"
    assert tokens.find("a", 9.9) is not None
    with pytest.raises(Unauthorized, match="has expired"):
        tokens.verify("acpr_a_s", 10.0)
    assert tokens.find("a", 10.0) is None
    assert [each.id for each in tokens.take_expired(10.0)] == ["a"]
    assert tokens.take_expired(10.0) == ()
    assert [each.id for each in tokens.known] == ["b"]


@pytest.mark.requirement("access.tokens-end")
def test_a_token_ends_when_it_is_taken_back() -> None:
    tokens = Tokens([token()])
    assert tokens.remove("a") == token()
    assert tokens.remove("a") is None
    with pytest.raises(Unauthorized, match="was revoked"):
        tokens.verify("acpr_a_s", 0.0)


def test_as_many_as_may_be_are_valid_at_a_time() -> None:
    tokens = Tokens([token(expires_at=1.0)], most=1)
    with pytest.raises(LimitReached, match="tokens that are valid at a time"):
        tokens.add(token("b"), 0.0)
    tokens.add(token("b"), 1.0)
    assert tokens.find("b", 1.0) is not None


def test_the_owners_token_is_found() -> None:
    assert Tokens([token()]).owners is None
    assert Tokens([token(), token("b", is_owners=True)]).owners == token("b", is_owners=True)


def test_who_shows_a_token_may_do_what_its_grants_include() -> None:
    scope = Scope(group="g", role="r")
    principal = token(grants=frozenset({Grant.PROMPT}), scope=scope).principal
    assert principal == Principal(
        id="a", name="mine", grants=frozenset({Grant.OBSERVE, Grant.PROMPT}), scope=scope
    )


@pytest.mark.parametrize("name", ["", "a\nb", "a\x1b[1m", "x" * 101])
def test_a_name_is_one_line_that_can_be_shown(name: str) -> None:
    with pytest.raises(InvalidParams, match="cannot name a token"):
        TokenWish(name=name, grants=MANAGE)


def test_a_token_has_a_grant() -> None:
    with pytest.raises(InvalidParams, match="without a grant"):
        TokenWish(name="a", grants=frozenset())


WISH = TokenWish(name="a", grants=MANAGE)


@pytest.mark.parametrize(
    "creator",
    [
        Principal(id="x", name="x", grants=frozenset(Grant) - MANAGE),
        Principal(id="x", name="x", grants=frozenset(Grant), scope=Scope(group="g")),
    ],
)
def test_only_who_manages_everything_makes_tokens(creator: Principal) -> None:
    with pytest.raises(Forbidden, match="without the grant to manage everything"):
        check_wish(WISH, creator=creator, until=None, now=0.0)


@pytest.mark.parametrize(
    ("wished", "until", "given_end"),
    [(None, None, None), (5.0, None, 5.0), (None, 5.0, 5.0), (4.0, 5.0, 4.0), (5.0, 5.0, 5.0)],
)
def test_a_token_ends_when_it_is_to_and_with_its_creators_at_the_latest(
    wished: float | None, until: float | None, given_end: float | None
) -> None:
    wish = TokenWish(name="a", grants=MANAGE, expires_at=wished)
    checked = check_wish(wish, creator=LOCAL, until=until, now=0.0)
    assert checked == TokenWish(name="a", grants=MANAGE, expires_at=given_end)


def test_a_token_does_not_outlive_the_one_that_makes_it() -> None:
    wish = TokenWish(name="a", grants=MANAGE, expires_at=6.0)
    with pytest.raises(Forbidden, match="outlives"):
        check_wish(wish, creator=LOCAL, until=5.0, now=0.0)


def test_a_token_that_has_expired_is_not_made() -> None:
    wish = TokenWish(name="a", grants=MANAGE, expires_at=1.0)
    with pytest.raises(InvalidParams, match="expired already"):
        check_wish(wish, creator=LOCAL, until=None, now=1.0)


@pytest.mark.requirement("access.secrets-are-not-told")
def test_of_a_text_that_names_a_token_the_secret_is_not_told() -> None:
    assert without_secret(text_of("phone1", "s" * 43)) == "acpr_phone1_…"
    assert without_secret("phone1") == "phone1"
