"""Tells systemd how the relay is: the protocol of sd_notify(3), datagrams on a Unix socket.

What is told is decided by whoever serves. Where nobody asked to be told, nothing is.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Self

READY = "READY=1"
STOPPING = "STOPPING=1"
_ALIVE = "WATCHDOG=1"
_MICROSECONDS = 1_000_000


class ServiceManager:
    """The service manager that started this process, if one did.

    To be used as a context: while it lasts, the manager is told that the process is alive, from its
    event loop, twice as often as it wants to know. An address that cannot be reached is left alone.

    Args:
        address: Where it listens: a path, or an abstract name that begins with `@`; None where
            there is none.
        watchdog_s: How long it waits for a sign of life, in seconds; None where it does not.
    """

    def __init__(self, *, address: str | None, watchdog_s: float | None) -> None:
        self._address = address
        self._watchdog_s = watchdog_s
        self._socket: socket.socket | None = None
        self._signs: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """Reads what systemd has put into an environment."""
        limit = environ.get("WATCHDOG_USEC", "")
        is_ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watched = limit.isdecimal() and int(limit) > 0 and is_ours
        return cls(
            address=environ.get("NOTIFY_SOCKET") or None,
            watchdog_s=int(limit) / _MICROSECONDS if watched else None,
        )

    @property
    def is_there(self) -> bool:
        """Whether one started this process: what that prints is kept in a journal then."""
        return self._address is not None

    async def __aenter__(self) -> Self:
        if self._address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
            if self._watchdog_s is not None:
                self._live(self._watchdog_s / 2)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._signs is not None:
            self._signs.cancel()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self, status: str) -> None:
        """Says that the relay serves, and in words how it is."""
        self._tell(READY, f"STATUS={_one_line(status)}")

    def status(self, status: str) -> None:
        """Says in words how the relay is."""
        self._tell(f"STATUS={_one_line(status)}")

    def stopping(self) -> None:
        """Says that the relay is about to stop."""
        self._tell(STOPPING)

    def _live(self, every_s: float) -> None:
        self._tell(_ALIVE)
        self._signs = asyncio.get_running_loop().call_later(every_s, self._live, every_s)

    def _tell(self, *lines: str) -> None:
        if self._socket is None or self._address is None:
            return
        address = self._address
        name = f"\0{address[1:]}" if address.startswith("@") else address
        try:
            self._socket.sendto("\n".join(lines).encode(), name)
        except OSError:
            # It is gone, or its queue is full. Serving goes on: a watchdog that hears nothing acts.
            return


def _one_line(text: str) -> str:
    return " ".join(text.split())
