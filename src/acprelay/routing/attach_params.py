"""The params of the relay's own requests: `_acprelay/attach` and `_acprelay/cancel_turn`."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from acprelay.errors import InvalidParams

_T = TypeVar("_T")


class AttachParams(msgspec.Struct, rename="camel", frozen=True):
    """`_acprelay/attach`: a client comes back, or comes for the first time.

    Attributes:
        session_id: The session's public id.
        after: `generation:seq` of the last entry that the client has seen, or `start`; None is now,
            and for an attachment that is adopted: after all that it was given.
        attachment: The attachment to adopt; None makes a new one.
        secret: Its secret.
        pending: Ids of the requests that the client waits for an answer to.
    """

    session_id: str
    after: str | None = None
    attachment: str | None = None
    secret: str | None = None
    pending: list[msgspec.Raw] | None = None

    @property
    def pending_ids(self) -> frozenset[bytes] | None:
        """The raw ids that are pending; None where the client does not say."""
        return None if self.pending is None else frozenset(map(bytes, self.pending))


class CancelTurnParams(msgspec.Struct, rename="camel", frozen=True):
    """`_acprelay/cancel_turn`.

    Attributes:
        session_id: The session's public id.
        turn: The turn's id, as `_acprelay/turn_started` and `_acprelay/turns` tell it.
    """

    session_id: str
    turn: str


def read_attach(params: bytes | None) -> AttachParams:
    """Reads the params of `_acprelay/attach`.

    Raises:
        InvalidParams: They are malformed, or name an attachment without its secret.
    """
    read = _read(params, AttachParams, "_acprelay/attach needs params.sessionId, a string")
    if (read.attachment is None) != (read.secret is None):
        raise InvalidParams(
            "cannot adopt an attachment without its id and its secret",
            hint="give both as the answer that opened it told them, or neither",
        )
    return read


def read_cancel_turn(params: bytes | None) -> CancelTurnParams:
    """Reads the params of `_acprelay/cancel_turn`.

    Raises:
        InvalidParams: They are malformed.
    """
    hint = "_acprelay/cancel_turn needs params.sessionId and params.turn, strings"
    return _read(params, CancelTurnParams, hint)


def _read(params: bytes | None, wanted: type[_T], hint: str) -> _T:
    try:
        return msgspec.json.decode(params or b"null", type=wanted)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParams(f"cannot read the params: {error}", hint=hint) from error
