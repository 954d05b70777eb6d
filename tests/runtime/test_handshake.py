"""The relay's own requests to an agent, before there is a session."""

from __future__ import annotations

import asyncio
import logging

import pytest

from acprelay import __version__
from acprelay.errors import AgentError, AgentExited, AgentRefused, AgentUnresponsive
from acprelay.runtime.handshake import Handshake
from acprelay.testing.agents import FakeAgent, Message, encode

ANSWER = {"protocolVersion": 1, "agentCapabilities": {}}


@pytest.fixture
def agent() -> FakeAgent:
    return FakeAgent(name="coder")


@pytest.fixture
def handshake(agent: FakeAgent) -> Handshake:
    return attached(agent)


def attached(agent: FakeAgent, *, deadline_s: float = 30.0) -> Handshake:
    handshake = Handshake(agent=agent, deadline_s=deadline_s)
    agent.attach(handshake)
    return handshake


def note(text: str) -> bytes:
    return encode({"jsonrpc": "2.0", "method": "_x/note", "params": {"text": text}})


# --- initialize


async def test_initialize_promises_an_agent_nothing_that_only_a_client_could_do(
    agent: FakeAgent, handshake: Handshake
) -> None:
    await handshake.initialize()
    [asked] = agent.messages
    assert asked["params"] == {
        "protocolVersion": 1,
        "clientCapabilities": {
            "fs": {"readTextFile": False, "writeTextFile": False},
            "terminal": False,
        },
        "clientInfo": {"name": "acprelay", "title": "acprelay", "version": __version__},
    }


async def test_the_answer_to_initialize_is_kept_as_bytes(
    agent: FakeAgent, handshake: Handshake
) -> None:
    raw = b'{"protocolVersion" :1,\t"agentCapabilities":{}, "x":1.0}'
    agent.react(
        "initialize", lambda agent, _: agent.say(b'{"id":1,"result":%b,"jsonrpc":"2.0"}' % raw)
    )
    await handshake.initialize()
    assert handshake.initialize_result == raw


async def test_an_error_as_the_answer_to_initialize_is_a_refusal_that_tells_it(
    agent: FakeAgent, handshake: Handshake
) -> None:
    agent.refuse("initialize", message="no licence")
    with pytest.raises(AgentRefused, match="no licence"):
        await handshake.initialize()


async def test_the_error_that_is_told_of_is_cut_short(
    agent: FakeAgent, handshake: Handshake
) -> None:
    agent.refuse("initialize", message="é" * 10_000)
    with pytest.raises(AgentRefused) as raised:
        await handshake.initialize()
    assert len(raised.value.message) < 1_000


@pytest.mark.parametrize(
    "result",
    [
        {"protocolVersion": 2, "agentCapabilities": {}},
        {"protocolVersion": "1"},
        {"agentCapabilities": {}},
        None,
        [],
    ],
)
async def test_an_agent_of_another_version_or_of_none_is_refused(
    agent: FakeAgent, handshake: Handshake, result: object
) -> None:
    agent.answer_with("initialize", result)
    with pytest.raises(AgentRefused):
        await handshake.initialize()
    assert handshake.initialize_result == b"null"


@pytest.mark.parametrize(
    "answer",
    [
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1},"error":{"code":1,"message":""}}',
    ],
)
async def test_an_answer_that_cannot_be_read_is_a_refusal_at_once(
    agent: FakeAgent, handshake: Handshake, answer: bytes
) -> None:
    agent.react("initialize", lambda agent, _asked: agent.say(answer, answer))
    with pytest.raises(AgentRefused, match="answered initialize with a malformed message"):
        await handshake.initialize()


# --- silence, and ends


async def test_whoever_waits_in_vain_is_told_what_the_agent_wrote_instead(agent: FakeAgent) -> None:
    headers = (b"Content-Length: 90\r", b'{"jsonrpc":"2.0","id":7}')
    agent.react("initialize", lambda agent, _asked: agent.say(*headers))
    handshake = attached(agent, deadline_s=0.01)
    agent.say(b"Content-Length: 80\r")
    with pytest.raises(AgentUnresponsive) as raised:
        await handshake.initialize()
    assert raised.value.hint == (
        "it wrote 'Content-Length: 80\\r'; ACP has one JSON message in UTF-8 on each line"
    )


