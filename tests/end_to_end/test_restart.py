"""A relay that is killed in the middle of a turn, and another one that goes on with its state."""

from __future__ import annotations

import asyncio
import json
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from tests.end_to_end.relays import RelayProcess, Witness, raw_agent, tagged, until_gone
from tests.server.clients import AcpClient
from tests.server.peers import PATIENCE_S, Message
from tests.server.relays import Dialler, count_sessions

from acprelay.cli.exits import ExitCode

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_factories=["asyncio"])]

BEFORE = "zero"
PROMPT = "one two three\n/tool Ask whoever is there"


def where(session_id: str) -> Message:
    return {"sessionId": session_id, "cwd": "/", "mcpServers": []}


def stamp(message: Message) -> Message:
    added: Message = message["params"]["_meta"]["acprelay"]
    return added


def position(entry: Message) -> str:
    return f"{stamp(entry)['generation']}:{stamp(entry)['seq']}"


async def into_an_ask(relay: RelayProcess, dial: Dialler) -> tuple[str, list[Message], set[object]]:
    """Brings a turn to its ask; gives the session, its log as a second client has it, the ask.

    A turn before it is stored by then: what comes together is one batch, and lost as one.
    """
    client, watcher = await dial(), await dial()
    session_id = await client.open_session()
    await watcher.initialize()
    await watcher.result("session/load", where(session_id))
    await client.prompt(session_id, BEFORE)
    await until_written(relay, b"_acprelay/turn_ended")
    await client.begin_prompt(session_id, PROMPT)
    ask = await watcher.until("session/request_permission")
    assert relay.tree()
    return session_id, watcher.heard, {ask["id"]}


def turn_of(seen: list[Message]) -> object:
    """The turn that began last."""
    *_, started = (each for each in seen if each["method"] == "_acprelay/turn_started")
    return started["params"]["turn"]


async def until_stored(relay: RelayProcess, turn: object) -> None:
    """Returns once the relay has stored that a turn runs: it writes a little later than it says."""
    async with asyncio.timeout(PATIENCE_S):
        while turn != await asyncio.to_thread(_stored_turn, relay.state_dir):
            pass


def _stored_turn(state_dir: Path) -> object:
    for path in state_dir.rglob("record.json"):
        with suppress(FileNotFoundError):  # another one is about to take its place
            return json.loads(path.read_bytes()).get("turn")
    return None


async def until_written(relay: RelayProcess, data: bytes) -> None:
    """Returns once the log of the only conversation has this."""
    async with asyncio.timeout(PATIENCE_S):
        while data not in await asyncio.to_thread(last_segment(relay).read_bytes):
            pass


async def history(client: AcpClient, session_id: str) -> list[Message]:
    """The log, by a load."""
    client.heard.clear()
    await client.result("session/load", where(session_id))
    return [message for message in client.heard if "seq" in stamp(message)]


def last_segment(relay: RelayProcess) -> Path:
    """The file that was written last, of the only conversation there is."""
    return max(relay.state_dir.rglob("*.segment"), key=lambda path: path.stat().st_mtime_ns)


@pytest.mark.requirement(
    "positions.lost-tail-is-told",
    "positions.expired-names-the-oldest",
    "identity.ask-ids-never-repeat",
)
async def test_a_relay_that_was_killed_in_a_turn_goes_on_from_the_last_complete_entry(
    log: Path,
) -> None:
    with RelayProcess(log=log) as relay, Dialler(relay.url) as dial:
        session_id, seen, asked = await into_an_ask(relay, dial)
        await until_stored(relay, turn_of(seen))
        agents = relay.tree()
        await relay.kill()
    await until_gone(agents)
    # What a power cut can do besides: the last entry is not whole.
    segment = last_segment(relay)
    segment.write_bytes(segment.read_bytes()[:-1])

    with RelayProcess(log=log) as relay, Dialler(relay.url) as dial:
        client = await dial()
        await client.initialize()
        processes = relay.tree()  # one, for what it has to say of itself; it has no session
        (listed,) = (await client.result("session/list", {}))["sessions"]
        assert listed["sessionId"] == session_id

        entries = await history(client, session_id)
        survived = entries[: len(entries) - 1]
        assert survived == seen[: len(survived)]
        assert len(survived) < len(seen)
        ended = entries[-1]
        assert ended["method"] == "_acprelay/turn_ended"
        assert ended["params"]["outcome"] == "interrupted"
        assert ended["params"]["turn"] == turn_of(seen)
        assert stamp(ended)["generation"] != stamp(seen[0])["generation"]
        assert [stamp(entry)["seq"] for entry in entries] == list(range(1, len(entries) + 1))
        assert client.text == "".join(texts(survived))

        late = await dial()
        await late.initialize()
        attach = {"sessionId": session_id, "after": position(seen[-1])}
        expired = await late.error("_acprelay/attach", attach)
        assert expired["data"]["code"] == "cursor_expired"
        assert expired["data"]["oldest"].endswith(":0")
        attach = {"sessionId": session_id, "after": position(survived[-1])}
        await late.result("_acprelay/attach", attach)
        assert await late.until("_acprelay/turn_ended") == ended
        assert relay.tree() == processes
        assert await count_sessions(relay.base_url) == 0

        answer = await client.prompt(session_id, "hello")
        assert answer["result"] == {"stopReason": "end_turn"}
        assert await count_sessions(relay.base_url) == 1
        assert "session/request_permission" not in {each.get("method") for each in client.heard}
        prompt_id = await client.begin_prompt(session_id, "/tool")
        ask = await client.until("session/request_permission")
        assert ask["id"] not in asked
        outcome = {"outcome": {"outcome": "selected", "optionId": "reject"}}
        await client.send({"id": ask["id"], "result": outcome})
        assert (await client.answer_to(prompt_id))["result"] == {"stopReason": "end_turn"}


