"""Errors as HTTP answers (RFC 9457, problem details)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from aiohttp import web

from acprelay.error_mapping import outside
from acprelay.errors import RelayError

_CONTENT_TYPE = "application/problem+json"


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
    return web.Response(
        status=code, body=_document(error, code), content_type=_CONTENT_TYPE, headers=headers
    )


def raw_problem(error: RelayError, *, status: int) -> bytes:
    """The same as bytes, for a connection that ends before a request was read.

    Args:
        error: What went wrong.
        status: The HTTP status.
    """
    body = _document(error, status)
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Content-Type: {_CONTENT_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body


def _document(error: RelayError, status: int) -> bytes:
    return msgspec.json.encode(
        {**error.data, "type": "about:blank", "title": error.message, "status": status}
    )
