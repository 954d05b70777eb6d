"""The HTTP client of the agent-client-protocol package against a relay with the demo agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.end_to_end.editors import Desk, sit_down_over_http
from tests.end_to_end.relays import RelayProcess
from tests.server.peers import PATIENCE_S

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_factories=["asyncio"])]


@pytest.fixture
async def desk(demo_relay: RelayProcess) -> AsyncIterator[Desk]:
    """An editor that is connected."""
    async with sit_down_over_http(f"{demo_relay.base_url}/acp") as it:
        yield it


@pytest.fixture
async def second(demo_relay: RelayProcess) -> AsyncIterator[Desk]:
    """Another one."""
    async with sit_down_over_http(f"{demo_relay.base_url}/acp") as it:
        yield it


async def test_a_turn_streams_its_updates_in_order_and_ends(desk: Desk) -> None:
    session = await desk.open()
    response = await desk.prompt(session.session_id, "/stream 2000 300")
    assert response.stop_reason == "end_turn"
    seqs = [each["params"]["_meta"]["acprelay"]["seq"] for each in desk.log]
    assert seqs == sorted(set(seqs))
    assert len(seqs) > 2000


async def test_a_permission_that_is_given_lets_the_agent_write(desk: Desk, tmp_path: Path) -> None:
    session = await desk.open(tmp_path)
    response = await desk.prompt(session.session_id, "/write note.txt some text")
    assert response.stop_reason == "end_turn"
    assert (tmp_path / "note.txt").read_text() == "some text\n"


async def test_a_turn_that_is_cancelled_says_so(desk: Desk) -> None:
    session = await desk.open()
    desk.editor.may_answer.clear()  # still thinking when the turn is cancelled
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        turn = tasks.create_task(desk.prompt(session.session_id, "/tool first\n/slow 1000"))
        await desk.editor.asked.wait()
        await desk.agent.cancel(session_id=session.session_id)
        assert (await turn).stop_reason == "cancelled"
    await desk.hears("$/cancel_request")
    desk.editor.may_answer.set()


@pytest.mark.requirement("http.load-waits-for-its-stream", "http.session-is-found-without-header")
async def test_a_session_is_loaded_whole_and_goes_on(desk: Desk, second: Desk) -> None:
    session = await desk.open()
    await desk.prompt(session.session_id, "/stream 500 300")
    await second.initialize()
    await second.load(session.session_id)
    said = list(desk.log)
    response = await second.prompt(session.session_id, "hello")
    assert response.stop_reason == "end_turn"
    assert [each for each in second.log if each in said] == said
    await desk.hears("_acprelay/turn_ended", times=2)


async def test_two_sessions_of_a_connection_go_on_side_by_side(desk: Desk) -> None:
    first = await desk.open()
    second = await desk.agent.new_session(cwd="/", mcp_servers=[])
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        turns = [
            tasks.create_task(desk.prompt(each.session_id, "/stream 500 300"))
            for each in (first, second)
        ]
    assert {turn.result().stop_reason for turn in turns} == {"end_turn"}
