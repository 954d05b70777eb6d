"""Loads and resumes as clients meet them: what was comes whole and first, then what is new."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.end_to_end.editors import position, sit_down, stamp
from tests.end_to_end.joining import Serve
from tests.end_to_end.relays import raw_agent
from tests.server.peers import Message
from tests.server.relays import Dialler

from acprelay.config import Limits, RelayConfig

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_factories=["asyncio"])]

ALLOW = {"outcome": {"outcome": "selected", "optionId": "allow"}}


def where(session_id: str) -> Message:
    """The params of a load or a resume."""
    return {"sessionId": session_id, "cwd": "/", "mcpServers": []}


def is_entry(message: Message) -> bool:
    """Whether a message is one of the public log's."""
    return "seq" in stamp(message)


@pytest.fixture
async def dial(serve_any: Serve) -> AsyncIterator[Dialler]:
    """Opens WebSockets to a relay with the demo agent."""
    async with serve_any(RelayConfig(port=0)) as (_, dialler):
        yield dialler


@pytest.mark.requirement("order.replayed-before-live", "replay.load-answers-last")
async def test_a_load_in_the_middle_of_a_turn_gives_what_was_then_what_comes(
    dial: Dialler,
) -> None:
    first = await dial()
    session_id = await first.open_session()
    prompt_id = await first.begin_prompt(session_id, "/stream 300 8\n/tool\n/stream 300 8")
    ask = await first.until("session/request_permission")

    second = await dial()
    await second.initialize()
    await second.result("session/load", where(session_id))
    replayed = len(second.heard)
    seqs = [stamp(message)["seq"] for message in second.heard]
    assert seqs == list(range(1, replayed + 1))
    assert second.text.count("\n") >= 300

    await first.send({"id": ask["id"], "result": ALLOW})
    second.heard.append(await second.until("_acprelay/turn_ended"))
    live = [stamp(message)["seq"] for message in second.heard[replayed:] if is_entry(message)]
    assert live == list(range(replayed + 1, replayed + 1 + len(live)))
    assert second.text.count("\n") >= 600
    assert (await first.answer_to(prompt_id))["result"] == {"stopReason": "end_turn"}


@pytest.mark.requirement("order.replayed-before-live", "order.one-contiguous-slice")
async def test_clients_that_load_under_a_stream_get_all_of_it_once_and_in_order(
    serve_any: Serve,
) -> None:
    count = 20_000
    async with serve_any(RelayConfig(port=0, agents=(raw_agent("firehose"),))) as (_, dial):
        first = await dial()
        session_id = await first.open_session()
        await first.begin_prompt(session_id, f"{count} 6")
        await first.until("session/update")
        for _ in range(3):
            other = await dial()
            await other.initialize()
            load_id = await other.begin("session/load", where(session_id))
            while not other.heard or stamp(other.heard[-1]).get("seq") != count + 3:
                other.heard.append(await other.receive())
            answered = next((i for i, each in enumerate(other.heard) if "id" in each), count + 3)
            reply = await other.answer_to(load_id)
            # The reply stands between what was and what comes, wherever the stream was.
            assert reply["result"]["_meta"]["acprelay"]["position"].endswith(f":{answered}")
            assert [stamp(entry)["seq"] for entry in other.heard] == list(range(1, count + 4))
            assert other.text == "".join(f"{number:06d}" for number in range(count))


@pytest.mark.requirement("replay.resume-answers-first", "replay.resume-ends-with-what-is-open")
async def test_a_resume_answers_then_tells_the_state_and_then_asks_what_is_open(
    dial: Dialler,
) -> None:
    first = await dial()
    session_id = await first.open_session()
    prompt_id = await first.begin_prompt(session_id, "/plan\n/tool")
    ask = await first.until("session/request_permission")

    second = await dial()
    await second.initialize()
    resume_id = await second.begin("session/resume", where(session_id))
    assert await second.until("session/request_permission") == ask
    reply, *state = second.heard
    assert reply["id"] == resume_id
    assert {stamp(message)["snapshot"] for message in state} == {True}
    assert [update["sessionUpdate"] for update in second.updates] == [
        "available_commands_update",
        "current_mode_update",
        "plan",
    ]
    await second.send({"id": ask["id"], "result": ALLOW})
    assert (await first.answer_to(prompt_id))["result"] == {"stopReason": "end_turn"}


@pytest.mark.requirement("replay.truncated-history-says-so-first")
async def test_a_load_of_a_log_whose_start_is_gone_says_so_before_anything_else(
    serve_any: Serve,
) -> None:
    limits = Limits(history_bytes=100_000)
    config = RelayConfig(port=0, agents=(raw_agent("firehose"),), limits=limits)
    async with serve_any(config) as (_, dial):
        first = await dial()
        session_id = await first.open_session()
        await first.prompt(session_id, "1000 1000")
        second = await dial()
        await second.initialize()
        await second.result("session/load", where(session_id))
        notice, *entries = second.heard
        assert notice["method"] == "_acprelay/notice"
        assert notice["params"]["code"] == "cursor_expired"
        oldest = notice["params"]["oldest"]
        kept = [entry for entry in entries if is_entry(entry)]
        assert oldest == f"{stamp(kept[0])['generation']}:{stamp(kept[0])['seq'] - 1}"
        first_kept = stamp(kept[0])["seq"]
        assert first_kept > 1
        assert [stamp(entry)["seq"] for entry in kept] == list(range(first_kept, 1000 + 4))


@pytest.mark.requirement("peers.dropped-readers-go-on", "positions.return-gets-the-rest")
async def test_a_client_that_refuses_a_message_for_its_size_goes_on_after_what_it_saw(
    serve_any: Serve,
) -> None:
    async with serve_any(RelayConfig(port=0, agents=(raw_agent("firehose"),))) as (_, dial):
        async with sit_down(await dial.address()) as desk:
            session_id = (await desk.open()).session_id
            await desk.prompt(session_id, "3 6")
            # More than the package's WebSocket takes: the editor itself hangs up.
            with pytest.raises(ConnectionError):
                await desk.prompt(session_id, "1 2000000")
        last_seen = desk.log[-1]
        assert desk.editor.texts[session_id] == ["000000", "000001", "000002"]

        client = await dial()
        await client.initialize()
        attach = {"sessionId": session_id, "after": position(last_seen)}
        await client.result("_acprelay/attach", attach)
        client.heard.append(await client.until("_acprelay/turn_ended"))
        seqs = [stamp(entry)["seq"] for entry in client.heard]
        assert seqs == list(range(stamp(last_seen)["seq"] + 1, seqs[-1] + 1))
        assert client.text == "0" * 2_000_000
