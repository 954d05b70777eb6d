"""The desk that serves one run: in which order, what is broken off, and what its end ends."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.runtime.conftest import PATIENCE_S

from acprelay.agents.commands import CommandLauncher
from acprelay.agents.models import AgentLimits
from acprelay.config import Limits
from acprelay.errors import Forbidden, RelayError, RequestCancelled
from acprelay.routing.events import ServiceAsked, ServiceWithdrawn
from acprelay.runtime import service_desk as module
from acprelay.runtime.background import together
from acprelay.runtime.run_slot import RunSlot
from acprelay.runtime.service_desk import ServiceDesks
from acprelay.services.terminal_orders import read_order
from acprelay.services.text_files import TextFiles
from acprelay.testing.session import FakeIds

pytestmark = pytest.mark.process

READ, WRITE = "fs/read_text_file", "fs/write_text_file"
CREATE, OUTPUT, WAIT = "terminal/create", "terminal/output", "terminal/wait_for_exit"
KILL, RELEASE = "terminal/kill", "terminal/release"


class Desk:
    """A desk with whoever hands requests in, and the outcomes in the order in which they came.

    Args:
        root: The session's directory.
    """

    def __init__(self, root: Path) -> None:
        self.commands = CommandLauncher(
            owner="test", environment=os.environ, limits=AgentLimits(grace_s=PATIENCE_S)
        )
        self.desks = ServiceDesks(commands=self.commands, ids=FakeIds(), limits=Limits())
        self.desk = self.desks.open()
        self.root = root
        self.outcomes: dict[int, bytes | RelayError] = {}
        self._changed = asyncio.Event()
        self._numbers = 0

    def ask(self, method: str, **params: object) -> int:
        """Hands a request in; gives its number."""
        self._numbers += 1
        raw = json.dumps(params).encode()
        self._heed(ServiceAsked(self._numbers, method, raw))
        return self._numbers

    def withdraw(self, number: int) -> None:
        self._heed(ServiceWithdrawn(number))

    def _heed(self, event: ServiceAsked | ServiceWithdrawn) -> None:
        self.desk.heed(event, roots=[str(self.root)], settle=self._settle)

    def _settle(self, number: int, outcome: bytes | RelayError) -> None:
        assert number not in self.outcomes
        self.outcomes[number] = outcome
        self._changed.set()

    async def outcome(self, number: int) -> Any:
        """Waits for an outcome; a result is read."""
        async with asyncio.timeout(PATIENCE_S):
            while number not in self.outcomes:
                self._changed.clear()
                await self._changed.wait()
        outcome = self.outcomes[number]
        return json.loads(outcome) if isinstance(outcome, bytes) else outcome

    async def call(self, method: str, **params: object) -> Any:
        return await self.outcome(self.ask(method, **params))

    async def terminal(self, command: str) -> str:
        """Makes a terminal whose command has said that it is ready."""
        made = await self.call(CREATE, command=f"echo ready; {command}")
        name = str(made["terminalId"])
        async with asyncio.timeout(PATIENCE_S):
            while not (await self.call(OUTPUT, terminalId=name))["output"]:
                pass
        return name


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path)
    with made.desks:
        yield made
        await made.desk.aclose()
    assert made.desk._served == {}
    assert psutil.Process().children() == []


class Gate:
    """Holds work in threads up until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._serve = TextFiles.serve
        self._open = threading.Event()
        self.began: list[str] = []
        monkeypatch.setattr(TextFiles, "serve", self.serve)

    def serve(
        self, method: str, params: bytes, *, roots: Sequence[str], is_wanted: Callable[[], bool]
    ) -> bytes:
        self.began.append(method)
        assert self._open.wait(PATIENCE_S)
        files = TextFiles(most_bytes=1000)
        return self._serve(files, method, params, roots=roots, is_wanted=is_wanted)

    def open(self) -> None:
        self._open.set()

    async def until_begun(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.began) < count:  # noqa: ASYNC110 - a thread tells no event
                await asyncio.sleep(0)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


@pytest.mark.requirement("files.keep-their-order")
async def test_a_read_sees_the_write_before_it_and_not_the_one_behind(desk: Desk) -> None:
    path = str(desk.root / "a")
    numbers = []
    for count in range(50):
        desk.ask(WRITE, path=path, content=str(count))
        numbers.append(desk.ask(READ, path=path))
    read = [await desk.outcome(number) for number in numbers]
    assert read == [{"content": str(count)} for count in range(50)]


