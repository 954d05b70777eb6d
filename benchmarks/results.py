"""What was measured: every sample, what failed, what was missing, and the medians."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run of one measure on one peer gave.

    Attributes:
        measure: Its name.
        peer: Its name.
        round: Which one it was, from 0 on.
        figures: What came of it.
    """

    measure: str
    peer: str
    round: int
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that gave nothing.

    Attributes:
        measure: Its name.
        peer: Its name.
        why: What went wrong.
    """

    measure: str
    peer: str
    why: str


@dataclass(slots=True)
class Results:
    """All that one run of the benchmarks gave.

    Attributes:
        machine: Where, when and of what, by name.
        samples: Every run, in its order.
        failures: Runs that gave nothing.
        missing: Peers that could not be had, and what was tried.
    """

    machine: dict[str, str] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def values(self, measure: str, peer: str, figure: str) -> list[float]:
        """Gives what each round gave."""
        return [
            sample.figures[figure]
            for sample in self.samples
            if (sample.measure, sample.peer) == (measure, peer) and figure in sample.figures
        ]

    def median(self, measure: str, peer: str, figure: str) -> float | None:
        """Gives the median over the rounds; None where nothing was measured."""
        values = self.values(measure, peer, figure)
        return statistics.median(values) if values else None

    def peers_of(self, measure: str) -> Iterable[str]:
        """Gives the peers that took part, as they first came."""
        return dict.fromkeys(s.peer for s in self.samples if s.measure == measure)

    def to_json(self) -> dict[str, Any]:
        """Gives all of it as JSON has it, medians included."""
        medians: dict[str, dict[str, dict[str, float]]] = {}
        for sample in self.samples:
            of_peer = medians.setdefault(sample.measure, {}).setdefault(sample.peer, {})
            for figure in sample.figures:
                of_peer[figure] = statistics.median(
                    self.values(sample.measure, sample.peer, figure)
                )
        return {**asdict(self), "medians": medians}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Results:
        """Makes results of what `to_json` gave."""
        return cls(
            machine=dict(data["machine"]),
            samples=[Sample(**sample) for sample in data["samples"]],
            failures=[Failure(**failure) for failure in data["failures"]],
            missing=dict(data["missing"]),
        )
