"""What a client of the relay hears, told apart: entries of the public log, and what is its alone.

Pure. An entry carries `generation` and `seq` in `params._meta.acprelay`; everything else is an ask,
a reply, or a notice without a place.
"""

from __future__ import annotations

import re
import zlib
from typing import NamedTuple

import msgspec
from msgspec import Raw

from acprelay.testing.soak.payload import Numbered, Order, read

_POSITION = re.compile(r"([\w-]+):(\d+)")


class Position(NamedTuple):
    """A place in a log."""

    generation: str
    seq: int

    def __str__(self) -> str:
        return f"{self.generation}:{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Reads `generation:seq`.

        Raises:
            ValueError: It is something else.
        """
        found = _POSITION.fullmatch(text)
        if found is None:
            raise ValueError(f"cannot read position {text!r}")
        return cls(found[1], int(found[2]))


class Said(NamedTuple):
    """The content of an entry: one of the agent's numbered updates.

    Attributes:
        numbered: What it says of itself.
        is_intact: Whether its bytes are those that the agent wrote.
    """

    numbered: Numbered
    is_intact: bool


class Prompted(NamedTuple):
    """The content of an entry: what a client prompted, for the others.

    Attributes:
        turn: The label that the prompt gives its turn.
        relayed_as: The relay's id of that turn.
    """

    turn: str
    relayed_as: str = ""


class TurnStarted(NamedTuple):
    """The content of an entry: a turn begins; `turn` is the relay's id of it."""

    turn: str


class TurnEnded(NamedTuple):
    """The content of an entry: a turn is over.

    Attributes:
        turn: The relay's id of it.
        outcome: How: `ended`, `failed` or `interrupted`.
        stop_reason: Why, where it ended.
    """

    turn: str
    outcome: str
    stop_reason: str = ""


class Settled(NamedTuple):
    """The content of an entry: a permission is given or refused."""

    ask: str


class Other(NamedTuple):
    """The content of an entry that the soak knows nothing of."""

    what: str


Content = Said | Prompted | TurnStarted | TurnEnded | Settled | Other


class Entry(NamedTuple):
    """An entry of the public log.

    Attributes:
        at: Its place.
        digest: A checksum of its frame.
        content: What it says.
    """

    at: Position
    digest: int
    content: Content


class Ask(NamedTuple):
    """The relay asks this client for a permission.

    Attributes:
        id: The raw id.
        options: The ids of the options, in order.
    """

    id: bytes
    options: tuple[str, ...]


class Reply(NamedTuple):
    """The answer to a request of this client.

    Attributes:
        id: The raw id.
        result: The raw result; empty for an error.
        error: The raw error; empty for a result.
    """

    id: bytes
    result: bytes
    error: bytes


class Withdrawn(NamedTuple):
    """An ask is settled and needs no answer; `ask` is its raw id."""

    ask: bytes


class Notice(NamedTuple):
    """Something without a place in the log: its method, and its code if it has one."""

    what: str
    code: str = ""


Heard = Entry | Ask | Reply | Withdrawn | Notice


class _Stamp(msgspec.Struct):
    generation: str = ""
    seq: int = 0
    snapshot: bool = False


class _Meta(msgspec.Struct):
    acprelay: _Stamp | None = None


class _Option(msgspec.Struct):
    option_id: str = msgspec.field(name="optionId")


class _Params(msgspec.Struct):
    meta: _Meta | None = msgspec.field(name="_meta", default=None)
    update: Raw = Raw()
    turn: str = ""
    outcome: str = ""
    stop_reason: str = msgspec.field(name="stopReason", default="")
    ask: Raw = Raw()
    options: list[_Option] = []
    request_id: Raw = msgspec.field(name="requestId", default=Raw())
    code: str = ""


class _Message(msgspec.Struct):
    id: Raw = Raw()
    method: str = ""
    params: _Params = msgspec.field(default_factory=_Params)
    result: Raw = Raw()
    error: Raw = Raw()


class _Block(msgspec.Struct):
    text: str = ""


class _Update(msgspec.Struct):
    kind: str = msgspec.field(name="sessionUpdate")
    content: Raw = Raw()
    message_id: str = msgspec.field(name="messageId", default="")


_messages = msgspec.json.Decoder(_Message)
_updates = msgspec.json.Decoder(_Update)
_blocks = msgspec.json.Decoder(_Block)


def hear(frame: bytes) -> Heard:
    """Tells what a message is.

    Raises:
        ValueError: It is not shaped as the protocol has it.
    """
    message = _messages.decode(frame)
    if not message.method:
        return Reply(bytes(message.id), bytes(message.result), bytes(message.error))
    params = message.params
    if message.method == "session/request_permission":
        return Ask(bytes(message.id), tuple(option.option_id for option in params.options))
    if message.method == "$/cancel_request":
        return Withdrawn(bytes(params.request_id))
    stamp = params.meta.acprelay if params.meta else None
    if stamp is None or not stamp.seq or stamp.snapshot:
        return Notice(message.method, params.code)
    at = Position(stamp.generation, stamp.seq)
    return Entry(at, zlib.crc32(frame), _content(message.method, params))


def _content(method: str, params: _Params) -> Content:
    match method:
        case "session/update":
            return _update(bytes(params.update))
        case "_acprelay/turn_started":
            return TurnStarted(params.turn)
        case "_acprelay/turn_ended":
            return TurnEnded(params.turn, params.outcome, params.stop_reason)
        case "_acprelay/permission_settled":
            return Settled(bytes(params.ask).decode())
        case _:
            return Other(f"{method} {params.code}".strip())


def _update(raw: bytes) -> Content:
    found = read(raw)
    if found is not None:
        return Said(*found)
    update = _updates.decode(raw)
    if update.kind == "user_message_chunk":
        order = Order.parse(_blocks.decode(update.content).text)
        if order is not None:
            return Prompted(order.turn, update.message_id)
    return Other(update.kind)
