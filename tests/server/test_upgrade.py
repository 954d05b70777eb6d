"""What a WebSocket's address chooses, and what its upgrade tells."""

from __future__ import annotations

import re

import pytest
from tests.server.peers import refused
from tests.server.relays import Dialler, serve

from acprelay.agents.models import AgentSpec
from acprelay.compose import DEMO_AGENT, RunningRelay
from acprelay.config import RelayConfig


async def test_every_connection_is_told_an_id_of_its_own(dial: Dialler) -> None:
    ids = {(await dial.peer()).headers["acp-connection-id"] for _ in range(20)}
    assert len(ids) == 20
    assert all(re.fullmatch(r"[0-9a-f]{26}", connection_id) for connection_id in ids)


async def test_no_extension_and_no_subprotocol_is_agreed_on(dial: Dialler) -> None:
    offer = {"Sec-WebSocket-Extensions": "permessage-deflate", "Sec-WebSocket-Protocol": "acp"}
    peer = await dial.peer(headers=offer)
    assert not {"sec-websocket-extensions", "sec-websocket-protocol"} & set(peer.headers)


@pytest.mark.parametrize(
    ("query", "code", "named"),
    [
        ("?role=", "invalid_key", "role"),
        ("?role=-x", "invalid_key", "role"),
        ("?role=a:b", "invalid_key", "role"),
        ("?role=a/../b", "invalid_key", "role"),
        ("?role=" + "x" * 65, "invalid_key", "role"),
        ("?role=%00", "invalid_key", "role"),
        ("?role=%FF", "invalid_key", "role"),
        ("?role=%ED%A0%80", "invalid_key", "role"),
        ("?role=r%C3%B4le", "invalid_key", "role"),
        ("?role=main%0A", "invalid_key", "role"),
        ("?session=", "invalid_key", "session id"),
        ("?session=a:main", "invalid_key", "session id"),
        ("?session=_x", "invalid_key", "session id"),
        ("?session=x&role=%20", "invalid_key", "role"),
        ("?agent=nobody", "invalid_params", "nobody"),
        ("?agent=Demo", "invalid_params", "Demo"),
        ("?agent=%ED%A0%80", "invalid_params", "agent"),
        ("?agent=" + "x" * 5_000, "invalid_params", "xxx"),
    ],
)
async def test_an_address_that_chooses_what_cannot_be_is_refused(
    relay: RunningRelay, query: str, code: str, named: str
) -> None:
    answer = await refused(relay.url + query)
    assert answer.status == 400
    assert answer.problem["code"] == code
    assert named in answer.problem["title"]
    assert len(answer.problem["title"]) < 300


async def test_an_address_that_chooses_nothing_gets_the_defaults(dial: Dialler) -> None:
    session_id = await (await dial()).open_session()
    assert re.fullmatch(r"[0-9a-f]{26}:main", session_id)


async def test_session_and_role_make_the_public_session_id(dial: Dialler) -> None:
    assert await (await dial("?session=S-1_x&role=db")).open_session() == "S-1_x:db"
    assert (await (await dial("?role=auth")).open_session()).endswith(":auth")


async def test_the_first_agent_is_the_default_and_others_are_named() -> None:
    missing = AgentSpec(name="missing", argv=("/nonexistent/agent",))
    async with serve(RelayConfig(port=0, agents=(DEMO_AGENT, missing))) as (_, dial):
        for query in ("", "?agent=", "?agent=demo"):
            info = (await (await dial(query)).initialize())["agentInfo"]
            assert info["name"] == "acprelay-demo"
        error = await (await dial("?agent=missing")).error("initialize", {"protocolVersion": 1})
        assert (error["code"], error["data"]["code"]) == (-32020, "spawn_failed")
        assert error["data"]["hint"]


async def test_a_second_session_under_a_key_is_refused_until_the_first_is_deleted(
    dial: Dialler,
) -> None:
    first, second = await dial("?session=s"), await dial("?session=s")
    session_id = await first.open_session()
    await second.initialize()
    params = {"cwd": "/", "mcpServers": []}
    for client in (first, second):
        error = await client.error("session/new", params)
        assert (error["code"], error["data"]["code"]) == (-32010, "session_exists")
        assert error["data"]["key"] == session_id
        assert "session/load" in error["data"]["hint"]
    other_role = await dial("?session=s&role=other")
    assert await other_role.open_session() == "s:other"
    assert await first.result("session/close", {"sessionId": session_id}) == {}
    assert "error" in await second.ask("session/new", params)
    assert await first.result("session/delete", {"sessionId": session_id}) == {}
    assert await second.new_session() == session_id
