"""The lock: what it pins, and what it keeps silent about."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = Path(__file__).parents[2]


class Pin(NamedTuple):
    version: Version
    hashes: int


def pins() -> dict[str, Pin]:
    text = (PROJECT / "requirements.lock").read_text()
    entries = text.replace("\\\n", " ").splitlines()
    pinned: dict[str, Pin] = {}
    for entry in entries:
        match = re.match(r"([\w.-]+)==([^\s;]+)", entry)
        assert match, f"not a pin: {entry[:80]}"
        name, version = match.groups()
        pinned[canonicalize_name(name)] = Pin(Version(version), entry.count("--hash=sha256:"))
    return pinned


def direct_requirements() -> list[str]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    return [
        *project["project"]["dependencies"],
        *project["dependency-groups"]["dev"],
        *project["build-system"]["requires"],
    ]


@pytest.mark.parametrize("requirement", direct_requirements())
def test_the_lock_satisfies_what_the_project_requires(requirement: str) -> None:
    wanted = Requirement(requirement)
    pin = pins().get(canonicalize_name(wanted.name))
    assert pin, f"{wanted.name} is not locked: run make lock"
    assert wanted.specifier.contains(pin.version, prereleases=True), "run make lock"


def test_every_locked_package_is_checked_by_its_hash() -> None:
    assert [name for name, pin in pins().items() if not pin.hashes] == []


def test_the_lock_leaves_the_place_of_download_to_the_installer() -> None:
    text = (PROJECT / "requirements.lock").read_text()
    assert not re.search(r"://|^-", text, flags=re.MULTILINE)


def own_files() -> Iterator[Path]:
    """Yields the project's files: no environment, no cache, nothing that was built."""
    for folder, subfolders, names in os.walk(PROJECT):
        subfolders[:] = [
            name
            for name in subfolders
            if name == ".ci" or not name.startswith((".", "__", "dist", "build"))
        ]
        yield from (Path(folder) / name for name in names if not name.startswith(".coverage"))


def test_no_file_names_a_package_index() -> None:
    index = re.compile(rb"(?:pypi|pythonhosted|npmjs)\.(?:org|com)")
    files = list(own_files())
    assert PROJECT / "Makefile" in files
    assert [str(path) for path in files if index.search(path.read_bytes())] == []
