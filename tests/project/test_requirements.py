"""The requirements and the tests that claim them agree; that they do not would be found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.project.requirements import disagreements, read_claims, read_requirements

PROJECT = Path(__file__).parents[2]


def test_every_requirement_has_a_test_and_every_claim_a_requirement() -> None:
    requirements = read_requirements(PROJECT / "tests/requirements.toml")
    found = disagreements(requirements, read_claims(PROJECT / "tests"))
    assert not found, "\n".join(["", *found])


class Tree:
    """A made-up project: a page of requirements and modules that claim them."""

    def __init__(self, folder: Path) -> None:
        self.tests = folder / "tests"
        self.tests.mkdir()
        self._page = folder / "requirements.toml"
        self.require('[turns]\nend = "A turn that begins also ends."')

    def require(self, page: str) -> None:
        self._page.write_text(page)

    def test(self, source: str, name: str = "test_it.py") -> None:
        path = self.tests / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"import pytest\n{source}\n")

    def disagreements(self) -> list[str]:
        return disagreements(read_requirements(self._page), read_claims(self.tests))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


ON_A_TEST = "@pytest.mark.requirement('turns.end')\ndef test_x(): ..."
ON_A_COROUTINE = "@pytest.mark.requirement('turns.end')\nasync def test_x(): ..."
AMONG_OTHER_IDS = "@pytest.mark.requirement('turns.end', 'turns.end')\ndef test_x(): ..."
ON_A_CLASS = "@pytest.mark.requirement('turns.end')\nclass TestX:\n    def test_x(self): ..."
IN_A_CLASS = "class TestX:\n    @pytest.mark.requirement('turns.end')\n    def test_x(self): ..."
OF_A_CLASS = (
    "class TestX:\n    pytestmark = pytest.mark.requirement('turns.end')\n    def test_x(self): ..."
)
OF_A_MODULE = "pytestmark = pytest.mark.requirement('turns.end')\ndef test_x(): ..."
AMONG_OTHERS_OF_A_MODULE = (
    "pytestmark = [pytest.mark.process, pytest.mark.requirement('turns.end')]\ndef test_x(): ..."
)
ON_A_PARAMETER = (
    "@pytest.mark.parametrize('x', [1,"
    " pytest.param(2, marks=pytest.mark.requirement('turns.end'))])\n"
    "def test_x(x): ..."
)
BESIDE_A_SKIPPED_PARAMETER = (
    "@pytest.mark.requirement('turns.end')\n"
    "@pytest.mark.parametrize('x', [1, pytest.param(2, marks=pytest.mark.skip)])\n"
    "def test_x(x): ..."
)
ON_A_MACHINE = (
    "import unittest\nclass Machine:\n    class TestCase(unittest.TestCase):\n"
    "        def test_x(self): ...\n"
    "TestX = pytest.mark.requirement('turns.end')(Machine.TestCase)"
)
CLAIMS = [
    ON_A_TEST,
    ON_A_COROUTINE,
    AMONG_OTHER_IDS,
    ON_A_CLASS,
    IN_A_CLASS,
    OF_A_CLASS,
    OF_A_MODULE,
    AMONG_OTHERS_OF_A_MODULE,
    ON_A_PARAMETER,
    BESIDE_A_SKIPPED_PARAMETER,
    ON_A_MACHINE,
]


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_requirement_that_a_test_claims_is_proven(tree: Tree, claim: str) -> None:
    tree.test(claim, name="turns/test_it.py")
    assert tree.disagreements() == []


COLLECTOR = """
import json, pathlib
def pytest_configure(config):
    config.addinivalue_line("markers", "requirement")
    config.addinivalue_line("markers", "process")
def pytest_collection_modifyitems(items):
    names = [n for i in items for m in i.iter_markers("requirement") for n in m.args]
    pathlib.Path("collected.json").write_text(json.dumps(names))
