"""Runs measures: each peer in turn, round after round, so that a busy moment is busy for all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.measures.model import CannotMeasure, Driver, Measure
from benchmarks.peers import Peer, Running, Stage
from benchmarks.processes import CannotStart
from benchmarks.results import Failure, Results, Sample


def interleaved(names: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """Gives whose turn it is: in each round everybody once, another one first each time."""
    for number in range(rounds):
        first = number % len(names) if names else 0
        for name in (*names[first:], *names[:first]):
            yield number, name


def takes_part(peer: Peer, measure: Measure) -> bool:
    """Tells whether a measure is taken of a peer."""
    return peer.name in measure.peers if measure.peers else not peer.only_named


class Runner:
    """Takes measures, and notes what comes of them.

    Args:
        driver: Puts load on peers.
        programs: The peers that are there, and their programs.
        rounds: How often each measure is taken, if it is worth so many.
        cache: Where peers that are at work keep what they keep.
        results: Where everything is noted.
        say: Tells people how it goes.
    """

    def __init__(
        self,
        *,
        driver: Driver,
        programs: Mapping[Peer, Path],
        rounds: int,
        cache: Path,
        results: Results,
        say: Callable[[str], None],
    ) -> None:
        self._driver = driver
        self._programs = programs
        self._rounds = rounds
        self._cache = cache
        self._results = results
        self._say = say

    def run(self, measure: Measure) -> None:
        """Takes a measure of every peer that takes part in it."""
        taking_part = [peer for peer in self._programs if takes_part(peer, measure)]
        for peer in taking_part:
            if measure.name in peer.cannot:
                self._fail(measure, peer.name, peer.cannot[measure.name])
        with ExitStack() as stack:
            at_work = self._start(measure, taking_part, stack)
            rounds = min(self._rounds, measure.most_rounds)
            for number, name in interleaved(list(at_work), rounds):
                self._take(measure, name, number, at_work)

    def _start(
        self, measure: Measure, peers: Sequence[Peer], stack: ExitStack
    ) -> dict[str, Running]:
        at_work = {}
        for peer in peers:
            if measure.name in peer.cannot:
                continue
            folder = tempfile.TemporaryDirectory(dir=self._cache, ignore_cleanup_errors=True)
            stage = Stage(
                tools=self._driver.tools,
                folder=Path(stack.enter_context(folder)),
                settings=measure.settings,
                prewarm=measure.prewarm,
            )
            try:
                at_work[peer.name] = stack.enter_context(peer.start(self._programs[peer], stage))
            except CannotStart as error:
                self._fail(measure, peer.name, str(error))
        return at_work

    def _take(
        self, measure: Measure, name: str, number: int, at_work: Mapping[str, Running]
    ) -> None:
        if any(
            (failure.measure, failure.peer) == (measure.name, name)
            for failure in self._results.failures
        ):
            return  # once is enough: it would only take its time again
        try:
            figures = measure.take(self._driver, at_work[name])
        except CannotMeasure as error:
            self._fail(measure, name, str(error))
            return
        self._results.samples.append(Sample(measure.name, name, number, figures))
        shown = "  ".join(
            f"{figures[figure.key]:,.{figure.digits}f} {figure.title}"
            for figure in measure.figures
            if figure.key in figures
        )
        self._say(f"{measure.name:10} {number + 1}  {name:14} {shown}")

    def _fail(self, measure: Measure, name: str, why: str) -> None:
        self._results.failures.append(Failure(measure.name, name, why))
        self._say(f"{measure.name:10}    {name:14} {why}")