async def test_silence_ends_with_the_deadline(agent: FakeAgent) -> None:
    agent.ignore("initialize")
    agent.stderr_tail = "still thinking"
    with pytest.raises(AgentUnresponsive, match="initialize") as raised:
        await attached(agent, deadline_s=0).initialize()
    assert raised.value.fields["stderr"] == "still thinking"
    assert raised.value.fields["after_s"] == 0


async def test_an_exit_ends_the_waiting(agent: FakeAgent, handshake: Handshake) -> None:
    agent.stderr_tail = "panic"
    agent.die_on("initialize", returncode=7)
    with pytest.raises(AgentExited, match="exit status 7") as raised:
        await handshake.initialize()
    assert raised.value.fields["stderr"] == "panic"


async def test_an_agent_that_had_exited_before_is_found_out_at_once(agent: FakeAgent) -> None:
    agent.die()
    with pytest.raises(AgentExited):
        await attached(agent).initialize()


async def test_an_exit_while_nobody_waits_changes_nothing(
    agent: FakeAgent, handshake: Handshake
) -> None:
    await handshake.initialize()
    agent.die()
    with pytest.raises(AgentExited):
        await handshake.authenticate(b'{"methodId":"key"}')


async def test_an_exit_right_behind_the_answer_leaves_the_answer(agent: FakeAgent) -> None:
    def answer_and_die(agent: FakeAgent, asked: Message) -> None:
        agent.answer(asked, ANSWER)
        agent.die()

    agent.react("initialize", answer_and_die)
    handshake = attached(agent)
    await handshake.initialize()
    assert handshake.initialize_result != b"null"


async def test_an_input_that_takes_nothing_fails_the_request(agent: FakeAgent) -> None:
    handshake = attached(agent)
    ending = asyncio.get_running_loop().create_task(agent.end())
    agent.hold_end()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(AgentError):
        await handshake.initialize()
    agent.release_end()
    await ending


# --- answers that nobody waits for


async def test_a_late_answer_is_not_taken_for_that_of_the_next_request(
    agent: FakeAgent, handshake: Handshake
) -> None:
    def answer_both(agent: FakeAgent, asked: Message) -> None:
        agent.say(
            {"jsonrpc": "2.0", "id": 1, "result": "late"},
            {"jsonrpc": "2.0", "id": asked["id"], "result": "in time"},
        )

    agent.ignore("logout")
    agent.react("authenticate", answer_both)
    waiting = asyncio.get_running_loop().create_task(handshake.logout(b"{}"))
    for _ in range(3):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    answer = await handshake.authenticate(b'{"methodId":"key"}')
    assert answer.member("result") == b'"in time"'


async def test_a_repeated_answer_is_dropped(agent: FakeAgent, handshake: Handshake) -> None:
    def answer_twice(agent: FakeAgent, asked: Message) -> None:
        agent.say(
            {"jsonrpc": "2.0", "id": asked["id"], "result": {**ANSWER, "first": True}},
            {"jsonrpc": "2.0", "id": asked["id"], "result": {**ANSWER, "first": False}},
            note("behind it"),
        )

    agent.react("initialize", answer_twice)
    await handshake.initialize()
    assert handshake.early == [note("behind it") + b"\n"]
    agent.say({"jsonrpc": "2.0", "id": 1, "result": ANSWER})
    assert b'"first":true' in handshake.initialize_result


async def test_an_answer_with_the_id_in_another_type_is_no_answer(agent: FakeAgent) -> None:
    agent.react(
        "initialize", lambda agent, _: agent.say({"jsonrpc": "2.0", "id": "1", "result": ANSWER})
    )
    waiting = asyncio.get_running_loop().create_task(attached(agent).initialize())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    agent.say({"jsonrpc": "2.0", "id": 1, "result": ANSWER})
    await waiting


async def test_a_cancelled_request_may_be_followed_by_another(
    agent: FakeAgent, handshake: Handshake
) -> None:
    agent.ignore("authenticate")
    waiting = asyncio.get_running_loop().create_task(handshake.authenticate(b'{"methodId":"key"}'))
    for _ in range(3):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    agent.say({"jsonrpc": "2.0", "id": 1, "result": {}})
    await handshake.initialize()
    assert [message["id"] for message in agent.messages] == [1, 2]


