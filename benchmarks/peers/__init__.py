"""Everything that is measured, one module each. To add one: its module, and its name here."""

from benchmarks.peers.acpremote import ACPREMOTE
from benchmarks.peers.bare import BARE
from benchmarks.peers.direct import DIRECT
from benchmarks.peers.model import Peer, Running, Stage
from benchmarks.peers.parts import PARTS
from benchmarks.peers.relay import AGENTLESS_RELAY, RELAY
from benchmarks.peers.sandbox_agent import SANDBOX_AGENT
from benchmarks.peers.stdio_to_ws import STDIO_TO_WS
from benchmarks.peers.websocat import WEBSOCAT
from benchmarks.peers.websocketd import WEBSOCKETD

OWN = (DIRECT, BARE, RELAY, AGENTLESS_RELAY, PARTS)
"""The relay, its limits, and its parts: measured whatever peers are asked for."""

PEERS = (WEBSOCKETD, WEBSOCAT, ACPREMOTE, STDIO_TO_WS, SANDBOX_AGENT)
"""What others offer."""

__all__ = ["OWN", "PEERS", "Peer", "Running", "Stage"]
