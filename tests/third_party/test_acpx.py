"""acpx, a client for scripts, with `acprelay connect` as the agent that it starts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.relays import RelayProcess
from tests.third_party.programs import ACPX, NODE, Acpx, needs

pytestmark = [pytest.mark.process, needs("acpx", NODE, ACPX)]


@pytest.fixture
def relay(log: Path) -> Iterator[RelayProcess]:
    with RelayProcess(log=log) as relay:
        yield relay


@pytest.fixture
def acpx(relay: RelayProcess, home: Path, workplace: Path, tag: str) -> Acpx:
    return Acpx(url=relay.url, home=home, cwd=workplace, tag=tag)


async def test_one_prompt_is_answered(acpx: Acpx) -> None:
    done = await acpx("--format", "quiet", "exec", "hello there")
    assert (done.status, done.errors) == (0, "")
    assert done.output.startswith("You wrote 2 words: hello there\n")


def _is_of_the_log(message: dict[str, Any]) -> bool:
    return "seq" in message.get("params", {}).get("_meta", {}).get("acprelay", {})


async def test_every_message_of_a_turn_arrives_in_order(acpx: Acpx) -> None:
    done = await acpx("--format", "json", "--json-strict", "exec", "/stream 2000 100")
    assert (done.status, done.errors) == (0, "")
    messages = [json.loads(line) for line in done.output.splitlines()]
    stamps = [
        message["params"]["_meta"]["acprelay"] for message in messages if _is_of_the_log(message)
    ]
    assert len({stamp["generation"] for stamp in stamps}) == 1
    methods = [message["method"] for message in messages if _is_of_the_log(message)]
    own_prompt = methods.index("_acprelay/turn_started") + 2
    seqs = list(range(1, len(stamps) + 2))
    seqs.remove(own_prompt)
    assert [stamp["seq"] for stamp in stamps] == seqs
    assert len(stamps) > 2000
    assert messages[-1]["result"] == {"stopReason": "end_turn"}


async def test_a_permission_that_its_user_gives_lets_the_agent_write(
    acpx: Acpx, workplace: Path
) -> None:
    done = await acpx("--approve-all", "exec", "/write note.txt milk")
    assert (done.status, done.errors) == (0, "")
    assert (workplace / "note.txt").read_text() == "milk\n"


async def test_a_permission_that_its_user_denies_keeps_the_agent_from_writing(
    acpx: Acpx, workplace: Path
) -> None:
    done = await acpx("--deny-all", "--format", "quiet", "exec", "/write note.txt milk")
    assert "PERMISSION_DENIED" in done.errors
    assert done.output == "The permission was not given; nothing is changed.\n"
    assert not (workplace / "note.txt").exists()


async def test_a_conversation_goes_on_over_connections_that_come_and_go(acpx: Acpx) -> None:
    created = await acpx("--format", "json", "sessions", "new")
    session_id = json.loads(created.output)["acpxSessionId"]
    for text in ("hello one", "hello two"):
        done = await acpx("--ttl", "1", "--format", "json", "--json-strict", "prompt", text)
        assert (done.status, done.errors) == (0, "")
        messages = [json.loads(line) for line in done.output.splitlines()]
        [prompt] = [each for each in messages if each.get("method") == "session/prompt"]
        assert prompt["params"]["sessionId"] == session_id
        assert messages[-1]["result"]["stopReason"] == "end_turn"
    done = await acpx("sessions", "close")
    assert done.status == 0
