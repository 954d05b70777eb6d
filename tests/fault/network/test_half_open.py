"""Clients whose machine is gone without a word: the system finds out, within a documented time."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
import sys
from collections.abc import AsyncIterator

import pytest
from tests.server.clients import AcpClient
from tests.server.peers import WebSocketPeer
from tests.server.relays import Dialler, serve

from acprelay.config import RelayConfig
from acprelay.server import upgrades

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="sockets of Linux alone can be made deaf"),
]

PATIENCE_S = 60.0
_SO_ATTACH_FILTER = 26  # socket(7)
_RETURN = 0x06  # BPF_RET | BPF_K: how many bytes of a packet to keep


def deafen(peer: WebSocketPeer) -> None:
    """Has the system drop every packet to a client, as if its machine were gone."""
    keep_nothing = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN, 0, 0, 0))
    program = struct.pack("HL", 1, ctypes.addressof(keep_nothing))
    connection = peer._writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


@pytest.fixture
async def dial(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Dialler]:
    """A relay whose system asks for signs of life soon."""
    soon = {"TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 1}
    monkeypatch.setattr(upgrades, "_KEEPALIVE", soon)
    async with serve(RelayConfig(port=0)) as (_, dialler):
        yield dialler


async def count_clients(observer: AcpClient, session_id: str) -> int:
    """Counts those who are connected to a session."""
    run = await observer.result("_acprelay/run", {"sessionId": session_id})
    return int(run["clients"])


@pytest.mark.requirement("network.vanished-clients-are-noticed")
async def test_a_client_whose_machine_is_gone_is_noticed_and_leaves_its_session(
    dial: Dialler,
) -> None:
    client, observer = await dial(), await dial()
    session_id = await client.open_session()
    await client.until("session/update")  # nothing is on its way to it any more
    await observer.initialize()
    assert await count_clients(observer, session_id) == 1
    deafen(client.peer)
    async with asyncio.timeout(PATIENCE_S):
        while await count_clients(observer, session_id):
            pass


def test_two_minutes_of_silence_are_the_documented_time() -> None:
    keepalive = upgrades._KEEPALIVE
    last_s = keepalive["TCP_KEEPIDLE"] + keepalive["TCP_KEEPINTVL"] * keepalive["TCP_KEEPCNT"]
    assert last_s == 120
