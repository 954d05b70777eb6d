"""`acprelay serve`, but that its agents live in its own memory, where they are next to nothing.

What ten thousand sessions cost a relay is asked with their agents aside, and ten thousand processes
and thirty thousand pipes are more than most machines have to give. All else is as it is served.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping

from acprelay.agents.models import AgentExit, Usage
from acprelay.agents.ports import AgentSink
from acprelay.cli.main import main
from acprelay.compose import parts
from acprelay.config import RelayConfig
from acprelay.wire import LineSplitter

MAX_FRAME = 1024 * 1024
RESULTS: Mapping[str, object] = {
    "initialize": {"protocolVersion": 1, "agentCapabilities": {}},
    "session/new": {"sessionId": "own"},
}


class MemoryAgent:
    """An `AgentConnection` that answers every request, and says nothing else."""

    __slots__ = ("_sink", "_splitter", "exit")

    name = "benchmark"
    pid = None
    stderr_tail = ""
    waiting_since = None
    received_bytes = 0
    waiting_bytes = 0

    def __init__(self) -> None:
        self._sink: AgentSink | None = None
        self._splitter = LineSplitter(max_frame=MAX_FRAME)
        self.exit: AgentExit | None = None

    async def measure(self) -> Usage | None:
        """It has no process."""
        return None

    def attach(self, sink: AgentSink | None) -> None:
        """Chooses who gets its answers."""
        self._sink = sink

    def send(self, data: bytes, *, is_owed: bool = False) -> None:  # noqa: ARG002 - nothing waits
        """Answers, once this has returned."""
        for line in data.splitlines():
            asked = json.loads(line)
            if "id" in asked and "method" in asked:
                result = RESULTS.get(asked["method"], {})
                answer = {"jsonrpc": "2.0", "id": asked["id"], "result": result}
                asyncio.get_running_loop().call_soon(self._say, json.dumps(answer).encode())

    def pause_reading(self) -> None:
        """It says nothing by itself."""

    def resume_reading(self) -> None:
        """Likewise."""

    async def end(self) -> AgentExit:
        """Ends at once."""
        if self.exit is None:
            self.exit = AgentExit(returncode=0)
            if self._sink is not None:
                self._sink.agent_exited(self.exit)
        return self.exit

    def _say(self, line: bytes) -> None:
        if self._sink is not None:
            self._sink.lines_received(self._splitter.feed(line + b"\n"), [])


class MemoryLauncher:
    """An `AgentLauncher` of agents without processes."""

    names = (MemoryAgent.name,)

    async def launch(self, name: str) -> MemoryAgent:  # noqa: ARG002 - there is one kind
        """Makes an agent."""
        return MemoryAgent()


def launcher(_config: RelayConfig, _owner: str) -> MemoryLauncher:
    """Stands in for what starts child processes."""
    return MemoryLauncher()


if __name__ == "__main__":
    parts.agent_launcher = launcher  # type: ignore[assignment]
    sys.exit(main())