async def test_terminals_wait_for_no_file(desk: Desk, gate: Gate) -> None:
    writing = desk.ask(WRITE, path=str(desk.root / "a"), content="x")
    await gate.until_begun(1)
    name = await desk.terminal("true")
    assert await desk.call(WAIT, terminalId=name) == {"exitCode": 0, "signal": None}
    assert writing not in desk.outcomes
    gate.open()
    assert await desk.outcome(writing) == {}


async def test_outcomes_come_as_they_are_there(desk: Desk) -> None:
    name = await desk.terminal("read line < /dev/null; sleep 1000")
    waiting = desk.ask(WAIT, terminalId=name)
    output = await desk.call(OUTPUT, terminalId=name)
    assert output == {"output": "ready\n", "truncated": False}
    assert waiting not in desk.outcomes
    assert await desk.call(KILL, terminalId=name) == {}
    assert await desk.outcome(waiting) == {"exitCode": None, "signal": "SIGTERM"}


async def test_an_error_is_an_outcome(desk: Desk) -> None:
    assert (await desk.call(READ, path=str(desk.root / "none"))).code == "file_missing"
    assert (await desk.call(CREATE, command="no-such-program")).code == "spawn_failed"
    assert (await desk.call(OUTPUT, terminalId="none")).code == "invalid_params"


async def test_a_defect_is_logged_and_answered(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args: object, **_kwargs: object) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(TextFiles, "serve", fail)
    outcome = await desk.call(READ, path="/x")
    assert outcome.message == "cannot serve 'fs/read_text_file'"
    assert outcome.hint == "see the relay's log"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


# --- what is broken off


async def test_a_wait_for_an_exit_is_broken_off(desk: Desk) -> None:
    name = await desk.terminal("sleep 1000")
    waiting, other = desk.ask(WAIT, terminalId=name), desk.ask(WAIT, terminalId=name)
    await desk.call(OUTPUT, terminalId=name)
    desk.withdraw(waiting)
    assert isinstance(await desk.outcome(waiting), RequestCancelled)
    await desk.call(RELEASE, terminalId=name)
    assert await desk.outcome(other) == {"exitCode": None, "signal": "SIGTERM"}
    desk.withdraw(waiting)
    desk.withdraw(99)


@pytest.mark.requirement("files.withdrawn-requests-end")
@pytest.mark.parametrize("method", [READ, WRITE, CREATE, WAIT])
async def test_what_has_not_begun_is_answered_and_has_no_effect(desk: Desk, method: str) -> None:
    path = desk.root / "a"
    number = desk.ask(method, path=str(path), content="x", command=f"touch {path}", terminalId="x")
    desk.withdraw(number)
    assert isinstance(await desk.outcome(number), RequestCancelled)
    assert not path.exists()


async def test_a_write_in_the_queue_is_not_begun(desk: Desk, gate: Gate) -> None:
    first = desk.ask(WRITE, path=str(desk.root / "a"), content="x")
    second = desk.ask(WRITE, path=str(desk.root / "b"), content="x")
    await gate.until_begun(1)
    desk.withdraw(second)
    assert isinstance(await desk.outcome(second), RequestCancelled)
    gate.open()
    assert await desk.outcome(first) == {}
    assert not (desk.root / "b").exists()


@pytest.mark.requirement("files.success-means-done")
async def test_a_write_that_has_begun_is_answered_as_it_ends(desk: Desk, gate: Gate) -> None:
    writing = desk.ask(WRITE, path=str(desk.root / "a"), content="x")
    await gate.until_begun(1)
    desk.withdraw(writing)
    desk.withdraw(writing)
    await asyncio.sleep(0)
    gate.open()
    assert await desk.outcome(writing) == {}
    assert (desk.root / "a").read_text() == "x"


async def test_a_read_that_has_begun_ends_soon(desk: Desk, gate: Gate) -> None:
    (desk.root / "a").write_text("x" * 600)
    reading = desk.ask(READ, path=str(desk.root / "a"), line=2)
    await gate.until_begun(1)
    desk.withdraw(reading)
    gate.open()
    assert isinstance(await desk.outcome(reading), RequestCancelled)


