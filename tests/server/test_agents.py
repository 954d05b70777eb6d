"""Agents that dial in, at the level of HTTP and WebSocket: who gets in, and what rubbish costs."""

from __future__ import annotations

import json

import pytest
from tests.server.clients import AcpClient
from tests.server.peers import Message, Opcode, WebSocketPeer, connect, refused, request_http
from tests.server.relays import Dialler, serve

from acprelay.compose import RunningRelay
from acprelay.config import Limits, RelayConfig
from acprelay.wire.link import SUBPROTOCOL

LINK = {"Sec-WebSocket-Protocol": SUBPROTOCOL}
PATH = "/agents/task/main"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def invite(dial: Dialler, role: str = "main", group: str = "task") -> str:
    client = await dial()
    result = await client.result("_acprelay/invite", {"group": group, "role": role})
    return str(result["token"])


async def dial_in(dial: Dialler, headers: dict[str, str]) -> WebSocketPeer:
    peer = await connect(dial.url.removesuffix("/acp") + PATH, headers=headers)
    dial.peers.append(peer)
    return peer


async def linked(dial: Dialler, token: str) -> tuple[WebSocketPeer, Message]:
    """A joiner that was greeted."""
    peer = await dial_in(dial, {**bearer(token), **LINK})
    assert peer.headers["sec-websocket-protocol"] == SUBPROTOCOL
    greeting: Message = json.loads(await peer.receive())
    return peer, greeting


async def read_parcel(peer: WebSocketPeer) -> bytes:
    while True:
        _, opcode, payload = await peer.read_frame()
        if opcode is Opcode.BINARY:
            return payload


class BareAgent:
    """An agent that speaks WebSocket, and knows nothing of links."""

    def __init__(self, peer: WebSocketPeer) -> None:
        self.peer = peer

    async def receive(self) -> Message:
        message: Message = json.loads(await self.peer.receive())
        return message

    async def answer(self, method: str, result: object) -> None:
        request = await self.receive()
        assert request["method"] == method
        await self.say({"id": request["id"], "result": result})

    async def say(self, message: Message) -> None:
        await self.peer.send(json.dumps({"jsonrpc": "2.0", **message}).encode())


@pytest.mark.requirement("joining.tokens-are-always-required")
@pytest.mark.parametrize(
    "headers",
    [{}, bearer("wrong"), {"Authorization": "Basic abc"}, {"Authorization": "Bearer"}, bearer("é")],
)
async def test_who_shows_no_token_that_is_known_is_refused(
    relay: RunningRelay, headers: dict[str, str]
) -> None:
    answer = await refused(relay.base_url + PATH, headers={**headers, **LINK})
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.problem["code"] == "unauthorized"


async def test_a_token_in_an_address_is_worth_nothing(relay: RunningRelay, dial: Dialler) -> None:
    token = await invite(dial)
    answer = await refused(f"{relay.base_url}{PATH}?token={token}&access_token={token}")
    assert answer.status == 401


@pytest.mark.requirement("joining.tokens-are-for-one-role")
@pytest.mark.parametrize("path", ["/agents/task/other", "/agents/other/main"])
async def test_a_token_for_another_role_is_refused(
    relay: RunningRelay, dial: Dialler, path: str
) -> None:
    answer = await refused(relay.base_url + path, headers=bearer(await invite(dial)))
    assert (answer.status, answer.problem["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/agents/task", 404),
        ("/agents/task/main/more", 404),
        ("/agents/-/main", 400),
        ("/agents/task/%20", 400),
    ],
)
async def test_a_path_that_names_no_role_is_refused(
    relay: RunningRelay, path: str, status: int
) -> None:
    answer = await refused(relay.base_url + path)
    assert answer.status == status
    assert answer.problem["hint"]


async def test_without_an_upgrade_there_is_nothing_to_see(relay: RunningRelay) -> None:
    answer = await request_http(relay.base_url, PATH)
    assert (answer.status, answer.headers["upgrade"]) == (426, "websocket")


@pytest.mark.requirement("edges.upgrades-check-origin-and-host")
async def test_a_page_of_another_origin_cannot_dial_in(relay: RunningRelay, dial: Dialler) -> None:
    headers = {**bearer(await invite(dial)), "Origin": "http://evil.example"}
    answer = await refused(relay.base_url + PATH, headers=headers)
    assert (answer.status, answer.problem["code"]) == (403, "forbidden")


