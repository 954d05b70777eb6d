"""Agents: what can be started, and what is at work, as lines in and out."""

from acprelay.agents.catalog import Catalog, parse_agent
from acprelay.agents.launcher import StdioLauncher
from acprelay.agents.models import AgentExit, AgentLimits, AgentSpec
from acprelay.agents.ports import AgentConnection, AgentLauncher, AgentSink
from acprelay.agents.stdio import StdioAgent

__all__ = [
    "AgentConnection",
    "AgentExit",
    "AgentLauncher",
    "AgentLimits",
    "AgentSink",
    "AgentSpec",
    "Catalog",
    "StdioAgent",
    "StdioLauncher",
    "parse_agent",
]
