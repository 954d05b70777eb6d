"""A client that does not read: nobody waits for it, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acprelay.storage.memory import MemoryStorage
from acprelay.testing.outlet import MemoryOutlet
from acprelay.testing.session import FakeIds

if TYPE_CHECKING:
    from tests.runtime.conftest import Client, World


OpenWorld = Callable[..., AbstractAsyncContextManager["World"]]


async def test_a_client_that_does_not_read_pauses_nobody_and_loses_nothing(
    open_world: OpenWorld,
) -> None:
    async with open_world() as world:
        slow = await world.greeted(outlet=MemoryOutlet(high_water=1_000))
        slow.outlet.read()
        session = await slow.open_session()
        other = await world.greeted()
        await other.call("session/load", {"sessionId": session})
        sent = [f"{number} {'x' * 100}" for number in range(3_000)]
        for text in sent:
            world.agent.update(text)
            assert not world.agent.is_paused
        prompt = slow.prompt(session)
        await other.called("_acprelay/turn_ended")
        assert other.texts() == sent
        assert len(slow.texts()) < 100
        for _ in range(len(sent)):
            slow.outlet.read()
            await world.steps(2)
            if slow.answers(prompt):
                break
        assert slow.texts() == sent
        assert slow.answers(prompt)[0]["result"] == {"stopReason": "end_turn"}


async def test_a_client_whose_past_is_forgotten_is_told_and_given_no_gap(
    open_world: OpenWorld,
) -> None:
    async with open_world(storage=MemoryStorage(ids=FakeIds(), history_bytes=10_000)) as world:
        client = await world.greeted()
        session = await client.open_session()
        world.agent.update("first")
        client.outlet.pause()
        for number in range(100):
            world.agent.update(f"{number} {'x' * 1_000}")
        client.outlet.resume()
        await client.called("_acprelay/notice")
        assert client.texts() == ["first"]
        assert [notice["code"] for notice in client.markers("_acprelay/notice")] == [
            "cursor_expired"
        ]
        assert "result" in await client.call("session/resume", {"sessionId": session})
        world.agent.update("last")
        assert client.texts() == ["first", "last"]


async def test_the_end_of_a_run_is_told_behind_the_last_words_however_late_a_client_reads(
    world: World,
) -> None:
    client = await world.greeted()
    await client.open_session()
    client.outlet.pause()
    world.agent.update("first words")
    world.agent.update("last words")
    world.agent.die()
    await world.gone()
    assert client.texts() == []
    client.outlet.resume()
    await client.called("_acprelay/notice")
    assert client.texts() == ["first words", "last words"]
    assert client.kinds()[-1] == "_acprelay/notice"


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
        # The start and the end of a turn are told beside its answer.
        expected = sum(map(len, self.said.values())) + 3 * len(self._prompts)
        for _ in range(1_000):
            if len(self._client.messages) == expected:
                return
            self._client.outlet.read()
            await self._world.steps(2)

    def listen(self) -> None:
        """Goes through what came, in order."""
        for message in self._client.messages:
            if message.get("method") == "session/update":
                params = message["params"]
                self.heard[params["sessionId"]].append(params["update"]["content"]["text"])
            elif "method" not in message:
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
    async with open_world() as world:
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
