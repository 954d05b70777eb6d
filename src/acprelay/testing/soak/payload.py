"""What the soak's agent says: updates that are numbered, and whose every byte follows from that.

A turn has a label that no other turn has; its updates are numbered from 1. Whoever knows the label,
the number and the size can build the update again and compare it byte for byte.

Pure, and of the standard library alone: the agent's program imports it, and has to start fast.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Self

LARGE_EVERY = 500
"""One update in so many is larger than the others."""
LARGE_FACTOR = 400

_ASKED = re.compile(r"soak turn=([\w-]+) updates=(\d+) rate=(\d+) size=(\d+) asks=(\d+)")
_NUMBERED = re.compile(rb"soak ([\w-]+) (\d+)/(\d+) (\d+)\|")
_FILLING = b"".join(b"%03d." % number for number in range(251))
_SHAPES = (
    (b'{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"', b'"}}'),
    (b'{"sessionUpdate":"agent_thought_chunk","content":{"type":"text","text":"', b'"}}'),
    (
        b'{"sessionUpdate":"tool_call","toolCallId":"count","title":"Count","kind":"other",'
        b'"status":"in_progress","rawInput":{"counted":"',
        b'"}}',
    ),
    (
        b'{"sessionUpdate":"tool_call_update","toolCallId":"count","status":"in_progress",'
        b'"content":[{"type":"content","content":{"type":"text","text":"',
        b'"}}]}',
    ),
    # Spaces, escapes, spellings of numbers and unknown members are to survive.
    (
        b'{ "x-soak" : [1.0, 1e2, "\\u00e9\\ud83d\\ude00", "\xc3\xa9", null],'
        b'"content":{"type":"text", "text":"',
        b'"}, "sessionUpdate":"agent_message_chunk" }',
    ),
)
_SHAPE_OF = (0, 0, 0, 1, 0, 2, 3, 0, 4, 1)  # by the number's last digit


class Order(NamedTuple):
    """What a prompt asks the agent for.

    Attributes:
        turn: The turn's label: letters, digits, `_` and `-`.
        updates: How many updates to send.
        rate: How many a second; 0 is as fast as they are taken.
        size: How many bytes of filling each has; a few have `LARGE_FACTOR` times as many.
        asks: After every so many updates a permission is asked for; 0 is never.
    """

    turn: str
    updates: int
    rate: int = 0
    size: int = 200
    asks: int = 0

    @property
    def text(self) -> str:
        """The prompt."""
        return "soak " + " ".join(
            f"{name}={value}" for name, value in zip(self._fields, self, strict=True)
        )

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Reads a prompt; None where it is something else."""
        found = _ASKED.search(text)
        return cls(found[1], *map(int, found.groups()[1:])) if found else None


class Numbered(NamedTuple):
    """What an update says of itself.

    Attributes:
        turn: The label of its turn.
        number: Its number in the turn, from 1.
        of: How many the turn has, if it goes to its end.
        size: How many bytes of filling it has.
    """

    turn: str
    number: int
    of: int
    size: int


def numbered(order: Order, number: int) -> Numbered:
    """What an order makes of a number."""
    factor = LARGE_FACTOR if number % LARGE_EVERY == LARGE_EVERY // 2 else 1
    return Numbered(order.turn, number, order.updates, order.size * factor)


def build(numbered: Numbered) -> bytes:
    """Builds the raw JSON value of `update`."""
    head, tail = _SHAPES[_SHAPE_OF[numbered.number % len(_SHAPE_OF)]]
    label = b"soak %s %d/%d %d|" % (
        numbered.turn.encode(),
        numbered.number,
        numbered.of,
        numbered.size,
    )
    shift = numbered.number % len(_FILLING)
    filling = _FILLING * ((shift + numbered.size) // len(_FILLING) + 1)
    return b"".join((head, label, filling[shift : shift + numbered.size], tail))


def read(update: bytes) -> tuple[Numbered, bool] | None:
    """Reads the raw JSON value of `update`.

    Returns:
        What it says of itself, and whether every byte is as the agent wrote it; None where it is
        none of the agent's numbered updates.
    """
    found = _NUMBERED.search(update)
    if found is None:
        return None
    said = Numbered(found[1].decode(), int(found[2]), int(found[3]), int(found[4]))
    return said, build(said) == update
