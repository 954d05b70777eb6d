"""A whole relay, with processes and sockets: what entering begins, leaving ends."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import textwrap
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from acprelay.agents.models import AgentSpec
from acprelay.compose import DEMO_AGENT, RunningRelay, open_relay
from acprelay.config import Limits, RelayConfig
from acprelay.errors import ConfigError
from acprelay.runtime.conversation_host import ConversationHost
from acprelay.server.edge import EdgeSite

pytestmark = pytest.mark.process

PATIENCE_S = 60.0

AGENT = textwrap.dedent(
    """
    import json, os, pathlib, signal, subprocess, sys

    def say(message):
        print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

    def update(text):
        update = {"sessionUpdate": "agent_message_chunk", "content": {"text": text}}
        say({"method": "session/update", "params": {"sessionId": "s", "update": update}})

    def act(text):
        if text == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif text == "fork":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            update(str(child.pid))
        elif text.startswith("flood "):
            for _ in range(10_000):
                update("x" * 2_000)
            pathlib.Path(text.removeprefix("flood ")).touch()
        else:
            update(text)

    for line in sys.stdin:
        asked = json.loads(line)
        result = {}
        if asked["method"] == "initialize":
            result = {"protocolVersion": 1, "agentCapabilities": {"loadSession": True}}
        elif asked["method"] == "session/new":
            result = {"sessionId": "s"}
        elif asked["method"] == "session/prompt":
            act(asked["params"]["prompt"][0]["text"])
            result = {"stopReason": "end_turn"}
        if "id" in asked:
            say({"id": asked["id"], "result": result})
    """
)

CONFIG = RelayConfig(
    port=0, auth=False, agents=(AgentSpec(name="test", argv=(sys.executable, "-c", AGENT)),)
)


class Client:
    """An ACP client over a real WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.updates: list[str] = []

    async def call(self, method: str, params: object) -> dict[str, Any]:
        """Sends a request; keeps the updates that come before the answer."""
        await self.socket.send_json({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message: dict[str, Any] = json.loads(await self.socket.receive_str())
                if "method" not in message:
                    return message
                if message["method"] == "session/update":
                    self.updates.append(message["params"]["update"]["content"]["text"])

    async def open_session(self) -> str:
        await self.call("initialize", {"protocolVersion": 1})
        answer = await self.call("session/new", {"cwd": "/", "mcpServers": []})
        session_id = answer["result"]["sessionId"]
        assert isinstance(session_id, str)
        return session_id

    async def prompt(self, session_id: str, text: str) -> dict[str, Any]:
        prompt = [{"type": "text", "text": text}]
        return await self.call("session/prompt", {"sessionId": session_id, "prompt": prompt})


@asynccontextmanager
async def connected(relay: RunningRelay) -> AsyncIterator[Client]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(relay.url, max_msg_size=0) as socket,
    ):
        yield Client(socket)


def children() -> set[int]:
    return {process.pid for process in psutil.Process().children(recursive=True)}


def is_running(pid: int) -> bool:
    """Whether a process runs; one that nobody has reaped yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def own_threads() -> set[threading.Thread]:
    """All but those of the event loop's executor, which end with the loop."""
    return {t for t in threading.enumerate() if not t.name.startswith(("asyncio_", "uvloop_"))}


def sockets() -> int:
    return len(psutil.Process().net_connections(kind="inet"))


@asynccontextmanager
async def leaving_nothing() -> AsyncIterator[None]:
    """Checks that its body leaves no task, thread, process, descriptor or socket."""
    async with asyncio.timeout(PATIENCE_S):
        async with open_relay(CONFIG):
            pass  # what the event loop itself keeps comes with the first use
        tasks, threads = asyncio.all_tasks(), own_threads()
        processes, connections = children(), sockets()
        descriptors = psutil.Process().num_fds()
        yield
        assert asyncio.all_tasks() == tasks
        assert children() == processes
        assert sockets() == connections
        assert psutil.Process().num_fds() <= descriptors
        assert own_threads() == threads


async def test_a_relay_listens_where_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    async with (
        open_relay(CONFIG) as relay,
        aiohttp.ClientSession() as session,
        session.get(f"{relay.base_url}/readyz") as answer,
    ):
        assert answer.status == 200
        assert relay.agents == ("test",)
        assert relay.url == relay.base_url.replace("http", "ws") + "/acp"


async def test_without_agents_the_demo_agent_is_offered() -> None:
    async with open_relay(RelayConfig(auth=False, port=0)) as relay:
        assert relay.agents == (DEMO_AGENT.name,)


async def test_a_relay_that_was_not_used_leaves_nothing() -> None:
    async with leaving_nothing(), open_relay(CONFIG):
        pass


async def test_a_relay_with_a_session_leaves_nothing() -> None:
    async with leaving_nothing():
        async with open_relay(CONFIG) as relay, connected(relay) as client:
            session_id = await client.open_session()
            answer = await client.prompt(session_id, "hello")
            assert answer["result"] == {"stopReason": "end_turn"}
            assert client.updates == ["hello"]
        assert children() == set()


async def test_a_relay_that_ends_before_its_client_tells_it_why_and_leaves_nothing() -> None:
    async with leaving_nothing(), aiohttp.ClientSession() as session:
        async with open_relay(CONFIG) as relay:
            socket = await session.ws_connect(relay.url)
            client = Client(socket)
            await client.prompt(await client.open_session(), "fork")
            [grandchild] = client.updates
            assert is_running(int(grandchild))
            last_words = asyncio.get_running_loop().create_task(_all_of(socket))
        assert not is_running(int(grandchild))
        *_, notice = await last_words
        assert notice["method"] == "_acprelay/notice"
        assert notice["params"]["reason"] == "the relay is stopping"
        assert socket.close_code == aiohttp.WSCloseCode.GOING_AWAY


async def _all_of(socket: aiohttp.ClientWebSocketResponse) -> list[dict[str, Any]]:
    return [message.json() async for message in socket]


async def test_a_client_that_vanishes_leaves_its_session_and_no_process_once_nobody_uses_it() -> (
    None
):
    limits = Limits(heartbeat_s=0.001, idle_s=0.001, linger_s=0.001)
    async with open_relay(
        RelayConfig(auth=False, port=0, agents=CONFIG.agents, limits=limits)
    ) as relay:
        async with connected(relay) as client:
            session_id = await client.open_session()
            await client.prompt(session_id, "hello")
            assert children()
        async with asyncio.timeout(PATIENCE_S):
            while children():  # noqa: ASYNC110 - nobody tells of the end of a process
                await asyncio.sleep(0.01)
        async with connected(relay) as back:
            await back.call("initialize", {"protocolVersion": 1})
            assert "result" in await back.call("session/load", {"sessionId": session_id})
            assert "hello" in back.updates


async def test_an_agent_that_is_killed_ends_its_session_and_not_the_relay() -> None:
    async with open_relay(CONFIG) as relay, connected(relay) as client:
        answer = await client.prompt(await client.open_session(), "die")
        assert answer["error"]["data"]["code"] == "agent_exited"
        assert answer["error"]["data"]["status"] == "signal SIGKILL"
        again = await client.call("session/new", {"cwd": "/"})
        assert "result" in again


async def test_a_body_that_fails_ends_the_relay_as_well() -> None:
    async def run() -> None:
        async with open_relay(CONFIG) as relay, connected(relay) as client:
            await client.open_session()
            raise ZeroDivisionError

    async with leaving_nothing():
        with pytest.raises(ZeroDivisionError):
            await run()
        assert children() == set()


async def test_a_body_that_is_cancelled_ends_the_relay_as_well() -> None:
    opened = asyncio.Event()

    async def run() -> None:
        async with open_relay(CONFIG) as relay, connected(relay) as client:
            await client.open_session()
            opened.set()
            await asyncio.Event().wait()

    async with leaving_nothing():
        running = asyncio.get_running_loop().create_task(run())
        await opened.wait()
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled()
        assert children() == set()


async def test_a_port_in_use_is_told_and_nothing_is_left() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with leaving_nothing():
            with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}") as raised:
                async with open_relay(RelayConfig(auth=False, port=port)):
                    pytest.fail("two servers have one port")
            assert "choose another one" in raised.value.hint


