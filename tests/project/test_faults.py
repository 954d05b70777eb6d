"""The page on reliability and the tests of faults agree; that they do not would be found."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.project.faults import COLUMNS, disagreements, read_table

PROJECT = Path(__file__).parents[2]

HEAD = f"| {' | '.join(COLUMNS)} |\n|---|---|---|---|\n"
SOUND = f"{HEAD}| it is cut | it goes on | `cut`; nothing | `fault/test_it.py::test_it_is_cut` |\n"
OF_SOMETHING_ELSE = "| name | what |\n|---|---|\n| a | b |\n"
TEST = "def test_it_is_cut(): ..."


def test_each_fault_of_the_page_has_its_tests_and_each_test_of_a_fault_its_row() -> None:
    page = PROJECT / "docs/reliability.md"
    assert read_table(page).rows
    found = disagreements(page, PROJECT / "tests")
    assert not found, "\n".join(["", *found])


class Tree:
    """A made-up page, and the tests of its faults."""

    def __init__(self, folder: Path) -> None:
        self._page = folder / "page.md"
        self._tests = folder / "tests"
        (self._tests / "fault").mkdir(parents=True)

    def disagreements(self, *, page: str = SOUND, source: str = TEST) -> list[str]:
        self._page.write_text(page)
        (self._tests / "fault/test_it.py").write_text(source)
        return disagreements(self._page, self._tests)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.mark.parametrize("source", [TEST, f"async {TEST}", f"import os\n@os.any\n{TEST}"])
@pytest.mark.parametrize("page", [SOUND, f"{OF_SOMETHING_ELSE}\ntext\n\n{SOUND}\n| no | more |"])
def test_a_fault_and_its_test_agree(tree: Tree, page: str, source: str) -> None:
    assert tree.disagreements(page=page, source=source) == []


def test_a_test_that_stands_nowhere_is_found(tree: Tree) -> None:
    assert tree.disagreements(source=f"{TEST}\ndef test_more(): ...") == [
        "fault/test_it.py::test_more stands in no table"
    ]


def test_a_test_that_a_table_of_something_else_names_stands_nowhere(tree: Tree) -> None:
    page = SOUND.replace(COLUMNS[0], "what")
    assert tree.disagreements(page=page) == ["fault/test_it.py::test_it_is_cut stands in no table"]


@pytest.mark.parametrize(
    ("page", "source"),
    [
        (SOUND, "def it_is_cut(): ..."),
        (SOUND, "def helper():\n    def test_it_is_cut(): ..."),
        (f"{SOUND}{SOUND.splitlines()[-1]}".replace("test_it.py", "test_other.py"), ""),
    ],
)
def test_a_test_that_does_not_exist_is_found(tree: Tree, page: str, source: str) -> None:
    found = tree.disagreements(page=page, source=source)
    assert found
    assert all("which there is not" in flaw for flaw in found)


@pytest.mark.parametrize("mark", ["pytest.mark.skip(reason='no')", "pytest.mark.xfail"])
def test_a_test_that_never_runs_shows_nothing(tree: Tree, mark: str) -> None:
    (flaw,) = tree.disagreements(source=f"import pytest\n@{mark}\n{TEST}")
    assert "which never runs" in flaw


def test_a_fault_without_a_test_is_found(tree: Tree) -> None:
    page = f"{SOUND}| another | it goes on | nothing | |\n"
    assert "'another' is shown by no test" in tree.disagreements(page=page)


def test_a_fault_of_which_a_cell_is_missing_is_found(tree: Tree) -> None:
    page = SOUND.replace("| `cut`; nothing ", "")
    assert tree.disagreements(page=page) == ["'it is cut' has not its 4 cells"]
