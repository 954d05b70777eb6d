"""What the command is asked for, and what it says where it cannot do it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from acprelay.cli.diagnosis.facts import PythonFacts
from benchmarks import command, machine
from benchmarks.building import CannotBuild, LoadTools, build
from benchmarks.command import chosen_measures, chosen_peers, installed, main
from benchmarks.installing import CannotInstall, Shop
from benchmarks.measures import MEASURES
from benchmarks.peers import OWN, PEERS
from benchmarks.profiling.stacks import read_stacks
from benchmarks.results import Results


def nothing_found(_name: str) -> None:
    return None


def test_without_a_choice_everything_is_measured_on_everybody() -> None:
    assert chosen_measures(None) == list(MEASURES)
    assert chosen_peers(None) == [*OWN, *PEERS]


def test_chosen_measures_keep_their_order() -> None:
    assert [m.name for m in chosen_measures(["trips", "stream"])] == ["stream", "trips"]


def test_the_relay_is_measured_whatever_peers_are_chosen() -> None:
    assert [p.name for p in chosen_peers(["websocat"])] == [*(p.name for p in OWN), "websocat"]


def test_a_measure_that_is_not_known_is_refused_with_those_there_are() -> None:
    with pytest.raises(SystemExit, match=r"cannot find the measure steam; there are .*stream"):
        chosen_measures(["steam"])


def test_a_peer_that_is_not_known_is_refused_with_those_there_are() -> None:
    with pytest.raises(SystemExit, match="cannot find the peer socat; there are websocketd"):
        chosen_peers(["socat"])


def test_a_peer_that_cannot_be_had_is_noted_with_what_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", nothing_found)
    results = Results()
    programs = installed([p for p in PEERS if p.name == "sandbox-agent"], Shop(tmp_path), results)
    assert programs == {}
    assert results.missing == {
        "sandbox-agent": "tried npm install @sandbox-agent/cli@0.4.2: npm is missing"
    }


def test_who_is_not_root_is_told_how_to_install_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", nothing_found)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CannotInstall, match="as root this runs: apt-get install websocketd"):
        Shop(tmp_path).apt("websocketd", "websocketd")


def test_what_was_installed_by_half_is_removed_and_the_reason_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm = tmp_path / "npm"
    npm.write_text('#!/bin/sh\ntouch "$3/half"\necho no route >&2\nexit 1\n')
    npm.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(npm))
    with pytest.raises(CannotInstall, match=r"tried npm install thing@1: no route"):
        Shop(tmp_path / "cache").npm("thing@1", "thing")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_package_without_the_program_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "/bin/true")
    with pytest.raises(CannotInstall, match="tried npm install thing@1: it has no thing"):
        Shop(tmp_path).npm("thing@1", "thing")


def test_where_there_is_no_compiler_it_is_said_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", nothing_found)
    with pytest.raises(CannotBuild, match=r"cannot find a C compiler.*apt-get install gcc"):
        build(tmp_path)


@pytest.mark.process
def test_a_compiler_that_refuses_the_sources_leaves_nothing_that_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "/bin/false")
    for _ in range(2):
        with pytest.raises(CannotBuild, match="cannot compile agent"):
            build(tmp_path)


def test_the_command_ends_with_a_line_where_it_cannot_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_compiler(_: Path) -> None:
        raise CannotBuild("cannot find a C compiler")

    monkeypatch.setattr(command, "CACHE", tmp_path)
    monkeypatch.setattr(command, "build", no_compiler)
    assert main(["--only", "stream"]) == 1
    assert capsys.readouterr().err == "benchmarks: cannot find a C compiler\n"


@pytest.mark.parametrize(
    ("lines", "modules"),
    [
        (
            ["run (acprelay/cli/loop.py);f (/x/src/acprelay/wire/stream.py);loads (json/a.py) 3"],
            {"wire/stream.py": 3},
        ),
        (["run (/x/src/acprelay/cli/loop.py);g (lib/python3.11/asyncio/runners.py) 2"], {"-": 2}),
        (["", "what is no stack", "f (a.py) many"], {}),
    ],
)
def test_samples_are_counted_for_the_innermost_of_our_modules(
    lines: Sequence[str], modules: dict[str, int]
) -> None:
    around = "the event loop and aiohttp by themselves"
    stacks = read_stacks(lines)
    assert stacks.modules == {around if k == "-" else k: v for k, v in modules.items()}
    assert stacks.total == sum(modules.values())


@pytest.mark.parametrize("is_optimised", [True, False])
def test_a_slow_python_is_warned_of_with_what_to_do_and_named_in_the_results(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_optimised: bool,
) -> None:
    def looked() -> PythonFacts:
        return PythonFacts(version=(3, 11, 2), is_optimised=is_optimised)

    monkeypatch.setattr(command, "look_at_python", looked)
    monkeypatch.setattr(machine, "look_at_python", looked)
    monkeypatch.setattr(command, "MEASURES", ())
    monkeypatch.setattr(command, "CACHE", tmp_path)
    monkeypatch.setattr(command, "build", lambda _: LoadTools(agent=tmp_path, load=tmp_path))
    assert main(["--peers", "", "--json", str(tmp_path / "results.json")]) == 0
    told = capsys.readouterr()
    assert ("PYTHON=/usr/bin/python3 make install" in told.err) != is_optimised
    assert ("Python 3.11.2 (optimised build)" in told.out) == is_optimised
    assert ("(built without optimisation: the relay is slower)" in told.out) != is_optimised


def test_what_was_not_measured_by_this_command_is_not_told_as_results(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    for text in (
        "{",
        "{}",
        "[]",
        '{"machine": {}, "samples": [{}], "failures": [], "missing": {}}',
    ):
        path.write_text(text)
        with pytest.raises(SystemExit, match=r"cannot read .*: make bench did not write it"):
            main(["--again", "--json", str(path)])


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--write-docs", "--only", "stream"], "cannot write the page with --only"),
        (["--write-docs", "--peers", ""], "cannot write the page with --peers"),
        (["--write-docs", "--quick", "--rounds", "3"], "cannot write the page with --quick"),
        (["--write-docs", "--micro", "prewarm"], "cannot write the page with --micro"),
        (["--write-docs", "--quick", "--only", "trips"], "with --only and --quick"),
        (["--json", "/nowhere/at/all.json"], "cannot write /nowhere/at/all.json"),
        (["--json", "/"], "cannot write /"),
    ],
)
def test_what_would_be_measured_in_vain_is_refused_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], said: str
) -> None:
    monkeypatch.setattr(command, "CACHE", tmp_path)
    with pytest.raises(SystemExit, match=said):
        main(argv)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", ["", ","])
def test_to_measure_nothing_is_refused(capsys: pytest.CaptureFixture[str], names: str) -> None:
    with pytest.raises(SystemExit):
        main(["--only", names])
    assert "it names nothing" in capsys.readouterr().err


def test_less_than_one_round_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for rounds in ("0", "-1", "many"):
        with pytest.raises(SystemExit):
            main([f"--rounds={rounds}"])
        assert "one round is the least" in capsys.readouterr().err


def test_results_are_told_although_they_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "nowhere"
    folder.mkdir()

    def measured(*_: object) -> Results:
        folder.rmdir()
        return Results(machine={"command": "make bench"})

    monkeypatch.setattr(command, "measured", measured)
    monkeypatch.setattr(command, "CACHE", tmp_path)
    assert main(["--json", str(folder / "results.json")]) == 1
    told = capsys.readouterr()
    assert "command: make bench" in told.out
    assert "nowhere" in told.err
