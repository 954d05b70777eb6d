"""Counts turns for Prometheus; its own counters lock, which costs more than the counting.

Only the event loop's thread counts, and reads.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from acprelay.routing.events import TurnOutcome

_BOUNDS_S = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, float("inf"))


class TurnTally(Collector):
    """How many turns there were, how they ended and how long they took.

    Attributes:
        started: How many have begun; whoever knows of one adds it.
    """

    def __init__(self) -> None:
        self.started = 0
        self._ended: dict[TurnOutcome, int] = {}
        self._lasted = [0] * len(_BOUNDS_S)
        self._lasted_s = 0.0

    def end(self, outcome: TurnOutcome, lasted_s: float) -> None:
        """Counts a turn that has ended.

        Args:
            outcome: How.
            lasted_s: After how many seconds.
        """
        self._ended[outcome] = self._ended.get(outcome, 0) + 1
        self._lasted[bisect_left(_BOUNDS_S, lasted_s)] += 1
        self._lasted_s += lasted_s

    def describe(self) -> Iterable[Metric]:
        """Names nothing beforehand."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Gives the counts."""
        yield CounterMetricFamily(
            "acprelay_turns_started", "Turns that have begun.", value=self.started
        )
        ended = CounterMetricFamily("acprelay_turns", "Turns that have ended.", labels=["outcome"])
        for outcome, count in self._ended.items():
            ended.add_metric([str(outcome)], count)
        yield ended
        buckets = zip(map(floatToGoString, _BOUNDS_S), accumulate(self._lasted), strict=True)
        yield HistogramMetricFamily(
            "acprelay_turn_duration_seconds",
            "How long turns took.",
            buckets=[*buckets],
            sum_value=self._lasted_s,
        )
