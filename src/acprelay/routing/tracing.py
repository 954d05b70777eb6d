"""The trace that a client's request belongs to, as far as logs tell of it.

W3C Trace Context, carried in `params._meta.traceparent`. What the relay passes on is not touched.
"""

from __future__ import annotations

import re

import msgspec

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class _Meta(msgspec.Struct):
    traceparent: str | None = None


class _Params(msgspec.Struct):
    meta: _Meta | None = msgspec.field(name="_meta", default=None)


def traceparent(params: bytes | None) -> str | None:
    """Gives the trace that params name; None where they name none, or it is no trace.

    Args:
        params: The raw params of a request.
    """
    if params is None or b"traceparent" not in params:
        return None
    try:
        meta = msgspec.json.decode(params, type=_Params).meta
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    named = meta.traceparent if meta is not None else None
    return named if named is not None and _TRACEPARENT.fullmatch(named) else None
