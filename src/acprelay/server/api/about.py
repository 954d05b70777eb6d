"""What tells of the API itself: `/openapi.json` for programs, `/docs` for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web

from acprelay import __version__
from acprelay.routing.access import Grant
from acprelay.server.api import page
from acprelay.server.api.openapi import document
from acprelay.server.api.operations import Call, Operation, Reach


class AboutResource:
    """Serves the documents.

    Args:
        operations: Gives all operations that there are, these included.
    """

    def __init__(self, *, operations: Callable[[], Sequence[Operation]]) -> None:
        self._operations = operations
        self._documents: dict[str, dict[str, Any]] = {}

    def operations(self) -> list[Operation]:
        """Gives the operations."""
        return [
            Operation(
                id="getOpenapi",
                method="GET",
                path="/openapi.json",
                summary="This API as an OpenAPI document",
                tag="about",
                result=dict[str, Any],
                grant=Grant.OBSERVE,
                reach=Reach.WITHIN,
                handler=self._openapi,
            ),
            Operation(
                id="getDocs",
                method="GET",
                path="/docs",
                summary="This API as a page to read",
                tag="about",
                media="text/html",
                grant=Grant.OBSERVE,
                reach=Reach.WITHIN,
                handler=self._docs,
            ),
        ]

    async def _openapi(self, call: Call[Any, None]) -> web.Response:
        base = call.request.path.removesuffix("/openapi.json")
        body = msgspec.json.encode(self._document(base))
        return web.Response(body=body, content_type="application/json")

    async def _docs(self, call: Call[Any, None]) -> web.Response:
        base = call.request.path.removesuffix("/docs")
        text = page.render(self._document(base))
        return web.Response(text=text, content_type="text/html", headers=page.HEADERS)

    def _document(self, base: str) -> dict[str, Any]:
        if base not in self._documents:  # it never changes, and a relay is mounted in one place
            self._documents[base] = document(self._operations(), version=__version__, base=base)
        return self._documents[base]
