"""What the page on testing shows is run as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.test_library_docs import block_with

from acprelay.testing.certify.checks import CHECKS

pytestmark = pytest.mark.process

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


def blocks(kind: str) -> list[str]:
    found: list[str] = re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    return found


def run(command: str, *, said: bytes = b"", cwd: Path) -> bytes:
    done = subprocess.run(
        command,
        shell=True,
        input=said,
        capture_output=True,
        check=False,
        timeout=100,
        cwd=cwd,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(cwd)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.requirement("embedding.examples-run")
def test_the_demo_agent_is_certified_as_shown(tmp_path: Path) -> None:
    (shown,) = blocks("text")
    assert run(blocks("sh")[0], cwd=tmp_path).decode() == shown


def test_each_check_is_described() -> None:
    described = re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(), flags=re.MULTILINE)
    assert described == list(CHECKS)


@pytest.mark.requirement("embedding.examples-run")
def test_the_test_of_a_client_passes(tmp_path: Path) -> None:
    (tmp_path / "test_client.py").write_text(block_with("testing.md", "ScriptedAgent("))
    output = run("python -m pytest -q -o asyncio_mode=auto test_client.py", cwd=tmp_path)
    assert b"1 passed" in output


def test_what_is_recorded_is_replayed(tmp_path: Path) -> None:
    record, replay = blocks("sh")[1].splitlines()
    asked = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}\n'
    assert run(record, said=asked, cwd=tmp_path) == run(replay, said=asked, cwd=tmp_path) != b""
