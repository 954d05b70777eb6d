"""Errors as HTTP answers (RFC 9457, problem details)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from aiohttp import web

from acprelay.error_mapping import outside
from acprelay.errors import RelayError


def problem(
    error: RelayError, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An answer that says what cannot be done, and what to do instead.

    Args:
        error: What went wrong.
        status: The HTTP status, where it is not the one of the error's class.
        headers: Further headers.
    """
    code = status or outside(error).http_status
    body = {**error.data, "type": "about:blank", "title": error.message, "status": code}
    return web.Response(
        status=code,
        body=msgspec.json.encode(body),
        content_type="application/problem+json",
        headers=headers,
    )
