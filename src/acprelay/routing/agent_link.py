"""What is to be written to the agent of a conversation's present run.

It collects lines; whoever has the process takes them, and says if they could not be written. What a
client asks for may be refused, if too much waits for the agent. What the relay owes the agent may
not: the answers that it waits for, and the word to stop.
"""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

from acprelay.wire import Envelope, rewrite, to_line


class Output(NamedTuple):
    """Lines for an agent, in order.

    Attributes:
        lines: Whole lines.
        is_owed: Whether they have to be taken, however much waits.
        requests: The minted ids of the requests among them.
    """

    lines: bytes
    is_owed: bool
    requests: tuple[bytes, ...] = ()


class AgentLink:
    """The way to one agent at a time.

    Attributes:
        session_id: The agent's own id of its session; None while no run serves.
    """

    def __init__(self) -> None:
        self.session_id: str | None = None
        self._waiting: list[Output] = []
        self._taken: tuple[bytes, ...] = ()

    def send(self, message: bytes) -> None:
        """Adds a JSON-RPC message that the agent is owed; dropped while no run serves."""
        if self.session_id is not None:
            self._waiting.append(Output(to_line(message), is_owed=True))

    def forward(self, envelope: Envelope, minted: bytes | None = None) -> None:
        """Adds a client's message, with the ids that the agent knows; dropped while no run serves.

        Args:
            envelope: The message.
            minted: The raw id of a request.
        """
        if self.session_id is None:
            return
        message = rewrite(envelope, id=minted, session_id=self.session_id, strip_stamp=True)
        requests = () if minted is None else (minted,)
        self._waiting.append(Output(to_line(message), is_owed=False, requests=requests))

    def take(self) -> Output | None:
        """Gives the lines that are to be written next, once; None where there are none.

        Lines of one kind come together, as far as that keeps the order.
        """
        if not self._waiting:
            return None
        is_owed, group = next(groupby(self._waiting, key=lambda output: output.is_owed))
        together = tuple(group)
        del self._waiting[: len(together)]
        self._taken = tuple(minted for output in together for minted in output.requests)
        return Output(b"".join(output.lines for output in together), is_owed, self._taken)

    def take_refused(self) -> tuple[bytes, ...]:
        """Gives the minted ids of the requests among the lines that were taken last, once."""
        taken, self._taken = self._taken, ()
        return taken

    def close(self) -> None:
        """Takes note that no run serves, and drops what was to be written."""
        self.session_id = None
        self._waiting.clear()
        self._taken = ()
