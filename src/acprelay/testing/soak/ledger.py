"""What came of the prompts of a soak, and everything else that is counted while it runs.

Pure. A prompt is answered by its reply, or ended by the marker in the log where its client left the
attachment that waited for the reply. A prompt may only go unanswered with a relay that was killed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum

from acprelay.testing.soak.stream import Counts

_MOST_COMPLAINTS = 50


class Fate(StrEnum):
    """What came of a prompt."""

    WAITING = "waiting for its reply"
    ORPHANED = "waiting for the marker of its turn's end"
    ANSWERED = "answered by its reply"
    ENDED = "ended by the marker of its turn"
    INTERRUPTED = "interrupted with the relay"


_OPEN = (Fate.WAITING, Fate.ORPHANED)


class Prompts:
    """The prompts of one client, in their order; each has a label."""

    def __init__(self) -> None:
        self._fates: dict[str, Fate] = {}
        self._marked: dict[str, Fate] = {}

    @property
    def open(self) -> tuple[str, ...]:
        """The labels of those of which nothing has come yet, oldest first."""
        return tuple(label for label, fate in self._fates.items() if fate in _OPEN)

    def __contains__(self, label: object) -> bool:
        return label in self._fates

    def __iter__(self) -> Iterator[str]:
        return iter(self._fates)

    def fate(self, label: str) -> Fate:
        """What has come of a prompt so far."""
        return self._fates[label]

    def count(self, *fates: Fate) -> int:
        """How many prompts have one of these fates."""
        return sum(fate in fates for fate in self._fates.values())

    def sent(self, label: str) -> None:
        """Takes note of a new prompt."""
        self._fates[label] = Fate.WAITING

    def answered(self, label: str) -> None:
        """Takes note of a reply."""
        self._fates[label] = Fate.ANSWERED

    def abandoned(self) -> None:
        """Takes note that the replies will not come: the attachment is left behind."""
        for label in self.open:
            self._fates[label] = self._marked.get(label, Fate.ORPHANED)

    def ended(self, label: str | None, *, interrupted: bool) -> None:
        """Takes note of the marker of a turn's end; without a label it is the oldest one's."""
        label = label or next(iter(self.open), None)
        if label is None:
            return
        self._marked[label] = Fate.INTERRUPTED if interrupted else Fate.ENDED
        if self._fates.get(label) is Fate.ORPHANED:
            self._fates[label] = self._marked[label]

    def lost(self) -> None:
        """Takes note that nothing more will come of what is open: the relay was killed."""
        for label in self.open:
            self._fates[label] = Fate.INTERRUPTED


class Ledger:
    """What is counted over all clients.

    Attributes:
        counts: The fates of log entries.
        replies_repeated: Replies that nobody waited for.
        asks_delivered: Asks that came, over all clients.
        asks_repeated: Asks that came twice to one attachment, or after they were settled.
        agent: What the agent says: permissions `asked`, `answered`, `cancelled`, `wrong`.
        moves: What clients did, by name.
        heard: Messages of all kinds; it tells whether anything goes on at all.
    """

    def __init__(self) -> None:
        self.counts = Counts()
        self.replies_repeated = 0
        self.asks_delivered = 0
        self.asks_repeated = 0
        self.agent: Counter[str] = Counter()
        self.moves: Counter[str] = Counter()
        self.heard = 0
        self._complaints: dict[str, int] = {}

    @property
    def complaints(self) -> list[str]:
        """What happened that should not, each with how often."""
        return [
            text if times == 1 else f"{text} ({times} times)"
            for text, times in self._complaints.items()
        ]

    def complain(self, text: str) -> None:
        """Takes note of something that should not happen."""
        if text in self._complaints or len(self._complaints) < _MOST_COMPLAINTS:
            self._complaints[text] = self._complaints.get(text, 0) + 1
