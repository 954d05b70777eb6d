"""How a connection of a link begins: what the joiner claims, and how the relay greets it.

A joiner that takes a link up says so in a header of its upgrade, which the relay can refuse with a
reason. The relay's greeting is the first message of every connection. Pure.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec

from acprelay.errors import InvalidRequest, RemoteProtocolError

_T = TypeVar("_T")

CLAIM_HEADER = "Acprelay-Link"

Stream = Literal["input", "output"]
"""A standard stream that an agent cannot do without."""

_PARTS = 3
_MOST_DIGITS = 18


class Claim(msgspec.Struct, frozen=True):
    """What a joiner says that takes a link up: `ID SECRET RECEIVED`.

    Attributes:
        link: The link's id.
        secret: Its secret.
        received: How many parcels the joiner has received.
    """

    link: str
    secret: str
    received: int

    def header(self) -> str:
        """As the header's value."""
        return f"{self.link} {self.secret} {self.received}"


class Greeting(msgspec.Struct, frozen=True):
    """The first message that a relay sends over a connection.

    Attributes:
        link: The link's id.
        secret: What takes it up; known to nobody else.
        received: How many parcels the relay has received.
        grace_s: How long it waits for the joiner to come back.
    """

    link: str
    secret: str
    received: int
    grace_s: float


class Exit(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of a parcel that says how an agent ended.

    Attributes:
        returncode: Its exit status.
        signal: The number of the signal that ended it.
        closed: Which of its standard streams it had closed, and was ended for.
    """

    returncode: int | None = None
    signal: int | None = None
    closed: Stream | None = None


def read_claim(header: str) -> Claim:
    """Reads the value of the header.

    Raises:
        InvalidRequest: It is malformed.
    """
    parts = header.split(" ")
    if (
        len(parts) != _PARTS
        or not parts[2].isdigit()
        or not parts[2].isascii()
        or len(parts[2]) > _MOST_DIGITS
    ):
        raise InvalidRequest(
            f"cannot read the header {CLAIM_HEADER}", hint="send the link's id, secret and count"
        )
    return Claim(link=parts[0], secret=parts[1], received=int(parts[2]))


def read_greeting(message: bytes) -> Greeting:
    """Reads a relay's greeting.

    Raises:
        RemoteProtocolError: It is none.
    """
    return _read(message, Greeting, "the greeting")


def read_exit(body: bytes) -> Exit:
    """Reads how an agent ended.

    Raises:
        RemoteProtocolError: It does not say.
    """
    told = _read(body, Exit, "how the agent ended")
    if (told.returncode is None) == (told.signal is None):
        raise _broken("how the agent ended", "there is neither a status nor a signal, or both")
    return told


def write(message: Greeting | Exit) -> bytes:
    """Writes either as JSON."""
    return msgspec.json.encode(message)


def _read(message: bytes, wanted: type[_T], what: str) -> _T:
    try:
        return msgspec.json.decode(message, type=wanted)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _broken(what, str(error)) from None


def _broken(what: str, why: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"cannot read {what} over the link to an agent: {why}",
        hint="let both ends be acprelay, of versions that fit together",
    )
