"""Clients, agents and time do what they like at once: everybody is answered, nothing is left."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import TYPE_CHECKING

import pytest

from acprelay.config import Limits
from acprelay.routing.building import Rules
from acprelay.session.models import SessionKey
from acprelay.session.store_memory import MemoryStore
from acprelay.testing.agents import FakeAgent, Message
from acprelay.testing.session import YieldingStore

if TYPE_CHECKING:
    from tests.runtime.conftest import Client, World

KEY = SessionKey("task", "main")
SESSION = str(KEY)
MOVES = 60
RARELY = 0.3

AFTERWARDS = 400
"""Rounds of the event loop in which everything that may come has come."""

OpenWorld = Callable[..., AbstractAsyncContextManager["World"]]


def answer_and_die(agent: FakeAgent, asked: Message) -> None:
    agent.answer(asked, {"sessionId": "agent-session"})
    agent.die()


def speak_and_answer(agent: FakeAgent, asked: Message) -> None:
    agent.update("thinking")
    agent.ask(
        f"ask {asked['id']}",
        "session/request_permission",
        sessionId="agent-session",
        options=[{"optionId": "yes", "kind": "allow_once"}],
    )
    agent.answer(asked, {"stopReason": "end_turn"})


class Chaos:
    """A conversation, and everybody who has to do with it.

    Args:
        world: The relay.
        random: Decides.
    """

    def __init__(self, world: World, random: Random) -> None:
        self.world = world
        self.asked: dict[object, Client] = {}
        self.clients: list[Client] = []
        self.left: list[Client] = []
        self.adopted: set[object] = set()
        self._random = random
        world.program = self._program

    def _program(self, agent: FakeAgent) -> None:
        """Every process has a temper of its own."""
        agent.promise("session/resume")
        agent.react("session/prompt", speak_and_answer)
        temper = self._random.random()
        if temper < 0.1:
            agent.die_on("session/prompt")
        elif temper < 0.2:
            agent.react("session/resume", answer_and_die)
        elif temper < 0.3:
            agent.die_on("session/resume")
        elif temper < 0.4:
            agent.answer_with("initialize", {"protocolVersion": 1})
        elif temper < 0.5:
            agent.ignore("session/prompt")

    def ask(self, method: str, client: Client | None = None, **params: object) -> None:
        client = client or self._random.choice(self.clients)
        request_id = f"{method} {len(self.asked)}"
        self.asked[request_id] = client
        params = {"sessionId": SESSION, **params}
        client.request(method, params, request_id=request_id)

    # -- what may happen

    async def come(self) -> None:
        client = await self.world.greeted()
        self.clients.append(client)
        self.ask("session/resume", client)

    async def leave(self) -> None:
        if len(self.clients) > 1:
            client = self.clients.pop(self._random.randrange(len(self.clients)))
            self.left.append(client)
            await client.leave()

    async def open(self) -> None:
        self.ask("session/new", cwd="/repo", mcpServers=[])

    async def load(self) -> None:
        self.ask("session/load")

    async def resume(self) -> None:
        self.ask("session/resume")

    async def prompt(self) -> None:
        inside = [client for client in self.clients if client.connection._sessions.places]
        client = self._random.choice(inside or self.clients)
        self.ask("session/prompt", client, prompt=[{"type": "text", "text": "go"}])

    async def adopt(self) -> None:
        """A client whose connection only seems to be there comes over another one."""
        told = [
            message["result"]["_meta"]["acprelay"]
            for client in self.clients
            for message in client.messages
            if "attachment" in message.get("result", {}).get("_meta", {}).get("acprelay", {})
        ]
        if told:
            secret = self._random.choice(told)
            back = await self.world.greeted()
            self.clients.append(back)
            known = {name: secret[name] for name in ("attachment", "secret")}
            self.ask("_acprelay/attach", back, **known, pending=[])
            # Whoever has it by now may be answered over the new connection.
            waiting = [each for each, owner in self.asked.items() if not owner.answers(each)]
            self.adopted.update(waiting)

    async def set_mode(self) -> None:
        self.ask("session/set_mode", modeId="x")

    async def cancel(self) -> None:
        self._random.choice(self.clients).notify("session/cancel", sessionId=SESSION)

    async def close(self) -> None:
        self.ask("session/close")

    async def delete(self) -> None:
        if self._random.random() < RARELY:
            self.ask("session/delete")

    async def kill(self) -> None:
        for agent in self.world.launcher.living:
            agent.die()

    async def terminate(self) -> None:
        await self.world.host.runs.terminate(KEY, reason="disturbed")

    async def keep_house(self) -> None:
        await self.world.host.keep_house()

    async def wait(self) -> None:
        if KEY not in self.world.archive:
            await self.open()
        await self.world.steps(20)

    async def play(self) -> None:
        await self.come()
        await self.open()
        usual = [
            self.load,
            self.resume,
            self.prompt,
            self.prompt,
            self.prompt,
            self.wait,
            self.come,
        ]
        moves = [*usual, *usual, self.open, self.leave, self.set_mode, self.cancel, self.close]
        moves += [self.delete, self.kill, self.terminate, self.keep_house, self.adopt]
        for _ in range(MOVES):
            await self._random.choice(moves)()
            await self.world.steps(self._random.randrange(6))


@pytest.mark.parametrize("seed", range(40))
async def test_everybody_is_answered_once_and_nothing_is_left(
    open_world: OpenWorld, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    random = Random(seed)
    store = YieldingStore(MemoryStore(), random=random, most=seed % 4)
    limits = Limits(idle_s=1e-9, linger_s=1e-9)
    rules = Rules(cancel_answer_s=1e-9, cancel_end_s=2e-9)
    async with open_world(store=store, limits=limits, rules=rules) as world:
        chaos = Chaos(world, random)
        await chaos.play()
        await world.steps(AFTERWARDS)
        assert len([agent for agent in world.launcher.living if agent.sent]) <= 2  # one is warm
        await world.host.aclose(reason="the relay is stopping")
        await world.steps(AFTERWARDS)
        everybody = [*chaos.clients, *chaos.left]
        answered = Counter(m["id"] for c in everybody for m in c.messages if "method" not in m)
        for request_id, owner in chaos.asked.items():
            times = answered[request_id]
            has_left = owner in chaos.left or request_id in chaos.adopted
            assert times == 1 or (has_left and times == 0), (request_id, times)
            if request_id not in chaos.adopted:
                assert len(owner.answers(request_id)) == times, request_id
        for client in chaos.clients:
            await client.leave()
        await world.steps(AFTERWARDS)
        await world.host.keep_house()
        assert world.archive._drivers == {}
        assert world.archive._leaving == set()
        assert all(record.turn is None for record in world.storage.records())
    assert [each.message for each in caplog.records if each.levelno >= logging.ERROR] == []
