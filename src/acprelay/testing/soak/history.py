"""What all clients together have seen of one log: it settles what one of them cannot know alone.

Pure. Every client notes every entry here, so that an entry has the same bytes for all of them. One
that reads the whole log in the end says in which order its places stand.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection
from dataclasses import replace

from acprelay.testing.soak.messages import Entry, Position, Prompted
from acprelay.testing.soak.stream import Counts, Stream


class _Digests:
    """The checksums of a generation's entries, by seq; 0 stands for one that nobody has seen."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._by_seq = array("I")

    def note(self, seq: int, digest: int) -> bool:
        """Notes a checksum; gives whether it is the one that others saw."""
        if seq < self._first:
            self._by_seq = array("I", bytes(4 * (self._first - seq))) + self._by_seq
            self._first = seq
        index = seq - self._first
        if index >= len(self._by_seq):
            self._by_seq.frombytes(bytes(4 * (index + 1 - len(self._by_seq))))
        seen = self._by_seq[index]
        self._by_seq[index] = digest or 1
        return seen in (0, digest or 1)


class _Run:
    """A stretch of one generation, in the order of the log."""

    def __init__(self, at: Position, index: int) -> None:
        self.generation = at.generation
        self.first = self.last = at.seq
        self.index = index


class History:
    """Collects what is seen and what is known of one conversation."""

    def __init__(self) -> None:
        self._digests: dict[str, _Digests] = {}
        self._prompts: dict[Position, str] = {}
        self._written: dict[str, int] = {}
        self._runs: list[_Run] = []

    def note(self, entry: Entry) -> bool:
        """Notes an entry that a client got.

        Returns:
            Whether it has the bytes that others got at this place.
        """
        if isinstance(entry.content, Prompted):
            self._prompts[entry.at] = entry.content.turn
        generation, seq = entry.at
        if generation not in self._digests:
            self._digests[generation] = _Digests(seq)
        return self._digests[generation].note(seq, entry.digest)

    def line_up(self, at: Position) -> None:
        """Says that this place comes next in the log, as one reads who reads all of it."""
        run = self._runs[-1] if self._runs else None
        if run is not None and run.generation == at.generation and run.last + 1 == at.seq:
            run.last = at.seq
        else:
            index = run.index + run.last - run.first + 1 if run else 0
            self._runs.append(_Run(at, index))

    def wrote(self, turn: str, updates: int) -> None:
        """Notes how many updates the agent says that it has written in a turn."""
        self._written[turn] = updates

    @property
    def written(self) -> int:
        """How many updates the agent says that it has written, over all turns it has answered."""
        return sum(self._written.values())

    def settle(self, stream: Stream, *, own: Collection[str]) -> Counts:
        """Judges a stream that is over.

        Args:
            stream: The stream.
            own: The labels of the turns that its client prompted, whose prompts are left out for
                it.

        Returns:
            All of its counts.
        """
        by_place = self._unexplained(stream.missing, own)
        by_place += sum(self._between(*seam, own) for seam in stream.seams)
        by_number = sum(
            self._cut_off(turn, number, of if whole else number)
            for turn, number, of, whole in stream.tails
        )
        lost = stream.counts.lost + max(by_place, by_number)
        return replace(stream.counts, lost=lost, due=stream.counts.delivered + lost)

    def _unexplained(self, missing: Collection[Position], own: Collection[str]) -> int:
        """How many of the places that a client was not given are not its own prompts."""
        others = [at for at in missing if self._prompts.get(at) not in own]
        # A prompt that went down with a relay, before anybody else saw it, can be no other's.
        gone = sum(1 for at in others if self._runs and self._index(at) is None)
        unseen = len(set(own) - set(self._prompts.values()))
        return len(others) - min(gone, unseen)

    def _between(self, left: Position, right: Position, own: Collection[str]) -> int:
        """How many entries stand between two places of different generations."""
        one, other = self._index(left), self._index(right)
        if one is not None and other is None:
            # The later one went down with a relay, with all that its generation had.
            return right.seq - left.seq - 1
        if one is None or other is None or other <= one:
            return 1  # the client went on from a place that the log does not have
        left_out = sum(
            1
            for at, turn in self._prompts.items()
            if turn in own and one < (self._index(at) or 0) < other
        )
        return other - one - 1 - left_out

    def _cut_off(self, turn: str, number: int, of: int) -> int:
        """How many updates are missing at the end of a turn."""
        return max(0, self._written.get(turn, of) - number) if turn else 0

    def _index(self, at: Position) -> int | None:
        for run in self._runs:
            if run.generation == at.generation and run.first <= at.seq <= run.last:
                return run.index + at.seq - run.first
        return None
