"""What the log of `acprelay serve` looks like, and what never stands in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from acprelay.cli.logs import formatter, set_up_logs
from acprelay.errors import AgentExited
from acprelay.routing.events import TurnEnded, TurnOutcome, TurnStarted
from acprelay.runtime.event_log import EventLog
from acprelay.runtime.log_context import also, bound
from acprelay.runtime.observation import Scene
from acprelay.session.models import SessionKey

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SCENE = Scene(key=SessionKey("task", "db"), agent="coder", run=2)


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What is logged as JSON, from level debug on."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(form="json", colours=False))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.requirement("operation.logs-name-where-it-happens")
def test_a_line_names_the_session_the_connection_and_the_trace(written: io.StringIO) -> None:
    log = EventLog()
    with bound(connection="c1", principal="p1"):
        log.turn_started(SCENE, TurnStarted("t1", "c1-0", TRACE))
    log.turn_ended(SCENE, TurnEnded("t1", TurnOutcome.ENDED), lasted_s=1.25)
    log.turn_ended(SCENE, TurnEnded("t2", TurnOutcome.FAILED), lasted_s=0.0)
    where = {"session": "task:db", "role": "db", "agent": "coder", "run": 2}
    started, ended, other = lines(written)
    assert where.items() <= started.items()
    assert where.items() <= ended.items()
    assert (started["connection"], started["principal"]) == ("c1", "p1")
    assert (started["traceparent"], ended["traceparent"]) == (TRACE, TRACE)
    assert (ended["outcome"], ended["lasted_s"]) == ("ended", 1.25)
    assert (started["level"], started["event"]) == ("info", "session task:db: turn started")
    assert "connection" not in ended
    assert "traceparent" not in other


def test_what_goes_wrong_is_a_warning_where_it_happens(written: io.StringIO) -> None:
    log = EventLog()
    log.restarted(SCENE)
    log.storage_failed(SCENE, AgentExited(agent="coder", status="exit status 3", stderr=""))
    assert [line["level"] for line in lines(written)] == ["warning", "warning"]
    assert all(line["session"] == "task:db" for line in lines(written))


SECRETS = (
    "acpr_AbCdEf0123456789-_x",
    "Authorization: Bearer abcdefgh12345678",
    "Cookie: acprelay=abcdefgh12345678; other=x",
    "ws://127.0.0.1:8137/acp?agent=a&token=abcdefgh12345678",
)


@pytest.mark.requirement("operation.logs-hold-no-secrets")
@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("secret", SECRETS)
def test_what_looks_like_a_secret_is_struck_out_wherever_it_stands(form: str, secret: str) -> None:
    shape = formatter(form=form, colours=False)
    record = logging.LogRecord("n", logging.ERROR, "p", 1, "said %s", (secret,), None)
    record.acprelay = {"token": "abcdefgh12345678", "nested": {"cookie": "x=abcdefgh12345678"}}
    error = ValueError(secret)
    record.exc_info = (ValueError, error, None)
    line = shape.format(record)
    assert "abcdefgh12345678" not in line
    assert "AbCdEf0123456789" not in line
    assert "[struck out]" in line


def test_what_is_bound_holds_no_longer_than_its_context(written: io.StringIO) -> None:
    logger = logging.getLogger("acprelay.test")
    with bound(connection="outer"):
        with bound(principal="p"):
            logger.info("inside")
        logger.info("outside", extra=also(code="x"))
    inside, outside = lines(written)
    assert (inside["connection"], inside["principal"]) == ("outer", "p")
    assert (outside["connection"], outside["code"]) == ("outer", "x")
    assert "principal" not in outside


def test_lines_for_people_begin_with_the_time_and_have_no_colours_in_a_file() -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    set_up_logs(form="console", level="info", stream=stream)
    [handler] = [each for each in root.handlers if each not in before]
    try:
        logging.getLogger("acprelay.test").info("hello", extra=also(session="a:main"))
        logging.getLogger("acprelay.test").debug("not shown")
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    [line] = stream.getvalue().splitlines()
    assert "hello" in line
    assert "session=a:main" in line
    assert "\x1b" not in line


@pytest.mark.requirement("operation.log-lines-are-not-forged")
def test_what_a_peer_has_chosen_forges_no_line_and_no_colour() -> None:
    shape = formatter(form="console", colours=False)
    chosen = "a\n2026 [critical] b\x1b[31m\u2028c"
    record = logging.LogRecord("n", logging.ERROR, "p", 1, "refused %s", (chosen,), None)
    record.acprelay = {"code": "d\re"}
    error = ValueError("f\x1b[31m\ng")
    record.exc_info = (ValueError, error, None)
    first, *traceback = shape.format(record).split("\n")
    assert "refused a\\n2026 [critical] b\\x1b[31m\\u2028c" in first
    assert "code=d\\re" in first
    assert traceback == ["ValueError: f\\x1b[31m", "g"]
