"""What these tests share: where a relay writes its log, and the end of all that they start."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.end_to_end.relays import tagged
from tests.server.peers import PATIENCE_S


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the relay of a test writes its log."""
    return tmp_path / "relay.log"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home in which nothing was configured."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """The directory that a session is about."""
    folder = tmp_path / "workplace"
    folder.mkdir()
    return folder


@pytest.fixture
def tag() -> Iterator[str]:
    """Marks the programs of a test, none of which may be left."""
    own = uuid.uuid4().hex
    yield own
    _, left = psutil.wait_procs(tagged(own), timeout=PATIENCE_S)
    for process in left:
        process.kill()
    assert left == []
