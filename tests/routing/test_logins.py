"""Logins of browsers: codes that are good once, and sessions that end."""

from __future__ import annotations

import pytest

from acprelay.errors import Unauthorized
from acprelay.routing.logins import CODE_S, SESSION_S, Logins


@pytest.fixture
def logins() -> Logins:
    logins = Logins()
    assert logins.offer("token", code="code", now=0.0) == CODE_S
    return logins


def token_of(logins: Logins, session: str, now: float) -> str | None:
    found = logins.find(session, now)
    return None if found is None else found.token_id


def test_a_code_is_good_once(logins: Logins) -> None:
    assert logins.redeem("code", session="session", now=1.0) == "token"
    assert token_of(logins, "session", 1.0) == "token"
    with pytest.raises(Unauthorized, match="used already"):
        logins.redeem("code", session="another", now=1.0)
    assert token_of(logins, "another", 1.0) is None


def test_looking_at_a_code_does_not_use_it_up(logins: Logins) -> None:
    assert logins.is_open("code", 0.0)
    assert logins.is_open("code", 0.0)
    assert not logins.is_open("other", 0.0)
    assert logins.redeem("code", session="session", now=1.0) == "token"
    assert not logins.is_open("code", 1.0)


def test_a_code_ends_after_minutes(logins: Logins) -> None:
    assert not logins.is_open("code", CODE_S)
    with pytest.raises(Unauthorized, match="has expired"):
        logins.redeem("code", session="session", now=CODE_S)


def test_a_session_ends_with_its_time(logins: Logins) -> None:
    logins.redeem("code", session="session", now=0.0)
    assert token_of(logins, "session", SESSION_S - 1) == "token"
    assert token_of(logins, "session", SESSION_S) is None


def test_a_session_ends_at_the_logout_and_no_other_does(logins: Logins) -> None:
    logins.redeem("code", session="session", now=0.0)
    logins.offer("token", code="more", now=0.0)
    logins.redeem("more", session="other", now=0.0)
    logins.log_out("session")
    logins.log_out("session")
    assert token_of(logins, "session", 0.0) is None
    assert token_of(logins, "other", 0.0) == "token"


def test_sessions_whose_time_is_over_are_ended_once(logins: Logins) -> None:
    logins.redeem("code", session="session", now=0.0)
    assert logins.end_expired(SESSION_S - 1) == []
    assert [each.token_id for each in logins.end_expired(SESSION_S)] == ["token"]
    assert logins.end_expired(SESSION_S) == []


def test_whatever_stands_for_a_token_ends_with_it(logins: Logins) -> None:
    logins.redeem("code", session="session", now=0.0)
    logins.offer("token", code="more", now=0.0)
    logins.offer("stays", code="stays", now=0.0)
    logins.end_all("token")
    assert token_of(logins, "session", 0.0) is None
    assert not logins.is_open("more", 0.0)
    assert logins.is_open("stays", 0.0)


def test_of_too_many_codes_the_oldest_goes() -> None:
    logins = Logins()
    for number in range(101):
        logins.offer("token", code=str(number), now=0.0)
    assert not logins.is_open("0", 0.0)
    assert logins.is_open("1", 0.0)
    assert logins.is_open("100", 0.0)


def test_what_is_kept_tells_no_secret(logins: Logins) -> None:
    logins.redeem("code", session="a secret", now=0.0)
    [kept] = logins._sessions._known
    assert "secret" not in repr(kept)