async def test_an_address_of_another_machine_is_told_apart_from_a_port_that_is_taken() -> None:
    # RFC 5737: an address that no machine has
    config = RelayConfig(host="192.0.2.1", port=0, insecure_without_tls=True)
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1") as raised:
        async with open_relay(config):
            pytest.fail("it listens on an address of another machine")
    assert raised.value.hint == "name an address of this machine, such as 127.0.0.1"


async def test_a_name_that_stands_for_no_address_is_told_in_the_resolvers_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def start(_site: EdgeSite) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(EdgeSite, "start", start)
    config = RelayConfig(host="h.example", port=0, insecure_without_tls=True)
    with pytest.raises(ConfigError, match=r"on h\.example:0: Name or service not known$"):
        async with open_relay(config):
            pytest.fail("it listens on an address that nobody knows")


async def test_two_relays_may_run_in_one_process() -> None:
    async with leaving_nothing(), open_relay(CONFIG) as first, open_relay(CONFIG) as second:
        assert first.base_url != second.base_url
        async with connected(first) as one, connected(second) as two:
            ids = [await one.open_session(), await two.open_session()]
            assert len(set(ids)) == 2
            await one.prompt(ids[0], "one")
            await two.prompt(ids[1], "two")
            assert (one.updates, two.updates) == (["one"], ["two"])
            strange = await two.prompt(ids[0], "whose?")
            assert strange["error"]["data"]["code"] == "session_not_found"


