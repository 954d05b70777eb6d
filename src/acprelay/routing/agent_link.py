"""What is to be written to the agent of a conversation's present run.

It collects lines; whoever has the process takes them, and says if they could not be written. What a
client asks for may be refused, if too much waits for the agent; so may what the relay itself has
read for it, which can be much. What the relay owes the agent may not: other answers that it waits
for, and the word to stop.
"""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

from acprelay.errors import RelayError
from acprelay.routing.frames import error_reply
from acprelay.wire import Envelope, rewrite, to_line


class Output(NamedTuple):
    """Lines for an agent, in order.

    Attributes:
        lines: Whole lines.
        is_owed: Whether they have to be taken, however much waits.
        requests: The minted ids of the requests among them.
        answers: The agent's own ids of its requests that those among them answer which may be
            refused.
    """

    lines: bytes
    is_owed: bool
    requests: tuple[bytes, ...] = ()
    answers: tuple[bytes, ...] = ()


_NOTHING = Output(b"", is_owed=False)


class AgentLink:
    """The way to one agent at a time.

    Attributes:
        session_id: The agent's own id of its session; None while no run serves.
    """

    def __init__(self) -> None:
        self.session_id: str | None = None
        self._waiting: list[Output] = []
        self._taken = _NOTHING

    @property
    def has_output(self) -> bool:
        """Whether lines wait to be taken."""
        return bool(self._waiting)

    def send(self, message: bytes) -> None:
        """Adds a JSON-RPC message that the agent is owed; dropped while no run serves."""
        if self.session_id is not None:
            self._waiting.append(Output(to_line(message), is_owed=True))

    def answer(self, message: bytes, agent_id: bytes) -> None:
        """Adds the answer to an agent's request, which may be refused; then an error is owed.

        Args:
            message: The response.
            agent_id: The agent's own id of its request, raw.
        """
        if self.session_id is not None:
            line = to_line(message)
            self._waiting.append(Output(line, is_owed=False, answers=(agent_id,)))

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
        if len(self._waiting) == 1:
            self._taken = self._waiting.pop()
            return self._taken
        is_owed, group = next(groupby(self._waiting, key=lambda output: output.is_owed))
        together = tuple(group)
        del self._waiting[: len(together)]
        self._taken = Output(
            b"".join(output.lines for output in together),
            is_owed,
            tuple(minted for output in together for minted in output.requests),
            tuple(agent_id for output in together for agent_id in output.answers),
        )
        return self._taken

    def refuse(self, error: RelayError) -> tuple[bytes, ...]:
        """Takes note that the lines which were taken last could not be written; the first counts.

        Args:
            error: Why: what the agent is told whose requests those lines answered.

        Returns:
            The minted ids of the requests among them.
        """
        taken, self._taken = self._taken, _NOTHING
        for agent_id in taken.answers:
            self.send(error_reply(agent_id, error))
        return taken.requests

    def close(self) -> None:
        """Takes note that no run serves, and drops what was to be written."""
        self.session_id = None
        self._waiting.clear()
        self._taken = _NOTHING
