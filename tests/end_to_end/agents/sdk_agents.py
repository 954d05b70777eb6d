"""Small agents written with the agent-client-protocol package; the argument chooses one.

Each does one thing that real agents do. They are programs, started by a relay.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast

import acp
from acp import helpers, schema
from acp.connection import StreamDirection, StreamEvent
from acp.interfaces import Client

OWN_SESSION = "own-session-of-the-agent"
ALLOW = schema.PermissionOption(option_id="yes", name="Yes", kind="allow_once")
REJECT = schema.PermissionOption(option_id="no", name="No", kind="reject_once")


class SmallAgent:
    """What all of them have in common: it opens a session, and its turns are empty."""

    session_id = OWN_SESSION

    def __init__(self) -> None:
        self._cancelled = asyncio.Event()

    def on_connect(self, conn: Client) -> None:
        self.client = conn

    async def initialize(self, protocol_version: int, **_: Any) -> schema.InitializeResponse:
        return schema.InitializeResponse(protocol_version=protocol_version)

    async def new_session(self, **_: Any) -> schema.NewSessionResponse:
        return schema.NewSessionResponse(session_id=self.session_id)

    async def prompt(self, session_id: str, **_: Any) -> schema.PromptResponse:
        assert session_id == self.session_id
        return schema.PromptResponse(stop_reason=await self.take_turn())

    async def take_turn(self) -> schema.StopReason:
        """Does what a prompt asks for."""
        return "end_turn"

    async def cancel(self, session_id: str, **_: Any) -> None:
        assert session_id == self.session_id
        self._cancelled.set()

    async def observe(self, event: StreamEvent) -> None:
        """Sees every message, after it was read or written."""

    async def say(self, text: str, *, session_id: str | None = None) -> None:
        """Sends a piece of an answer."""
        await self.client.session_update(
            session_id=session_id or self.session_id,
            update=helpers.update_agent_message(helpers.text_block(text)),
        )


class StreamingAgent(SmallAgent):
    """Streams its answer, then a plan and a thought."""

    async def take_turn(self) -> schema.StopReason:
        for number in range(200):
            await self.say(f"{number} ")
        return "end_turn"


class AskingAgent(SmallAgent):
    """Asks for permission twice in one turn, and says what it was told."""

    async def take_turn(self) -> schema.StopReason:
        for number in range(2):
            call = schema.ToolCallUpdate(tool_call_id=f"call-{number}", title="Do it")
            answer = await self.client.request_permission(
                session_id=self.session_id, tool_call=call, options=[ALLOW, REJECT]
            )
            if isinstance(answer.outcome, schema.DeniedOutcome):
                return "cancelled"
            await self.say(f"{answer.outcome.option_id} ")
        return "end_turn"


class EarlyAgent(SmallAgent):
    """Sends updates before it has answered `session/new`."""

    async def new_session(self, **_: Any) -> schema.NewSessionResponse:
        for number in range(3):
            await self.say(f"early {number} ")
        return schema.NewSessionResponse(session_id=self.session_id)

    async def take_turn(self) -> schema.StopReason:
        await self.say("in time")
        return "end_turn"


class LateAgent(SmallAgent):
    """Sends updates after it has answered the prompt."""

    async def take_turn(self) -> schema.StopReason:
        await self.say("in time ")
        return "end_turn"

    async def observe(self, event: StreamEvent) -> None:
        written = event.direction is StreamDirection.OUTGOING
        if written and "stopReason" in (event.message.get("result") or {}):
            for number in range(3):
                await self.say(f"late {number} ")


class DelegatingAgent(SmallAgent):
    """Lets sub-agents speak, under session ids of their own."""

    async def take_turn(self) -> schema.StopReason:
        await self.say("main ")
        await self.say("first ", session_id="sub-agent-1")
        await self.say("second ", session_id="sub-agent-2")
        await self.say("main again")
        return "end_turn"


class ZeroAgent(SmallAgent):
    """Has a session whose id is as falsy as a string that is none can look."""

    session_id = "0"

    async def take_turn(self) -> schema.StopReason:
        await self.say(self.session_id)
        return "end_turn"


class PatientAgent(SmallAgent):
    """Waits to be cancelled."""

    async def take_turn(self) -> schema.StopReason:
        await self.say("waiting")
        await self._cancelled.wait()
        return "cancelled"


class FailingAgent(SmallAgent):
    """Answers every prompt with an error that has data."""

    async def take_turn(self) -> schema.StopReason:
        raise acp.RequestError(-32099, "no more tokens", {"reset": [1, "2", None]})


AGENTS: dict[str, type[SmallAgent]] = {
    "streaming": StreamingAgent,
    "asking": AskingAgent,
    "early": EarlyAgent,
    "late": LateAgent,
    "delegating": DelegatingAgent,
    "zero": ZeroAgent,
    "patient": PatientAgent,
    "failing": FailingAgent,
}


if __name__ == "__main__":
    chosen = AGENTS[sys.argv[1]]()
    asyncio.run(acp.run_agent(cast("acp.Agent", chosen), observers=[chosen.observe]))
