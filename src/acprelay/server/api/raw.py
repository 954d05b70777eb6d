"""JSON that somebody else has written, in answers of the API."""

from __future__ import annotations

import msgspec


def raw(value: bytes) -> msgspec.Raw:
    """Gives JSON as it is, but for bytes that are no UTF-8, which no reader of JSON would take."""
    return msgspec.Raw(value.decode(errors="replace").encode())
