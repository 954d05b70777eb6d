"""What the installed program does before a command has the signals."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

_RUN = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sys.argv = ["acprelay", "agents", "--no-config"]
signal.signal(signal.SIGINT, signal.{before})
from acprelay.cli.entry import main
sys.exit(main())
"""


def started(*, module: str, before: str) -> subprocess.CompletedProcess[bytes]:
    """Runs a command; when it imports a module, Ctrl-C comes."""
    return subprocess.run(
        [sys.executable, "-c", _RUN.format(module=module, before=before)],
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.mark.process
@pytest.mark.parametrize(
    "module", ["acprelay.cli.main", "acprelay.cli.parser", "acprelay.cli.agents", "msgspec"]
)
def test_ctrl_c_while_it_is_imported_ends_it_without_a_word(module: str) -> None:
    ended = started(module=module, before="default_int_handler")
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, b"", b"")


@pytest.mark.process
def test_ctrl_c_that_is_ignored_stays_ignored() -> None:
    ended = started(module="acprelay.cli.main", before="SIG_IGN")
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.process
def test_a_command_that_runs_has_ctrl_c_as_an_exception() -> None:
    code = """
import os, signal, sys
from acprelay.cli import agents
from acprelay.cli.entry import main
def command(_):
    os.kill(os.getpid(), signal.SIGINT)
    raise AssertionError
agents.command = command
sys.argv = ["acprelay", "agents"]
sys.exit(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (130, b"")
