"""What one client makes of the messages that it hears: every one is judged at once.

Pure: it is given frames and knows no socket. It holds the client's stream of the log and its lane,
over all of the client's connections, and tells the history and the ledger.
"""

from __future__ import annotations

from acprelay.testing.soak.history import History
from acprelay.testing.soak.lane import Lane
from acprelay.testing.soak.ledger import Ledger
from acprelay.testing.soak.messages import Ask, Entry, Heard, Notice, Prompted, Reply, Settled, hear
from acprelay.testing.soak.stream import Stream

_EXPIRED = "cursor_expired"


class Ear:
    """Hears for one client.

    Args:
        name: What the client is called in complaints.
        history: What all clients have seen.
        ledger: What is counted.
        may_forget: Whether the relay may forget the beginning of the log.

    Attributes:
        lane: What came for this client alone.
        stream: The stream of the log that comes now.
        own_turns: The labels of the turns that this client has prompted.
        unshown: Those of them whose prompts its attachment is not to be shown.
        is_blind: Whether the relay has said that it cannot go on with the log from here.
    """

    def __init__(self, *, name: str, history: History, ledger: Ledger, may_forget: bool) -> None:
        self.lane = Lane()
        self.stream = Stream(after=0)
        self.own_turns: set[str] = set()
        self.unshown: set[str] = set()
        self.is_blind = False
        self._name = name
        self._history = history
        self._ledger = ledger
        self._may_forget = may_forget
        self._reloads = False
        self._ended: list[Stream] = []

    def begin(self, *, after: int) -> None:
        """Ends the stream where it is, and begins another one behind a place."""
        self._ended.append(self.stream)
        self.stream = Stream(after=after)

    def prompted(self, turn: str) -> None:
        """Says that the client has prompted, by its present attachment."""
        self.own_turns.add(turn)
        self.unshown.add(turn)

    def attached(self) -> None:
        """Says that the client has a new attachment."""
        self.lane.attached()
        self.unshown.clear()

    def expect_reload(self) -> None:
        """Says that the log will begin once more behind what is still due."""
        self._reloads = True

    def reconnected(self) -> None:
        """Says that what was asked for on the connection before is no longer to come."""
        self._reloads = False
        self.is_blind = False

    def hear(self, frame: bytes) -> Heard:
        """Judges one message, and gives it."""
        self._ledger.heard += 1
        try:
            heard = hear(frame)
        except ValueError as error:
            self._ledger.complain(f"{self._name} cannot read a message: {error}")
            return Notice("unreadable")
        match heard:
            case Entry():
                self._hear_entry(heard)
            case Ask():
                self._ledger.asks_delivered += 1
                if not self.lane.asked(heard.id, at=self.stream.place):
                    self._ledger.asks_repeated += 1
            case Reply():
                if not self.lane.replied(heard.id):
                    self._ledger.replies_repeated += 1
            case Notice(code=code) if code == _EXPIRED:
                self._hear_of_loss()
        return heard

    def settle(self) -> None:
        """Adds what became of all streams to the ledger, once."""
        for stream in (*self._ended, self.stream):
            self._ledger.counts.add(self._history.settle(stream, own=self.own_turns))
        self._ended.clear()

    def _hear_entry(self, entry: Entry) -> None:
        place = self.stream.place
        if self._reloads and place and entry.at.seq <= place and entry.at.seq == 1:
            self.begin(after=0)
            self._reloads = False
            self.unshown.clear()
        if not self._history.note(entry):
            self.stream.counts.damaged += 1
        self.stream.take(entry)
        match entry.content:
            case Settled(ask):
                self.lane.settled(ask.encode())
            case Prompted(turn) if turn in self.unshown:
                self._ledger.complain(f"{self._name} is shown its own prompt of {turn}")

    def _hear_of_loss(self) -> None:
        """The relay says that the beginning of what is due is gone."""
        if not self._may_forget:
            self._ledger.complain(f"{self._name} is told that a part of the log is gone")
        if self._reloads or self.stream.place == 0:
            self._reloads = False
            self.begin(after=0)
            self.stream = Stream(after=None)
        else:
            self.is_blind = True
