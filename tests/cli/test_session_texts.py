from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from acprelay.cli.session_texts import details, flat, local_time, opened_as_json, row, short_time
from acprelay.client import Opened, Refusal, Session, WorktreeInfo

SESSION = Session(
    session_id="task:auth",
    group="task",
    role="auth",
    agent="claude",
    cwd="/repo",
    state="active",
    live=True,
    updated_at="2026-01-02T03:04:05.678Z",
    title="Mend it",
)
NOW = datetime(2026, 1, 2, 12, tzinfo=UTC).astimezone()
TREE = WorktreeInfo(path="/t", workdir="/t", branch="b", base="c", repository="/repo")
FLAT = {
    "sessionId": "task:auth",
    "group": "task",
    "role": "auth",
    "agent": "claude",
    "state": "live",
    "title": "Mend it",
    "cwd": "/repo",
    "worktree": None,
    "updatedAt": "2026-01-02T03:04:05.678Z",
}


def test_scripts_get_a_session_without_levels() -> None:
    assert flat(SESSION) == FLAT


def test_a_session_that_no_run_serves_is_dormant() -> None:
    assert flat(msgspec.structs.replace(SESSION, live=False))["state"] == "dormant"


def test_scripts_get_all_of_a_worktree() -> None:
    shown = flat(msgspec.structs.replace(SESSION, worktree=TREE))["worktree"]
    assert shown == {
        "path": "/t",
        "workdir": "/t",
        "branch": "b",
        "base": "c",
        "repository": "/repo",
        "dirty": False,
        "notes": [],
    }


def test_scripts_get_what_became_of_each_role() -> None:
    refusal = Refusal(code="spawn_failed", message="cannot", hint="try", retryable=True)
    assert opened_as_json(Opened(role="a", session_id="g:a")) == {"role": "a", "sessionId": "g:a"}
    assert opened_as_json(Opened(role="a", error=refusal)) == {
        "role": "a",
        "error": {"code": "spawn_failed", "message": "cannot", "hint": "try", "retryable": True},
    }


def test_a_row_names_the_directory_that_the_agent_works_in() -> None:
    assert row(FLAT, now=NOW)[0::4] == ("task:auth", "/repo")
    assert row({**FLAT, "worktree": {"workdir": "/trees/auth"}}, now=NOW)[4] == "/trees/auth"


def test_a_row_of_a_session_without_a_title_says_so() -> None:
    assert row({**FLAT, "title": None}, now=NOW)[-1] == "-"


def test_details_are_aligned_and_levels_indented() -> None:
    session = {
        "sessionId": "task:auth",
        "pid": 7,
        "title": None,
        "health": [],
        "warnings": ["one", "two"],
        "worktree": {"branch": "b", "base": "c\x1b"},
    }
    assert list(details(session)) == [
        "sessionId  task:auth",
        "pid        7",
        "title      -",
        "health     -",
        "warnings   one",
        "warnings   two",
        "worktree",
        "  branch  b",
        "  base    c^[",
    ]


def test_a_time_is_shown_as_a_clock_here_shows_it_and_other_text_as_it_is() -> None:
    assert local_time("2026-01-02T03:04:05+00:00")[-5:] == "04:05"
    assert local_time("None") == "None"


def test_a_list_shows_the_minute_of_today_and_the_day_of_any_other_time() -> None:
    assert short_time(NOW.isoformat(), now=NOW) == f"{NOW:%H:%M}"
    for days in (-1, 1):
        time = NOW + timedelta(days=days)
        assert short_time(time.isoformat(), now=NOW) == f"{time:%Y-%m-%d}"
    assert short_time("some day", now=NOW) == "some day"


def test_people_are_told_yes_or_no() -> None:
    assert list(details({"dirty": False, "live": True})) == ["dirty  no", "live   yes"]
