"""acplint, a judge of agents that others have made: it finds nothing new where a relay is between.

Version 0.1.0 itself is wrong about the protocol in some things: it asks for the version "1", as
text, and wants it back so. What it holds against an agent for that, it holds against a relay.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.end_to_end.relays import SDK_EXAMPLES, RelayProcess
from tests.third_party.programs import ACPLINT, ACPRELAY, acplint, needs

from acprelay.agents.models import AgentSpec
from acprelay.compose import DEMO_AGENT

pytestmark = [pytest.mark.process, needs("acplint", ACPLINT)]

ECHO = SDK_EXAMPLES / "echo_agent.py"
STILL = ("initialization", "session_lifecycle", "session_modes", "schema_validation")
QUICK = (*STILL, "authentication", "config_options", "cancel", "stress")
SLOW = ("streaming",)
"""It waits here for what does not come."""

MENDED = {
    "initialization: agent_capabilities_present",
    "initialization: agent_capabilities_schema_valid",
    "schema_validation: schema_session_list",
    "session_lifecycle: list_sessions",
}
"""The relay has capabilities of its own, and serves the list of sessions itself."""


@pytest.fixture
def relay(log: Path) -> Iterator[RelayProcess]:
    """A relay with both agents."""
    echo = AgentSpec(name="echo", argv=(sys.executable, str(ECHO)))
    with RelayProcess(DEMO_AGENT, echo, log=log) as relay:
        yield relay


async def judged(
    relay: RelayProcess, agent: AgentSpec, cwd: Path, *categories: str
) -> tuple[dict[str, str], dict[str, str]]:
    """What it says of an agent, and of the same agent behind a relay."""
    through = (str(ACPRELAY), "connect", "--url", relay.url, "--agent", agent.name)
    bare, relayed = await asyncio.gather(
        acplint(*agent.argv, cwd=cwd, categories=categories),
        acplint(*through, cwd=cwd, categories=categories),
    )
    return bare, relayed


@pytest.mark.parametrize("categories", [QUICK, SLOW], ids=["quick", "slow"])
async def test_it_says_of_the_demo_agent_the_same_through_a_relay(
    relay: RelayProcess, workplace: Path, categories: tuple[str, ...]
) -> None:
    bare, relayed = await judged(relay, DEMO_AGENT, workplace, *categories)
    assert "PASS" in bare.values()
    assert relayed == bare


@needs("the SDK's echo agent", ECHO)
async def test_it_says_of_the_echo_agent_the_same_but_for_what_the_relay_serves_itself(
    relay: RelayProcess, workplace: Path
) -> None:
    echo = AgentSpec(name="echo", argv=(sys.executable, str(ECHO)))
    bare, relayed = await judged(relay, echo, workplace, *STILL)
    assert {name: relayed[name] for name in relayed.keys() - MENDED} == {
        name: bare[name] for name in bare.keys() - MENDED
    }
    assert {relayed[name] for name in MENDED} == {"PASS"}
