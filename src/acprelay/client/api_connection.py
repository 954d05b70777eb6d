"""Requests to a relay's API: JSON there and back, one error for each way to fail.

It knows neither operations nor resources.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import aiohttp
import msgspec
from yarl import URL

from acprelay.client.failures import connection_lost, refused, unreachable
from acprelay.client.hang_ups import hang_up, loss
from acprelay.errors import RemoteProtocolError

ResultT = TypeVar("ResultT")
Query = Mapping[str, str | int | bool | None]

_PREFIX = "/api/v1"
_SUCCESSES = range(200, 300)


class ApiConnection:
    """Asks one relay.

    Args:
        http: Has what every request carries; the caller closes it.
        base_url: The address that the relay's pages stand below.
        patience_s: How long an answer is waited for.
    """

    def __init__(self, *, http: aiohttp.ClientSession, base_url: str, patience_s: float) -> None:
        self._http = http
        self._base = base_url + _PREFIX
        self._patience_s = patience_s

    async def get(self, path: str, result: type[ResultT], *, query: Query | None = None) -> ResultT:
        """Asks for what is there.

        Args:
            path: Below the API's prefix, its variables quoted.
            result: What the answer is read as.
            query: The query; what is None is left out.

        Raises:
            RelayError: The relay refuses: by its class.
            RelayUnreachable: It cannot be reached, or the connection is lost.
            RemoteProtocolError: The answer cannot be read.
        """
        return _read(await self._ask("GET", path, query=query), result)

    async def text(self, path: str) -> str:
        """Asks for what is no JSON. Raises as `get` does."""
        return (await self._ask("GET", path)).decode(errors="replace")

    async def post(
        self, path: str, body: object, result: type[ResultT], *, query: Query | None = None
    ) -> ResultT:
        """Asks for a change. Cancelling leaves open whether it is made. Raises as `get` does."""
        return _read(await self._ask("POST", path, query=query, body=body), result)

    async def delete(
        self, path: str, result: type[ResultT], *, query: Query | None = None
    ) -> ResultT:
        """Asks for an end. Cancelling leaves open whether it comes. Raises as `get` does."""
        return _read(await self._ask("DELETE", path, query=query), result)

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Query | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Opens an answer that goes on for as long as it is read.

        Raises:
            RelayError: The relay refuses: by its class.
            RelayUnreachable: It cannot be reached; or, in the body, the connection is lost.
        """
        endless = aiohttp.ClientTimeout(total=None, sock_connect=self._patience_s)
        async with self._answer("GET", path, query=query, headers=headers, timeout=endless) as got:
            yield self._pieces(got)

    async def _pieces(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            async for piece in response.content.iter_any():
                yield piece
        except (aiohttp.ClientError, OSError) as error:
            raise connection_lost(self._base, loss(error)) from None

    async def _ask(
        self, method: str, path: str, *, query: Query | None = None, body: object = None
    ) -> bytes:
        async with self._answer(method, path, query=query, body=body) as response:
            try:
                return await response.read()
            except (aiohttp.ClientError, OSError) as error:
                raise connection_lost(self._base, loss(error)) from None

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        timeout: aiohttp.ClientTimeout | None = None,  # noqa: ASYNC109 - aiohttp's
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        sent = {} if body is None else {"Content-Type": "application/json"}
        try:
            response = await self._http.request(
                method,
                URL(self._base + path, encoded=True).with_query(_given(query)),
                data=None if body is None else msgspec.json.encode(body),
                headers={**(headers or {}), **sent},
                allow_redirects=False,  # what the request carries is for this relay alone
                timeout=timeout or aiohttp.ClientTimeout(total=self._patience_s),
            )
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(self._base, hang_up(error), after_s=self._patience_s) from None
        async with response:
            if response.status not in _SUCCESSES:
                raise await refused(response, self._base)
            yield response


def _read(data: bytes, result: type[ResultT]) -> ResultT:
    try:
        return msgspec.json.decode(data or b"null", type=result)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(
            f"cannot read what the relay answers: {error}",
            hint="use a client and a relay of versions that fit together",
        ) from error


def _given(query: Query | None) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in (query or {}).items()
        if value is not None
    }
