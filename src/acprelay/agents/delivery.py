"""What an agent says on its way to whoever listens: in order, each batch once, the exit last.

It waits here while nobody listens, or while the listener has asked for a pause; whoever reads the
agent holds it back meanwhile. This module knows no process and no socket.
"""

from __future__ import annotations

from acprelay.agents.models import AgentExit
from acprelay.agents.ports import AgentSink
from acprelay.wire.framing import OversizedFrame

_MOST_MERGED = 1000
"""How many lines wait as one batch before another one is begun."""


class Delivery:
    """Hands batches of lines, and then the exit, to one sink at a time."""

    def __init__(self) -> None:
        self._sink: AgentSink | None = None
        self._paused = False
        # A list: an empty deque takes 0.7 KB, and next to nothing ever waits.
        self._unsaid: list[tuple[list[bytes], list[OversizedFrame]]] = []
        self._exit: AgentExit | None = None
        self._told = False  # the sink knows of the exit

    @property
    def flows(self) -> bool:
        """Whether there is a sink that takes what comes."""
        return self._sink is not None and not self._paused

    @property
    def is_empty(self) -> bool:
        """Whether no batch waits."""
        return not self._unsaid

    def attach(self, sink: AgentSink | None) -> None:
        """Chooses the sink from now on; `deliver` follows."""
        if sink is not self._sink:
            self._sink = sink
            self._told = False

    def pause(self) -> None:
        """Holds everything back. Idempotent."""
        self._paused = True

    def resume(self) -> None:
        """Takes `pause` back; `deliver` follows. Idempotent."""
        self._paused = False

    def add(self, lines: list[bytes], oversized: list[OversizedFrame]) -> None:
        """Takes what one read brought, be it nothing; `deliver` follows."""
        if not (lines or oversized):
            return
        last = self._unsaid[-1] if self._unsaid else None
        if last is None or last[1] or oversized or len(last[0]) > _MOST_MERGED:
            self._unsaid.append((lines, oversized))
        else:
            last[0].extend(lines)

    def pass_on(self, lines: list[bytes], oversized: list[OversizedFrame]) -> None:
        """Takes what one read brought, be it nothing, and gives the sink what it takes."""
        if self._unsaid or self._paused or self._sink is None or self._exit is not None:
            self.add(lines, oversized)
            self.deliver()
        elif lines or oversized:
            self._sink.lines_received(lines, oversized)

    def close(self, exit: AgentExit) -> None:  # noqa: A002 - the word for it; nobody exits here
        """Takes note of how the agent ended; nothing is added after it, and `deliver` follows."""
        self._exit = exit

    def deliver(self) -> None:
        """Gives the sink what it has not had yet, as far as it takes it."""
        failure: Exception | None = None
        while self._unsaid and self._sink is not None and not self._paused:
            try:
                self._sink.lines_received(*self._unsaid.pop(0))
            except Exception as error:  # noqa: BLE001 - raised below: it still learns what follows
                failure = failure or error
        if self._sink is not None and not (self._paused or self._told or self._exit is None):
            self._told = True
            self._sink.agent_exited(self._exit)
        if failure is not None:
            raise failure
