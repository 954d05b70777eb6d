"""Messages that come whole are taken as they are read; the reader gets all else, and in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
from aiohttp.http_websocket import WebSocketReader
from hypothesis import given
from hypothesis import strategies as st

from acprelay.server.whole_messages import WholeMessages

TEXT, BINARY, CONTINUATION, CLOSE, PING = 1, 2, 0, 8, 9
MASK = b"\x37\xfa\x21\x3d"


def frame(payload: bytes, *, opcode: int = TEXT, fin: bool = True, masked: bool = True) -> bytes:
    mask = 0x80 * masked
    size = len(payload)
    if size < 126:
        length = bytes([mask | size])
    elif size < 1 << 16:
        length = bytes([mask | 126]) + size.to_bytes(2)
    else:
        length = bytes([mask | 127]) + size.to_bytes(8)
    body = MASK + toggled(payload) if masked else payload
    return bytes([0x80 * fin | opcode]) + length + body


def toggled(payload: bytes) -> bytes:
    return bytes(byte ^ MASK[place % 4] for place, byte in enumerate(payload))


class Reader:
    """Reads masked frames that are short; keeps what it was fed."""

    def __init__(self, heard: list[bytes]) -> None:
        self.fed = b""
        self.is_over = self.has_failed = False
        self._heard = heard
        self._at = 0
        self._begun = b""

    def feed_eof(self) -> None:
        self.is_over = True

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.fed += data
        return self.has_failed, b""

    def read(self) -> int:
        """Hears the messages that it was fed since; tells how many."""
        count = 0
        while len(self.fed) >= self._at + 6:
            first, second = self.fed[self._at : self._at + 2]
            start, size = self._at + 6, second & 0x7F
            if size == 126:
                size = int.from_bytes(self.fed[self._at + 2 : self._at + 4])
                start += 2
            if start + size > len(self.fed):
                break
            self._at = start + size
            if first & 0x0F < CLOSE:
                self._begun += toggled(self.fed[start : start + size])
                if first & 0x80:
                    self._heard.append(self._begun)
                    self._begun = b""
                    count += 1
        return count


def set_up(
    take: Callable[[bytes], bool] | None = None, *, most: int = 1 << 20
) -> tuple[WholeMessages, Reader, list[bytes]]:
    heard: list[bytes] = []
    reader = Reader(heard)
    messages = WholeMessages(most=most).before(cast("WebSocketReader", reader))

    def hear(message: bytes) -> bool:
        heard.append(message)
        return True

    messages.begin(take or hear)
    return messages, reader, heard


def test_messages_that_come_whole_never_get_to_the_reader() -> None:
    messages, reader, heard = set_up()
    said = [b"{}", b"x" * 125, b"y" * 126, b"z" * 4096]
    assert messages.feed_data(frame(said[0])) == (False, b"")
    messages.feed_data(frame(said[1]) + frame(said[2], opcode=BINARY) + frame(said[3]))
    assert (heard, reader.fed) == (said, b"")


def test_before_it_begins_and_after_its_end_the_reader_gets_everything() -> None:
    messages, reader, heard = set_up()
    messages.end()
    messages.feed_data(frame(b"one"))
    messages.feed_eof()
    assert (heard, reader.fed, reader.is_over) == ([], frame(b"one"), True)


@pytest.mark.parametrize(
    "other",
    [
        frame(b"x" * 4097),
        frame(b"x" * (1 << 16)),
        frame(b"x", fin=False),
        frame(b"x", masked=False),
        frame(b"x", opcode=CONTINUATION),
        b"\xf1\x80" + MASK,
    ],
)
def test_what_is_no_short_whole_message_is_left_to_the_reader_and_what_follows_it(
    other: bytes,
) -> None:
    messages, reader, heard = set_up()
    messages.feed_data(frame(b"one") + other + frame(b"two"))
    messages.feed_data(frame(b"three"))
    assert (heard, reader.fed) == ([b"one"], other + frame(b"two") + frame(b"three"))


def test_a_message_over_the_relays_limit_is_the_readers_to_refuse() -> None:
    messages, reader, heard = set_up(most=10)
    messages.feed_data(frame(b"x" * 10) + frame(b"x" * 11))
    assert (heard, reader.fed) == ([b"x" * 10], frame(b"x" * 11))


def test_a_control_frame_delays_nothing_and_a_close_ends_all() -> None:
    messages, reader, heard = set_up()
    messages.feed_data(frame(b"", opcode=PING) + frame(b"one"))
    assert (reader.read(), heard) == (1, [b"one"])
    messages.handled()
    messages.feed_data(frame(b"two"))
    messages.feed_data(frame(b"", opcode=CLOSE))
    messages.feed_data(frame(b"three"))
    assert heard == [b"one", b"two"]
    assert reader.fed.endswith(frame(b"three"))


def test_what_cannot_be_taken_now_goes_to_the_reader_until_it_has_dealt_with_it() -> None:
    can_take = False
    heard: list[bytes] = []

    def take(message: bytes) -> bool:
        if can_take:
            heard.append(message)
        return can_take

    messages, reader, _ = set_up(take)
    messages.feed_data(frame(b"one"))
    can_take = True
    messages.feed_data(frame(b"two"))
    assert heard == []
    messages.handled()
    messages.feed_data(frame(b"three"))
    for _ in range(2):
        messages.handled()
    messages.feed_data(frame(b"four"))
    assert (heard, reader.fed) == ([b"four"], frame(b"one") + frame(b"two") + frame(b"three"))


def test_once_the_reader_has_found_an_error_nothing_is_taken() -> None:
    messages, reader, heard = set_up()
    reader.has_failed = True
    assert messages.feed_data(frame(b"", opcode=PING)) == (True, b"")
    messages.feed_data(frame(b"one"))
    assert heard == []


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[bytes], bytes]:
    """What a client says, and how it comes in frames."""
    said, sent = [], b""
    for parts in draw(st.lists(st.lists(st.binary(max_size=200), min_size=1, max_size=3))):
        said.append(b"".join(parts))
        for place, part in enumerate(parts):
            fin = place == len(parts) - 1
            sent += frame(part, opcode=CONTINUATION if place else TEXT, fin=fin)
            if draw(st.booleans()):
                sent += frame(b"?", opcode=PING)
    return said, sent


@given(conversations(), st.data())
def test_however_a_stream_is_cut_its_messages_come_once_and_in_order(
    conversation: tuple[list[bytes], bytes], data: st.DataObject
) -> None:
    said, sent = conversation
    messages, reader, heard = set_up()
    while sent:
        size = data.draw(st.integers(1, len(sent)))
        messages.feed_data(sent[:size])
        sent = sent[size:]
        if data.draw(st.booleans()):
            for _ in range(reader.read()):
                messages.handled()
    reader.read()
    assert heard == said
