"""However a run ends, no process of its agent's tree is left; a client that leaves ends none."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.end_to_end.relays import (
    Held,
    RelayProcess,
    Witness,
    raw_agent,
    tagged,
    until_gone,
    until_no_session_is_left,
)
from tests.server.clients import AcpClient
from tests.server.relays import Dialler, count_sessions

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_factories=["asyncio"])]

BAD_DAYS = {
    "plain": (),
    "stubborn": ("ignore-term",),
    "parent": ("child=group", "child=own-group", "child=own-session"),
    "stubborn-parent": ("ignore-term", "child=own-group", "child=own-session"),
    "parent-of-orphans": ("ignore-term", "child=orphan"),
}
SILENT_FROM = {
    "start": ("initialize",),
    "opening": ("initialize", "session/new"),
    "turn": ("initialize", "session/new", "session/prompt"),
    "never": ("initialize", "session/new", "session/prompt"),
}
"""What an agent is asked until it does not answer any more."""


class Crowd:
    """One client and one agent for each kind of agent and each moment.

    Args:
        folder: Where the agents' witnesses listen.
        tag: Marks the agents' processes.
    """

    def __init__(self, folder: Path, tag: str) -> None:
        kinds = [(day, moment) for day in BAD_DAYS for moment in SILENT_FROM]
        self.witnesses = {kind: Witness(folder / f"{kind[0]}.{kind[1]}") for kind in kinds}
        self.agents = [
            raw_agent(
                "hesitant",
                SILENT_FROM[moment][-1] if moment != "never" else "nothing",
                self.witnesses[day, moment].step,
                *BAD_DAYS[day],
                name=f"{day}-{moment}",
                tag=tag,
            )
            for day, moment in kinds
        ]

    async def gather(self, dial: Dialler, stack: AsyncExitStack) -> dict[tuple[str, str], Held]:
        """Brings every client to where its agent is silent; gives what each agent holds."""
        for witness in self.witnesses.values():
            await stack.enter_async_context(witness)
        arrivals = [self._arrive(dial, day, moment) for day, moment in self.witnesses]
        return dict(zip(self.witnesses, await asyncio.gather(*arrivals), strict=True))

    async def _arrive(self, dial: Dialler, day: str, moment: str) -> Held:
        client = await dial(f"?agent={day}-{moment}")
        await _go_on(client, moment)
        return await self.witnesses[day, moment].hears(*SILENT_FROM[moment])


async def _go_on(client: AcpClient, moment: str) -> None:
    if moment == "start":
        await client.begin("initialize", {"protocolVersion": 1})
        return
    await client.initialize()
    if moment == "opening":
        await client.begin("session/new", {"cwd": "/", "mcpServers": []})
        return
    session_id = await client.new_session()
    if moment == "turn":
        await client.begin_prompt(session_id, "hello")
    else:
        assert "result" in await client.prompt(session_id, "hello")


@pytest.mark.requirement("lifecycle.shutdown-ends-every-agent")
async def test_a_relay_that_is_told_to_end_leaves_no_process(
    tmp_path: Path, log: Path, tag: str
) -> None:
    crowd = Crowd(tmp_path, tag)
    async with AsyncExitStack() as stack:
        with RelayProcess(*crowd.agents, log=log) as relay, Dialler(relay.url) as dial:
            all_held = await crowd.gather(dial, stack)
            assert await relay.stop() == 0
            assert tagged(tag) == []
        for held in all_held.values():
            await held.sees_the_end()


async def test_clients_that_vanish_leave_nothing_of_a_start_and_every_session(
    tmp_path: Path, log: Path, tag: str
) -> None:
    crowd = Crowd(tmp_path, tag)
    async with AsyncExitStack() as stack:
        with RelayProcess(*crowd.agents, log=log) as relay, Dialler(relay.url) as dial:
            all_held = await crowd.gather(dial, stack)
            assert await count_sessions(relay.base_url) == 3 * len(BAD_DAYS)
            dial.hang_up()
            for (_, moment), held in all_held.items():
                if moment in ("start", "opening"):
                    await held.sees_the_end()
            await until_no_session_is_left(relay.base_url, but=2 * len(BAD_DAYS))
            assert await relay.stop() == 0
            assert tagged(tag) == []
        for held in all_held.values():
            await held.sees_the_end()


@pytest.mark.requirement("turns.leaving-changes-nothing")
@pytest.mark.parametrize("prompt", ["/stream 1000000 100 1", "/tool", "/slow 1000"])
async def test_a_client_that_vanishes_in_a_turn_changes_nothing_and_any_other_can_close(
    demo_relay: RelayProcess, dial: Dialler, prompt: str
) -> None:
    await until_no_session_is_left(demo_relay.base_url)
    client = await dial()
    session_id = await client.open_session()
    await client.begin_prompt(session_id, f"/think\n{prompt}")
    await client.until("session/update")
    processes = demo_relay.tree()
    assert processes
    client.peer.abort()

    other = await dial()
    await other.initialize()
    await other.result("_acprelay/attach", {"sessionId": session_id})
    turns = await other.result("_acprelay/turns", {"sessionId": session_id})
    assert (turns["running"]["mine"], turns["running"]["cancelling"]) == (False, False)
    assert set(processes) <= set(demo_relay.tree())
    assert await other.result("session/close", {"sessionId": session_id}) == {}
    await until_gone(processes)
    await until_no_session_is_left(demo_relay.base_url)


async def test_when_a_close_is_answered_the_processes_are_gone(
    log: Path, tag: str, witness: Witness
) -> None:
    steps = (witness.step, *BAD_DAYS["stubborn-parent"])
    agent = raw_agent("hesitant", "session/prompt", *steps, tag=tag)
    with RelayProcess(agent, log=log) as relay, Dialler(relay.url) as dial:
        client = await dial()
        session_id = await client.open_session()
        prompt_id = await client.begin_prompt(session_id, "hello")
        held = await witness.hears(*SILENT_FROM["turn"])
        close_id = await client.begin("session/close", {"sessionId": session_id})
        assert (await client.answer_to(prompt_id))["result"] == {"stopReason": "cancelled"}
        assert (await client.answer_to(close_id))["result"] == {}
        assert tagged(tag) == []
        assert await count_sessions(relay.base_url) == 0
        await held.sees_the_end()
        refusal = await client.error("session/prompt", {"sessionId": session_id, "prompt": []})
        assert refusal["data"]["code"] == "session_not_found"
