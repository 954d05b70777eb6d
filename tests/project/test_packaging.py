"""The unit files and the container file name what there is, and stop a relay as it wants to be."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from acprelay.cli.parser import build_parser

PACKAGING = Path(__file__).parents[2] / "packaging"
UNITS = sorted((PACKAGING / "systemd").glob("*.service"))
CONTAINER = PACKAGING / "container" / "Containerfile"


def service(unit: Path) -> dict[str, str]:
    parser = RawConfigParser(strict=True, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(unit.read_text())
    return dict(parser["Service"])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_a_relay_with_options_that_there_are(unit: Path) -> None:
    program, *arguments = shlex.split(service(unit)["ExecStart"])
    assert Path(program).name == "acprelay"
    assert build_parser().parse_args(arguments).command == "serve"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_told_when_the_relay_is_ready_and_gives_it_longer_than_its_drain(
    unit: Path,
) -> None:
    settings = service(unit)
    arguments = build_parser().parse_args(shlex.split(settings["ExecStart"])[1:])
    assert (settings["Type"], settings["KillMode"]) == ("notify", "mixed")
    assert float(settings["TimeoutStopSec"]) >= arguments.drain + 20
    assert "MemoryDenyWriteExecute" not in settings


@pytest.mark.process
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_nothing_amiss_in_a_unit(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed here")
    # The program need not be installed where the unit is checked.
    copy = tmp_path / unit.name
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
    copy.write_text(re.sub(r"^User=.*\n", "", text, flags=re.MULTILINE))
    scope = ["--user"] if unit.stem.endswith("-user") else []
    done = subprocess.run(
        [analyze, *scope, "--man=no", "verify", str(copy)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if unit.name in line]
    assert said == []


def instructions() -> dict[str, str]:
    joined = CONTAINER.read_text().replace("\\\n", " ")
    lines = [line.split(None, 1) for line in joined.splitlines() if line[:1].isupper()]
    return {name: rest for name, rest in lines}  # noqa: C416 - the last one of a name counts


def test_the_container_serves_without_root_with_options_that_there_are() -> None:
    found = instructions()
    *runner, program = json.loads(found["ENTRYPOINT"])
    assert (runner, program) == (["tini", "--"], "acprelay")
    assert build_parser().parse_args(json.loads(found["CMD"])).state_dir == found["VOLUME"]
    assert int(found["USER"]) > 0
    assert found["STOPSIGNAL"] == "SIGTERM"
    assert "/healthz" in found["HEALTHCHECK"]


def test_what_the_container_copies_is_there() -> None:
    for line in CONTAINER.read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (PACKAGING.parent / source).exists(), source
