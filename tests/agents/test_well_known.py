"""The table of well-known agents: every entry can be used, and the page for users lists it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from acprelay.agents.environment import child_environment
from acprelay.agents.known_agent import KnownAgent
from acprelay.agents.models import AgentSpec
from acprelay.agents.well_known import WELL_KNOWN

PAGE = Path(__file__).parents[2] / "docs/agents.md"

each_agent = pytest.mark.parametrize("agent", WELL_KNOWN, ids=lambda agent: agent.name)


def test_names_are_in_order_and_nobody_else_has_them() -> None:
    names = [agent.name for agent in WELL_KNOWN]
    assert names == sorted(set(names))
    assert len(names) >= 20
    assert "demo" not in names
    registered = [agent.registry_id for agent in WELL_KNOWN if agent.registry_id]
    assert len(registered) == len(set(registered))


@each_agent
def test_an_entry_says_how_it_is_started_and_how_to_get_it(agent: KnownAgent) -> None:
    commands = list(agent.commands())
    assert commands
    for argv in commands:
        spec = AgentSpec(name=agent.name, argv=argv, env=agent.env, pass_env=agent.variables)
        assert not set(spec.argv[0]) & set("/ ")
    assert agent.title
    assert urlsplit(agent.page).scheme == "https"
    assert agent.page in agent.how_to_get
    assert agent.how_to_log_in.startswith("log in ")


@each_agent
def test_an_entry_that_npx_or_uvx_can_fetch_says_how_to_install_the_same_thing(
    agent: KnownAgent,
) -> None:
    if agent.runner:
        assert agent.runner[0] in ("npx", "uvx")
        assert agent.runner[:2] == ("npx", "--yes") or agent.runner[0] == "uvx"
        words = shlex.split(agent.install)
        assert words[:3] in (["npm", "install", "-g"], ["uv", "tool", "install"])
        assert words[3] in agent.runner


@each_agent
def test_the_variables_of_an_entry_need_to_be_named_and_are_named_once(agent: KnownAgent) -> None:
    assert len(set(agent.variables)) == len(agent.variables)
    unnamed = AgentSpec(name=agent.name, argv=("x",))
    inherited = child_environment(dict.fromkeys(agent.variables, "x"), spec=unnamed, run="1")
    assert not set(inherited) & set(agent.variables)


def test_what_gets_you_in_is_said_as_far_as_it_is_known() -> None:
    told = KnownAgent(
        name="a", title="A", login="a login", credentials=("K", "L"), page="https://a"
    )
    assert told.how_to_log_in == "log in with a login, or set K or L"
    untold = KnownAgent(name="a", title="A", page="https://a")
    assert untold.how_to_log_in == "log in as https://a says"
    assert untold.how_to_get == "see https://a"


def row(agent: KnownAgent) -> str:
    command = shlex.join(next(agent.commands()))
    variables = ", ".join(f"`{name}`" for name in agent.variables)
    install = f"`{agent.install}`" if agent.install else "see its page"
    cells = (
        f"`{agent.name}`",
        f"[{agent.title}]({agent.page})",
        f"`{command}`",
        install,
        variables,
    )
    escaped = [cell.replace("|", r"\|") for cell in cells]  # else it would end the cell
    return " ".join(f"| {' | '.join(escaped)} |".split())


@pytest.mark.requirement("catalog.page-lists-every-agent")
def test_the_page_for_users_has_a_row_for_every_entry_and_for_nothing_else() -> None:
    rows = re.findall(r"^\| `.*$", PAGE.read_text(), flags=re.MULTILINE)
    assert rows == list(map(row, WELL_KNOWN))
