"""`acprelay agents`: which agents there are here, and what one says when it is started."""

from __future__ import annotations

import argparse
import os

from acprelay.cli.agent_list import list_agents
from acprelay.cli.agent_probe import probe_one
from acprelay.cli.configuration import choice, find_config


def command(arguments: argparse.Namespace) -> int:
    """Lists agents, or tries one out.

    Returns:
        How it ended, as an exit code.

    Raises:
        ConfigError: The options or the configuration cannot be used.
        AgentError: The agent that is tried out cannot be started or initialised.
    """
    configured = find_config(arguments, os.environ)
    chosen = choice(configured, os.environ)
    if arguments.agents_command == "probe":
        return probe_one(arguments, chosen)
    return list_agents(arguments, configured, chosen)
