"""What a machine has of an agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from acprelay.agents.detection import (
    Availability,
    Detection,
    detect,
    detect_command,
    installed,
)
from acprelay.agents.known_agent import KnownAgent
from acprelay.agents.models import AgentSpec

READY, RUNNABLE, MISSING = Availability.READY, Availability.RUNNABLE, Availability.MISSING

AGENT = KnownAgent(
    name="robo",
    title="Robo",
    programs=("robo-acp", "robo"),
    args=("--acp",),
    runner=("npx", "--yes", "@robo/acp"),
    credentials=("ROBO_KEY", "ROBO_TOKEN"),
    page="https://robo.example",
)
ADAPTER = KnownAgent(
    name="ada",
    title="Ada",
    programs=("ada-acp",),
    runner=("uvx", "ada-acp"),
    needs=("ada", "git"),
    page="https://ada.example",
)
FETCHED = KnownAgent(
    name="f", title="F", runner=("npx", "--yes", "f"), args=("acp",), page="https://f.example"
)
ALONE = KnownAgent(name="b", title="B", programs=("b",), page="https://b.example")


@pytest.mark.requirement("catalog.says-what-is-missing")
@pytest.mark.parametrize(
    ("agent", "there", "availability", "argv", "missing"),
    [
        (AGENT, "robo-acp robo npx", READY, "robo-acp --acp", []),
        (AGENT, "robo npx", READY, "robo --acp", []),
        (AGENT, "npx", RUNNABLE, "npx --yes @robo/acp --acp", []),
        (AGENT, "", MISSING, "robo-acp --acp", ["robo-acp or robo or npx"]),
        (ADAPTER, "ada-acp ada git", READY, "ada-acp", []),
        (ADAPTER, "uvx ada git", RUNNABLE, "uvx ada-acp", []),
        (ADAPTER, "ada-acp git", MISSING, "ada-acp", ["ada"]),
        (ADAPTER, "uvx", MISSING, "uvx ada-acp", ["ada", "git"]),
        (ADAPTER, "git", MISSING, "ada-acp", ["ada-acp or uvx", "ada"]),
        (FETCHED, "npx f", RUNNABLE, "npx --yes f acp", []),
        (FETCHED, "f", MISSING, "npx --yes f acp", ["npx"]),
        (ALONE, "b", READY, "b", []),
        (ALONE, "npx", MISSING, "b", ["b"]),
    ],
)
def test_an_agent_is_ready_runnable_or_missing(
    agent: KnownAgent, there: str, availability: Availability, argv: str, missing: list[str]
) -> None:
    found = detect(agent, is_installed=there.split().__contains__, environment={})
    assert (found.availability, found.argv) == (availability, tuple(argv.split()))
    assert found.missing == tuple(missing)


@pytest.mark.parametrize(
    ("environment", "unset"),
    [
        ({}, ("ROBO_KEY", "ROBO_TOKEN")),
        ({"ROBO_KEY": ""}, ("ROBO_KEY", "ROBO_TOKEN")),
        ({"ROBO_TOKEN": "x"}, ()),
        ({"ROBO_KEY": "x", "ROBO_TOKEN": "y"}, ()),
    ],
)
def test_one_variable_that_is_set_is_enough(
    environment: dict[str, str], unset: tuple[str, ...]
) -> None:
    found = detect(AGENT, is_installed={"npx"}.__contains__, environment=environment)
    assert found.unset == unset


def test_of_a_command_only_its_program_is_looked_for() -> None:
    spec = AgentSpec(name="mine", argv=("mine", "--acp"))
    assert detect_command(spec, is_installed={"mine"}.__contains__) == Detection(
        availability=READY, argv=("mine", "--acp")
    )
    assert detect_command(spec, is_installed={"other"}.__contains__) == Detection(
        availability=MISSING, argv=("mine", "--acp"), missing=("mine",)
    )


def test_a_program_is_looked_for_where_the_start_of_an_agent_does(tmp_path: Path) -> None:
    program = tmp_path / "robo"
    program.write_text("#!/bin/sh\n")
    is_installed = installed({"PATH": str(tmp_path)})
    assert not is_installed("robo")  # it may not be executed
    program.chmod(0o755)
    assert is_installed("robo")
    assert is_installed(str(program))
    assert not is_installed("sh")
    assert not installed({"PATH": ""})("robo")
    assert installed({})("sh")
