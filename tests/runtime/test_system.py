"""The machine's clock, its randomness and its log."""

from __future__ import annotations

import logging
import re
import time

import pytest

from acprelay.runtime.system import LoggingHooks, RandomIds, SystemClock
from acprelay.session.models import KEY_PART_PATTERN, Session, SessionKey, SessionSpec, SessionState


def test_the_clock_tells_the_time_of_day() -> None:
    before = time.time()
    now = SystemClock().now()
    assert before <= now <= time.time()


def test_ids_fit_into_keys_and_do_not_come_twice() -> None:
    ids = RandomIds()
    minted = [ids.mint() for _ in range(1_000)]
    assert len(set(minted)) == 1_000
    assert all(re.fullmatch(KEY_PART_PATTERN, each) for each in minted)


def test_the_log_tells_what_becomes_of_a_session(caplog: pytest.LogCaptureFixture) -> None:
    session = Session(
        key=SessionKey("task", "main"),
        run=1,
        state=SessionState.TERMINATING,
        spec=SessionSpec(agent="coder", cwd="/repo"),
        created_at=0,
        reason="its client left",
    )
    with caplog.at_level(logging.INFO):
        LoggingHooks().on_activate(session)
        LoggingHooks().on_terminate(session)
    assert caplog.messages == [
        "session task:main is active (agent coder)",
        "session task:main ends: its client left",
    ]
