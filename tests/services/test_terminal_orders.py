"""What a `terminal/create` asks for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acprelay.errors import Forbidden, InvalidParams, ServiceError
from acprelay.services.terminal_orders import TerminalOrder, read_order


def order(root: Path, **params: object) -> TerminalOrder:
    """What is made of the params of an agent."""
    raw = json.dumps({"sessionId": "own", **params}).encode()
    return read_order(raw, roots=[str(root)], path="/bin:/usr/bin")


@pytest.mark.parametrize(
    ("asked", "argv"),
    [
        ({"command": "sh"}, ("sh",)),
        ({"command": "no-such-program"}, ("no-such-program",)),
        ({"command": "sh", "args": ["-c", "a | b"]}, ("sh", "-c", "a | b")),
        ({"command": "a b", "args": ["c"]}, ("a b", "c")),
        ({"command": "ls -l"}, ("/bin/sh", "-c", "ls -l")),
        ({"command": "ls|wc", "args": []}, ("/bin/sh", "-c", "ls|wc")),
        ({"command": "echo é", "args": None}, ("/bin/sh", "-c", "echo é")),
        ({"command": "a \0"}, ("a \0",)),
    ],
)
def test_a_command_is_a_program_or_a_line_for_the_shell(
    root: Path, asked: dict[str, object], argv: tuple[str, ...]
) -> None:
    assert order(root, **asked).argv == argv


def test_a_program_with_a_space_in_its_name_is_a_program(root: Path) -> None:
    program = root / "my program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    assert order(root, command=str(program)).argv == (str(program),)
    env = [{"name": "PATH", "value": str(root)}]
    assert order(root, command="my program", env=env).argv == ("my program",)


def test_it_starts_in_the_sessions_directory_or_below(root: Path) -> None:
    (root / "folder").mkdir()
    (root / "link").symlink_to("folder")
    (root / "a").write_text("x")
    (root / "out").symlink_to("..")
    assert order(root, command="a").cwd == order(root, command="a", cwd=None).cwd == root
    assert order(root, command="a", cwd=f"{root}/link").cwd == root / "folder"
    for outside in (root.parent, "/", root / "out"):
        with pytest.raises(Forbidden):
            order(root, command="a", cwd=str(outside))
    for nowhere in (root / "a", root / "none"):
        with pytest.raises(ServiceError, match="it is no directory"):
            order(root, command="a", cwd=str(nowhere))
    with pytest.raises(InvalidParams):
        order(root, command="a", cwd="folder")


def test_the_limit_and_the_variables_are_taken_as_they_are(root: Path) -> None:
    env = [{"name": "A", "value": "="}, {"name": "B", "value": ""}, {"name": "A", "value": "2"}]
    asked = order(root, command="a", env=env, outputByteLimit=7)
    assert asked.env == {"A": "2", "B": ""}
    assert asked.output_bytes == 7
    assert order(root, command="a", outputByteLimit=None).output_bytes is None


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"command": ""},
        {"command": None},
        {"command": "a", "args": "b"},
        {"command": "a", "args": [1]},
        {"command": "a", "env": {"A": "b"}},
        {"command": "a", "env": [{"name": "A"}]},
        {"command": "a", "env": [{"name": "", "value": "x"}]},
        {"command": "a", "env": [{"name": "A=B", "value": "x"}]},
        {"command": "a", "env": [{"name": "ACPRELAY_RUN", "value": "x"}]},
        {"command": "a", "outputByteLimit": -1},
    ],
)
def test_what_cannot_be_meant_is_refused(root: Path, params: dict[str, object]) -> None:
    with pytest.raises(InvalidParams):
        order(root, **params)
