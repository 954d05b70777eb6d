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
from acprelay.agents.commands import CommandLauncher
from acprelay.agents.launcher import StdioLauncher
from acprelay.agents.models import AgentLimits, AgentSpec
from acprelay.agents.orphans import end_orphans
from acprelay.config import Limits, RelayConfig
from acprelay.errors import ConfigError
from acprelay.routing.building import Rules
from acprelay.runtime.agent_pool import AgentPool
from acprelay.runtime.agent_run import AgentRun
from acprelay.runtime.archive import Archive
from acprelay.runtime.background import Background
from acprelay.runtime.cleanup import AgentCleaner, BackgroundCleanupScheduler
from acprelay.runtime.client_connection import ClientConnection
from acprelay.runtime.conversation_host import ConversationHost
from acprelay.runtime.ports import ConversationStore
from acprelay.runtime.service_desk import ServiceDesks
from acprelay.runtime.system import LoggingHooks, MonotonicClock, RandomIds, SystemClock
from acprelay.server.acp import AcpEndpoint
from acprelay.server.app import make_app
from acprelay.server.logs import http_logger
from acprelay.session.manager import LifecycleManager
from acprelay.session.registry_memory import MemoryRegistry
from acprelay.session.store_memory import MemoryStore
from acprelay.storage.disk import SystemDisk
from acprelay.storage.files import FileStorage
from acprelay.storage.memory import MemoryStorage
from acprelay.storage.state_directory import StateDirectory

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
        ConfigError: The address cannot be listened on, or the state directory cannot be used.
    """
    async with AsyncExitStack() as stack:
        store, owner = await _open_store(stack, config)
        archive = Archive(store=store, ids=RandomIds(), clock=SystemClock(), rules=_rules(config))
        stack.callback(archive.close)
        background = await stack.enter_async_context(Background())
        pool = AgentPool(
            launcher=_launcher(config, owner),
            deadline_s=config.limits.start_s,
            authenticate_s=config.limits.authenticate_s,
            services=config.services,
        )
        desks = stack.enter_context(
            ServiceDesks(commands=_commands(owner), ids=RandomIds(), limits=config.limits)
        )
        stack.push_async_callback(pool.aclose)
        registry: MemoryRegistry[AgentRun, object] = MemoryRegistry()
        manager = await stack.enter_async_context(_manager(registry, background))
        host = ConversationHost(
            manager=manager,
            registry=registry,
            pool=pool,
            archive=archive,
            clock=SystemClock(),
            background=background,
            limits=config.limits,
            desks=desks,
        )
        host.recover()
        background.start(_keep_house(host, config.limits), name="housekeeping")
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


async def _open_store(stack: AsyncExitStack, config: RelayConfig) -> tuple[ConversationStore, str]:
    """Opens what keeps conversations; gives the mark of its owner, which its agents carry."""
    if config.state_dir is None:
        memory = MemoryStorage(ids=RandomIds(), history_bytes=config.limits.history_bytes)
        return await stack.enter_async_context(memory), RandomIds().mint()
    directory = stack.enter_context(StateDirectory(config.state_dir))
    # Nobody else owns the directory: what runs in its name was left by a relay that died.
    await end_orphans(directory.id)
    files = FileStorage(
        directory=directory.path, ids=RandomIds(), clock=MonotonicClock(), disk=SystemDisk()
    )
    return await stack.enter_async_context(files), directory.id


def _rules(config: RelayConfig) -> Rules:
    limits = config.limits
    return Rules(
        max_frame=limits.max_frame,
        most_queued=limits.queued_prompts,
        most_clients=limits.session_clients,
        cancel_answer_s=limits.cancel_answer_s,
        cancel_end_s=limits.cancel_end_s,
        permission_s=limits.permission_s,
        elicitation_s=limits.elicitation_s,
        linger_s=limits.linger_s,
        policy=config.policy,
        services=config.services,
    )


def _launcher(config: RelayConfig, owner: str) -> StdioLauncher:
    return StdioLauncher(
        owner=owner,
        catalog=Catalog(config.agents or (DEMO_AGENT,)),
        environment=os.environ,
        cwd=Path.cwd(),
        limits=AgentLimits(max_frame=config.limits.max_frame),
    )


def _commands(owner: str) -> CommandLauncher:
    return CommandLauncher(owner=owner, environment=os.environ, limits=AgentLimits())


def _manager(
    registry: MemoryRegistry[AgentRun, object], background: Background
) -> LifecycleManager[AgentRun, object]:
    return LifecycleManager(
        store=MemoryStore(),
        registry=registry,
        clock=SystemClock(),
        ids=RandomIds(),
        cleaner=AgentCleaner(registry=registry),
        scheduler=BackgroundCleanupScheduler(background=background),
        hooks=LoggingHooks(),
    )


async def _keep_house(host: ConversationHost, limits: Limits) -> None:
    while True:
        await asyncio.sleep(limits.heartbeat_s)
        await host.keep_house()


async def _listen(
    stack: AsyncExitStack,
    config: RelayConfig,
    endpoint: AcpEndpoint,
    manager: LifecycleManager[AgentRun, object],
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
