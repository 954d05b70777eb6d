"""What these tests share: a relay as a program whose state outlives it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Fails a test that leaves a process of its own behind."""
    before = set(psutil.Process().children())
    yield
    assert set(psutil.Process().children()) - before == set()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a relay that a test starts writes its log."""
    return tmp_path / "relay.log"
