"""Requests to the control API of a relay, for commands: JSON there, JSON back, one error for each.

It knows no operation.
"""

from __future__ import annotations

import asyncio
import json

import aiohttp

from acprelay.cli.credentials import Reach
from acprelay.client.acp_messages import JsonObject, as_object
from acprelay.client.addresses import base_url
from acprelay.client.failures import no_relay, unreachable
from acprelay.client.refusals import restored
from acprelay.errors import RelayError

_ANSWER_S = 30.0


async def ask(reach: Reach, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
    """Makes a request, and gives the object that it is answered with; an empty one for nothing.

    Args:
        reach: The relay, and who asks.
        method: How: `GET`, `POST` or `DELETE`.
        path: What, below `/api/v1`.
        body: What is sent.

    Raises:
        RelayError: It is refused; the class says why.
        RelayUnreachable: The relay cannot be reached, or does not answer.
    """
    url = f"{base_url(reach.url)}/api/v1{path}"
    try:
        async with (
            asyncio.timeout(_ANSWER_S),
            aiohttp.ClientSession(headers=reach.headers) as http,
            http.request(
                method,
                url,
                json=body,
                ssl=True if reach.tls is None else reach.tls,
                allow_redirects=False,
            ) as response,
        ):
            answer = _object(await response.read())
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise unreachable(url, error, after_s=_ANSWER_S) from None
    if not response.ok:
        raise _refusal(url, response.status, answer)
    return answer


def _object(raw: bytes) -> JsonObject:
    try:
        return as_object(json.loads(raw)) if raw else {}
    except ValueError:
        return {}


def _refusal(url: str, status: int, problem: JsonObject) -> RelayError:
    if "title" not in problem:
        return no_relay(url, status)
    return restored(str(problem["title"]), problem)
