"""What the HTTP server says in the log."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

_SECRET_PATHS = ("/login/",)


def loggable_path(request: web.Request) -> str:
    """Gives the path of a request without what is secret in it: the code of a login address."""
    for prefix in _SECRET_PATHS:
        if request.path.startswith(prefix):
            return f"{prefix}…"
    return request.path


class MalformedRequests(logging.Filter):
    """Leaves out what aiohttp logs, with a traceback, of a request that is no HTTP.

    Its sender gets a 400. A port scan, or TLS spoken to a plain port, is no error of the relay.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Tells whether a record is to be logged."""
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


http_logger = logging.getLogger(__name__)
http_logger.addFilter(MalformedRequests())
