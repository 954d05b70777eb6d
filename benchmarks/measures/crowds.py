"""Many at once: clients of one session, sessions that stream, agents at their own pace."""

from __future__ import annotations

from benchmarks.measures.model import Driver, Figure, Figures, Measure
from benchmarks.measures.streams import LOST, RATE
from benchmarks.peers import Running

CLIENTS = 20
SESSIONS = 20
AGENTS = 100
PER_SECOND = 100
LIVE_S = 10


def _fan_out(driver: Driver, running: Running) -> Figures:
    count = driver.many(100_000)
    said = driver.load(running, "stream", count=count, watchers=CLIENTS - 1)
    return {
        "rate": said["rate"],
        "cpu_s_per_million": said["cpu_s"] / (count * CLIENTS) * 1e6,
        "lost": said["lost"],
    }


def _sessions(driver: Driver, running: Running) -> Figures:
    said = driver.load(running, "stream", count=driver.many(20_000), sessions=SESSIONS)
    return {"rate": said["rate"], "lost": said["lost"]}


def _live(driver: Driver, running: Running) -> Figures:
    agents, seconds = driver.many(AGENTS), driver.many(LIVE_S, least=2)
    said = driver.load(
        running,
        "stream",
        count=seconds * PER_SECOND,
        rate=PER_SECOND,
        sessions=agents,
        watchers=1,
    )
    return {
        "p50_ms": said["p50_us"] / 1e3,
        "p99_ms": said["p99_us"] / 1e3,
        "max_ms": said["max_us"] / 1e3,
        "cores": said["cpu_s"] / said["seconds"],
        "lost": said["lost"],
    }


FAN_OUT = Measure(
    name="fan-out",
    title=f"100,000 updates to each of {CLIENTS} clients of one session",
    figures=(
        Figure("rate", "deliveries/s"),
        Figure("cpu_s_per_million", "CPU s per million", 2),
        LOST,
    ),
    take=_fan_out,
    peers=("acprelay",),
)
MANY_SESSIONS = Measure(
    name="sessions",
    title=f"{SESSIONS} sessions with an agent each that stream at once, all together",
    figures=(RATE, LOST),
    take=_sessions,
    peers=("direct", "bare", "acprelay", "websocketd"),
)
LIVE = Measure(
    name="live",
    title=f"{AGENTS} agents with {PER_SECOND} updates a second each, to two clients each",
    figures=(
        Figure("p50_ms", "p50 ms", 2),
        Figure("p99_ms", "p99 ms", 2),
        Figure("max_ms", "max ms", 2),
        Figure("cores", "cores", 2),
        LOST,
    ),
    take=_live,
    peers=("acprelay",),
    most_rounds=2,
)
