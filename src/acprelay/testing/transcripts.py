"""Transcripts: what went over an agent's standard streams, one JSON object a line.

    {"t":0.52,"dir":"c2a","msg":{"jsonrpc":"2.0","id":1,"method":"initialize", …}}

`t` is in seconds since the start. `dir` is `c2a` for what the client told the agent, `a2c` for what
the agent told the client, each with `_nonjson` behind it for a line that is no JSON, or `stderr`.
`msg` is the message, byte for byte as it was written, or a line's text where it is no JSON.

This module knows no method of the protocol.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from acprelay.errors import ConfigError

C2A, A2C = "c2a", "a2c"
"""From the client to the agent, and the other way."""
STDERR = "stderr"
NONJSON = "_nonjson"


class Record(NamedTuple):
    """One line of a stream.

    Attributes:
        at_s: When it was written, in seconds since the start.
        direction: `c2a`, `a2c`, these with `_nonjson`, or `stderr`.
        line: What was written, without the newline.
    """

    at_s: float
    direction: str
    line: bytes

    @property
    def message(self) -> dict[str, Any]:
        """The JSON-RPC message, decoded.

        Raises:
            ValueError: It is none.
        """
        message = json.loads(self.line)
        if not isinstance(message, dict):
            raise ValueError("no JSON-RPC message")  # noqa: TRY004 - as what is no JSON
        return message


class _Written(msgspec.Struct):
    msg: msgspec.Raw


_decode = msgspec.json.Decoder(_Written).decode


def record_of(at_s: float, direction: str, line: bytes) -> Record:
    """Makes a record, and looks whether the line of an agent or a client is JSON."""
    if direction in (C2A, A2C) and not is_json(line):
        direction += NONJSON
    return Record(at_s, direction, line)


def is_json(line: bytes) -> bool:
    """Whether a line is JSON in UTF-8."""
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def encode(record: Record) -> bytes:
    """Writes a record as a line of a transcript, with its newline."""
    message = record.line
    if record.direction not in (C2A, A2C):
        message = json.dumps(message.decode(errors="surrogateescape")).encode()
    return b'{"t":%.4f,"dir":"%b","msg":%b}\n' % (record.at_s, record.direction.encode(), message)


def read_transcript(path: Path) -> list[Record]:
    """Reads a transcript.

    Raises:
        ConfigError: The file cannot be read, or is none.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ConfigError(
            f"cannot read the transcript {path}: {error.strerror}", hint="name a file that is one"
        ) from None
    records = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            records.append(_decoded(line, f"{path}, line {number}"))
    return records


def _decoded(line: bytes, place: str) -> Record:
    try:
        value = json.loads(line)  # msgspec takes no text that stands for bytes that are no UTF-8
        if value["dir"] in (C2A, A2C):
            message = bytes(_decode(line).msg)
        else:
            message = value["msg"].encode(errors="surrogateescape")
        return Record(float(value["t"]), str(value["dir"]), message)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"cannot read {place} as a transcript's: {error}",
            hint="record one with: python -m acprelay.testing.record --to FILE -- COMMAND",
        ) from None
