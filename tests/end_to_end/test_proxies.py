"""ACP over HTTP/2 and over a WebSocket through the reverse proxies that the documentation shows."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
import websockets
from tests.end_to_end.editors import sit_down_over_http
from tests.end_to_end.proxies import PROXIES, Configure, certify, proxied
from tests.end_to_end.relays import RelayProcess
from tests.server.peers import PATIENCE_S

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_factories=["asyncio"])]


@pytest.mark.requirement("http.proxies-give-http-2")
@pytest.mark.parametrize("configure", PROXIES)
async def test_a_session_goes_over_http_2_and_its_events_come_at_once(
    configure: Configure, demo_relay: RelayProcess, tmp_path: Path
) -> None:
    versions = set()

    async def note_version(response: httpx.Response) -> None:
        versions.add(response.http_version)

    trusted = certify(tmp_path)
    async with (
        proxied(configure, demo_relay.base_url, tmp_path) as address,
        httpx.AsyncClient(
            http2=True,
            verify=trusted,
            timeout=PATIENCE_S,
            event_hooks={"response": [note_version]},
        ) as client,
        sit_down_over_http(f"https://{address}", client=client) as desk,
    ):
        desk.editor.may_answer.clear()
        session = await desk.open()
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            turn = tasks.create_task(desk.prompt(session.session_id, "/write never.txt x"))
            # It comes while the turn goes on: nothing keeps events back.
            await desk.editor.asked.wait()
            desk.editor.answer = lambda _: "reject"
            desk.editor.may_answer.set()
        assert turn.result().stop_reason == "end_turn"
        response = await desk.prompt(session.session_id, "/stream 1000 300")
        assert response.stop_reason == "end_turn"
        seqs = [each["params"]["_meta"]["acprelay"]["seq"] for each in desk.log]
        assert seqs == sorted(set(seqs))
        assert len(seqs) > 1000
        assert versions == {"HTTP/2"}


@pytest.mark.parametrize("configure", PROXIES)
async def test_a_websocket_is_let_through(
    configure: Configure, demo_relay: RelayProcess, tmp_path: Path
) -> None:
    trusted = certify(tmp_path)
    async with (
        proxied(configure, demo_relay.base_url, tmp_path) as address,
        asyncio.timeout(PATIENCE_S),
        websockets.connect(f"wss://{address}", ssl=trusted) as socket,
    ):
        params = {"protocolVersion": 1}
        await socket.send(
            json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
        )
        answer = json.loads(await socket.recv())
        assert answer["result"]["agentInfo"]["name"] == "acprelay-demo"
