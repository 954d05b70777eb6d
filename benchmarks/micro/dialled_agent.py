"""What a link costs: an agent that streams over its pipe, and one that has joined with a program.

Run: `python -m benchmarks.micro.dialled_agent`. The same agent writes the same updates of
300 bytes. First only their receipt is measured, line by line in one batch after another; then the
whole way from the agent through a relay to one client.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import uvloop
from aiohttp import web

from acprelay.agents import AgentExit, AgentLimits, AgentSpec, Catalog, StdioLauncher
from acprelay.agents.dialled import DialledAgent
from acprelay.agents.ports import AgentConnection
from acprelay.compose import open_relay
from acprelay.config import Limits, RelayConfig
from acprelay.routing.service_modes import SERVED_BY_RELAY
from acprelay.runtime.background import Background
from acprelay.runtime.dial_ins import DialIns
from acprelay.runtime.invitation_desk import InvitationDesk
from acprelay.runtime.system import RandomIds, SystemClock
from acprelay.server.agents import PATH, AgentEndpoint
from acprelay.session.models import SessionKey
from acprelay.storage.invitations import ForgetfulInvitations
from acprelay.testing.feed import memory_feed
from acprelay.wire.framing import OversizedFrame
from acprelay.wire.link import LinkEnd

KEY = SessionKey("s", "main")
COUNT = 500_000
ROUNDS = 3

STREAMER = """
import json, os, sys
UPDATE = json.dumps({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s",
    "update": {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "T"}}}})
UPDATE = UPDATE.replace('"T"', '"' + "x" * (299 - len(UPDATE) + 1) + '"').encode() + b"\\n"
def say(data):
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest):]
for line in sys.stdin:
    asked = json.loads(line)
    match asked["method"]:
        case "initialize": result = {"protocolVersion": 1}
        case "session/new": result = {"sessionId": "s"}
        case _:
            text = asked["params"]["prompt"][0]["text"]
            for _ in range(int(text) // 200):
                say(UPDATE * 200)
            result = {"stopReason": "end_turn"}
    say(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode() + b"\\n")
"""
ARGV = (sys.executable, "-c", STREAMER)
PROMPT = b'{"id":1,"method":"session/prompt","params":{"prompt":[{"type":"text","text":"%d"}]}}\n'


class Counter:
    """An `AgentSink` that counts."""

    def __init__(self) -> None:
        self.left = 0
        self.done = asyncio.Event()

    def lines_received(self, lines: list[bytes], _oversized: list[OversizedFrame]) -> None:
        self.left -= len(lines)
        if self.left <= 0:
            self.done.set()

    def agent_exited(self, exit: AgentExit) -> None:  # noqa: A002 - the port's word
        raise SystemExit(f"the agent ended with {exit.describe()}")


async def receive(agent: AgentConnection) -> float:
    counter = Counter()
    agent.attach(counter)
    rates = []
    for _ in range(ROUNDS):
        counter.left = COUNT + 1
        counter.done.clear()
        began = time.perf_counter()
        agent.send(PROMPT % COUNT)
        await counter.done.wait()
        rates.append(COUNT / (time.perf_counter() - began))
    agent.attach(None)
    return max(rates)


async def converse(url: str) -> float:
    async with aiohttp.ClientSession() as http, http.ws_connect(url, max_msg_size=0) as socket:

        async def ask(number: int, method: str, params: dict[str, object]) -> dict[str, object]:
            request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            await socket.send_json(request)
            end = f'"id":{number},'
            while True:
                text: str = (await socket.receive()).data
                if '"session/update"' not in text and (end in text or f'"id": {number},' in text):
                    return dict(json.loads(text)["result"])

        await ask(1, "initialize", {"protocolVersion": 1})
        session = await ask(2, "session/new", {"cwd": "/", "mcpServers": []})
        rates = []
        for number in range(3, 3 + ROUNDS):
            prompt = [{"type": "text", "text": str(COUNT)}]
            began = time.perf_counter()
            params = {"sessionId": session["sessionId"], "prompt": prompt}
            await ask(number, "session/prompt", params)
            rates.append(COUNT / (time.perf_counter() - began))
        await ask(99, "session/close", {"sessionId": session["sessionId"]})
        return max(rates)


async def invited(url: str) -> str:
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        params = {"group": KEY.session_id}
        invite = {"jsonrpc": "2.0", "id": 1, "method": "_acprelay/invite", "params": params}
        await socket.send_json(invite)
        return str((await socket.receive_json())["result"]["token"])


@asynccontextmanager
async def joined(url: str, token: str) -> AsyncIterator[None]:
    program = Path(sys.executable).with_name("acprelay")
    join = await asyncio.create_subprocess_exec(
        *(program, "join", "--url", url, "--session", KEY.session_id, "--", *ARGV),
        env={**os.environ, "ACPRELAY_TOKEN": token},
        stderr=asyncio.subprocess.PIPE,
    )
    assert join.stderr is not None
    assert b"joined" in await join.stderr.readline()
    try:
        yield
    finally:
        if join.returncode is None:
            join.terminate()
        await join.wait()


async def receive_over_a_link() -> float:
    """Does what a relay does for agents that dial in, without a run that takes what they say."""
    desk = InvitationDesk(
        store=ForgetfulInvitations(), clock=SystemClock(), mint=secrets.token_urlsafe
    )
    async with Background() as background:
        limits = Limits()
        dial_ins = DialIns(
            desk=desk,
            make=lambda _: DialledAgent(
                name="joined", end=LinkEnd(), limits=AgentLimits(), grace_s=60.0
            ),
            ids=RandomIds(),
            background=background,
            limits=limits,
            services=SERVED_BY_RELAY,
            feed=memory_feed(),
        )
        app = web.Application()
        app.router.add_get(PATH, AgentEndpoint(dial_ins=dial_ins, limits=limits).handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        token = (await desk.invite(KEY, ttl_s=60.0)).token
        url = f"ws://127.0.0.1:{runner.addresses[0][1]}"
        async with joined(url, token):
            handshake = await dial_ins.take(KEY, credentials=None)
            rate = await receive(handshake.agent)
        await dial_ins.aclose()
        await runner.cleanup()
        return rate


async def main() -> None:
    spec = AgentSpec(name="streamer", argv=ARGV)
    launcher = StdioLauncher(
        owner=secrets.token_hex(16),
        catalog=Catalog([spec]),
        environment=os.environ,
        cwd=Path.cwd(),
        limits=AgentLimits(),
    )
    agent = await launcher.launch("streamer")
    pipe = await receive(agent)
    await agent.end()
    link = await receive_over_a_link()
    print(f"received over a pipe  {pipe:12,.0f} updates/s")
    print(f"received over a link  {link:12,.0f} updates/s   {pipe / link:.2f} times slower")
    async with open_relay(RelayConfig(port=0, auth=False, agents=(spec,))) as relay:
        pipe = await converse(relay.url)
        async with joined(relay.url, await invited(relay.url)):
            link = await converse(f"{relay.url}?agent=joined&session=s")
    print(f"to a client, pipe     {pipe:12,.0f} updates/s")
    print(f"to a client, link     {link:12,.0f} updates/s   {pipe / link:.2f} times slower")


if __name__ == "__main__":
    uvloop.run(main())
