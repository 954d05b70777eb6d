"""The agent's side of ACP, no more of it than a misbehaving agent needs to be taken for one.

It reads the requests of one client and answers them one by one. What it writes is written by
whoever it was made for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

SESSION_ID = "misbehaving"
_RESULTS = {
    "initialize": {"protocolVersion": 1, "agentCapabilities": {"loadSession": True}},
    "session/new": {"sessionId": SESSION_ID},
    "session/prompt": {"stopReason": "end_turn"},
}


class AcpSide:
    """Serves one session, one request at a time.

    Args:
        say: Writes a line.
    """

    def __init__(self, *, say: Callable[[bytes], None]) -> None:
        self._say = say
        self._method = ""
        self._id = self._first_id = "null"

    def serve_until(self, method: str | None) -> None:
        """Answers all that is asked up to a request or notification with this method.

        That one is not answered. The end of the input comes first where it is never sent.
        """
        for line in sys.stdin.buffer:
            message = json.loads(line)
            if "method" in message and self._take(message, method):
                return

    def hear(self, text: str) -> None:
        """Answers nothing up to a line with this text."""
        for line in sys.stdin.buffer:
            if text.encode() in line:
                return

    def answer(self, result: str = "") -> None:
        """Answers the latest request, as is due or with this result, a JSON value."""
        result = result or json.dumps(_RESULTS.get(self._method, {}))
        self._say(self.filled(f'{{"jsonrpc":"2.0","id":$id,"result":{result}}}'))

    def filled(self, text: str) -> bytes:
        """Puts the ids of the latest request, of the first one and of the session into a text."""
        text = text.replace("$id", self._id).replace("$first", self._first_id)
        return text.replace("$session", SESSION_ID).encode()

    def _take(self, message: dict[str, object], method: str | None) -> bool:
        """Takes note of a call, and answers it unless it is the one that is waited for."""
        is_awaited = message["method"] == method
        if "id" in message:
            self._method, self._id = str(message["method"]), json.dumps(message["id"])
            if self._first_id == "null":
                self._first_id = self._id
            if not is_awaited:
                self.answer()
        return is_awaited
