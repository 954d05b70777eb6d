"""What holds for all tests, whoever has started them."""

from __future__ import annotations

import signal

import coverage
import pytest

# A shell without job control lets what it starts in the background ignore Ctrl-C, and so would the
# programs that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
# So does `nohup` with a hangup. What is handled here is not ignored by what is started from here.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stores what a worker has covered while somebody waits for that.

    Once a worker has told that it is done it is killed if it has not ended within ten seconds, and
    a busy machine may need more to store all of it.
    """
    running = coverage.Coverage.current()
    if running is not None and hasattr(session.config, "workerinput"):
        running.stop()
        running.save()
