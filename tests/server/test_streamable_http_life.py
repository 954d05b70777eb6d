"""Streamable HTTP through whatever becomes of its streams: nothing lost, repeated or reordered."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from random import Random

import pytest
from tests.server.http_clients import HttpClient
from tests.server.relays import serve
from tests.server.wandering import WanderingClient

from acprelay.config import Limits, RelayConfig

MOVES = 40


@pytest.mark.requirement("http.events-resume")
@pytest.mark.parametrize("seed", range(3))
async def test_streams_that_are_cut_and_taken_over_lose_repeat_and_reorder_nothing(
    seed: int,
) -> None:
    config = RelayConfig(port=0, limits=Limits(queued_prompts=3 * MOVES))
    async with serve(config) as (relay, dial):
        opener = await dial()
        session_id = await opener.open_session()
        opener.peer.abort()
        with ExitStack() as stack:
            clients = []
            for number in range(3):
                http = stack.enter_context(HttpClient(relay.base_url))
                await http.initialize()
                random = Random(f"{seed} {number}")
                clients.append(WanderingClient(http=http, session_id=session_id, random=random))
            async with asyncio.TaskGroup() as lives:
                for client in clients:
                    lives.create_task(client.live(MOVES))
        assert all(client.seen > MOVES for client in clients)
