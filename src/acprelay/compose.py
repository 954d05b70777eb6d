"""The composition root: the one place that knows every concrete part.

Nothing else chooses an implementation. A relay is a context: entering it listens, leaving it ends
every session, every process and every connection.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aiohttp import web

from acprelay.agents.catalog import Catalog
from acprelay.agents.launcher import StdioLauncher
from acprelay.agents.models import AgentLimits, AgentSpec
from acprelay.config import Limits, RelayConfig
from acprelay.errors import ConfigError
from acprelay.routing.attachment import Attachment
from acprelay.runtime.agent_pool import AgentPool
from acprelay.runtime.background import Background
from acprelay.runtime.cleanup import AgentCleaner, BackgroundCleanupScheduler
from acprelay.runtime.client_connection import ClientConnection
from acprelay.runtime.session_driver import SessionDriver
from acprelay.runtime.session_host import SessionHost
from acprelay.runtime.system import LoggingHooks, RandomIds, SystemClock
from acprelay.server.acp import AcpEndpoint
from acprelay.server.app import make_app
from acprelay.server.logs import http_logger
from acprelay.session.manager import LifecycleManager
from acprelay.session.registry_memory import MemoryRegistry
from acprelay.session.store_memory import MemoryStore

logger = logging.getLogger(__name__)

DEMO_AGENT = AgentSpec(name="demo", argv=(sys.executable, "-m", "acprelay.testing.demo_agent"))
"""What is offered where no agent is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningRelay:
    """A relay that listens.

    Attributes:
        base_url: The address of its HTTP server.
        url: The WebSocket address for ACP clients.
        agents: The agents that it offers, the default one first.
    """

    base_url: str
    url: str
    agents: tuple[str, ...]


@asynccontextmanager
async def open_relay(config: RelayConfig) -> AsyncIterator[RunningRelay]:
    """Runs a relay for as long as the context lasts.

    Cancelling the body is safe: leaving the context ends what it began. Several relays may run in
    one process.

    Raises:
        ConfigError: The address cannot be listened on.
    """
    async with AsyncExitStack() as stack:
        background = await stack.enter_async_context(Background())
        pool = AgentPool(
            launcher=_launcher(config),
            deadline_s=config.limits.start_s,
            authenticate_s=config.limits.authenticate_s,
        )
        stack.push_async_callback(pool.aclose)
        registry: MemoryRegistry[SessionDriver, Attachment] = MemoryRegistry()
        manager = await stack.enter_async_context(_manager(registry, background))
        host = SessionHost(
            manager=manager,
            registry=registry,
            pool=pool,
            ids=RandomIds(),
            background=background,
            limits=config.limits,
        )
        background.start(_report_activity(host, config.limits), name="heartbeats")
        endpoint = AcpEndpoint(
            agents=pool.names,
            connect=partial(ClientConnection, host=host, pool=pool),
            ids=RandomIds(),
            limits=config.limits,
        )
        relay = await _listen(stack, config, endpoint, manager, pool.names)
        # Left first: clients learn what becomes of their requests while they are connected.
        stack.push_async_callback(host.aclose, reason="the relay is stopping")
        yield relay


def _launcher(config: RelayConfig) -> StdioLauncher:
    return StdioLauncher(
        catalog=Catalog(config.agents or (DEMO_AGENT,)),
        environment=os.environ,
        cwd=Path.cwd(),
        limits=AgentLimits(max_frame=config.limits.max_frame),
    )


def _manager(
    registry: MemoryRegistry[SessionDriver, Attachment], background: Background
) -> LifecycleManager[SessionDriver, Attachment]:
    return LifecycleManager(
        store=MemoryStore(),
        registry=registry,
        clock=SystemClock(),
        ids=RandomIds(),
        cleaner=AgentCleaner(registry=registry),
        scheduler=BackgroundCleanupScheduler(background=background),
        hooks=LoggingHooks(),
    )


async def _report_activity(host: SessionHost, limits: Limits) -> None:
    while True:
        await asyncio.sleep(limits.heartbeat_s)
        await host.report_activity()


async def _listen(
    stack: AsyncExitStack,
    config: RelayConfig,
    endpoint: AcpEndpoint,
    manager: LifecycleManager[SessionDriver, Attachment],
    agents: tuple[str, ...],
) -> RunningRelay:
    bound: list[int] = []
    app = make_app(acp=endpoint, manager=manager, port=lambda: bound[0])
    # Handlers end when their sockets are closed, not by being cancelled in the middle of leaving.
    runner = web.AppRunner(app, access_log=None, logger=http_logger, shutdown_timeout=5.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    stack.push_async_callback(endpoint.close)
    # The name may stand for two addresses, and the system would choose a port for each.
    ambiguous = config.port == 0 and config.host.lower() == "localhost"
    site = web.TCPSite(runner, "127.0.0.1" if ambiguous else config.host, config.port)
    try:
        await site.start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise ConfigError(
            f"cannot listen on {config.host}:{config.port}: {reason}",
            hint="another program may have the port: choose another one, or 0 for any that is free",
        ) from error
    bound.append(runner.addresses[0][1])
    host = f"[{config.host}]" if ":" in config.host else config.host
    return RunningRelay(
        base_url=f"http://{host}:{bound[0]}",
        url=f"ws://{host}:{bound[0]}/acp",
        agents=agents,
    )