async def test_a_terminal_that_is_not_wanted_any_more_is_not_made(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    began = threading.Event()

    def hold(*args: Any, **kwargs: Any) -> Any:
        began.set()
        assert go_on.wait(PATIENCE_S)
        return read_order(*args, **kwargs)

    monkeypatch.setattr(module, "read_order", hold)
    number = desk.ask(CREATE, command=f"touch {desk.root / 'a'}")
    await asyncio.to_thread(began.wait, PATIENCE_S)
    desk.withdraw(number)
    go_on.set()
    assert isinstance(await desk.outcome(number), RequestCancelled)
    assert not (desk.root / "a").exists()


@pytest.mark.parametrize("method", [KILL, RELEASE])
async def test_what_ends_a_command_is_not_broken_off(desk: Desk, method: str) -> None:
    desk.commands._limits = AgentLimits(grace_s=0.2)
    name = await desk.terminal("trap '' TERM; while :; do sleep 0.01; done")
    ending = desk.ask(method, terminalId=name)
    await desk.call(READ, path="/")
    desk.withdraw(ending)
    assert await desk.outcome(ending) == {}
    assert psutil.Process().children() == []


# --- the end


@pytest.mark.requirement("terminals.die-with-their-session")
async def test_with_the_desk_every_command_ends_and_nothing_more_is_said(desk: Desk) -> None:
    names = [await desk.terminal(f"sleep 1000 & sleep {1000 + n}") for n in range(3)]
    tree = psutil.Process().children(recursive=True)
    assert len(tree) >= 3
    told = len(desk.outcomes)
    for name in names:
        desk.ask(WAIT, terminalId=name)
    desk.ask(CREATE, command="sleep 1000")
    await asyncio.gather(desk.desk.aclose(), desk.desk.aclose())
    # Whoever inherits a dead process reaps it.
    assert (await asyncio.to_thread(psutil.wait_procs, tree, timeout=PATIENCE_S))[1] == []
    desk.ask(CREATE, command="true")
    await desk.desk.aclose()
    assert len(desk.outcomes) == told


async def test_a_file_that_is_being_written_is_written_before_the_desk_closes(
    desk: Desk, gate: Gate
) -> None:
    desk.ask(WRITE, path=str(desk.root / "a"), content="x")
    desk.ask(WRITE, path=str(desk.root / "b"), content="x")
    await gate.until_begun(1)
    closing = asyncio.gather(desk.desk.aclose())
    await asyncio.sleep(0)
    assert not closing.done()
    gate.open()
    await closing
    assert (desk.root / "a").read_text() == "x"
    assert not (desk.root / "b").exists()
    assert desk.outcomes == {}


async def test_a_disk_that_does_not_answer_does_not_hold_up_the_end(
    desk: Desk, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.01)
    desk.ask(WRITE, path=str(desk.root / "a"), content="x")
    await gate.until_begun(1)
    async with asyncio.timeout(PATIENCE_S):
        await desk.desk.aclose()
    assert desk.outcomes == {}
    gate.open()


async def test_no_terminal_comes_to_be_once_the_desk_is_closed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    began = threading.Event()

    def hold(*args: Any, **kwargs: Any) -> Any:
        began.set()
        assert go_on.wait(PATIENCE_S)
        return read_order(*args, **kwargs)

    monkeypatch.setattr(module, "read_order", hold)
    desk.ask(CREATE, command=f"touch {desk.root / 'a'}")
    await asyncio.to_thread(began.wait, PATIENCE_S)
    closing = asyncio.gather(desk.desk.aclose())
    await asyncio.sleep(0)
    go_on.set()
    await closing
    assert not (desk.root / "a").exists()


async def test_without_a_run_nobody_is_served() -> None:
    RunSlot().heed(ServiceAsked(1, READ, b"{}"), roots=["/"], settle=lambda *_: None)
    RunSlot().heed(ServiceWithdrawn(1), roots=["/"], settle=lambda *_: None)


async def test_of_things_done_together_each_is_done_and_the_first_failure_is_told() -> None:
    done = []

    async def do(name: str, failure: Exception | None = None) -> None:
        await asyncio.sleep(0)
        done.append(name)
        if failure is not None:
            raise failure

    await together()
    await together(do("a"), do("b"))
    with pytest.raises(KeyError, match="first"):
        await together(do("c", KeyError("first")), do("d"), do("e", ValueError("second")))
    assert sorted(done) == ["a", "b", "c", "d", "e"]


async def test_a_sessions_directory_may_be_named_through_a_link_and_not_be_replaced_by_one(
    desk: Desk, tmp_path: Path
) -> None:
    place, alias = tmp_path / "place", tmp_path / "alias"
    place.mkdir()
    alias.symlink_to(place)
    desk.root = alias
    (place / "a").write_text("mine")
    assert await desk.call(READ, path=f"{alias}/a") == {"content": "mine"}
    alias.unlink()
    alias.symlink_to("/etc")
    assert isinstance(await desk.call(READ, path=f"{alias}/passwd"), Forbidden)
    assert isinstance(await desk.call(CREATE, command="pwd", cwd=f"{alias}"), Forbidden)
    assert await desk.call(READ, path=f"{place}/a") == {"content": "mine"}
