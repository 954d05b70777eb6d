"""The composition root: the one place that knows every concrete part.

Nothing else chooses an implementation. `Relay` is a relay that another program hosts, `open_relay`
one that listens by itself.
"""

from __future__ import annotations

from acprelay.compose.listening import open_relay
from acprelay.compose.parts import DEMO_AGENT
from acprelay.compose.probing import probe_agent
from acprelay.compose.relay import Relay, RunningRelay

__all__ = ["DEMO_AGENT", "Relay", "RunningRelay", "open_relay", "probe_agent"]