@pytest.mark.requirement("joining.one-agent-for-each-role")
async def test_a_role_that_is_taken_is_refused(relay: RunningRelay, dial: Dialler) -> None:
    token = await invite(dial)
    await linked(dial, token)
    answer = await refused(relay.base_url + PATH, headers={**bearer(token), **LINK})
    assert (answer.status, answer.problem["code"]) == (409, "role_taken")


async def test_more_agents_than_may_be_are_refused() -> None:
    config = RelayConfig(port=0, limits=Limits(dialled_agents=1))
    async with serve(config) as (relay, dial):
        await linked(dial, await invite(dial))
        headers = {**bearer(await invite(dial, "other")), **LINK}
        answer = await refused(f"{relay.base_url}/agents/task/other", headers=headers)
        assert (answer.status, answer.problem["code"]) == (429, "limit_reached")
        assert answer.problem["limit"] == "agents that have dialled in"


async def test_a_link_is_taken_up_where_it_was_also_from_a_connection_that_seems_to_live(
    dial: Dialler,
) -> None:
    token = await invite(dial)
    first, greeting = await linked(dial, token)
    initialize = await read_parcel(first)
    assert initialize.startswith(b'\x01{"jsonrpc":"2.0"')
    claim = {"Acprelay-Link": f"{greeting['link']} {greeting['secret']} 0"}
    second = await dial_in(dial, {**bearer(token), **LINK, **claim})
    assert json.loads(await second.receive()) == greeting
    assert await read_parcel(second) == initialize
    assert (await first.expect_end()).code == 1000


@pytest.mark.requirement("joining.links-have-secrets")
@pytest.mark.parametrize("part", ["link", "secret", "token", "subprotocol"])
async def test_who_does_not_know_a_link_cannot_take_it_up(
    relay: RunningRelay, dial: Dialler, part: str
) -> None:
    token = await invite(dial)
    _, greeting = await linked(dial, token)
    known = {**greeting, "token": token}
    if part == "token":
        known["token"] = await invite(dial)
    elif part != "subprotocol":
        known[part] = "0" * 26
    claim = {"Acprelay-Link": f"{known['link']} {known['secret']} 0"}
    offered = {} if part == "subprotocol" else LINK
    headers = {**bearer(known["token"]), **offered, **claim}
    answer = await refused(relay.base_url + PATH, headers=headers)
    assert (answer.status, answer.problem["code"]) == (410, "link_gone")


async def test_a_claim_that_cannot_be_read_is_refused(relay: RunningRelay, dial: Dialler) -> None:
    headers = {**bearer(await invite(dial)), **LINK, "Acprelay-Link": "what"}
    answer = await refused(relay.base_url + PATH, headers=headers)
    assert (answer.status, answer.problem["code"]) == (400, "invalid_request")


@pytest.mark.requirement("joining.impossible-counts-are-refused")
async def test_a_claim_that_cannot_be_true_ends_the_connection(dial: Dialler) -> None:
    token = await invite(dial)
    _, greeting = await linked(dial, token)
    claim = {"Acprelay-Link": f"{greeting['link']} {greeting['secret']} 7"}
    peer = await dial_in(dial, {**bearer(token), **LINK, **claim})
    closed = await peer.expect_end()
    assert closed.code == 1008
    assert "cannot have come" in closed.reason


@pytest.mark.requirement("joining.rubbish-is-refused")
@pytest.mark.parametrize(
    ("payload", "opcode", "code"),
    [
        (b"\x07rubbish", Opcode.BINARY, 1008),
        (b"", Opcode.BINARY, 1008),
        (b"\0", Opcode.BINARY, 1008),
        (b"\0" + (1 << 40).to_bytes(8), Opcode.BINARY, 1008),
        (b"\x03{}", Opcode.BINARY, 1008),
        (b"{}", Opcode.TEXT, 1008),
        (b"\x01" + b"x" * 70_000, Opcode.BINARY, 1009),
    ],
)
async def test_rubbish_over_a_link_ends_it(
    dial: Dialler, payload: bytes, opcode: Opcode, code: int
) -> None:
    peer, _ = await linked(dial, await invite(dial))
    await read_parcel(peer)
    await peer.send(payload, opcode)
    frame = await peer.read_frame()
    while frame.opcode is not Opcode.CLOSE:
        frame = await peer.read_frame()
    assert int.from_bytes(frame.payload[:2]) == code


