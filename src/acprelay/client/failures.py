"""What is said where a relay cannot be reached, is none, or refuses."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress

import aiohttp

from acprelay.client.acp_messages import as_object
from acprelay.client.refusals import restored
from acprelay.errors import RelayError, RelayUnreachable

PROBLEM = "application/problem+json"  # RFC 9457

_READ_S = 15.0


async def refused(response: aiohttp.ClientResponse, url: str, *, deed: str = "") -> RelayError:
    """Gives the error that an answer stands for which is no success.

    Args:
        response: The answer, whose body nobody has read.
        url: Where it came from, for messages.
        deed: What cannot be done then, where the answer alone does not tell.
    """
    with suppress(aiohttp.ClientError, OSError, TimeoutError, ValueError):
        async with asyncio.timeout(_READ_S):
            problem = as_object(await response.json(content_type=PROBLEM))
        if "title" in problem:
            return restored(
                f"cannot {deed}: {problem['title']}" if deed else str(problem["title"]), problem
            )
    return no_relay(url, response.status)


def no_relay(url: str, status: int) -> RelayUnreachable:
    """What is said where something else than a relay answers."""
    return RelayUnreachable(
        f"cannot reach a relay at {url}: what answers there sends HTTP status {status}",
        hint="check the address: a relay's path is /acp",
        url=url,
    )


def unreachable(url: str, error: Exception, *, after_s: float) -> RelayUnreachable:
    """What is said where a request has no answer.

    Args:
        url: Where it went.
        error: Why.
        after_s: How long an answer was waited for.
    """
    match error:
        case TimeoutError():
            reason = f"it did not answer within {after_s:g} s"
            hint = "check the address"
        case aiohttp.ClientConnectorCertificateError():
            reason = f"its certificate cannot be trusted: {_certificate_trouble(error)}"
            hint = "name the certificates that lead to it with --ca-file, or with SSL_CERT_FILE"
        case aiohttp.ClientConnectorSSLError():
            # What OpenSSL numbers is no errno
            reason = "what answers there does not speak TLS as it should"
            hint = "write http:// or ws:// where a relay serves without TLS"
        case aiohttp.ClientConnectorError(os_error=socket.gaierror(strerror=str(reason))):
            hint = "check the name in the address"  # what the resolver numbers is no errno
        case aiohttp.ClientConnectorError(os_error=OSError(errno=int(number))):
            reason, hint = os.strerror(number), "start a relay with: acprelay serve"
        case aiohttp.ServerDisconnectedError() if url.startswith(("http:", "ws:")):
            reason = "what answers there hung up"
            hint = "check the address: a relay that serves TLS is at https:// or wss://"
        case _:
            reason, hint = str(error), "check the address"
    return RelayUnreachable(f"cannot reach a relay at {url}: {reason}", hint=hint, url=url)


def _certificate_trouble(error: aiohttp.ClientConnectorCertificateError) -> str:
    trouble = error.certificate_error
    return getattr(trouble, "verify_message", "") or str(trouble)


def connection_lost(url: str, reason: str) -> RelayUnreachable:
    """What is said of a connection that is lost."""
    return RelayUnreachable(
        f"cannot go on: the connection to {url} is lost: {reason}",
        hint="see what the relay says on its standard error, then try again",
        url=url,
    )
