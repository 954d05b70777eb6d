"""What tells of the API itself: `/openapi.json`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web

from acprelay import __version__
from acprelay.routing.access import Grant
from acprelay.server.api.openapi import document
from acprelay.server.api.operations import Call, Operation, Reach


class AboutResource:
    """Serves the documents.

    Args:
        operations: Gives all operations that there are, these included.
    """

    def __init__(self, *, operations: Callable[[], Sequence[Operation]]) -> None:
        self._operations = operations
        self._documents: dict[str, bytes] = {}

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
            )
        ]

    async def _openapi(self, call: Call[Any, None]) -> web.Response:
        base = call.request.path.removesuffix("/openapi.json")
        if base not in self._documents:  # it never changes, and a relay is mounted in one place
            made = document(self._operations(), version=__version__, base=base)
            self._documents[base] = msgspec.json.encode(made)
        return web.Response(body=self._documents[base], content_type="application/json")
