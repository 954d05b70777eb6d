"""How long a session takes to open, with its agent's processes kept ready and without.

Run: `python -m benchmarks.micro.prewarm`. It starts two relays in one process, whose agents are
the same program: the demo agent, behind a pause at its start if `--start-s` asks for one, as agents
have that load much. By turns each opens a session and closes it; then each opens some at once. It
prints medians in milliseconds, and how many times as long it takes without.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Any, cast

import acp
from acp.ws import create_websocket_stream

from acprelay.agents.models import AgentSpec
from acprelay.compose import open_relay
from acprelay.config import RelayConfig

PROGRAM = """\
import time
from acprelay.testing.demo_agent import program
time.sleep({})
program.main()
"""


class Client:
    """Listens to nothing."""

    async def session_update(self, *_: Any, **__: Any) -> None:
        return


def config(start_s: float, prewarm: int) -> RelayConfig:
    argv = (sys.executable, "-c", PROGRAM.format(start_s))
    return RelayConfig(
        port=0, auth=False, agents=(AgentSpec(name="demo", argv=argv, prewarm=prewarm),)
    )


async def connect(url: str) -> Any:
    client = acp.connect_to_agent(cast("acp.Client", Client()), await create_websocket_stream(url))
    await client.initialize(protocol_version=acp.PROTOCOL_VERSION)
    return client


async def opened_ms(client: Any) -> float:
    begun = perf_counter()
    session = await client.new_session(cwd="/")
    took_ms = (perf_counter() - begun) * 1e3
    await client.close_session(session_id=session.session_id)
    return took_ms


async def measure(rounds: int, at_once: int, start_s: float) -> None:
    async with AsyncExitStack() as stack:
        clients = []
        for prewarm in (0, at_once):
            relay = await stack.enter_async_context(open_relay(config(start_s, prewarm)))
            client = await connect(relay.url)
            stack.push_async_callback(client.close)
            await opened_ms(client)  # the process that answered initialize serves this one
            clients.append(client)
        pause_s = (start_s + 0.6) * at_once  # for what is taken to be replaced
        single: list[list[float]] = [[], []]
        several: list[list[float]] = [[], []]
        for number in range(rounds):
            for which, client in enumerate(clients):
                await asyncio.sleep(pause_s)
                single[which].append(await opened_ms(client))
                if number % 3 == 0:
                    await asyncio.sleep(pause_s)
                    several[which] += await asyncio.gather(
                        *(opened_ms(client) for _ in range(at_once))
                    )
    print(f"{'ms to open a session (median)':<34}{'without':>10}{'with':>10}{'ratio':>8}")
    for name, (without, with_) in (("one", single), (f"{at_once} at once", several)):
        slow, fast = statistics.median(without), statistics.median(with_)
        print(f"{name:<34}{slow:>10.1f}{fast:>10.1f}{slow / fast:>8.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time sessions with and without ready processes.")
    parser.add_argument("--rounds", type=int, default=6, help="(default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument(
        "--start-s", type=float, default=0.0, help="the agent's pause at its start (default: 0)"
    )
    options = parser.parse_args()
    asyncio.run(measure(options.rounds, options.at_once, options.start_s))


if __name__ == "__main__":
    main()
