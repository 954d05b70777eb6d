"""Long conversations: come back to one, let a client sleep through one, and go on and on."""

from __future__ import annotations

import statistics
import threading

from benchmarks.measures.model import Driver, Figure, Figures, Measure
from benchmarks.measures.streams import LOST
from benchmarks.peers import Running

ENTRIES = 1_000_000
ATTACHES = 3
READERS = 3
PAUSE_S = 10
LONG = 10_000_000
MB = 1e6


class MemoryWatch(threading.Thread):
    """Samples a peer's memory until it is told to stop.

    Args:
        running: The peer.

    Attributes:
        most: The most that was seen, in bytes.
    """

    def __init__(self, running: Running) -> None:
        super().__init__()
        self._running = running
        self._stopped = threading.Event()
        self.before = self.most = running.rss_bytes()

    def run(self) -> None:
        """Looks every twentieth of a second."""
        while not self._stopped.wait(0.05):
            self.most = max(self.most, self._running.rss_bytes())

    def __enter__(self) -> MemoryWatch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.join()

    @property
    def grown_mb(self) -> float:
        """By how much it grew at most, in MB."""
        return (self.most - self.before) / MB


def _attach(driver: Driver, running: Running) -> Figures:
    count = driver.many(ENTRIES)
    live = driver.load(running, "stream", count=count)
    session = str(live["session"])
    said = [driver.load(running, "attach", count=count, session=session) for _ in range(ATTACHES)]
    replayed = statistics.median(each["rate"] for each in said)
    return {
        "first_ms": statistics.median(each["first_ms"] for each in said),
        "rate": replayed,
        "replay_ratio": replayed / live["rate"],
        "lost": sum(each["lost"] for each in said),
    }


def _pause(driver: Driver, running: Running) -> Figures:
    """The sleeper comes first: the relay has not grown yet."""
    seconds = driver.many(PAUSE_S, least=3)
    driver.load(running, "stream", count=1_000, watchers=READERS)
    with MemoryWatch(running) as asleep:
        having = driver.load(
            running, "stream", seconds=seconds, sleep=seconds, watchers=READERS, limit_s=120
        )
    with MemoryWatch(running) as awake:
        without = driver.load(running, "stream", seconds=seconds, watchers=READERS - 1)
    return {
        "grown_mb": asleep.grown_mb,
        "grown_without_mb": awake.grown_mb,
        "rate": having["rate"] / READERS,
        "others_ratio": having["rate"] / without["rate"],
        "lost": having["lost"],
    }


def _long(driver: Driver, running: Running) -> Figures:
    with MemoryWatch(running) as watch:
        said = driver.load(running, "stream", count=driver.many(LONG), limit_s=180)
    start, *_, end = said["tenths"]
    return {
        "start": start,
        "end": end,
        "end_ratio": end / start,
        "grown_mb": watch.grown_mb,
        "lost": said["lost"],
    }


ATTACH = Measure(
    name="attach",
    title=f"attach to a conversation of {ENTRIES:,} updates",
    figures=(
        Figure("first_ms", "first ms", 2),
        Figure("rate", "replayed/s"),
        Figure("replay_ratio", "times the live rate", 2),
        LOST,
    ),
    take=_attach,
    peers=("acprelay",),
    most_rounds=2,
)
PAUSE = Measure(
    name="pause",
    title=f"one of four clients sleeps for {PAUSE_S} s at full rate",
    figures=(
        Figure("grown_mb", "MB more", 1),
        Figure("grown_without_mb", "MB more without", 1),
        Figure("rate", "updates/s to each other"),
        Figure("others_ratio", "against without", 2),
        LOST,
    ),
    take=_pause,
    peers=("acprelay",),
    most_rounds=1,
)
LONG_STREAM = Measure(
    name="long",
    title=f"one turn of {LONG:,} updates",
    figures=(
        Figure("start", "first tenth, updates/s"),
        Figure("end", "last tenth"),
        Figure("end_ratio", "end against start", 2),
        Figure("grown_mb", "MB more", 1),
        LOST,
    ),
    take=_long,
    peers=("acprelay",),
    most_rounds=1,
)
