"""What a client of the soak does next, and when: chosen by a seeded generator alone.

Pure. A client hears so many messages, then makes its move; so the choices depend on the seed, and
only their timing on the machine.
"""

from __future__ import annotations

from enum import StrEnum
from random import Random
from typing import NamedTuple, TypeVar

from acprelay.testing.soak.payload import Order


class Way(StrEnum):
    """How a client comes back after its connection was cut."""

    ADOPT = "adopt"
    """Its attachment goes on: `_acprelay/attach` with `after`, and what proves whose it is."""
    ATTACH = "attach"
    """A new attachment from its own place on: `_acprelay/attach` with `after`."""
    LOAD = "load"
    """A new attachment with the whole history: `session/load`."""
    RESUME = "resume"
    """A new attachment from the head on: `session/resume`."""


class Kind(StrEnum):
    """What a client does."""

    NAP = "nap"
    """It stops reading for a while."""
    DROP = "drop"
    """It cuts its connection, and comes back."""
    LOAD_AGAIN = "load again"
    """It loads the conversation once more on the same connection."""
    CANCEL = "cancel"
    """It cancels the running turn."""
    KILL_RELAY = "kill relay"
    """It kills the relay, which is started again."""


class Move(NamedTuple):
    """One move.

    Attributes:
        after: How many messages the client hears first.
        kind: What it does then.
        way: How it comes back, where it leaves.
        pause_s: How long it sleeps, or stays away.
    """

    after: int
    kind: Kind
    way: Way
    pause_s: float


class Answer(StrEnum):
    """What an observer says to an ask."""

    OPTION = "an option"
    NO_OPTION = "an option that was not offered"
    ERROR = "an error, which is no answer"
    NOTHING = "nothing"


_OBSERVER_KINDS = {Kind.NAP: 4, Kind.DROP: 14, Kind.LOAD_AGAIN: 1}
_DRIVER_KINDS = {Kind.NAP: 2, Kind.DROP: 8, Kind.CANCEL: 2}
_OBSERVER_WAYS = {Way.ADOPT: 4, Way.ATTACH: 4, Way.LOAD: 2, Way.RESUME: 2}
_DRIVER_WAYS = {Way.ADOPT: 6, Way.ATTACH: 2, Way.LOAD: 1}
_ANSWERS = {Answer.OPTION: 4, Answer.NO_OPTION: 2, Answer.ERROR: 2, Answer.NOTHING: 2}


class Moves:
    """The choices of one client.

    Args:
        random: The generator.
        every: How many messages it hears between two moves, on average.
        longest_s: The longest pause.
        drives: Whether it prompts.
        kills: Whether it kills the relay now and then.
    """

    def __init__(
        self,
        *,
        random: Random,
        every: int,
        longest_s: float,
        drives: bool = False,
        kills: bool = False,
    ) -> None:
        self._random = random
        self._every = every
        self._longest_s = longest_s
        self._drives = drives
        self._kinds = dict(_DRIVER_KINDS if drives else _OBSERVER_KINDS)
        if kills:
            self._kinds[Kind.KILL_RELAY] = 4
        self._ways = _DRIVER_WAYS if drives else _OBSERVER_WAYS
        self._ordered = 0

    def move(self) -> Move:
        """Chooses the next move."""
        after = self._random.randint(1, 2 * self._every)
        kind, way = _pick(self._random, self._kinds), _pick(self._random, self._ways)
        # Most of the time it is back at once; a nap is a nap.
        pauses = kind is Kind.NAP or self._random.random() < 0.3  # noqa: PLR2004 - three in ten
        pause_s = self._random.uniform(0, self._longest_s) if pauses else 0.0
        return Move(after, kind, way, pause_s)

    def answer(self) -> Answer:
        """Chooses what to say to an ask; who prompts always answers, so that turns end."""
        return Answer.OPTION if self._drives else _pick(self._random, _ANSWERS)

    def option(self, options: tuple[str, ...]) -> str:
        """Chooses one of the options that are offered."""
        return self._random.choice(options)

    def order(self, *, updates: int, size: int) -> Order:
        """Chooses what to prompt next.

        Args:
            updates: How many updates a turn has on average.
            size: How large they are.
        """
        self._ordered += 1
        return Order(
            turn=f"turn-{self._ordered}",
            updates=self._random.randint(1, 2 * updates - 1),
            rate=self._random.choice((0, 0, 1000, 5000)),
            size=self._random.randint(1, 2 * size),
            asks=self._random.choice((0, 0, 0, 25, 100)),
        )

    def queues_another(self) -> bool:
        """Chooses whether to prompt again before the answer has come."""
        return self._random.random() < 0.2  # noqa: PLR2004 - one in five


_T = TypeVar("_T", Kind, Way, Answer)


def _pick(random: Random, weights: dict[_T, int]) -> _T:
    return random.choices(list(weights), list(weights.values()))[0]
