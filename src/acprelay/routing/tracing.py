"""The trace that a client's request belongs to, as far as logs tell of it.

W3C Trace Context, carried in `params._meta.traceparent`. What the relay passes on is not touched.
"""

from __future__ import annotations

import re

import msgspec

from acprelay.wire import Envelope

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class _Meta(msgspec.Struct):
    traceparent: str | None = None


class _Params(msgspec.Struct):
    meta: _Meta | None = msgspec.field(name="_meta", default=None)


def traceparent(request: Envelope) -> str | None:
    """Gives the trace that a request's params name; None where they name none, or it is no trace.

    Args:
        request: The request, which has params.
    """
    if b"traceparent" not in request.raw:
        return None
    try:
        meta = msgspec.json.decode(request.member("params") or b"null", type=_Params).meta
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    named = meta.traceparent if meta is not None else None
    return named if named is not None and _TRACEPARENT.fullmatch(named) else None
