"""Reads the params of an agent's request."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from acprelay.errors import InvalidParams

Natural = Annotated[int, msgspec.Meta(ge=0)]
"""What ACP's schema calls an unsigned integer."""

T = TypeVar("T")


def read_params(params: bytes, shape: type[T], method: str) -> T:
    """Reads params; members that are not known are ignored.

    Args:
        params: The raw JSON value.
        shape: What they have to be.
        method: Whose they are, for the error.

    Raises:
        InvalidParams: They are something else.
    """
    try:
        return msgspec.json.decode(params, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParams(
            f"cannot serve {method!r}: {error}", hint="see the method's params in ACP"
        ) from error
