"""What starting the demo agent costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

SLOW_TO_IMPORT = {"asyncio", "aiohttp", "msgspec", "pydantic", "psutil", "uvloop", "dataclasses"}


@pytest.mark.parametrize(
    "program",
    [
        "from acprelay.testing.demo_agent import main; main()",
        "from acprelay.cli.main import main; main(['demo-agent'])",
    ],
)
def test_nothing_that_is_slow_to_import_is_imported(program: str) -> None:
    # What measures coverage imports much before the program starts.
    beginning = "import sys; before = set(sys.modules); "
    ending = f"; print(sorted((sys.modules.keys() - before) & {SLOW_TO_IMPORT!r}))"
    ended = subprocess.run(
        [sys.executable, "-c", beginning + program + ending],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout == "[]\n"


@pytest.mark.parametrize(("option", "status"), [("--bogus", 2), ("extra", 2), ("--help", 0)])
def test_it_takes_no_arguments(option: str, status: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "acprelay.testing.demo_agent", option],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == status
    assert "usage: python -m acprelay.testing.demo_agent" in ended.stdout + ended.stderr
