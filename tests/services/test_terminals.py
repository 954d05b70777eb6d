"""Terminals, with commands that a test plays."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.services.conftest import PATIENCE_S

from acprelay.agents.models import AgentExit
from acprelay.errors import AgentError, InvalidParams, LimitReached, RelayError, ServiceError
from acprelay.services.terminal_orders import TerminalOrder
from acprelay.services.terminals import Terminals

SURVIVES = AgentError("cannot end command 'a': processes 7 survive SIGKILL", hint="look at them")


class FakeCommand:
    """A command that writes and exits when it is told to; ending it makes it exit."""

    def __init__(self, on_output: Callable[[bytes], None]) -> None:
        self.writes = on_output
        self.survives = False
        self.ends = 0
        self._exited: asyncio.Future[AgentExit] = asyncio.get_running_loop().create_future()

    @property
    def exit(self) -> AgentExit | None:
        return self._exited.result() if self._exited.done() else None

    def exits(self, how: AgentExit) -> None:
        if not self._exited.done():
            self._exited.set_result(how)

    async def wait_exited(self) -> AgentExit:
        return await asyncio.shield(self._exited)

    async def end(self) -> None:
        self.ends += 1
        await asyncio.sleep(0)
        if self.survives:
            raise SURVIVES
        self.exits(AgentExit(signal=15))


class FakeStarter:
    """Starts fake commands, and remembers what was asked for."""

    def __init__(self) -> None:
        self.environment: Mapping[str, str] = {"PATH": "/bin"}
        self.started: list[FakeCommand] = []
        self.asked: list[tuple[object, ...]] = []

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        on_output: Callable[[bytes], None],
    ) -> FakeCommand:
        self.asked.append((argv, env, cwd))
        self.started.append(FakeCommand(on_output))
        return self.started[-1]


class Scene:
    """One run's terminals: at most three, which keep ten bytes."""

    def __init__(self) -> None:
        self.starter = FakeStarter()
        ids = iter("abcdefghij")
        self.terminals = Terminals(
            starter=self.starter, mint=lambda: next(ids), most=3, most_bytes=10
        )

    def create(self, output_bytes: int | None = None) -> tuple[str, FakeCommand]:
        order = TerminalOrder(
            argv=("a", "b"), env={"A": "B"}, cwd=Path("/x"), output_bytes=output_bytes
        )
        made = json.loads(self.terminals.create(order))
        return made["terminalId"], self.starter.started[-1]

    async def ask(self, method: str, terminal_id: str) -> Any:
        raw = json.dumps({"terminalId": terminal_id}).encode()
        async with asyncio.timeout(PATIENCE_S):
            return json.loads(await self.terminals.serve(f"terminal/{method}", raw))

    async def refusal(self, method: str, terminal_id: str) -> RelayError:
        with pytest.raises(RelayError) as caught:
            await self.ask(method, terminal_id)
        return caught.value


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_a_command_is_started_as_it_is_asked_for(scene: Scene) -> None:
    assert scene.create()[0] == "term-a"
    assert scene.create()[0] == "term-b"
    assert scene.starter.asked == [(("a", "b"), {"A": "B"}, Path("/x"))] * 2
    assert scene.terminals.path == "/bin"


async def test_its_output_is_told_at_any_time_with_its_exit_once_there_is_one(
    scene: Scene,
) -> None:
    name, command = scene.create()
    assert await scene.ask("output", name) == {"output": "", "truncated": False}
    command.writes(b"one\n")
    command.writes(b"two\xc3")
    assert await scene.ask("output", name) == {"output": "one\ntwo", "truncated": False}
    command.writes(b"\xa9")
    command.exits(AgentExit(returncode=2))
    told = {"output": "one\ntwoé", "truncated": False}
    status = {"exitCode": 2, "signal": None}
    assert await scene.ask("output", name) == {**told, "exitStatus": status}
    assert await scene.ask("wait_for_exit", name) == status


