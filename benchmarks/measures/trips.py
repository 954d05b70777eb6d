"""How long a client waits: for the answer to a prompt, and from connecting to the first update."""

from __future__ import annotations

from benchmarks.measures.model import Driver, Figure, Figures, Measure
from benchmarks.peers import Running

COUNT = 2_000
MOST_S = 2
CONNECTIONS = 20
READY = 2


def _trips(driver: Driver, running: Running) -> Figures:
    """As many as go into two seconds: of some peers that is few."""
    said = driver.load(running, "trips", count=driver.many(COUNT), seconds=MOST_S)
    return {
        "p50_us": said["answer_p50_us"],
        "p99_us": said["answer_p99_us"],
        "update_p50_us": said["update_p50_us"],
        "lost": said["lost"],
    }


def _first(driver: Driver, running: Running) -> Figures:
    """With a pause after each, in which what was taken from the pool is replaced."""
    closes = {"close": True} if running.url else {}
    said = driver.load(
        running, "first", count=driver.many(CONNECTIONS, least=5), pause_ms=50, **closes
    )
    return {"p50_ms": said["first_p50_us"] / 1e3, "p99_ms": said["first_p99_us"] / 1e3}


TRIPS = Measure(
    name="trips",
    title="one prompt with one update, until its answer",
    figures=(
        Figure("p50_us", "p50 µs"),
        Figure("p99_us", "p99 µs"),
        Figure("update_p50_us", "update p50 µs"),
    ),
    take=_trips,
)
FIRST = Measure(
    name="first",
    title="from connecting to the first update, with agents kept ready",
    figures=(Figure("p50_ms", "p50 ms", 2), Figure("p99_ms", "p99 ms", 2)),
    take=_first,
    peers=("bare", "acprelay", "websocketd", "websocat", "acpremote", "stdio-to-ws"),
    most_rounds=3,
    prewarm=READY,
)