async def test_what_sessions_do_is_reported_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports: list[ConversationHost] = []
    thrice = asyncio.Event()

    async def report(host: ConversationHost) -> None:
        reports.append(host)
        if len(reports) == 3:
            thrice.set()

    monkeypatch.setattr(ConversationHost, "keep_house", report)
    async with (
        leaving_nothing(),
        open_relay(RelayConfig(auth=False, port=0, limits=Limits(heartbeat_s=0.001))),
    ):
        await thrice.wait()


async def test_a_relay_ends_though_a_client_does_not_read(tmp_path: Path) -> None:
    done = tmp_path / "done"
    async with leaving_nothing(), aiohttp.ClientSession(read_bufsize=1_000) as session:
        async with open_relay(CONFIG) as relay:
            client = Client(await session.ws_connect(relay.url))
            session_id = await client.open_session()
            prompt = [{"type": "text", "text": f"flood {done}"}]
            params = {"sessionId": session_id, "prompt": prompt}
            await client.socket.send_json(
                {"jsonrpc": "2.0", "id": 2, "method": "session/prompt", "params": params}
            )
            while not done.exists():  # noqa: ASYNC110 - the agent has said it all; nobody tells
                await asyncio.sleep(0.01)
        assert children() == set()


async def test_a_relay_with_a_state_directory_goes_on_where_the_one_before_it_ended(
    tmp_path: Path,
) -> None:
    config = RelayConfig(port=0, auth=False, agents=CONFIG.agents, state_dir=tmp_path)
    async with leaving_nothing():
        async with open_relay(config) as relay, connected(relay) as client:
            session_id = await client.open_session()
            await client.prompt(session_id, "hello")
        assert children() == set()
        async with open_relay(config) as relay, connected(relay) as client:
            await client.call("initialize", {"protocolVersion": 1})
            listed = await client.call("session/list", {})
            assert [each["sessionId"] for each in listed["result"]["sessions"]] == [session_id]
            assert "result" in await client.call("session/load", {"sessionId": session_id})
            assert client.updates == ["hello", "hello"]  # what was asked, and the answer
            answer = await client.prompt(session_id, "again")
            assert answer["result"] == {"stopReason": "end_turn"}
            assert client.updates[-1] == "again"