@pytest.mark.requirement("terminals.output-is-bounded")
@pytest.mark.parametrize(("wanted", "kept"), [(None, 10), (4, 4), (10, 10), (99, 10), (0, 0)])
async def test_no_more_of_its_output_is_kept_than_may_be(
    scene: Scene, wanted: int | None, kept: int
) -> None:
    name, command = scene.create(wanted)
    command.writes(b"x" * 9)
    command.writes(b"0123456789")
    whole = "x" * 9 + "0123456789"
    told = {"output": whole[len(whole) - kept :], "truncated": True}
    assert await scene.ask("output", name) == told


@pytest.mark.parametrize(
    ("number", "name"), [(9, "SIGKILL"), (15, "SIGTERM"), (40, "40"), (None, None)]
)
async def test_whoever_waits_for_its_exit_is_told_how_it_ended(
    scene: Scene, number: int | None, name: str | None
) -> None:
    terminal_id, command = scene.create()
    waiting = asyncio.gather(*[scene.ask("wait_for_exit", terminal_id) for _ in range(3)])
    await asyncio.sleep(0)
    assert not waiting.done()
    status = None if number is not None else 0
    command.exits(AgentExit(returncode=status, signal=number))
    assert await waiting == [{"exitCode": status, "signal": name}] * 3


@pytest.mark.requirement("terminals.killed-ones-can-be-read")
async def test_a_command_that_was_killed_can_still_be_read(scene: Scene) -> None:
    name, command = scene.create()
    command.writes(b"said")
    assert await scene.ask("kill", name) == {}
    assert command.ends == 1
    output = await scene.ask("output", name)
    assert output["output"] == "said"
    assert output["exitStatus"] == {"exitCode": None, "signal": "SIGTERM"}
    assert await scene.ask("kill", name) == {}


@pytest.mark.requirement("terminals.killed-ones-can-be-read")
async def test_one_that_was_released_is_ended_and_forgotten(scene: Scene) -> None:
    name, command = scene.create()
    waiting = asyncio.gather(scene.ask("wait_for_exit", name))
    await asyncio.sleep(0)
    assert await scene.ask("release", name) == {}
    assert command.ends == 1
    assert (await waiting)[0]["signal"] == "SIGTERM"
    for method in ("output", "wait_for_exit", "kill", "release"):
        assert "cannot find terminal 'term-a'" in (await scene.refusal(method, name)).message


@pytest.mark.parametrize("raw", [b"{}", b"null", b'{"terminalId":1}', b'{"terminalId":"none"}'])
async def test_a_terminal_that_there_is_not_is_refused(scene: Scene, raw: bytes) -> None:
    with pytest.raises(InvalidParams):
        await scene.terminals.serve("terminal/output", raw)


async def test_there_are_no_more_than_may_be_until_one_is_gone(scene: Scene) -> None:
    names = [scene.create()[0] for _ in range(3)]
    scene.starter.started[1].exits(AgentExit(returncode=0))  # one that is over is there still
    with pytest.raises(LimitReached, match="terminals are limited to 3"):
        scene.create()
    scene.starter.started[0].survives = True
    assert (await scene.refusal("release", names[0])) is SURVIVES
    with pytest.raises(LimitReached):
        scene.create()
    await scene.ask("release", names[1])
    scene.create()


@pytest.mark.requirement("terminals.die-with-their-session")
async def test_with_the_run_all_are_ended_and_none_is_made_any_more(scene: Scene) -> None:
    names = [scene.create()[0] for _ in range(3)]
    first, second, third = scene.starter.started
    first.survives = True
    assert await scene.refusal("release", names[0]) is SURVIVES
    second.survives = True
    with pytest.raises(AgentError, match="survive"):
        await scene.terminals.aclose()
    assert third.exit is not None
    first.survives = second.survives = False
    await scene.terminals.aclose()
    assert first.exit is not None
    assert second.exit is not None
    assert third.ends == 1
    with pytest.raises(ServiceError, match="the run is over"):
        scene.create()
    await scene.terminals.aclose()
