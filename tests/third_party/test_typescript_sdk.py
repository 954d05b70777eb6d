"""The HTTP and WebSocket clients of npm's `@agentclientprotocol/sdk` against a relay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.relays import RelayProcess
from tests.third_party.programs import NODE, TYPESCRIPT_SDK, needs, typescript_client

pytestmark = [
    pytest.mark.process,
    needs("the TypeScript SDK", NODE, TYPESCRIPT_SDK / "node_modules"),
    pytest.mark.parametrize("kind", ["http", "ws"]),
]

Client = partial[Any]


@pytest.fixture
def relay(log: Path) -> Iterator[RelayProcess]:
    with RelayProcess(log=log) as relay:
        yield relay


@pytest.fixture
def client(relay: RelayProcess, kind: str, workplace: Path, tag: str) -> Client:
    url = relay.url if kind == "ws" else f"{relay.base_url}/acp"
    return partial(typescript_client, kind, url, cwd=workplace, tag=tag)


async def run(client: Client, says: str, *, session_id: str = "") -> list[dict[str, Any]]:
    """Gives what it wrote."""
    done = await client(says=says, session_id=session_id)
    assert (done.status, done.errors) == (0, "")
    return [json.loads(line) for line in done.output.splitlines()]


async def test_a_turn_streams_its_updates_in_order_and_ends(client: Client) -> None:
    told = await run(client, "/stream 2000 100\n")
    assert told[0] == {"greeting": "acprelay-demo"}
    seqs = [each["seq"] for each in told if "seq" in each]
    assert len(seqs) > 2000
    assert seqs == sorted(set(seqs))
    assert told[-1] == {"stopReason": "end_turn"}


async def test_a_permission_that_is_given_lets_the_agent_write(
    client: Client, workplace: Path
) -> None:
    told = await run(client, "/write note.txt milk\n")
    assert {"asked": "allow"} in told
    assert (workplace / "note.txt").read_text() == "milk\n"


async def test_a_session_is_loaded_whole_and_goes_on(client: Client) -> None:
    told = await run(client, "/stream 300 100\n")
    [session_id] = [each["opened"] for each in told if "opened" in each]
    again = await run(client, "hello\n", session_id=session_id)
    assert {"loaded": session_id} in again
    seqs = [each["seq"] for each in again if "seq" in each]
    assert seqs == sorted(set(seqs))
    updates = [each for each in told if "seq" in each]
    assert [each for each in again if each in updates] == updates
    assert again[-1] == {"stopReason": "end_turn"}
