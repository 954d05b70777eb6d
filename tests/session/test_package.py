"""The package stays pure: what it imports, and what it offers."""

import ast
from pathlib import Path

import pytest

import acprelay.session

PACKAGE = Path(acprelay.session.__file__).parent
MODULES = sorted(PACKAGE.glob("*.py"))
MAY_USE_ASYNCIO = {"manager.py"}
WORLDLY = {
    "aiohttp",
    "datetime",
    "multiprocessing",
    "os",
    "random",
    "secrets",
    "signal",
    "socket",
    "subprocess",
    "time",
    "uuid",
}


def _imports(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_a_module_imports_no_clock_no_chance_and_no_world(module: Path) -> None:
    roots = {name.partition(".")[0] for name in _imports(module)}
    assert roots & WORLDLY == set()
    assert "asyncio" not in roots or module.name in MAY_USE_ASYNCIO


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_a_module_knows_nothing_of_the_relay_but_its_errors(module: Path) -> None:
    ours = {name for name in _imports(module) if name.partition(".")[0] == "acprelay"}
    strangers = {
        name
        for name in ours
        if name != "acprelay.errors" and not f"{name}.".startswith("acprelay.session.")
    }
    assert strangers == set()


def test_everything_the_package_offers_is_there() -> None:
    assert acprelay.session.__all__ == sorted(acprelay.session.__all__, key=_sorted_by_kind)
    assert all(hasattr(acprelay.session, name) for name in acprelay.session.__all__)


def _sorted_by_kind(name: str) -> tuple[int, str]:
    """Constants first, then classes, then functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)
