from __future__ import annotations

from acprelay.cli.session_texts import details, flat, local_time, row
from acprelay.client.acp_messages import JsonObject

ENTRY: JsonObject = {
    "sessionId": "task:auth",
    "cwd": "/repo",
    "title": "Mend it",
    "updatedAt": "2026-01-02T03:04:05.678Z",
    "_meta": {"acprelay": {"agent": "claude", "group": "task", "role": "auth", "live": True}},
}
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
    assert flat(ENTRY) == FLAT


def test_a_session_that_no_run_serves_is_dormant() -> None:
    own = {"agent": "claude", "group": "task", "role": "auth", "live": False}
    assert flat({**ENTRY, "_meta": {"acprelay": own}})["state"] == "dormant"


def test_what_another_relay_does_not_say_is_nothing() -> None:
    assert flat({"sessionId": "x"}) == {**dict.fromkeys(FLAT), "sessionId": "x", "state": "dormant"}


def test_a_row_names_the_directory_that_the_agent_works_in() -> None:
    assert row(FLAT)[0::4] == ("task:auth", "/repo")
    assert row({**FLAT, "worktree": {"workdir": "/trees/auth"}})[4] == "/trees/auth"


def test_a_row_of_a_session_without_a_title_says_so() -> None:
    assert row({**FLAT, "title": None})[-1] == "-"


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