"""


@pytest.mark.process
def test_what_is_read_is_what_pytest_collects(tree: Tree, tmp_path: Path) -> None:
    for number, claim in enumerate(CLAIMS):
        tree.test(claim.replace("turns.end", f"turns.end-{number}"), name=f"test_{number}.py")
    (tmp_path / "collector.py").write_text(COLLECTOR)
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "collector", "tests"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # what is installed takes most of the time
    }
    done = subprocess.run(
        [*command, "--rootdir=.", "--config-file=/dev/null", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    collected = json.loads((tmp_path / "collected.json").read_text())
    assert set(read_claims(tree.tests).tests) == set(collected)
    assert len(set(collected)) == len(CLAIMS)


def test_a_requirement_without_a_test_is_found(tree: Tree) -> None:
    tree.test("def test_x(): ...")
    assert tree.disagreements() == ["turns.end has no test"]


def test_a_claim_to_what_is_no_requirement_is_found(tree: Tree) -> None:
    tree.test(f"{ON_A_TEST}\n@pytest.mark.requirement('turns.begin')\ndef test_y(): ...")
    assert tree.disagreements() == [
        "test_it.py::test_y claims turns.begin, which is no requirement"
    ]


LATER = '[turns]\nend = "A turn that begins also ends."\n[[later]]\nreason = "no turns yet"\n'


def test_a_requirement_kept_for_later_needs_no_test(tree: Tree) -> None:
    tree.require(f'{LATER}ids = ["turns.end"]')
    assert tree.disagreements() == []


def test_a_requirement_kept_for_later_that_has_a_test_is_found(tree: Tree) -> None:
    tree.require(f'{LATER}ids = ["turns.end"]')
    tree.test(ON_A_TEST)
    assert tree.disagreements() == ["turns.end is kept for later but test_it.py::test_x claims it"]


@pytest.mark.parametrize(
    ("page", "flaw"),
    [
        (f'{LATER}ids = ["turns.end", "turns.begin"]', "turns.begin is kept for later and stands"),
        (f'{LATER}ids = ["turns.end", "turns.end"]', "turns.end is kept for later twice"),
        (
            f'{LATER}ids = ["turns.end"]'.replace("no turns yet", ""),
            "turns.end is kept for later without a reason",
        ),
        ('[turns]\nEnd = "A turn that begins also ends."', "'turns.End' cannot be an id"),
        ('[turns]\nend = "It ends"', "turns.end promises nothing"),
    ],
)
def test_a_page_that_makes_no_sense_is_found(tree: Tree, page: str, flaw: str) -> None:
    tree.require(page)
    tree.test(ON_A_TEST.replace("turns.end", "turns.End") if "End =" in page else "")
    assert [found for found in tree.disagreements() if found.startswith(flaw)]


@pytest.mark.parametrize(
    ("source", "flaw"),
    [
        (f"{ON_A_TEST}\n@pytest.mark.requirement('turns.end')\ndef helper(): ...", "test_it.py:4 "),
        (f"{ON_A_TEST}\nclaim = pytest.mark.requirement('turns.end')", "test_it.py:4 "),
        (f"{ON_A_TEST}\n@pytest.mark.requirement(NAME)\ndef test_y(): ...", "test_it.py:4 "),
        (f"{ON_A_TEST}\n@pytest.mark.requirement\ndef test_y(): ...", "test_it.py:4 "),
        (f"{ON_A_TEST}\n@pytest.mark.requirement()\ndef test_y(): ...", "test_it.py:4 "),
        (
            f"{ON_A_TEST}\n@pytest.mark.skip(reason='no')\n"
            "@pytest.mark.requirement('turns.end')\ndef test_y(): ...",
            "test_it.py::test_y proves nothing",
        ),
        (
            f"{ON_A_TEST}\nclass TestY:\n    pytestmark = [pytest.mark.xfail]\n"
            "    @pytest.mark.requirement('turns.end')\n    def test_y(self): ...",
            "test_it.py::TestY::test_y proves nothing",
        ),
    ],
)
def test_a_claim_that_proves_nothing_is_found(tree: Tree, source: str, flaw: str) -> None:
    tree.test(source)
    found = tree.disagreements()
    assert len(found) == 1
    assert found[0].startswith(flaw)


def test_a_claim_outside_the_test_modules_is_found(tree: Tree) -> None:
    tree.test(ON_A_TEST)
    tree.test(ON_A_TEST, name="helpers.py")
    assert tree.disagreements() == ["helpers.py:2 has a claim that is no test's"]
