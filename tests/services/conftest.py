"""What these tests share: a session's directory, and requests in the words of ACP."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from acprelay.services.confinement import resolve
from acprelay.services.text_files import TextFiles

NOBODY = 65_534
PATIENCE_S = 30.0


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Runs every asynchronous test here on both loops."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Files:
    """Asks for files as an agent does.

    Args:
        roots: The session's directories.
        most_bytes: How much may be read at once.
    """

    def __init__(self, *roots: Path, most_bytes: int = 1 << 20) -> None:
        self._roots = [resolve(str(root)) for root in roots]
        self._files = TextFiles(most_bytes=most_bytes)
        self.is_wanted = True

    def ask(self, method: str, **params: object) -> Any:
        """Serves a request; gives its result."""
        raw = json.dumps(params).encode()
        result = self._files.serve(method, raw, roots=self._roots, is_wanted=lambda: self.is_wanted)
        return json.loads(result)

    def read(self, path: Path | str, **params: object) -> str:
        content = self.ask("fs/read_text_file", path=str(path), **params)["content"]
        assert isinstance(content, str)
        return content

    def write(self, path: Path | str, content: str) -> None:
        assert self.ask("fs/write_text_file", path=str(path), content=content) == {}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory beside those of the session."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    return tmp_path


@pytest.fixture
def root(place: Path) -> Path:
    """The session's directory."""
    (place / "root").mkdir()
    return place / "root"


@pytest.fixture
def files(root: Path) -> Files:
    return Files(root)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Lets the system's permissions hold, also where root runs these tests."""
    is_root = os.geteuid() == 0
    if is_root:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
            os.setegid(0)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that somebody without rights owns."""
    with tempfile.TemporaryDirectory(prefix="acprelay-test-") as folder:
        place = Path(folder)
        if os.geteuid() == 0:
            os.chown(place, NOBODY, NOBODY)
        yield place


def tree(folder: Path) -> dict[str, str]:
    """Every file below a directory, with what it holds; directories and links end so."""
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[f"{name}@"] = str(path.readlink())
        elif path.is_dir():
            found[f"{name}/"] = ""
        else:
            found[name] = path.read_text()
    return found
