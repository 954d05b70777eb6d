"""What is certain of a frame that cannot be relayed: enough to tell whom it concerns.

A frame that was too long to keep still has two ends, and a frame that `peek` refused may have one
id. What might be otherwise stays None. This module knows JSON-RPC's shapes, and no method.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

from acprelay.errors import RemoteProtocolError
from acprelay.wire.envelope import MessageKind
from acprelay.wire.framing import EDGE_SIZE
from acprelay.wire.objects import read_members

_SPACE = " \t\n\r"

# An id that is certain: U+FFFD may stand for bytes that were not UTF-8.
_ID = re.compile(rb'["0-9n-](?!.*\xef\xbf\xbd)')

# The last member of an object, named id, with a scalar value. In a frame that is JSON this is no
# part of a string: its quotes are all unescaped, so they open and close strings by turns, and the
# last one closes.
_ID_AT_THE_END = re.compile(
    rb',[ \t\n\r]*"id"[ \t\n\r]*:[ \t\n\r]*'
    rb'("[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][0-9.eE+-]*|null)[ \t\n\r]*\}[ \t\n\r]*\Z'
)


@dataclass(frozen=True, slots=True)
class TruncatedEnvelope:
    """What is certain of a frame; None is what is not.

    Attributes:
        id: The raw JSON of its id.
        method: What it asks.
        kind: Which kind of message it is. That it is a notification is never certain.
    """

    id: bytes | None
    method: str | None
    kind: MessageKind | None


def peek_truncated(head: bytes, tail: bytes) -> TruncatedEnvelope:
    """Reads what the ends of an oversized frame tell.

    It is certain if the frame is JSON, and no name occurs twice in it; the relay takes no other
    frames.

    Args:
        head: Its first bytes.
        tail: Its last bytes.
    """
    known = dict(_leading_members(head))
    last = _ID_AT_THE_END.search(tail)
    if last is not None:
        known["id"] = last[1]
    return _certain(known)


def peek_refused(frame: bytes) -> TruncatedEnvelope:
    """Reads what is certain of a frame that `peek` refused.

    That is nothing if it is not JSON, or has two members of one name; but a method, params or a
    result that are wrong leave the id.
    """
    try:
        return _peek_members(frame)
    except RemoteProtocolError:
        return _certain({})


def peek_refused_of_agent(frame: bytes) -> TruncatedEnvelope:
    """Does as `peek_refused` for what an agent wrote, which somebody may wait for.

    Of an agent, a message that asks nothing is an answer: some leave an empty result out. Bytes
    that are not UTF-8 leave the id, unless they are in it; and of what nests too deeply to be read
    it is certain what its ends tell.
    """
    text = frame.decode(errors="replace").encode()
    try:
        known = _peek_members(text)
    except RemoteProtocolError as error:
        is_deep = isinstance(error.__cause__, RecursionError)
        return peek_truncated(text[:EDGE_SIZE], text[-EDGE_SIZE:]) if is_deep else _certain({})
    if known.kind is None and known.method is None and b'"jsonrpc"' in frame:
        return replace(known, kind=MessageKind.RESPONSE)
    return known


def _peek_members(frame: bytes) -> TruncatedEnvelope:
    members = read_members(frame)
    return _certain({name: frame[start:stop] for name, (start, stop) in members.items()})


def _certain(known: Mapping[str, bytes | None]) -> TruncatedEnvelope:
    message_id, method = known.get("id"), known.get("method")
    if message_id is not None and not _ID.match(message_id):
        message_id = None
    kind = None
    if "method" in known:
        kind = None if message_id is None else MessageKind.REQUEST
    elif "result" in known or "error" in known:
        kind = MessageKind.RESPONSE
    name = json.loads(method) if method is not None and method.startswith(b'"') else None
    return TruncatedEnvelope(message_id, name, kind)


def _leading_members(head: bytes) -> Iterator[tuple[str, bytes | None]]:
    """Gives the members of an object that is cut somewhere; None for the value that is cut."""
    text = codecs.getincrementaldecoder("utf-8")(errors="replace").decode(head)
    at = len(text) - len(text.lstrip(_SPACE))
    before = "{"
    while text[at : at + 1] == before:
        before = ","
        name, at = _read_value(text, at + 1)
        if not isinstance(name, str) or text[at : at + 1] != ":":
            return
        begin = at + 1
        _, at = _read_value(text, begin)
        is_whole = text[at : at + 1] in {",", "}"}
        yield name, text[begin:at].strip(_SPACE).encode() if is_whole else None


def _read_value(text: str, at: int) -> tuple[object, int]:
    """Reads a JSON value; gives where the next token begins, or the text ends if it is cut."""
    begin = at + len(text[at:]) - len(text[at:].lstrip(_SPACE))
    try:
        value, stop = _DECODER.raw_decode(text, begin)
    except (ValueError, RecursionError):
        return None, len(text)
    return value, stop + len(text[stop:]) - len(text[stop:].lstrip(_SPACE))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse)
