"""Reads what the project promises, and what its tests claim to prove; runs none of them.

Claims are read from the source of the tests, so that a test that this machine cannot run counts all
the same. What a promise means, and whether a test really proves it, is for people to judge.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MARK = "requirement"
NEVER_RUN = {"skip", "xfail"}


class Requirements(NamedTuple):
    """The page of requirements, as it was read."""

    promises: dict[str, str]
    """What each id promises."""
    later: dict[str, str]
    """Why an id has no test yet."""
    flaws: list[str]


class Claims(NamedTuple):
    """What the tests of a tree say that they prove."""

    tests: dict[str, list[str]]
    """The tests that claim an id."""
    flaws: list[str]


def read_requirements(page: Path) -> Requirements:
    sections = tomllib.loads(page.read_text(encoding="utf-8"))
    groups = sections.pop("later", [])
    promises = {
        f"{section}.{slug}": promise
        for section, entries in sections.items()
        for slug, promise in entries.items()
    }
    postponed = [(name, group["reason"]) for group in groups for name in group["ids"]]
    flaws = [
        f"{name!r} cannot be an id: a section and a slug, lower case"
        for name in promises
        if not re.fullmatch(r"[a-z]+\.[a-z0-9]+(-[a-z0-9]+)*", name)
    ]
    flaws += [
        f"{name} promises nothing: it needs one sentence"
        for name, promise in promises.items()
        if not re.fullmatch(r"\S.{20,}\.", promise)
    ]
    flaws += [
        f"{name} is kept for later and stands nowhere"
        for name, _ in postponed
        if name not in promises
    ]
    flaws += [f"{name} is kept for later without a reason" for name, why in postponed if not why]
    names = [name for name, _ in postponed]
    flaws += [f"{name} is kept for later twice" for name in set(names) if names.count(name) > 1]
    return Requirements(promises, dict(postponed), flaws)


def read_claims(tree: Path) -> Claims:
    """Reads the marks of every test module below a folder."""
    tests: dict[str, list[str]] = defaultdict(list)
    flaws: list[str] = []
    for path in sorted(tree.rglob("*.py")):
        module = Module(path.relative_to(tree).as_posix(), path.read_text(encoding="utf-8"))
        for name, test in module.claims():
            tests[name].append(test)
        flaws += module.flaws()
    return Claims(dict(tests), flaws)


class Module:
    """One module of tests.

    A mark counts where pytest applies it: on a test, on one of a test's parameters, on a class, in
    the `pytestmark` of a class or of the module. One that stands elsewhere, or whose ids are
    computed, is a flaw, as is one on a test that never runs.
    """

    def __init__(self, name: str, source: str) -> None:
        self._name = name
        self._tree = ast.parse(source, filename=name)
        self._read: set[ast.Attribute] = set()
        self._idle: list[str] = []

    def claims(self) -> Iterator[tuple[str, str]]:
        """Yields ids, each with a test that claims it."""
        if Path(self._name).name.startswith("test_"):
            yield from self._claims_of(self._tree.body, where=self._name, inherited=[])

    def flaws(self) -> list[str]:
        """Says what is wrong with the marks, once the claims have been taken."""
        marks = {
            node
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Attribute)
            and node.attr == MARK
            and last_name(node.value) == "mark"
        }
        lost = sorted(node.lineno for node in marks - self._read)
        return [f"{self._name}:{line} has a claim that is no test's" for line in lost] + self._idle

    def _claims_of(
        self, body: list[ast.stmt], *, where: str, inherited: list[ast.expr]
    ) -> Iterator[tuple[str, str]]:
        marks = inherited + [mark for node in body for mark in marks_for_all(node)]
        for node in body:
            name = name_of_test(node)
            if name is None:
                continue
            test = f"{where}::{name}"
            own = marks + decorators(node)
            if isinstance(node, ast.ClassDef):
                yield from self._claims_of(node.body, where=test, inherited=own)
                continue
            claimed = [name for mark in own for name in self._ids(mark)]
            if claimed and any(names_of_marks(mark) & NEVER_RUN for mark in own):
                self._idle.append(f"{test} proves nothing: it never runs")
                continue
            yield from ((name, test) for name in claimed)

    def _ids(self, mark: ast.expr) -> Iterator[str]:
        for node in ast.walk(mark):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                written = [a.value for a in node.args if isinstance(a, ast.Constant)]
                names = [value for value in written if isinstance(value, str)]
                is_plain = len(names) == len(node.args) > 0 and not node.keywords
                if node.func.attr == MARK and last_name(node.func.value) == "mark" and is_plain:
                    self._read.add(node.func)
                    yield from names


def name_of_test(node: ast.stmt) -> str | None:
    """Gives the name under which pytest would collect a statement; None if it would not."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name if node.name.startswith("test") else None
    if isinstance(node, ast.ClassDef):
        return node.name if node.name.startswith("Test") else None
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        # A test case that hypothesis makes of a stateful machine.
        is_case = any(last_name(part) == "TestCase" for part in ast.walk(node.value))
        return node.targets[0].id if is_case and node.targets[0].id.startswith("Test") else None
    return None


def marks_for_all(node: ast.stmt) -> list[ast.expr]:
    is_marks = isinstance(node, ast.Assign) and [last_name(t) for t in node.targets] == [
        "pytestmark"
    ]
    return [node.value] if isinstance(node, ast.Assign) and is_marks else []


def decorators(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.decorator_list
    return [node.value] if isinstance(node, ast.Assign) else []


def names_of_marks(mark: ast.expr) -> set[str]:
    """Gives the marks of a decorator, or of a `pytestmark`, that are for every parameter."""
    outer = mark.elts if isinstance(mark, ast.List | ast.Tuple) else [mark]
    return {last_name(part.func if isinstance(part, ast.Call) else part) for part in outer}


def last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def disagreements(requirements: Requirements, claims: Claims) -> list[str]:
    """Says where promises and claims do not meet."""
    found = [*requirements.flaws, *claims.flaws]
    for name in requirements.promises:
        tests = claims.tests.get(name, [])
        if name in requirements.later and tests:
            found.append(f"{name} is kept for later but {tests[0]} claims it")
        if name not in requirements.later and not tests:
            found.append(f"{name} has no test")
    unknown = sorted(claims.tests.keys() - requirements.promises.keys())
    found += [f"{claims.tests[name][0]} claims {name}, which is no requirement" for name in unknown]
    return found
