"""A relay that listens by itself."""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web

from acprelay.compose.relay import Relay, RunningRelay
from acprelay.config import RelayConfig
from acprelay.errors import ConfigError
from acprelay.server.edge import Doors, EdgeSite
from acprelay.server.tls import tls_context

_SHUTDOWN_S = 5.0


@asynccontextmanager
async def open_relay(config: RelayConfig) -> AsyncIterator[RunningRelay]:
    """Runs a relay that listens for as long as the context lasts.

    Cancelling the body is safe: leaving the context ends what it began. Several relays may run in
    one process.

    Raises:
        ConfigError: The address cannot be listened on, or the state directory cannot be used.
    """
    tls = None if config.tls is None else tls_context(config.tls)
    async with Relay(config) as relay, AsyncExitStack() as stack:
        # Handlers end when their sockets are closed, not by being cancelled in the middle of
        # leaving.
        runner = web.AppRunner(relay.app, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        stack.push_async_callback(relay.dismiss)
        port = await _listen(runner, config, tls)
        scheme = "http" if tls is None else "https"
        relay.listens_at(f"{scheme}://{_host_name(config.host)}:{port}")
        yield relay


_HINTS = {
    errno.EADDRINUSE: "another program may have the port: choose another one, or 0 for any that is "
    "free",
    errno.EADDRNOTAVAIL: "name an address of this machine, such as 127.0.0.1",
    errno.EACCES: "choose a port from 1024 on, or give the relay the right to use this one",
}


async def _listen(runner: web.AppRunner, config: RelayConfig, tls: ssl.SSLContext | None) -> int:
    """Begins to listen; gives the port."""
    # The name may stand for two addresses, and the system would choose a port for each.
    ambiguous = config.port == 0 and config.host.lower() == "localhost"
    limits = config.limits
    site = EdgeSite(
        runner,
        doors=Doors(limits=limits),
        limits=limits,
        host="127.0.0.1" if ambiguous else config.host,
        port=config.port,
        ssl_context=tls,
    )
    try:
        await site.start()
    except OSError as error:
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else error.strerror or str(error)
        raise ConfigError(
            f"cannot listen on {config.host}:{config.port}: {reason}",
            hint=_HINTS.get(number, "name an address of this machine, and a free port"),
        ) from error
    port: int = runner.addresses[0][1]
    return port


def _host_name(host: str) -> str:
    """Gives the host under which this machine reaches what it listens on, as addresses have it."""
    reached = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{reached}]" if ":" in reached else reached
