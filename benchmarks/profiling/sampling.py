"""Samples a relay that serves, while the load client has it work."""

from __future__ import annotations

import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.installing import Shop
from benchmarks.measures import Driver
from benchmarks.measures.streams import UNMETERED
from benchmarks.peers import Running, Stage
from benchmarks.peers.relay import RELAY
from benchmarks.profiling.stacks import Stacks, read_stacks

SAMPLER = "py-spy==0.4.3"
PER_SECOND = 500
WARM_UP_S = 0.5


@dataclass(frozen=True, slots=True)
class Workload:
    """What the relay is sampled at.

    Attributes:
        name: What options call it.
        title: What the table calls it.
        mode: The load client's mode.
        count: How many messages, or trips, a run has.
        options: More options of the load client.
    """

    name: str
    title: str
    mode: str
    count: int
    options: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """What was sampled.

    Attributes:
        stacks: Where the relay was.
        cpu_us: What a message, or a trip, took of a processor, in microseconds.
    """

    stacks: Stacks
    cpu_us: float


WORKLOADS = (
    Workload("stream", "an update of 300 bytes in a stream", "stream", 3_000_000),
    Workload("mixed", "a message of a mixed stream", "stream", 500_000, (("mixed", True),)),
    Workload("fan-out", "an update to 20 clients", "stream", 500_000, (("watchers", 19),)),
    Workload("trips", "a round trip: a prompt, one update, the answer", "trips", 20_000),
)


def sample(workload: Workload, driver: Driver, shop: Shop, cache: Path) -> Profile:
    """Serves, and samples the relay while it is under a load.

    Raises:
        CannotInstall: The sampler cannot be had.
        CannotStart: The relay does not come up.
        CannotMeasure: The load did not come to its end.
    """
    sampler = shop.pip(SAMPLER, "py-spy")
    with tempfile.TemporaryDirectory(dir=cache, ignore_cleanup_errors=True) as folder:
        stage = Stage(tools=driver.tools, folder=Path(folder), settings=UNMETERED)
        with RELAY.start(RELAY.install(shop), stage) as running:
            out = Path(folder) / "stacks"
            watching = _watch(sampler, running, out)
            try:
                time.sleep(WARM_UP_S)  # until it has attached; samples of an idle relay are none
                count = driver.many(workload.count)
                said = driver.load(running, workload.mode, count=count, **dict(workload.options))
            finally:
                watching.send_signal(2)
                watching.wait(30)
        return Profile(read_stacks(out.read_text().splitlines()), said["cpu_s"] / count * 1e6)


def _watch(sampler: Path, running: Running, out: Path) -> subprocess.Popen[bytes]:
    assert running.tree is not None
    pid = str(running.tree.pid)
    options = ["--format", "raw", "--function", "--rate", str(PER_SECOND), "--output", str(out)]
    return subprocess.Popen(
        [sampler, "record", "--pid", pid, "--nonblocking", "--duration", "600", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
