"""The WebSocket client of the agent-client-protocol package against a relay with the demo agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import acp
import pytest
from tests.end_to_end.editors import Desk, sit_down
from tests.end_to_end.relays import RelayProcess
from tests.server.peers import PATIENCE_S

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_factories=["asyncio"])]

TALK = ["You wrote 2 words: ", "hello ", "there", "\nSend /help for what else I can do.\n"]


@pytest.fixture
async def desk(demo_relay: RelayProcess) -> AsyncIterator[Desk]:
    """An editor that is connected."""
    async with sit_down(demo_relay.url) as it:
        yield it


async def test_a_turn_streams_its_updates_in_order_and_ends(desk: Desk) -> None:
    initialized = await desk.agent.initialize(protocol_version=acp.PROTOCOL_VERSION)
    assert initialized.protocol_version == acp.PROTOCOL_VERSION
    assert initialized.agent_info is not None
    assert initialized.agent_info.name == "acprelay-demo"
    assert initialized.agent_capabilities is not None
    assert initialized.agent_capabilities.load_session is True

    session = await desk.agent.new_session(cwd="/", mcp_servers=[])
    assert session.session_id.endswith(":main")
    assert session.modes is not None
    assert session.modes.current_mode_id == "ask"

    response = await desk.prompt(session.session_id, "hello there")
    assert response.stop_reason == "end_turn"
    assert {shown_in for shown_in, _ in desk.editor.shown} == {session.session_id}
    assert [kind for _, kind in desk.editor.shown] == [
        "available_commands_update",
        "agent_thought_chunk",
        "plan",
        *["agent_message_chunk"] * 4,
        "plan",
    ]
    assert desk.editor.texts[session.session_id] == TALK


async def test_a_permission_that_is_given_lets_the_agent_write(desk: Desk, tmp_path: Path) -> None:
    session = await desk.open(tmp_path)
    response = await desk.prompt(session.session_id, "/write note.txt some text")
    assert response.stop_reason == "end_turn"
    assert (tmp_path / "note.txt").read_text() == "some text\n"
    assert [kind for _, kind in desk.editor.shown][1:] == [
        "tool_call",
        "tool_call_update",
        "tool_call_update",
        "agent_message_chunk",
    ]


@pytest.mark.parametrize(("option", "stop"), [("reject", "end_turn"), (None, "cancelled")])
async def test_a_permission_that_is_not_given_keeps_the_agent_from_writing(
    desk: Desk, tmp_path: Path, option: str | None, stop: str
) -> None:
    desk.editor.answer = lambda _: option
    session = await desk.open(tmp_path)
    response = await desk.prompt(session.session_id, "/write note.txt some text")
    assert response.stop_reason == stop
    assert not (tmp_path / "note.txt").exists()


async def test_a_turn_that_is_cancelled_says_so(desk: Desk) -> None:
    session = await desk.open()
    turn = asyncio.get_running_loop().create_task(
        desk.prompt(session.session_id, "/tool first\n/slow 1000")
    )
    async with asyncio.timeout(PATIENCE_S):
        await desk.editor.asked.wait()
        await desk.agent.cancel(session_id=session.session_id)
        assert (await turn).stop_reason == "cancelled"
    assert (await desk.prompt(session.session_id, "hello")).stop_reason == "end_turn"


async def test_the_mode_that_is_set_is_announced_and_in_force(desk: Desk, tmp_path: Path) -> None:
    desk.editor.answer = lambda _: pytest.fail("it asks for nothing in this mode")
    session = await desk.open(tmp_path)
    await desk.agent.set_session_mode(session_id=session.session_id, mode_id="auto")
    await desk.prompt(session.session_id, "/write note.txt unasked")
    assert (session.session_id, "current_mode_update") in desk.editor.shown
    assert (tmp_path / "note.txt").exists()


async def test_an_agents_error_arrives_as_it_was_sent(desk: Desk) -> None:
    session = await desk.open()
    with pytest.raises(acp.RequestError) as raised:
        await desk.prompt(session.session_id, "/error -32099 out of tokens")
    assert (raised.value.code, str(raised.value)) == (-32099, "out of tokens")
    assert (await desk.prompt(session.session_id, "hello")).stop_reason == "end_turn"


async def test_the_relays_own_errors_have_a_code_and_a_hint(desk: Desk) -> None:
    await desk.open()
    with pytest.raises(acp.RequestError) as raised:
        await desk.prompt("nobody:main", "hello")
    assert raised.value.code == -32002
    assert raised.value.data == {
        "key": "nobody:main",
        "code": "session_not_found",
        "retryable": False,
        "hint": "see session/list or acprelay sessions list; take part in one with session/load "
        "or session/resume, or open one with session/new",
    }


@pytest.mark.parametrize("reason", ["max_tokens", "max_turn_requests", "refusal"])
async def test_every_stop_reason_arrives(desk: Desk, reason: str) -> None:
    session = await desk.open()
    response = await desk.prompt(session.session_id, f"/stop {reason}")
    assert response.stop_reason == reason


async def test_sessions_on_one_connection_have_turns_at_the_same_time(desk: Desk) -> None:
    await desk.agent.initialize(protocol_version=acp.PROTOCOL_VERSION)
    sessions = [
        (await desk.agent.new_session(cwd="/", mcp_servers=[])).session_id for _ in range(3)
    ]
    assert len(set(sessions)) == 3
    responses = await asyncio.gather(
        *(desk.prompt(each, f"/stream 200 8 1\n{each}") for each in sessions)
    )
    assert [response.stop_reason for response in responses] == ["end_turn"] * 3
    numbers = [f"{number:07d}\n" for number in range(200)]
    for each in sessions:
        assert desk.editor.texts[each][:200] == numbers
        assert each in "".join(desk.editor.texts[each][200:])


async def test_a_session_that_was_closed_is_left_and_another_goes_on(desk: Desk) -> None:
    first = await desk.open()
    second = await desk.agent.new_session(cwd="/", mcp_servers=[])
    await desk.agent.close_session(session_id=first.session_id)
    with pytest.raises(acp.RequestError, match="cannot find session"):
        await desk.prompt(first.session_id, "hello")
    assert (await desk.prompt(second.session_id, "hello")).stop_reason == "end_turn"


async def test_several_clients_have_turns_at_the_same_time(demo_relay: RelayProcess) -> None:
    async def work(number: int) -> list[str]:
        async with sit_down(demo_relay.url) as desk:
            session = await desk.open()
            await desk.prompt(session.session_id, f"/stream 100 8\nclient {number}")
            assert {shown_in for shown_in, _ in desk.editor.shown} == {session.session_id}
            return desk.editor.texts[session.session_id]

    for number, texts in enumerate(await asyncio.gather(*map(work, range(6)))):
        assert texts[:100] == [f"{each:07d}\n" for each in range(100)]
        assert "".join(texts[100:]).startswith(f"You wrote 2 words: client {number}")
