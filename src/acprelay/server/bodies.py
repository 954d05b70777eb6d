"""Reads what a request brings, within bounds of size and time.

What it means is not known here.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from acprelay.errors import FrameTooLarge, InvalidRequest, LimitReached


async def read_body(request: web.Request, *, most: int, within_s: float) -> bytes:
    """Reads a request's body.

    Cancelling is safe. Once this has raised, nothing more can be read over the connection.

    Args:
        request: The request.
        most: The most bytes that it may have.
        within_s: How long it may take, in seconds, from now.

    Raises:
        FrameTooLarge: It has more; no more than that is read of it.
        LimitReached: It takes longer.
        InvalidRequest: It cannot be read to its end.
    """
    declared = request.content_length
    if declared is not None and declared > most:
        raise FrameTooLarge(size=declared, limit=most)
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > most:
                    raise FrameTooLarge(size=len(body), limit=most)
    except TimeoutError:
        raise LimitReached(
            limit="the seconds until a request's body is there",
            most=within_s,
            setting="body-s",
            message=f"cannot wait any longer: the request's body did not come in {within_s:g} s",
        ) from None
    except web.RequestPayloadError as error:
        raise InvalidRequest(
            "cannot read the request's body", hint="send a body that ends as its headers say"
        ) from error
    return bytes(body)