# --- what an agent says without being asked


async def test_early_notifications_are_kept_in_order_and_as_bytes(
    agent: FakeAgent, handshake: Handshake
) -> None:
    noisy = b' {"method" : "_x/note","params":{} } '
    agent.say(noisy, b"no JSON at all", note("1"))
    await handshake.initialize()
    agent.say(note("2"))
    assert handshake.early == [line + b"\n" for line in (noisy, note("1"), note("2"))]


async def test_early_requests_are_refused(agent: FakeAgent, handshake: Handshake) -> None:
    agent.ask("a", "session/request_permission", sessionId="s")
    await handshake.initialize()
    [refusal] = agent.replies
    assert refusal["id"] == "a"
    assert refusal["error"]["code"] == -32601
    assert refusal["error"]["data"]["code"] == "method_not_found"


async def test_a_refusal_that_cannot_be_written_costs_no_other_line(
    agent: FakeAgent, handshake: Handshake
) -> None:
    agent.die()
    ask = encode({"jsonrpc": "2.0", "id": 1, "method": "fs/read_text_file", "params": {}})
    handshake.lines_received([ask + b"\n", note("behind it") + b"\n"], [])
    assert handshake.early == [note("behind it") + b"\n"]


async def test_an_agent_that_never_stops_is_not_kept_in_memory(
    agent: FakeAgent, handshake: Handshake, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1_005):
        agent.say(note(str(number)))
    assert handshake.early == [note(str(number)) + b"\n" for number in range(1_000)]
    assert "lost" in caplog.text


async def test_early_notifications_are_bounded_by_bytes_too(
    agent: FakeAgent, handshake: Handshake, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            agent.say(note("x" * 1024 * 1024))
    assert sum(map(len, handshake.early)) <= 4 * 1024 * 1024
    assert len(handshake.early) == 3
    assert caplog.text.count("lost") == 1  # told once


# --- credentials


async def test_credentials_are_remembered_once_the_agent_has_accepted_them(
    agent: FakeAgent, handshake: Handshake
) -> None:
    await handshake.authenticate(b'{"methodId":"key"}')
    assert handshake.credentials == b'{"methodId":"key"}'
    assert agent.requests("authenticate")[0]["params"] == {"methodId": "key"}


async def test_credentials_that_were_refused_are_not_remembered(
    agent: FakeAgent, handshake: Handshake
) -> None:
    agent.refuse("authenticate")
    assert (await handshake.authenticate(b'{"methodId":"key"}')).is_error
    assert handshake.credentials is None


async def test_logging_out_forgets_the_credentials(handshake: Handshake) -> None:
    await handshake.authenticate(b'{"methodId":"key"}')
    await handshake.logout(b"{}")
    assert handshake.credentials is None


async def test_a_logout_that_was_refused_forgets_nothing(
    agent: FakeAgent, handshake: Handshake
) -> None:
    agent.refuse("logout")
    await handshake.authenticate(b'{"methodId":"key"}')
    await handshake.logout(b"{}")
    assert handshake.credentials == b'{"methodId":"key"}'


# --- letting go


async def test_an_abandoned_process_is_ended(agent: FakeAgent, handshake: Handshake) -> None:
    await handshake.abandon()
    assert agent.exit is not None


async def test_a_cancelled_abandonment_returns_when_the_process_is_gone(
    agent: FakeAgent, handshake: Handshake
) -> None:
    agent.hold_end()
    abandoning = asyncio.get_running_loop().create_task(handshake.abandon())
    for _ in range(3):
        await asyncio.sleep(0)
        abandoning.cancel()
    await asyncio.sleep(0)
    assert not abandoning.done()
    agent.release_end()
    await asyncio.wait({abandoning})
    assert abandoning.cancelled()
    assert agent.exit is not None


async def test_a_process_that_survives_its_abandonment_is_told_of(
    agent: FakeAgent, handshake: Handshake, caplog: pytest.LogCaptureFixture
) -> None:
    agent.fail_to_end(AgentError("cannot end agent 'coder': 4711 survives"))
    await handshake.abandon()
    assert "4711 survives" in caplog.text
    await handshake.abandon()
    assert agent.exit is not None
