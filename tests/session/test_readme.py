"""The README of the package tells the truth."""

import re
from pathlib import Path

import pytest

import acprelay.session

README = Path(acprelay.session.__file__).with_name("README.md")


def _block(language: str) -> str:
    [block] = re.findall(
        rf"^```{language}\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE
    )
    return str(block)


def test_the_lifecycle_in_the_readme_runs_and_prints_what_it_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = compile(_block("python"), str(README), "exec")
    exec(program, {"__name__": "readme"})
    assert capsys.readouterr().out == _block("text")


def test_every_method_of_the_manager_that_changes_a_session_is_in_the_readme() -> None:
    text = README.read_text()
    lifecycle = acprelay.session.SessionLifecycle
    methods = [name for name in vars(lifecycle) if not name.startswith("_")]
    assert len(methods) == 7
    assert [name for name in methods if f"| `{name}` |" not in text] == []
