"""What one client prompts, told to the others; and the agent's echo of it, told apart.

The relay itself shows a prompt to the clients that did not send it, when its turn starts, as ACP's
`user_message_chunk` updates. Some agents send the same once more. This module makes the first and
recognises the second. It does not know who is shown what, and judges no prompt: that is the
agent's business.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from acprelay.wire import Envelope, json_string
from acprelay.wire.objects import mend

_KIND = "user_message_chunk"
_KIND_TEXT = _KIND.encode()
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def prompt_updates(envelope: Envelope, *, message_id: str) -> list[bytes]:
    """Writes the updates that show a prompt: one for each of its content blocks, in order.

    Args:
        envelope: The `session/prompt`.
        message_id: What tells clients that the blocks are one message.

    Returns:
        Raw values for `params.update`, each block in it byte for byte as it was sent. None for a
        prompt that is no array of objects.
    """
    tail = b',"messageId":' + json_string(message_id) + b"}"
    head = b'{"sessionUpdate":"user_message_chunk","content":'
    return [head + block + tail for block in _split(envelope)]


class EchoFilter:
    """Tells which of an agent's updates only repeat what the running prompt says.

    A block counts as repeated when a chunk has the same JSON value, and text also when chunks of
    plain text spell it piece by piece, or several blocks of it in one. Each part of the prompt is
    repeated once, and in order; parts that the agent leaves out may be passed over. Where in doubt
    a chunk is no echo: better seen twice than lost.
    """

    def __init__(self) -> None:
        self._envelope: Envelope | None = None
        self._blocks: list[_Content] | None = None
        self._next = 0  # the first block that is not wholly repeated
        self._spelled = 0  # how much of its text is

    def begin(self, envelope: Envelope) -> None:
        """Notes the prompt whose turn starts, in place of any earlier one."""
        self._envelope = envelope
        self._blocks = None
        self._next = self._spelled = 0

    def end(self) -> None:
        """Forgets the prompt: nothing is an echo until the next one begins."""
        self._envelope = self._blocks = None

    def is_echo(self, update: bytes) -> bool:
        """Whether an update repeats the next part of the prompt, which is then counted as repeated.

        Args:
            update: The raw value of `params.update`; anything that cannot be read is no echo.
        """
        # Most updates are something else, and some are large: they are not read.
        if self._envelope is None or _KIND_TEXT not in update:
            return False
        chunk = _read_chunk(update)
        if chunk is None:
            return False
        if self._blocks is None:  # read only now: most agents never echo
            self._blocks = [_read_block(block) for block in _split(self._envelope)]
        if chunk.is_plain and chunk.text and self._spell(self._blocks, chunk.text):
            return True
        return self._repeat(self._blocks, chunk.key)

    def _spell(self, blocks: list[_Content], text: str) -> bool:
        """Whether a text goes on where the last one stopped; what is no text is passed over."""
        start, taken = self._spelled, 0
        for place in range(self._next, len(blocks)):
            own = blocks[place].text
            if own is None:
                continue
            part = text[taken : taken + len(own) - start]
            if not own.startswith(part, start):
                return False
            taken += len(part)
            if taken == len(text):
                self._next, self._spelled = place, start + len(part)
                return True
            start = 0
        return False

    def _repeat(self, blocks: list[_Content], key: bytes) -> bool:
        """Whether a block is one that has not been begun."""
        first = self._next + (self._spelled > 0)
        for place in range(first, len(blocks)):
            if blocks[place].key == key:
                self._next, self._spelled = place + 1, 0
                return True
        return False


class _Content(NamedTuple):
    """A content block.

    Attributes:
        key: The same for equal JSON values.
        text: The text of a text block.
        is_plain: Whether it is a text block that has nothing but its text.
    """

    key: bytes
    text: str | None
    is_plain: bool


_UNEQUAL = _Content(b"", None, is_plain=False)
"""Equal to no chunk: a block that cannot be read."""


def _split(envelope: Envelope) -> list[bytes]:
    """Cuts a prompt into the raw values of its blocks."""
    prompt = envelope.member("params", "prompt") or b""
    try:
        values = [bytes(value) for value in _decode_array(mend(prompt))]
    except _UNREADABLE:
        return []
    if not all(value.startswith(b"{") for value in values):
        return []
    blocks: list[bytes] = []
    stop = 0
    for value in values:
        # Between objects are no braces; and what `mend` replaced has kept its place.
        start = prompt.index(b"{", stop)
        stop = start + len(value)
        blocks.append(prompt[start:stop])
    return blocks


def _read_chunk(update: bytes) -> _Content | None:
    try:
        value = _decode_value(update)
        if not isinstance(value, dict) or value.get("sessionUpdate") != _KIND:
            return None
        return _read_content(value.get("content"))
    except _UNREADABLE:
        return None


def _read_block(block: bytes) -> _Content:
    try:
        return _read_content(_decode_value(block)) or _UNEQUAL
    except _UNREADABLE:
        return _UNEQUAL


def _read_content(content: object) -> _Content | None:
    if not isinstance(content, dict):
        return None
    # ACP's optional members may be null or missing, and agents write them either way.
    members = {name: value for name, value in content.items() if value is not None}
    text = members.get("text") if members.get("type") == "text" else None
    if not isinstance(text, str):
        return _Content(_encode_value(members), None, is_plain=False)
    return _Content(_encode_value(members), text, is_plain=members.keys() == {"type", "text"})


def _read_number(text: str) -> float:
    """Makes `1.0` and `1` the same number."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("out of range")
    return int(number) if number.is_integer() else number


_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_value = msgspec.json.Decoder(object, float_hook=_read_number).decode
# With keys in order, equal values have equal texts; Python's own `==` takes `true` for `1`.
_encode_value = msgspec.json.Encoder(order="deterministic").encode
