"""How much one conversation has to do at a moment, for whoever counts: metrics, a drain, the host.

It looks, and changes nothing. What becomes of a conversation that nobody uses is not known here.
"""

from __future__ import annotations

from acprelay.routing.conversation import Conversation
from acprelay.runtime.attendance import Attendance
from acprelay.runtime.run_slot import RunSlot


class Workload:
    """The work of one conversation.

    Args:
        conversation: The conversation's router.
        attendance: Its clients.
        slot: Has its run.
    """

    def __init__(
        self, *, conversation: Conversation, attendance: Attendance, slot: RunSlot
    ) -> None:
        self._conversation = conversation
        self._attendance = attendance
        self._slot = slot

    @property
    def is_in_turn(self) -> bool:
        """Whether a turn runs, as clients are told."""
        return self._conversation.turn is not None

    @property
    def queued_prompts(self) -> int:
        """How many prompts wait."""
        return self._conversation.queued_prompts

    @property
    def open_asks(self) -> int:
        """How many requests of the agent wait for clients."""
        return self._conversation.open_asks

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return self._attendance.count

    @property
    def stdin_bytes(self) -> int:
        """How much waits for the agent to read it."""
        run = self._slot.serving
        return 0 if run is None else run.input_waiting_bytes

    @property
    def is_used(self) -> bool:
        """Whether a run is of use: clients are there, something waits, or it is on its way."""
        is_busy = self._slot.coming is not None or not self._conversation.is_idle
        return is_busy or self._attendance.has_clients
