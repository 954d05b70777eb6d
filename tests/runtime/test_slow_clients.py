"""A client that does not read: its agent waits, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acprelay.config import Limits
from acprelay.session.models import SessionKey
from acprelay.testing.agents import FakeAgent
from acprelay.testing.outlet import MemoryOutlet

if TYPE_CHECKING:
    from tests.runtime.conftest import Client, World


OpenWorld = Callable[..., AbstractAsyncContextManager["World"]]

KEY = SessionKey("task", "main")

AFTERWARDS = 60
"""Rounds of the event loop in which everything that may come has come."""


async def test_a_client_that_does_not_read_makes_its_agent_wait_and_loses_nothing(
    open_world: OpenWorld,
) -> None:
    limit = 1_000_000
    async with open_world(limits=Limits(unread_bytes=limit)) as world:
        client = await world.greeted(outlet=MemoryOutlet(high_water=1_000))
        client.outlet.read()
        session = await client.open_session()
        client.outlet.read()
        prompt = client.prompt(session)
        sent: list[str] = []

        def write_until_full(agent: FakeAgent) -> None:
            while not agent.is_paused:
                sent.append(f"{len(sent)} {'x' * 1_000}")
                agent.update(sent[-1])

        driver = world.registry.get(KEY)
        assert driver is not None
        assert driver.agent is not None
        for _ in range(5):
            write_until_full(world.agent)
            assert limit < driver.agent._unread_bytes < limit + 2_000
            while world.agent.is_paused:
                # Below half of the limit it goes on, and not before.
                assert driver.agent._unread_bytes > limit // 2
                client.outlet.read()
                await world.steps(3)
            assert driver.agent._unread_bytes <= limit // 2
        for _ in range(5_000):
            client.outlet.read()
            await world.steps(2)
            if len(client.texts()) == len(sent):
                break
        assert client.texts() == sent
        assert (await client.answer(prompt))["result"] == {"stopReason": "end_turn"}


async def test_an_agent_that_waits_for_its_client_can_be_ended(open_world: OpenWorld) -> None:
    async with open_world(limits=Limits(unread_bytes=10)) as world:
        client = await world.greeted()
        await client.open_session()
        client.outlet.pause()
        world.agent.update("more than ten bytes")
        assert world.agent.is_paused
        await world.host.end(KEY, reason="over")
        client.outlet.resume()
        await world.steps_until(lambda: client.texts() == ["more than ten bytes"])


async def test_an_exit_behind_a_full_client_is_told_behind_the_last_words(
    open_world: OpenWorld,
) -> None:
    async with open_world(limits=Limits(unread_bytes=10)) as world:
        client = await world.greeted()
        await client.open_session()
        client.outlet.pause()
        world.agent.update("first words, too many")
        world.agent.update("last words")
        world.agent.die()
        await world.steps(AFTERWARDS)
        assert client.texts() == []
        client.outlet.resume()
        await client.called("_acprelay/notice")
        assert client.texts() == ["first words, too many", "last words"]
        await world.gone()


async def test_what_a_client_has_read_is_not_kept(world: World) -> None:
    client = await world.greeted()
    await client.open_session()
    [driver] = client.connection._sessions.drivers
    client.outlet.pause()
    for _ in range(10):
        world.agent.update("x" * 1_000)
    assert driver.attachment.log.retained_bytes > 10_000
    client.outlet.resume()
    await world.steps_until(lambda: len(client.texts()) == 10)
    assert driver.attachment.log.retained_bytes < 2_000  # the last run at most


class Chat:
    """Sessions whose agents talk, and one client that reads as it likes."""

    def __init__(self, world: World, client: Client) -> None:
        self.said: dict[str, list[str]] = {}
        self.heard: dict[str, list[str]] = {}
        self._world = world
        self._client = client
        self._prompts: dict[object, tuple[str, int]] = {}

    async def open(self) -> None:
        session = await self._client.open_session()
        self.said[session], self.heard[session] = [], []
        self._client.outlet.read()
        self._client.outlet.payloads.clear()

    def say(self, which: int, count: int) -> None:
        """The agent of a session says something."""
        texts = list(self.said.values())[which]
        for _ in range(count):
            texts.append(f"{len(texts)} {'x' * 300}")
            self._world.launcher.launched[which].update(texts[-1])

    def prompt(self, which: int, _count: int) -> None:
        """The client asks; the answer belongs behind what was said before."""
        session = list(self.said)[which]
        self._prompts[self._client.prompt(session)] = session, len(self.said[session])

    def read(self, _which: int, _count: int) -> None:
        self._client.outlet.read()

    def pause(self, _which: int, _count: int) -> None:
        self._client.outlet.pause()

    def wait(self, _which: int, _count: int) -> None:
        """The event loop goes round, as after every move."""

    async def read_all(self) -> None:
        """Reads on until nothing more comes."""
        expected = sum(map(len, self.said.values())) + len(self._prompts)
        for _ in range(1_000):
            if len(self._client.messages) == expected:
                return
            self._client.outlet.read()
            await self._world.steps(2)

    def listen(self) -> None:
        """Goes through what came, in order."""
        for message in self._client.messages:
            if "method" in message:
                params = message["params"]
                self.heard[params["sessionId"]].append(params["update"]["content"]["text"])
            else:
                session, before = self._prompts.pop(message["id"])
                assert len(self.heard[session]) >= before
        assert self._prompts == {}


Move = Callable[[Chat, int, int], None]

MOVES = st.tuples(
    st.sampled_from([Chat.say, Chat.prompt, Chat.read, Chat.pause, Chat.wait]),
    st.integers(0, 2),
    st.integers(1, 5),
)


@given(moves=st.lists(MOVES, max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # a function, no state
async def test_however_a_client_reads_every_session_gives_it_all_in_order(
    open_world: OpenWorld, moves: list[tuple[Move, int, int]]
) -> None:
    async with open_world(limits=Limits(unread_bytes=2_000)) as world:
        client = await world.greeted(session_id=None, outlet=MemoryOutlet(high_water=500))
        chat = Chat(world, client)
        client.outlet.read()
        for _ in range(3):
            await chat.open()
        for move, which, count in moves:
            move(chat, which, count)
            await world.steps(count)
        await chat.read_all()
        chat.listen()
        assert chat.heard == chat.said
