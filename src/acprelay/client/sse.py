"""Server-sent events, read from bytes as they come (WHATWG HTML, section 9.2.6).

Pure: it knows neither connections nor what events mean.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

from acprelay.errors import RemoteProtocolError

MOST_CHARACTERS = 16 * 1024 * 1024
"""The most that one event may have; a stream that never ends one is not read forever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvent:
    """One event.

    Attributes:
        id: The last id that the stream has told; empty where it has told none.
        type: What it is.
        data: Its lines, joined.
    """

    id: str
    type: str
    data: str


class EventReader:
    """Reads one stream; a new connection takes a new one."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._skips_newline = False
        self._id = ""
        self._type = ""
        self._data: list[str] = []
        self._size = 0

    @property
    def last_id(self) -> str:
        """The last id that the stream has told, with an event or without; empty for none."""
        return self._id

    def feed(self, data: bytes) -> Iterator[ServerEvent]:
        """Takes what came, and yields the events that are whole now.

        Raises:
            RemoteProtocolError: An event is longer than any may be.
        """
        for line in self._lines(self._decoder.decode(data)):
            event = self._take(line)
            if event is not None:
                yield event

    def _lines(self, text: str) -> Iterator[str]:
        """Yields the lines that are whole; each of CR, LF and CR LF ends one."""
        if self._skips_newline and text:
            text = text.removeprefix("\n")
            self._skips_newline = False
        self._skips_newline = text.endswith("\r")
        parts = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._bound(parts[0])
        for part in parts[:-1]:
            yield self._rest + part
            self._rest = ""
        self._rest += parts[-1]

    def _bound(self, text: str) -> None:
        self._size += len(text)
        if self._size > MOST_CHARACTERS:
            raise RemoteProtocolError(
                f"cannot read an event of more than {MOST_CHARACTERS} characters",
                hint="check that the address is a relay's",
            )

    def _take(self, line: str) -> ServerEvent | None:
        if not line:
            return self._finish()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "event":
                self._type = value
            case "id" if "\0" not in value:
                self._id = value
            case _:
                pass  # a comment, or what this client does not know
        return None

    def _finish(self) -> ServerEvent | None:
        data, kind = self._data, self._type
        self._data, self._type, self._size = [], "", 0
        if not data:
            return None
        return ServerEvent(id=self._id, type=kind or "message", data="\n".join(data))
