"""The demo agent driven by the SDK's stdio client, as any other agent would be."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import cast

import acp
import pytest
from acp import schema

pytestmark = pytest.mark.process


class Recorder:
    """What the demo agent needs of the SDK's client: records updates, allows everything."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.text = ""
        self.asked: list[str | None] = []

    async def session_update(
        self, session_id: str, update: schema.AgentMessageChunk | schema.ToolCallStart, **_: object
    ) -> None:
        assert session_id == "demo-1"
        self.kinds.append(update.session_update)
        if isinstance(update, schema.AgentMessageChunk):
            assert isinstance(update.content, schema.TextContentBlock)
            self.text += update.content.text

    async def request_permission(
        self,
        session_id: str,
        tool_call: schema.ToolCallUpdate,
        options: list[schema.PermissionOption],
        **_: object,
    ) -> schema.RequestPermissionResponse:
        assert session_id == "demo-1"
        self.asked.append(tool_call.title)
        allow = next(option for option in options if option.kind == "allow_once")
        return schema.RequestPermissionResponse(
            outcome=schema.AllowedOutcome(outcome="selected", option_id=allow.option_id)
        )


async def test_the_sdk_takes_it_through_a_session(tmp_path: Path) -> None:
    recorder = Recorder()
    program = (sys.executable, "-m", "acprelay.testing.demo_agent")
    client = cast("acp.Client", recorder)
    async with (
        asyncio.timeout(60),
        acp.spawn_agent_process(client, *program) as (agent, process),
    ):
        greeting = await agent.initialize(protocol_version=acp.PROTOCOL_VERSION)
        assert greeting.agent_info is not None
        assert greeting.agent_info.name == "acprelay-demo"
        session = await agent.new_session(cwd=str(tmp_path), mcp_servers=[])
        await agent.set_session_mode(session_id=session.session_id, mode_id="ask")
        answer = await agent.prompt(
            session_id=session.session_id,
            prompt=[acp.text_block("hello"), acp.text_block("/write file.txt text")],
        )
        assert answer.stop_reason == "end_turn"
        await agent.close_session(session_id=session.session_id)
    assert process.returncode == 0
    assert recorder.asked == ["Write file.txt"]
    assert (tmp_path / "file.txt").read_bytes() == b"text\n"
    assert "hello" in recorder.text
    assert set(recorder.kinds) == {
        "available_commands_update",
        "current_mode_update",
        "agent_thought_chunk",
        "plan",
        "agent_message_chunk",
        "tool_call",
        "tool_call_update",
    }
