"""Links to agents elsewhere that are cut at any byte, or fall silent: no client notices."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from tests.agents.cable import FakeObserver
from tests.end_to_end.joining import invite
from tests.end_to_end.relays import raw_agent
from tests.fault.network.site import netloc
from tests.fault.network.weather import FINE, Cut, Forecast, StormyProxy, Weather
from tests.server.clients import AcpClient
from tests.server.relays import serve

from acprelay.agents.catalog import Catalog
from acprelay.agents.joiner import Joiner
from acprelay.agents.launcher import StdioLauncher
from acprelay.agents.models import AgentLimits
from acprelay.agents.program import Program
from acprelay.cli.link_socket import dial as dial_link
from acprelay.client.addresses import agent_endpoint
from acprelay.config import Limits, RelayConfig

pytestmark = pytest.mark.process

SESSION = "links"
PATIENCE_S = 60.0
LOST = Weather(cut_after=0, cut=Cut.SILENCE)


class Stage(NamedTuple):
    """An agent that has joined through a proxy, and a client in its session."""

    proxy: StormyProxy
    observer: FakeObserver
    client: AcpClient
    session_id: str


@pytest.fixture
def door() -> Iterator[socket.socket]:
    """Where the proxy listens."""
    with socket.create_server(("127.0.0.1", 0)) as it:
        yield it


@pytest.fixture
async def stage(door: socket.socket) -> AsyncIterator[Stage]:
    """A relay and a joiner in this process; the agent is a program of its own."""
    public = (f"http://{netloc(door)}",)
    config = RelayConfig(port=0, public_urls=public, limits=Limits(link_grace_s=30.0))
    proxy, observer = StormyProxy(), FakeObserver()
    async with serve(config) as (relay, dial), proxy.listening(door):
        proxy.lead_to(relay.base_url)
        token = await invite(relay.url, SESSION)
        url = agent_endpoint(f"http://{netloc(door)}", session=SESSION, role="main")
        joiner = Joiner(
            dial=partial(dial_link, url, token),
            start=start_firehose,
            observer=observer,
            wait_s=30.0,
        )
        async with joined(joiner):
            client = await dial(f"?agent=joined&session={SESSION}")
            yield Stage(proxy, observer, client, await client.open_session())


@asynccontextmanager
async def joined(joiner: Joiner) -> AsyncIterator[None]:
    """Has an agent joined for as long as the context lasts."""
    async with asyncio.TaskGroup() as tasks:
        joining = tasks.create_task(joiner.run())
        yield
        joiner.stop()
        async with asyncio.timeout(PATIENCE_S):
            await joining


def start_firehose() -> Program:
    """Starts the agent."""
    launcher = StdioLauncher(
        owner="test",
        catalog=Catalog([raw_agent("firehose", name="main")]),
        environment=os.environ,
        cwd=Path.cwd(),
        limits=AgentLimits(),
    )
    return launcher.start("main")


async def expect_stream(stage: Stage, prompt_id: int, count: int) -> None:
    """Reads the answer to a prompt, and finds every update once and in order."""
    answer = await stage.client.answer_to(prompt_id)
    assert answer["result"] == {"stopReason": "end_turn"}
    texts = [update["content"]["text"] for update in stage.client.updates]
    assert texts == [f"{number:06d}" for number in range(count)]


@pytest.mark.requirement("joining.links-resume-exactly")
@pytest.mark.parametrize("seed", range(3))
async def test_an_agent_whose_link_is_cut_at_any_byte_is_heard_whole(
    stage: Stage, seed: int
) -> None:
    random = Random(f"links {seed}")
    cuts = [
        Forecast(
            up=Weather(
                slice_bytes=random.choice([1, 100, 65_536]),
                cut_after=random.randrange(100_000),
                cut=random.choice([Cut.RESET, Cut.CLOSE]),
            ),
            down=Weather(cut_after=random.randrange(5_000)),
        )
        for _ in range(5)
    ]
    stage.proxy.expect(*cuts[1:])
    prompt_id = await stage.client.begin_prompt(stage.session_id, "2000 6")
    stage.proxy.turn(cuts[0])
    await expect_stream(stage, prompt_id, 2000)
    assert stage.proxy.connections > 1


@pytest.mark.requirement("joining.silent-links-are-noticed")
@pytest.mark.parametrize(
    "silence",
    [Forecast(up=LOST, down=LOST), Forecast(up=LOST, down=FINE), Forecast(up=FINE, down=LOST)],
    ids=["both directions", "from the agent", "to the agent"],
)
async def test_a_link_that_falls_silent_is_noticed_and_goes_on(
    stage: Stage, silence: Forecast
) -> None:
    resumed = stage.observer.told.count("resumed")
    stage.proxy.turn(silence)
    prompt_id = await stage.client.begin_prompt(stage.session_id, "200 6")
    await stage.observer.until("resumed", times=resumed + 1)
    await expect_stream(stage, prompt_id, 200)


@pytest.fixture(autouse=True)
def heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has both ends ask for signs of life often."""
    for module in ("acprelay.cli.link_socket", "acprelay.server.agents"):
        monkeypatch.setattr(f"{module}._HEARTBEAT_S", 0.5)
