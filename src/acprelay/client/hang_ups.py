"""What is made of connections that the other end has closed without a word.

aiohttp tells of one by what it was about to do, or by the system's number, and not always alike.
"""

from __future__ import annotations

import errno

import aiohttp

_NUMBERS = (errno.ECONNRESET, errno.EPIPE)


def loss(error: BaseException | None) -> str:
    """Says why a connection is lost, whose end an error tells of, or nothing."""
    return "it ended without a word" if error is None or _is_hang_up(error) else str(error)


def hang_up(error: Exception) -> Exception:
    """Gives the error that a request fails with, in whichever instant the other end hung up."""
    return aiohttp.ServerDisconnectedError() if _is_hang_up(error) else error


def _is_hang_up(error: BaseException) -> bool:
    return isinstance(error, aiohttp.ClientConnectionResetError) or (
        isinstance(error, OSError) and error.errno in _NUMBERS
    )
