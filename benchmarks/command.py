"""The command: what to measure, on whom and how often; then the table, the JSON, the page."""

from __future__ import annotations

import argparse
import json
import pkgutil
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from acprelay.cli.diagnosis.machine import look_at_python
from benchmarks import micro, page, report
from benchmarks.building import CannotBuild, build
from benchmarks.charts import charts, draw
from benchmarks.installing import CannotInstall, Shop
from benchmarks.machine import describe
from benchmarks.measures import MEASURES, Driver, Measure
from benchmarks.peers import OWN, PEERS, Peer
from benchmarks.places import CACHE, DOCS, PROJECT
from benchmarks.results import Results
from benchmarks.runner import Runner

ROUNDS = 5
QUICK_ROUNDS = 1
INTERRUPTED = 130
PAGE = DOCS / "performance.md"
SLOW_PYTHON = (
    "this Python was built without optimisation, and the relay is slower on it; "
    "measure with another one: rm -r .venv; PYTHON=/usr/bin/python3 make install"
)


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("it is a number, and one round is the least")
    return int(text)


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _some_names(text: str) -> list[str]:
    names = _names(text)
    if not names:
        raise argparse.ArgumentTypeError("it names nothing")
    return names


def micro_names() -> list[str]:
    """Gives the names of the programs that measure one part of the relay by itself."""
    return [module.name for module in pkgutil.iter_modules(micro.__path__)]


def parser() -> argparse.ArgumentParser:
    """Gives the parser of the command's options."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the relay beside its peers."
    )
    made.add_argument("--rounds", type=_at_least_one, help=f"how often each is measured ({ROUNDS})")
    made.add_argument("--quick", action="store_true", help="a tenth of everything, once")
    made.add_argument(
        "--only", type=_some_names, metavar="MEASURE,…", help=", ".join(m.name for m in MEASURES)
    )
    made.add_argument(
        "--peers",
        type=_names,
        metavar="PEER,…",
        help="beside the relay and the pipe: " + ", ".join(p.name for p in PEERS),
    )
    made.add_argument(
        "--json", type=Path, default=CACHE / "results.json", help="where results are written"
    )
    made.add_argument(
        "--micro", choices=micro_names(), help="only this part of the relay, by itself"
    )
    made.add_argument(
        "--write-docs", action="store_true", help=f"write them into {PAGE.relative_to(PROJECT)}"
    )
    made.add_argument(
        "--again", action="store_true", help="measure nothing; tell what was measured last"
    )
    return made


def refuse_in_vain(options: argparse.Namespace) -> None:
    """Refuses what would be measured for nothing, or would replace the page by a part of it.

    Raises:
        SystemExit: It is so; the message says why.
    """
    parts = {
        "--only": options.only,
        "--peers": options.peers is not None,
        "--quick": options.quick,
        "--micro": options.micro,
    }
    partial = [option for option, is_said in parts.items() if is_said]
    if options.write_docs and partial:
        raise SystemExit(
            f"benchmarks: cannot write the page with {' and '.join(partial)}: it shows all results"
        )
    if options.json.is_dir() or not options.json.parent.is_dir():
        raise SystemExit(f"benchmarks: cannot write {options.json}: it is no file in a directory")


def chosen_measures(only: Sequence[str] | None) -> list[Measure]:
    """Gives the measures of these names, in their order; all of them without.

    Raises:
        SystemExit: There is none of that name; the message names those there are.
    """
    _refuse_unknown("measure", only, [measure.name for measure in MEASURES])
    return [measure for measure in MEASURES if only is None or measure.name in only]


def chosen_peers(names: Sequence[str] | None) -> list[Peer]:
    """Gives the peers of these names, with the relay and the pipe; all of them without.

    Raises:
        SystemExit: There is none of that name; the message names those there are.
    """
    _refuse_unknown("peer", names, [peer.name for peer in PEERS])
    return [*OWN, *(peer for peer in PEERS if names is None or peer.name in names)]


def _refuse_unknown(kind: str, asked: Sequence[str] | None, there: Sequence[str]) -> None:
    unknown = [name for name in asked or () if name not in there]
    if unknown:
        raise SystemExit(
            f"benchmarks: cannot find the {kind} {', '.join(unknown)}; there are {', '.join(there)}"
        )


def installed(peers: Sequence[Peer], shop: Shop, results: Results) -> dict[Peer, Path]:
    """Gets the peers' programs; notes those that cannot be had, and what was tried."""
    programs = {}
    for peer in peers:
        try:
            programs[peer] = peer.install(shop)
        except CannotInstall as error:
            results.missing[peer.name] = str(error)
    return programs


def _say(line: str) -> None:
    print(line, flush=True)


def measured(options: argparse.Namespace, command: str, shop: Shop) -> Results:
    """Takes the measures that were asked for.

    Raises:
        CannotBuild: There is no compiler for the load tools.
        SystemExit: A measure or a peer is not known.
    """
    measures, peers = chosen_measures(options.only), chosen_peers(options.peers)
    tools = build(CACHE)
    if not look_at_python().is_optimised:
        print(f"benchmarks: {SLOW_PYTHON}", file=sys.stderr)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    results = Results(machine=describe(command))
    results.machine["rounds"] = (
        f"{rounds}, of a tenth of everything" if options.quick else f"{rounds}"
    )
    programs = installed(peers, shop, results)
    results.machine["peers"] = ", ".join(
        peer.described(program) for peer, program in programs.items() if peer in PEERS
    )
    for name, tried in results.missing.items():
        _say(f"without {name}: {tried}")
    runner = Runner(
        driver=Driver(tools=tools, is_quick=options.quick),
        programs=programs,
        rounds=rounds,
        cache=CACHE,
        results=results,
        say=_say,
    )
    for measure in measures:
        runner.run(measure)
    return results


def measured_last(path: Path) -> Results:
    """Reads what was measured before.

    Raises:
        OSError: It cannot be read.
        SystemExit: It is something else.
    """
    try:
        return Results.from_json(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"benchmarks: cannot read {path}: make bench did not write it") from error


def _write_docs(results: Results, shop: Shop) -> None:
    drawn = charts(results)
    draw(drawn, DOCS / page.CHARTS, shop)
    page.write(PAGE, results, drawn)
    _say(f"written: {PAGE}")


def main(arguments: Sequence[str]) -> int:
    """Runs the command; gives its exit code, which is 1 where something it needs is not there.

    Ctrl-C ends what is at work, and leaves nothing of it.
    """
    options = parser().parse_args(arguments)
    CACHE.mkdir(exist_ok=True)
    refuse_in_vain(options)
    if options.micro:
        return subprocess.call([sys.executable, "-m", f"{micro.__name__}.{options.micro}"])
    shop = Shop(CACHE)
    try:
        if options.again:
            results = measured_last(options.json)
        else:
            results = measured(options, " ".join(["make bench", *_as_make(arguments)]), shop)
        _say(f"\n{report.in_terminal(results)}\n")
        if not options.again:
            options.json.write_text(json.dumps(results.to_json(), indent=1, ensure_ascii=False))
            _say(f"written: {options.json}")
        if options.write_docs:
            _write_docs(results, shop)
    except (CannotBuild, CannotInstall, page.CannotWrite, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _as_make(arguments: Sequence[str]) -> list[str]:
    return [f'ARGS="{shlex.join(arguments)}"'] if arguments else []
