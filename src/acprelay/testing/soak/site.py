"""What the clients of a soak share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from acprelay.testing.soak.history import History
from acprelay.testing.soak.ledger import Ledger
from acprelay.testing.soak.relay import Relay

FAREWELL = "farewell"
"""The label of the last turn: whoever has seen its end has seen everything."""


class Refused(Exception):
    """A request was answered with an error.

    Attributes:
        code: The code in the error's data; empty if it has none.
    """

    def __init__(self, method: str, error: Mapping[str, Any]) -> None:
        super().__init__(f"{method} was answered with {error.get('message')!r}")
        data = error.get("data")
        self.code = str(data.get("code", "")) if isinstance(data, dict) else ""


class Site:
    """One conversation, and what is known of it.

    Args:
        relay: Where it is.
        ephemeral: Whether the relay may forget the beginning of the log.
        opened: Is to be done once there is the conversation; its result is the session's id.

    Attributes:
        history: What clients have seen.
        ledger: What is counted.
        is_over: Whether the last turn is about to begin; from then on no client leaves.
    """

    def __init__(self, *, relay: Relay, ephemeral: bool, opened: asyncio.Future[str]) -> None:
        self.relay = relay
        self.ephemeral = ephemeral
        self.opened = opened
        self.history = History()
        self.ledger = Ledger()
        self.is_over = False
