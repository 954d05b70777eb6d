"""Finds where the members of a JSON object stand in its text, exactly.

msgspec checks the grammar and gives each member's value as a slice; from the values' lengths
follows where they stand. What msgspec leaves out is done here: UTF-8, equal keys, and escapes of
lone surrogates, which it refuses although Python's `json` and JavaScript read and write them. This
module knows JSON and nothing of JSON-RPC.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

import msgspec

from acprelay.errors import InvalidRequest, ParseFailed, RemoteProtocolError

Span = tuple[int, int]
"""Where a value begins and ends in its text."""

Members = dict[str, Span]
"""Where the values of an object's members stand, by name, in order."""

Values = dict[str, msgspec.Raw]
"""An object's values by name; of equal names the first one's place and the last one's value."""

open_nested: Callable[[bytes | msgspec.Raw], Values] = msgspec.json.Decoder(Values).decode
"""Reads an object that is a value in what `open_object` gave, or like one."""

_decode_value = msgspec.json.Decoder(msgspec.Raw).decode

# A key, with what stands before it and after it.
_KEY = re.compile(rb'[ \t\n\r]*[{,][ \t\n\r]*"[^"\\]*(?:\\.[^"\\]*)*"[ \t\n\r]*:[ \t\n\r]*')
_END = re.compile(rb"[ \t\n\r]*\}")

# Escapes of surrogates; a backslash begins an escape if an even number of them precedes it.
_SURROGATE = re.compile(
    rb"(?<!\\)((?:\\\\)*)\\u[dD]"
    rb"(?:[89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # both halves: left alone
    rb"|([89a-fA-F])([0-9a-fA-F]{2}))"
)


def open_object(text: bytes) -> tuple[bytes, Values]:
    """Reads a text that is one JSON object.

    Returns:
        The text that the values are slices of (the given one, or what `mend` made of it), and the
        values.

    Raises:
        ParseFailed: The text is not JSON in UTF-8, or nests too deeply.
        InvalidRequest: It is JSON, but no object.
    """
    try:
        values = open_nested(text)
    except msgspec.ValidationError:
        raise _no_object(text) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        mended = mend(text)
        if mended == text:
            raise _no_json(error) from error
        return open_object(mended)
    except RecursionError as error:
        raise _no_json(error) from error
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise _no_json(error) from error
    return text, values


def read_members(text: bytes) -> Members:
    """Finds the values of a text that is one JSON object.

    Raises:
        ParseFailed: The text is not JSON in UTF-8, or nests too deeply.
        InvalidRequest: It is no object, or two of its members have the same name.
    """
    opened, values = open_object(text)
    return place(opened, (0, len(opened)), values)


def place(text: bytes, span: Span, values: Values) -> Members:
    """Finds where an object's values stand.

    The sum of the members' lengths in their shortest spelling (no white space, no escapes in keys)
    never exceeds the object's length, and a member that is missing from `values`, because its name
    occurs twice, makes the sum smaller. So where both are equal nothing is missing, and the sums
    are positions. Else the text is walked.

    Args:
        text: What `open_object` gave.
        span: Where the object stands; white space around it may be included.
        values: What `open_object` or `open_nested` gave for it.

    Raises:
        InvalidRequest: Two members have the same name.
    """
    start, end = span
    at = start
    members: Members = {}
    for name, value in values.items():
        begin = at + len(name) + 4
        at = begin + len(value)
        members[name] = begin, at
    return members if at + 1 == end else _walk(text, start, values)


def mend(text: bytes) -> bytes:
    r"""Makes a text that msgspec can read of one that has escapes of lone surrogates.

    Each such escape (`\ud83d` without its other half) becomes that of a private-use character
    (`\ue03d`). Length, structure and all other bytes stay, so positions in one text hold in the
    other; and different keys stay different, unless one has that very private-use character where
    another has the surrogate.
    """
    if b"\\u" not in text:
        return text
    return _SURROGATE.sub(_replace_lone, text)


def _replace_lone(found: re.Match[bytes]) -> bytes:
    backslashes, digit, rest = found.groups()
    if digit is None:
        return found[0]
    return b"%b\\ue%x%b" % (backslashes, int(digit, 16) - 8, rest)


def _walk(text: bytes, start: int, values: Values) -> Members:
    """Finds the values of an object that has white space, escapes in keys, or equal keys.

    Each step reads a key, and checks that the value which is due stands behind it. A JSON value
    that a comma or a brace follows ends in one place only; so either every step agrees, and the
    brace comes where the values end, or a name occurs twice.
    """
    at = start
    members: Members = {}
    for name, value in values.items():
        begin = after_key(text, at + 1, name)
        if not text.startswith(value, begin):
            key = _KEY.match(text, at)
            if key is None or not text.startswith(value, key.end()):
                raise _equal_names()
            begin = key.end()
        at = begin + len(value)
        members[name] = begin, at
    if values and not _END.match(text, at):
        raise _equal_names()
    return members


def after_key(text: bytes, at: int, name: str) -> int:
    """Finds where a member's value begins, if it is spelt as most are: with one space, or none.

    Args:
        text: The object's text.
        at: Where the key, or the space before it, would stand.
        name: What the key says.

    Returns:
        The value's place; the text's end, where no such key stands there.
    """
    spelt = _spell(name)
    if not text.startswith(spelt, at):
        at += 1
        if text[at - 1 : at] != b" " or not text.startswith(spelt, at):
            return len(text)
    at += len(spelt)
    return at + 1 if text[at : at + 1] == b" " else at


@lru_cache(maxsize=256)
def _spell(name: str) -> bytes:
    return b'"%b":' % name.encode()


def _no_json(reason: object) -> ParseFailed:
    return ParseFailed(f"cannot read a frame: {reason}", hint="send one JSON-RPC message in UTF-8")


def _no_object(text: bytes) -> RemoteProtocolError:
    try:
        _decode_value(mend(text))
        text.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _no_json(error)
    if text.lstrip().startswith(b"["):
        return InvalidRequest("cannot take a batch", hint="send each message in a frame of its own")
    return InvalidRequest(
        "cannot take a frame that is no JSON object", hint="send a JSON-RPC 2.0 message"
    )


def _equal_names() -> InvalidRequest:
    return InvalidRequest(
        "cannot take an object in which a name occurs twice",
        hint="give every member of a message, its params and their _meta a name of its own",
    )