def texts(entries: list[Message]) -> list[str]:
    updates = [entry["params"].get("update", {}) for entry in entries]
    return [
        u["content"]["text"] for u in updates if u.get("sessionUpdate") == "agent_message_chunk"
    ]


async def test_what_was_written_before_the_kill_is_read_whole(log: Path) -> None:
    with RelayProcess(log=log) as relay, Dialler(relay.url) as dial:
        client = await dial()
        session_id = await client.open_session()
        await client.prompt(session_id, "/stream 2000 100")
        agents = relay.tree()
        entries = await history(client, session_id)
        await until_written(relay, b"_acprelay/turn_ended")  # and so what came before
        await relay.kill()
    await until_gone(agents)
    with RelayProcess(log=log) as relay, Dialler(relay.url) as dial:
        client = await dial()
        await client.initialize()
        assert await history(client, session_id) == entries


@pytest.mark.requirement("supervision.orphans-are-ended")
@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(("ignore-term",), id="stubborn"),
        pytest.param(("ignore-term", "child=own-session", "child=orphan"), id="with children"),
    ],
)
async def test_an_agent_that_ignores_the_end_of_its_relay_is_ended_by_the_next_one(
    log: Path, tag: str, witness: Witness, steps: tuple[str, ...]
) -> None:
    agent = raw_agent("hesitant", "session/prompt", witness.step, *steps, tag=tag)
    with RelayProcess(agent, log=log) as relay, Dialler(relay.url) as dial:
        client = await dial()
        session_id = await client.open_session()
        await client.begin_prompt(session_id, "hello")
        held = await witness.hears("initialize", "session/new", "session/prompt")
        left = tagged(tag)
        assert left
        started = await client.until("_acprelay/turn_started")
        await until_stored(relay, started["params"]["turn"])
        await relay.kill()
    assert all(process.is_running() for process in left)

    with RelayProcess(agent, log=log) as relay, Dialler(relay.url) as dial:
        await held.sees_the_end()
        await until_gone(left)
        client = await dial()
        await client.initialize()
        entries = await history(client, session_id)
        assert entries[-1]["params"]["outcome"] == "interrupted"
        error = await client.error("session/prompt", {"sessionId": session_id, "prompt": []})
        assert error["data"]["code"] == "not_restorable"  # it has neither load nor resume
        await held_by_the_next_run(witness)
    assert tagged(tag) == []


async def held_by_the_next_run(witness: Witness) -> None:
    """The agent was asked what it can do, and ended."""
    held = await witness.hears("initialize")
    await held.sees_the_end()


@pytest.mark.requirement(
    "lifecycle.state-directory-has-one-relay", "lifecycle.others-agents-are-left-alone"
)
async def test_a_second_relay_leaves_the_state_and_the_agents_of_the_first_alone(
    log: Path,
) -> None:
    with RelayProcess(log=log) as relay, Dialler(relay.url) as dial:
        client = await dial()
        session_id = await client.open_session()
        processes = relay.tree()
        second = await asyncio.create_subprocess_exec(
            *relay.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        async with asyncio.timeout(PATIENCE_S):
            _, complaint = await second.communicate()
        assert second.returncode == ExitCode.USAGE
        assert str(relay.state_dir) in complaint.decode()
        assert relay.tree() == processes
        assert (await client.prompt(session_id, "hello"))["result"] == {"stopReason": "end_turn"}
