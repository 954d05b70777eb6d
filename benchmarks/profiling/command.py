"""The command: which loads the relay is sampled at, and the tables of where it was."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from benchmarks.building import CannotBuild, build
from benchmarks.installing import CannotInstall, Shop
from benchmarks.measures import CannotMeasure, Driver
from benchmarks.places import CACHE
from benchmarks.processes import CannotStart
from benchmarks.profiling.parts import costs_us
from benchmarks.profiling.sampling import WORKLOADS, Profile, Workload, sample
from benchmarks.report import as_text

MODULES, FUNCTIONS = 12, 20
INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """Gives the parser of the command's options."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.profiling", description="Show where a message's time goes."
    )
    names = [workload.name for workload in WORKLOADS]
    made.add_argument("--only", choices=[*names, "parts"], help="one load, or the parts alone")
    made.add_argument("--quick", action="store_true", help="a tenth of everything")
    return made


def share_table(title: str, counts: Counter[str], most: int, profile: Profile) -> list[list[str]]:
    """Gives the places where most samples were, and what they cost a message."""
    total = profile.stacks.total or 1
    rows = [[title, "share", "µs each"]]
    for name, count in counts.most_common(most):
        share = count / total
        rows.append([name, f"{share:.1%}", f"{share * profile.cpu_us:.3f}"])
    return rows


def told(workload: Workload, profile: Profile) -> str:
    """Spells a profile: the modules, then the functions."""
    stacks = profile.stacks
    return "\n\n".join(
        [
            f"{workload.title}: {profile.cpu_us:.2f} µs of the relay's CPU, "
            f"{stacks.total:,} samples [{workload.name}]",
            as_text(
                share_table("our modules, with what they call", stacks.modules, MODULES, profile)
            ),
            as_text(share_table("functions by themselves", stacks.functions, FUNCTIONS, profile)),
        ]
    )


def parts_table() -> list[list[str]]:
    """Gives what each part costs by itself."""
    return [
        ["part, 300 bytes, by itself", "µs a message"],
        *([name, f"{cost:.3f}"] for name, cost in costs_us().items()),
    ]


def main(arguments: Sequence[str]) -> int:
    """Runs the command; gives its exit code, which is 1 where it cannot go on."""
    options = parser().parse_args(arguments)
    CACHE.mkdir(exist_ok=True)
    try:
        if options.only in (None, "parts"):
            print(as_text(parts_table()), end="\n\n", flush=True)
        driver = Driver(tools=build(CACHE), is_quick=options.quick)
        for workload in WORKLOADS:
            if options.only in (None, workload.name):
                profile = sample(workload, driver, Shop(CACHE), CACHE)
                print(told(workload, profile), end="\n\n", flush=True)
    except (CannotBuild, CannotInstall, CannotMeasure, CannotStart) as error:
        print(f"profile: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0
