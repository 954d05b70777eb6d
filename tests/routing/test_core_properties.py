"""The whole pure core under any interleaving of what its peers do.

Whatever happens, every client's stream is exactly what it is due, byte for byte: the entries of the
log without a gap, a repeat or another order, but for its own words; and among them, where they were
said, the words that are for it alone. Every request has exactly one answer, every ask is put to a
client once, and the agent gets every prompt once, in order, one at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.routing.conftest import ALL
from tests.routing.core_world import SAID, World, mode_of

REQUEST_IDS = [b"0", b"1", b'"1"', b"1.0"]
WORDS = ["chunk", "chunk", "update", "state", "answer", "ask", "withdraw", "noise", "oversized"]
WAYS = {
    "pause": 1,  # nothing: what a failing script is made of once it is as simple as it can be
    "come": 3,
    "load": 3,
    "resume": 1,
    "lose": 2,
    "adopt": 4,
    "reconnect": 7,
    "give_up": 1,
    "take": 8,
    "take_all": 6,
    "prompt": 6,
    "set_mode": 5,
    "cancel": 1,
    "cancel_request": 3,
    "cancel_turn": 1,
    "answer": 6,
    "agent_writes": 7,
    "agent_asks": 4,
    "agent_answers": 7,
    "begin_run": 4,
    "end_run": 1,
    "close_turns": 1,
    "wait": 2,
}
"""What may happen, and how often it does."""

SCRIPTS = st.lists(
    st.tuples(
        st.sampled_from([way for way, often in WAYS.items() for _ in range(often)]),
        st.integers(0, 1 << 16),
    ),
    min_size=80,
    max_size=120,
)


class Run:
    """What the peers do, each in its own time; what is not possible is left out.

    Args:
        history_bytes: How much the log keeps.
    """

    def __init__(self, history_bytes: int) -> None:
        self.world = World(history_bytes=history_bytes)
        self.entered = self.prompted = self.names = 0

    def play(self, script: Iterable[tuple[str, int]]) -> None:
        """Does everything, each step with its own chance."""
        self.come(Random(0))
        for way, chance in script:
            getattr(self, way)(Random(chance))
            self.world.check()
        self.end()

    def end(self) -> None:
        """Gives every client all that it is due."""
        self.world.end_run()
        self.world.check()
        for name, stream in self.world.streams.items():
            while self.world.take(name, 700):
                pass
            self.world.take(name, ALL)
            assert not self.world.attachments[name].has_pending
            assert stream.awaits == set()
            assert stream.answers == stream.requests

    @property
    def request_id(self) -> bytes:
        """An id that no request of any client has."""
        self.entered += 1
        return b'"n%d"' % self.entered

    def pick(self, names: Iterable[str], chance: Random) -> str | None:
        """One of these clients, if there is any."""
        known = [*names]
        return chance.choice(known) if known else None

    def pause(self, _: Random) -> None:
        """Nothing happens."""

    # -- clients come and go

    def come(self, chance: Random) -> None:
        """A new client comes."""
        if len(self.world.streams) >= 4:
            return
        self.names += 1
        name, way = f"c{self.names}", chance.choice(["load", "resume", "attach"])
        if way == "load":
            self.world.load(name, self.request_id)
        elif way == "resume":
            self.world.resume(name, self.request_id)
        else:
            self.world.attach(name, self.request_id, chance.randint(0, len(self.world.record)))

    def load(self, chance: Random) -> None:
        """A client that is there reads everything once more."""
        if name := self.pick(self.world.present, chance):
            self.world.load(name, self.request_id)

    def resume(self, chance: Random) -> None:
        """A client that is there makes sure."""
        if name := self.pick(self.world.present, chance):
            self.world.resume(name, self.request_id)

    def lose(self, chance: Random) -> None:
        """A connection is lost."""
        if name := self.pick(self.world.present, chance):
            self.world.lose(name)

    def adopt(self, chance: Random) -> None:
        """A client comes back, now and then before its connection is seen to be lost."""
        if name := self.pick(self.world.absent or self.world.present, chance):
            self.return_as(name, chance)

    def reconnect(self, chance: Random) -> None:
        """A connection breaks while it is written to, and the client comes back at once."""
        if name := self.pick(self.world.present, chance):
            self.world.take(name, chance.choice([150, 700, ALL]))
            self.world.lose(name)
            self.world.check()
            self.return_as(name, chance)

    def return_as(self, name: str, chance: Random) -> None:
        """A client adopts its attachment, and says what it has seen, or that it was everything."""
        self.world.adopt(
            name,
            self.request_id,
            lost=chance.choice([0, 0, 1, 3, 12]),
            says_after=chance.random() < 0.8,
            says_pending=chance.random() < 0.8,
        )

    def give_up(self, chance: Random) -> None:
        """A client goes for good."""
        if len(self.world.streams) > 1:
            self.world.give_up(chance.choice([*self.world.streams]))

    def take(self, chance: Random) -> None:
        """A client takes a little."""
        if name := self.pick(self.world.present, chance):
            self.world.take(name, chance.choice([1, 150, 700, 5000]))

    def take_all(self, chance: Random) -> None:
        """A client takes everything."""
        if name := self.pick(self.world.present, chance):
            self.world.take(name, ALL)

    # -- what clients say

    def prompt(self, chance: Random) -> None:
        """A client prompts."""
        name = self.pick(self.world.present, chance)
        request_id = self.usable_id(name, chance)
        if name and request_id:
            self.prompted += 1
            text = b'{"type":"text","text":"p%d %d"}'
            said = [text % (self.prompted, block) for block in range(chance.choice([0, 1, 2]))]
            self.world.submit(name, request_id, said)
            self.world.check(refuses=chance.random() < 0.1)

    def set_mode(self, chance: Random) -> None:
        """A client asks the agent for something else."""
        name = self.pick(self.world.present, chance)
        request_id = self.usable_id(name, chance)
        if name and request_id:
            self.world.request(name, request_id, mode_of(chance.randint(0, 3)))
            self.world.check(refuses=chance.random() < 0.1)

    def usable_id(self, name: str | None, chance: Random) -> bytes | None:
        """An id that the client may use; or one in use, whose request will be refused."""
        request_id = chance.choice(REQUEST_IDS)
        if name is None or self.world.is_in_use(name, request_id):
            return request_id
        # Where its answer is on the way, no client would use it now.
        return None if request_id in self.world.streams[name].awaits else request_id

    def cancel(self, chance: Random) -> None:
        """A client cancels its turn."""
        if name := self.pick(self.world.present, chance):
            self.world.cancel(name)

    def cancel_request(self, chance: Random) -> None:
        """A client no longer wants an answer, or names a request that it never made."""
        if name := self.pick(self.world.present, chance):
            in_use = [each for each in REQUEST_IDS if self.world.is_in_use(name, each)]
            self.world.cancel_request(name, chance.choice(in_use or REQUEST_IDS))

    def cancel_turn(self, chance: Random) -> None:
        """A client cancels a turn by its name."""
        self.world.cancel_turn(f"g-{max(self.world.turns - chance.randint(0, 3), 0)}")

    def answer(self, chance: Random) -> None:
        """Clients answer an ask, several perhaps, or once more, or one that is settled."""
        numbers = [ask.number for ask in self.world.asks] or [self.world.asked]
        number = chance.choice(numbers)
        for _ in range(chance.choice([1, 1, 2, 4])):
            if name := self.pick(self.world.present, chance):
                self.world.answer(name, number, chance.choice([*SAID]))
                self.world.check()

    # -- the agent, its runs, and time

    def agent_writes(self, chance: Random) -> None:
        """The agent writes some lines at once."""
        steps = [(chance.choice(WORDS), chance.randint(0, 40)) for _ in range(chance.randint(1, 6))]
        self.agent_says(steps, refuses=chance.random() < 0.1)

    def agent_asks(self, chance: Random) -> None:
        """The agent asks, if nothing is open."""
        if not self.world.asks:
            self.agent_says([("ask", chance.choice([1, 2, 3, 5]))], refuses=False)

    def agent_answers(self, chance: Random) -> None:
        """The agent answers what it was asked."""
        steps = [("answer", chance.randint(0, 40)) for _ in range(chance.choice([1, 1, 3]))]
        self.agent_says(steps, refuses=chance.random() < 0.1)

    def agent_says(self, steps: list[tuple[str, int]], *, refuses: bool) -> None:
        """The agent writes, and takes what follows from it, or nothing of it."""
        if self.world.is_served:
            self.world.write(steps)
            self.world.check(refuses=refuses)

    def begin_run(self, chance: Random) -> None:
        """A run serves."""
        if not self.world.is_served:
            self.world.begin_run(chance.randint(0, 9))

    def end_run(self, _: Random) -> None:
        """The run is over, or none came."""
        self.world.end_run()

    def close_turns(self, _: Random) -> None:
        """A client closes the session."""
        self.world.close_turns()

    def wait(self, chance: Random) -> None:
        """Time passes."""
        self.world.tick(chance.choice([1, 6, 11, 35]))


@pytest.mark.timeout(600)  # a script that fails is made simple first
@pytest.mark.requirement(
    "order.one-contiguous-slice",
    "order.replayed-before-live",
    "order.answers-follow-their-updates",
    "positions.return-gets-the-rest",
    "permissions.asked-once-on-attach",
    "permissions.first-valid-answer-wins",
    "turns.one-prompt-in-flight",
    "turns.queue-keeps-order",
)
@settings(max_examples=500)
@given(script=SCRIPTS)
def test_every_client_gets_exactly_what_it_is_due(script: list[tuple[str, int]]) -> None:
    Run(ALL).play(script)


@pytest.mark.timeout(600)
@pytest.mark.requirement("positions.expired-names-the-oldest")
@pytest.mark.parametrize("history_bytes", [0, 600, 3000])
@settings(max_examples=150)
@given(script=SCRIPTS)
def test_whoever_is_late_for_what_a_log_has_forgotten_is_told_so(
    script: list[tuple[str, int]], history_bytes: int
) -> None:
    Run(history_bytes).play(script)
