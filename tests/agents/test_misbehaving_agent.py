"""The public program that misbehaves, used by hand."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.process


def run(*steps: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "acprelay.testing.misbehaving_agent", *steps]
    return subprocess.run(command, input=b"one\ntwo", capture_output=True, timeout=30, check=False)


@pytest.mark.parametrize("steps", [(), ("--help",), ("say=1", "--help")])
def test_its_usage_is_told(steps: tuple[str, ...]) -> None:
    result = run(*steps)
    assert result.returncode == 0
    assert result.stdout.startswith(b"usage: ")


@pytest.mark.parametrize("step", ["dance", "die=SIGNONE"])
def test_an_unknown_step_is_refused(step: str) -> None:
    result = run(step)
    assert result.returncode == 2
    assert result.stderr.startswith(b"cannot take the step '")


def test_telling_nobody_is_refused() -> None:
    assert b"take the step hold=PATH first" in run("tell=x").stderr


def test_steps_are_taken_in_order() -> None:
    result = run("say=a", "lines=2", "echo", "complain=c", "huge-line=5", "exit=4", "say=never")
    assert result.stdout == b'a\n{"line":0}\n{"line":1}\none\ntwo"xxx"\n'
    assert result.stderr == b"c\n"
    assert result.returncode == 4
