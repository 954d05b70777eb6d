"""The import contracts: they hold, and each can be broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

pytestmark = pytest.mark.process


class Tree:
    """A copy of the source, to plant imports in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / "src", folder / "src", ignore=ignored)
        shutil.copy(PROJECT / ".importlinter", folder)

    def plant(self, where: str, line: str) -> None:
        module = self._folder / "src/acprelay" / where
        with module.open("a", encoding="utf-8") as source:
            source.write(f"\n{line}\n")

    def check(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": str(self._folder / "src"), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def broken(self) -> list[str]:
        """The names of the contracts that the tree breaks."""
        parted = [line.partition(" BROKEN") for line in self.check().stdout.splitlines()]
        return [name for name, broken, _ in parted if broken]


LAYERS = "Every module has its layer and imports only what lies below"
PURE = "The core is pure: no event loop, no socket, no process, no clock"
SERVER_SIDE = "The clients' side does not know the agents' side"
AGENT_SIDE = "The agents' side does not know the clients' side"
PORTS = "The server reaches no concrete session manager, store or registry"
ROOT_SESSIONS = "Only the composition root chooses a session manager, store and registry"
ROOT_AGENTS = "Only the composition root chooses how agents are started"
CLIENT = "The client stands by itself"
DOUBLES = "Only the command that runs the demo agent uses the doubles"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_the_source_keeps_every_contract(tree: Tree) -> None:
    done = tree.check()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("where", "line", "contract"),
    [
        ("errors.py", "import acprelay.error_mapping", LAYERS),
        ("wire/__init__.py", "import acprelay.session.models", LAYERS),
        ("session/models.py", "import acprelay.wire", LAYERS),
        ("session/models.py", "import acprelay.error_mapping", LAYERS),
        ("routing/__init__.py", "import acprelay.agents.ports", LAYERS),
        ("runtime/__init__.py", "import acprelay.server", LAYERS),
        ("compose/relay.py", "import acprelay.cli", LAYERS),
        ("wire/__init__.py", "import asyncio", PURE),
        ("wire/__init__.py", "import time", PURE),
        ("routing/__init__.py", "from socket import socket", PURE),
        ("routing/__init__.py", "import aiohttp", PURE),
        ("session/state_machine.py", "import subprocess", PURE),
        ("session/models.py", "from time import monotonic", PURE),
        ("session/ports.py", "import asyncio", PURE),
        ("session/manager.py", "import time", PURE),
        ("server/__init__.py", "import acprelay.agents.ports", SERVER_SIDE),
        ("agents/__init__.py", "import acprelay.server", AGENT_SIDE),
        ("server/__init__.py", "import acprelay.session.manager", PORTS),
        ("server/__init__.py", "from acprelay.session.store_memory import MemoryStore", PORTS),
        ("server/__init__.py", "import acprelay.session.registry_memory", PORTS),
        ("server/__init__.py", "from acprelay.session import LifecycleManager", PORTS),
        ("runtime/__init__.py", "import acprelay.session.manager", ROOT_SESSIONS),
        ("runtime/__init__.py", "from acprelay.session import MemoryStore", ROOT_SESSIONS),
        ("cli/__init__.py", "import acprelay.session.store_memory", ROOT_SESSIONS),
        ("runtime/__init__.py", "from acprelay.agents.stdio import StdioAgent", ROOT_AGENTS),
        ("cli/__init__.py", "from acprelay.agents import StdioLauncher", ROOT_AGENTS),
        ("client/__init__.py", "import acprelay.wire", CLIENT),
        ("client/__init__.py", "import acprelay.session.models", CLIENT),
        ("client/__init__.py", "import acprelay.compose", LAYERS),
        ("server/__init__.py", "import acprelay.client", LAYERS),
        ("compose/relay.py", "import acprelay.testing", DOUBLES),
        ("runtime/__init__.py", "import acprelay.testing", DOUBLES),
    ],
)
def test_a_planted_import_breaks_its_contract(
    tree: Tree, where: str, line: str, contract: str
) -> None:
    tree.plant(where, line)
    assert contract in tree.broken()


def test_the_server_may_not_reach_the_manager_through_a_module_between(tree: Tree) -> None:
    tree.plant("config.py", "from acprelay.session import LifecycleManager")
    assert PORTS in tree.broken()


def test_a_module_without_a_layer_is_found(tree: Tree) -> None:
    tree.plant("newcomer.py", "")
    done = tree.check()
    assert done.returncode != 0
    assert "newcomer" in done.stdout + done.stderr
