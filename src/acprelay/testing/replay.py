"""Plays a transcript again: as the agent, or as the client, with somebody else at the other end.

`python -m acprelay.testing.replay FILE` is an agent that says what the recorded one said, byte for
byte but for the ids of requests, and each thing after what came before it. `ReplayedAgent` and
`ReplayedClient` do no I/O: they take messages, and give those that are due.

It is no matter when something was said, only after what. A request of the recorded client that
never comes is passed over once a later one has come: what stands between a client and an agent may
answer some itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from acprelay.errors import RelayError
from acprelay.testing.acting import run_on_streams
from acprelay.testing.transcripts import A2C, C2A, NONJSON, Record, read_transcript
from acprelay.wire import peek, rewrite

Message: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, str]


class ReplayedAgent:
    """The agent of a transcript.

    Args:
        records: The transcript.

    Attributes:
        exit_status: Always None: it stays until its client leaves.
    """

    exit_status: int | None = None

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = [each for each in records if each.direction in (C2A, A2C, A2C + NONJSON)]
        self._at = 0
        self._calls: list[Message] = []
        self._answered: set[str] = set()
        self._ids: dict[str, bytes] = {}
        self._passed_over: set[str] = set()
        self._refusals: list[bytes] = []

    @property
    def is_done(self) -> bool:
        """Whether all was said."""
        return self._at == len(self._records)

    def take(self, line: bytes) -> None:
        """Takes a message; what is none is passed over."""
        try:
            message = json.loads(line)
        except ValueError:
            return
        if isinstance(message, dict):
            if "method" in message:
                self._calls.append(message)
            elif "id" in message:
                self._answered.add(_id_of(message))

    def due(self) -> list[bytes]:
        """Gives what it says now, in order, each once."""
        said: list[bytes] = []
        while not self.is_done:
            record = self._records[self._at]
            if record.direction == C2A:
                if not self._has_come(record.message) and not self._may_pass_over(record.message):
                    break
            else:
                said += self._said(record)
            self._at += 1
        if self.is_done:
            self._refuse(self._calls)
        said, self._refusals = said + self._refusals, []
        return said

    def _has_come(self, recorded: Message) -> bool:
        if "method" not in recorded:
            return _id_of(recorded) in self._answered
        for index, message in enumerate(self._calls):
            if message["method"] == recorded["method"]:
                if "id" in recorded:
                    self._ids[_id_of(recorded)] = _id_of(message).encode()
                del self._calls[index]
                return True
        return False

    def _may_pass_over(self, recorded: Message) -> bool:
        """Whether something came that was recorded later; what never was is refused."""
        if "method" not in recorded:
            return False
        later = {
            record.message.get("method")
            for record in self._records[self._at :]
            if record.direction == C2A
        }
        self._refuse([message for message in self._calls if message["method"] not in later])
        if not self._calls:
            return False
        if "id" in recorded:
            self._passed_over.add(_id_of(recorded))
        return True

    def _refuse(self, calls: Sequence[Message]) -> None:
        for message in list(calls):
            self._calls.remove(message)
            if "id" in message:
                why = f"cannot answer {message['method']}: the transcript has no more of it"
                error = {"code": -32601, "message": why}
                refusal = {"jsonrpc": "2.0", "id": message["id"], "error": error}
                self._refusals.append(json.dumps(refusal).encode())

    def _said(self, record: Record) -> list[bytes]:
        if record.direction != A2C or "method" in record.message:
            return [record.line]
        recorded_id = _id_of(record.message)
        if recorded_id in self._passed_over:
            return []
        return [rewrite(peek(record.line), id=self._ids.get(recorded_id))]


class ReplayedClient:
    """The client of a transcript.

    It sends what the recorded one sent, once as much has come of each kind as had come then. What
    comes besides is no matter to it. Until it has a session it waits for answers alone: a relay
    keeps what an agent says so early.

    Args:
        records: The transcript. Leave out what cannot come here.
        cwd: The directory that it names, instead of the recorded one.
    """

    exit_status: int | None = None

    def __init__(self, records: Iterable[Record], *, cwd: str | None = None) -> None:
        self._records = [each for each in records if each.direction in (C2A, A2C)]
        self._cwd = cwd
        self._at = 0
        self._due: Counter[Key] = Counter()
        self._came: Counter[Key] = Counter()
        self._asks: dict[str, list[bytes]] = {}
        self._recorded_asks: dict[str, list[str]] = {}
        self._session_id: str | None = None

    @property
    def is_done(self) -> bool:
        """Whether it has sent all, and all has come."""
        return self._at == len(self._records) and self._due <= self._came

    @property
    def session_id(self) -> str | None:
        """What the session is called here, once that is known."""
        return self._session_id

    def take(self, line: bytes) -> None:
        """Takes a message."""
        message = json.loads(line)
        self._came[_key(message)] += 1
        if "method" in message and "id" in message:
            self._asks.setdefault(message["method"], []).append(_id_of(message).encode())
        result = message.get("result")
        if "method" not in message and isinstance(result, dict):
            self._session_id = result.get("sessionId", self._session_id)

    def due(self) -> list[bytes]:
        """Gives what it says now, in order, each once."""
        said = []
        while self._at < len(self._records):
            record = self._records[self._at]
            if record.direction == A2C:
                self._note(record.message)
            elif self._may_speak:
                said.append(self._said(record))
            else:
                break
            self._at += 1
        return said

    @property
    def _may_speak(self) -> bool:
        if self._session_id is None:
            return all(self._came[key] >= count for key, count in self._due.items() if not key[0])
        return self._due <= self._came

    def _note(self, message: Message) -> None:
        self._due[_key(message)] += 1
        if "method" in message and "id" in message:
            self._recorded_asks.setdefault(message["method"], []).append(_id_of(message))

    def _said(self, record: Record) -> bytes:
        if "method" not in record.message:
            return rewrite(peek(record.line), id=self._ask_id(_id_of(record.message)))
        return rewrite(peek(record.line), session_id=self._session_id, cwd=self._cwd)

    def _ask_id(self, recorded_id: str) -> bytes | None:
        for method, recorded in self._recorded_asks.items():
            if recorded_id in recorded:
                return self._asks[method][recorded.index(recorded_id)]
        return None


def _id_of(message: Message) -> str:
    return json.dumps(message.get("id"))


def _key(message: Message) -> Key:
    if "method" not in message:
        return "", _id_of(message)
    update = (message.get("params") or {}).get("update") or {}
    return str(message["method"]), str(update.get("sessionUpdate", ""))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the agent of a transcript on standard input and output.

    Args:
        argv: The arguments; the process's own where it is None.

    Returns:
        0 at the end of standard input; 2 where the transcript cannot be read.

    Raises:
        SystemExit: The arguments cannot be parsed, or ask for help.
    """
    parser = argparse.ArgumentParser(
        prog="python -m acprelay.testing.replay",
        description="An ACP agent on standard input and output that says what a recorded one said.",
    )
    parser.add_argument("file", type=Path, help="the transcript")
    options = parser.parse_args(argv)
    try:
        return run_on_streams(ReplayedAgent(read_transcript(options.file)))
    except RelayError as error:
        sys.stderr.write(f"replay: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
