"""One client and one prompt: how fast updates come, of one shape and of many, short and long."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from benchmarks.measures.model import Driver, Figure, Figures, Measure
from benchmarks.peers import Running

COUNT = 100_000
LEAST_S = 0.5
MOST_RUNS = 5
KIB = 1024
MIB = 1024 * KIB

RATE = Figure("rate", "updates/s")
CPU = Figure("cpu_s_per_million", "CPU s per million", 2)
LOST = Figure("lost", "lost")
UNMETERED = "[limits]\nclient-message-rate = 1000000\nclient-message-burst = 1000000\n"
"""So many answers to permissions as a mixed stream takes would count as a client's flood."""


def _stream(driver: Driver, running: Running, count: int, **options: bool | int) -> Figures:
    said = driver.load(running, "stream", count=count, **options)
    figures = {"rate": said["rate"], "lost": said["lost"], "repeated": said["repeated"]}
    if running.tree is not None:
        figures["cpu_s_per_million"] = said["cpu_s"] / count * 1e6
    return figures


def _uniform(driver: Driver, running: Running) -> Figures:
    """As many runs as go into half a second; what else the machine does may stop one for longer."""
    count = driver.many(COUNT, least=50_000)
    runs: list[Figures] = []
    streamed_s = 0.0
    while not runs or (streamed_s < LEAST_S and len(runs) < driver.many(MOST_RUNS)):
        runs.append(_stream(driver, running, count))
        streamed_s += count / runs[-1]["rate"]
    figures = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    worst = {key: max(run[key] for run in runs) for key in ("lost", "repeated")}
    return {**figures, **worst}


def _mixed(driver: Driver, running: Running) -> Figures:
    return _stream(driver, running, driver.many(COUNT, least=50_000), mixed=True)


def _long(size: int, count: int) -> Callable[[Driver, Running], Figures]:
    def take(driver: Driver, running: Running) -> Figures:
        figures = _stream(driver, running, driver.many(count), size=size)
        return {**figures, "mb_per_s": figures["rate"] * size / 1e6}

    return take


def _limit(driver: Driver, running: Running) -> Figures:
    return {"rate": driver.load(running, "limit", count=driver.many(COUNT * 10))["rate"]}


LIMIT = Measure(
    name="limit",
    title="what the load client itself takes from a WebSocket that has it all ready",
    figures=(RATE,),
    take=_limit,
    peers=("parts",),
    most_rounds=3,
)
STREAM = Measure(
    name="stream",
    title=f"{COUNT:,} updates of 300 bytes to one client",
    figures=(RATE, CPU, LOST),
    take=_uniform,
)
MIXED = Measure(
    name="mixed",
    title=f"{COUNT:,} messages of the shapes that real agents send, permissions included",
    figures=(RATE, CPU, LOST),
    take=_mixed,
    peers=("direct", "bare", "acprelay", "websocketd", "websocat"),
    settings=UNMETERED,
)
KIB_20 = Measure(
    name="20kib",
    title="updates of 20 KiB",
    figures=(Figure("mb_per_s", "MB/s"), LOST),
    take=_long(20 * KIB, 10_000),
    most_rounds=3,
)
MIB_1 = Measure(
    name="1mib",
    title="updates of 1 MiB",
    figures=(Figure("mb_per_s", "MB/s"), LOST),
    take=_long(MIB, 200),
    most_rounds=3,
)