@pytest.mark.requirement("joining.bare-agents-may-dial-in")
async def test_a_bare_agent_serves_a_session(dial: Dialler) -> None:
    agent = BareAgent(await dial_in(dial, bearer(await invite(dial))))
    assert "sec-websocket-protocol" not in agent.peer.headers
    await agent.answer("initialize", {"protocolVersion": 1})
    client = await dial("?agent=joined&session=task")
    await client.initialize()
    new_id = await client.begin("session/new", {"cwd": "/", "mcpServers": []})
    await agent.answer("session/new", {"sessionId": "own"})
    session_id = (await client.answer_to(new_id))["result"]["sessionId"]
    assert session_id == "task:main"
    prompt_id = await client.begin_prompt(session_id, "hello")
    prompt = await agent.receive()
    chunk = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "hi"}}
    update = {"sessionId": "own", "update": chunk}
    await agent.say({"method": "session/update", "params": update})
    await agent.say({"id": prompt["id"], "result": {"stopReason": "end_turn"}})
    assert (await client.answer_to(prompt_id))["result"] == {"stopReason": "end_turn"}
    assert client.text == "hi"
    await client.result("session/close", {"sessionId": session_id})
    assert (await agent.peer.expect_end()).code == 1000


@pytest.mark.requirement("joining.bare-agents-may-dial-in")
async def test_a_bare_agent_that_hangs_up_in_a_turn_fails_it(dial: Dialler) -> None:
    agent = BareAgent(await dial_in(dial, bearer(await invite(dial))))
    await agent.answer("initialize", {"protocolVersion": 1})
    client = await dial("?agent=joined&session=task")
    await client.initialize()
    new_id = await client.begin("session/new", {"cwd": "/", "mcpServers": []})
    await agent.answer("session/new", {"sessionId": "own"})
    session_id = (await client.answer_to(new_id))["result"]["sessionId"]
    prompt_id = await client.begin_prompt(session_id, "hello")
    await agent.receive()
    agent.peer.abort()
    error = (await client.answer_to(prompt_id))["error"]
    assert error["data"]["status"] == "the loss of its link"


async def test_a_role_is_free_again_once_its_bare_agent_has_left(dial: Dialler) -> None:
    token = await invite(dial)
    agent = BareAgent(await dial_in(dial, bearer(token)))
    await agent.receive()
    await agent.peer.close()
    while True:
        answer_or_peer = await try_to_dial_in(dial, token)
        if answer_or_peer is not None:
            break
    second = BareAgent(answer_or_peer)
    await second.answer("initialize", {"protocolVersion": 1})


async def try_to_dial_in(dial: Dialler, token: str) -> WebSocketPeer | None:
    try:
        return await dial_in(dial, bearer(token))
    except AssertionError:  # refused: the relay has not noticed yet
        return None


async def test_a_relay_that_stops_closes_the_connections_of_bare_agents() -> None:
    async with serve(RelayConfig(port=0)) as (relay, dial):
        token = await invite(dial)
        agent = BareAgent(await connect(relay.base_url + PATH, headers=bearer(token)))
        await agent.answer("initialize", {"protocolVersion": 1})
    assert (await agent.peer.expect_end()).code == 1000
    agent.peer.abort()


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"group": "-"},
        {"group": "g", "role": "a b"},
        {"group": 1},
        {"group": "g", "ttl_s": 0},
        {"group": "g", "ttl_s": -1},
        {"group": "g", "ttl_s": 1e12},
        {"group": "g", "ttl_s": "day"},
    ],
)
async def test_an_invitation_to_nothing_that_can_be_joined_is_refused(
    dial: Dialler, params: Message
) -> None:
    client: AcpClient = await dial()
    error = await client.error("_acprelay/invite", params)
    assert error["code"] == -32602
    assert error["data"]["hint"]


async def test_an_invitation_tells_where_to_join_and_until_when(dial: Dialler) -> None:
    client = await dial()
    result = await client.result("_acprelay/invite", {"group": "task", "role": "db", "ttl_s": 60})
    assert result["path"] == "/agents/task/db"
    assert result["expiresAt"].endswith("+00:00")
    assert len(result["token"]) >= 43
