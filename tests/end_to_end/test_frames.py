"""What an agent writes: large, noisy, too long. What is relayed is compared as bytes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from tests.end_to_end.relays import raw_agent
from tests.server.clients import AcpClient
from tests.server.relays import Dialler, serve

from acprelay.config import Limits, RelayConfig

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_factories=["asyncio"])]

MIB = 1024 * 1024
MAX_FRAME = 64 * 1024

UPDATE = (
    b'{"jsonrpc": "2.0", "method":"session/update" , "x-unknown" : [1.0, 1e2, "\\u00e9\\ud83d"'
    b', "\xc3\xa9"],"params":{"sessionId":"%s","update":{"sessionUpdate":"agent_message_chunk",'
    b'"content":{"type":"text","text":"%s"}}}}'
)
NOISE = [
    pytest.param(b"Starting up...\n", id="prose"),
    pytest.param(b"\n\n \t \r\n", id="blank lines"),
    pytest.param(bytes(range(256)).replace(b"\n", b"") + b"\n", id="every byte"),
    pytest.param(b"\xff\xfe" * 50_000 + b"\n", id="much garbage"),
    pytest.param(b"[]\n", id="a batch"),
    pytest.param(b'[{"jsonrpc":"2.0","method":"session/update"}]\n', id="a batch of one"),
    pytest.param(b'null\n17\n"text"\ntrue\n', id="scalars"),
    pytest.param(b"{}\n", id="an empty object"),
    pytest.param(b'{"level":"info","message":"ready"}\n', id="a structured log line"),
    pytest.param(b'{"jsonrpc":"2.0","id":{},"method":"x"}\n', id="an id that cannot be"),
    pytest.param(b'{"jsonrpc":"2.0","method":"session/update","params":7}\n', id="bad params"),
    pytest.param(b'{"jsonrpc":"2.0","id":99,"result":{}}\n', id="an answer nobody waits for"),
    pytest.param(b'{"jsonrpc":"2.0","id":"2","result":{}}\n', id="an answer with a string id"),
    pytest.param(b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}\n', id="no id"),
    pytest.param(b'{"jsonrpc":"2.0","method":"session/up', id="half a line, then an answer"),
    pytest.param(b"[" * 100_000 + b"\n", id="depth"),
]


@pytest.fixture
async def parrot() -> AsyncIterator[Dialler]:
    """A relay whose agent writes what it is told."""
    async with serve(RelayConfig(port=0, agents=(raw_agent("parrot"),))) as (_, dial):
        yield dial


async def say(client: AcpClient, session_id: str, data: bytes) -> int:
    """Lets the agent write bytes, then end its turn."""
    return await client.begin_prompt(session_id, data.hex())


def as_relayed(line: bytes, session_id: str, stamp: bytes) -> bytes:
    """What a client gets for a line of the agent: two splices, and every other byte as it was."""
    assert line.endswith(b"}}")
    spliced = line.replace(b'"sessionId":"parrot"', b'"sessionId":"%s"' % session_id.encode())
    return spliced[:-2] + b',"_meta":{"acprelay":' + stamp + b"}}}"


@pytest.mark.requirement("processes.long-lines-pass", "passing.unknown-members")
@pytest.mark.parametrize("size", [10, 1000, 66_000, 10 * MIB])
async def test_an_update_passes_byte_for_byte(parrot: Dialler, size: int) -> None:
    client = await parrot()
    session_id = await client.open_session()
    line = UPDATE % (b"parrot", b"x" * size)
    prompt_id = await say(client, session_id, (line + b"\n") * 2)
    await client.until("_acprelay/turn_started")
    for seq in (3, 4):  # the second entry is the client's own prompt
        relayed = await client.peer.receive()
        stamp = json.loads(relayed)["params"]["_meta"]["acprelay"]
        assert (set(stamp), stamp["seq"]) == ({"generation", "seq"}, seq)
        raw = b'{"generation":"%s","seq":%d}' % (stamp["generation"].encode(), seq)
        assert relayed == as_relayed(line, session_id, raw)
    assert (await client.answer_to(prompt_id))["result"] == {"stopReason": "end_turn"}


@pytest.mark.requirement("processes.noise-stays-out")
@pytest.mark.parametrize("noise", NOISE)
async def test_noise_on_an_agents_output_changes_nothing(parrot: Dialler, noise: bytes) -> None:
    client = await parrot()
    session_id = await client.open_session()
    line = UPDATE % (b"parrot", b"text")
    data = line + b"\n" + noise + (b"\n" + line + b"\n" if noise.endswith(b"\n") else b"\n")
    prompt_id = await say(client, session_id, data)
    answer = await client.answer_to(prompt_id)
    assert answer["result"] == {"stopReason": "end_turn"}
    updates = 2 if noise.endswith(b"\n") else 1
    assert client.text == "text" * updates
    assert [message["method"] for message in client.heard] == [
        "_acprelay/turn_started",
        *["session/update"] * updates,
        "_acprelay/turn_ended",
    ]
    # And the next turn works as if nothing had been.
    prompt_id = await say(client, session_id, line + b"\n")
    assert (await client.answer_to(prompt_id))["result"] == {"stopReason": "end_turn"}


@pytest.fixture
async def clumsy() -> AsyncIterator[tuple[AcpClient, str]]:
    """A client of an agent that says too much, and its session."""
    agent = raw_agent("clumsy", str(4 * MAX_FRAME))
    config = RelayConfig(port=0, agents=(agent,), limits=Limits(max_frame=MAX_FRAME))
    async with serve(config) as (_, dial):
        client = await dial()
        yield client, await client.open_session()


@pytest.mark.requirement("processes.oversized-frames-end-alone", "limits.frame-size")
async def test_an_update_over_the_limit_is_a_notice_in_its_place(
    clumsy: tuple[AcpClient, str],
) -> None:
    client, session_id = clumsy
    answer = await client.prompt(session_id, "update")
    assert answer["result"] == {"stopReason": "end_turn"}
    _, notice, _ = client.heard  # between the markers of the turn's start and end
    assert notice["method"] == "_acprelay/notice"
    params = notice["params"]
    assert (params["sessionId"], params["code"]) == (session_id, "frame_too_large")
    assert (params["limit"], params["size"] > params["limit"]) == (MAX_FRAME, True)
    assert params["_meta"]["acprelay"]["seq"] == 3
    assert params["hint"]


@pytest.mark.requirement("processes.oversized-frames-end-alone", "limits.frame-size")
async def test_an_answer_over_the_limit_fails_its_request_alone(
    clumsy: tuple[AcpClient, str],
) -> None:
    client, session_id = clumsy
    answer = await client.prompt(session_id, "answer")
    assert answer["error"]["code"] == -32030
    data = answer["error"]["data"]
    assert (data["code"], data["limit"]) == ("frame_too_large", MAX_FRAME)
    assert data["size"] > MAX_FRAME
    assert data["hint"]
    again = await client.prompt(session_id, "nothing")
    assert again["result"] == {"stopReason": "end_turn"}


async def test_a_request_over_the_limit_is_refused_to_the_agent(
    clumsy: tuple[AcpClient, str],
) -> None:
    client, session_id = clumsy
    answer = await client.prompt(session_id, "request")
    assert answer["result"] == {"stopReason": "end_turn"}
    refusal = json.loads(client.text)
    assert (refusal["id"], refusal["error"]["code"]) == (0, -32030)
    assert refusal["error"]["data"]["code"] == "frame_too_large"
    assert "_test/question" not in {message.get("method") for message in client.heard}
