"""The composition root: the one place that knows every concrete part.

Nothing else chooses an implementation. A relay is a context: entering it listens, leaving it ends
every session, every process and every connection.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from acprelay.agents.catalog import Catalog
from acprelay.agents.commands import CommandLauncher
from acprelay.agents.dialled import DialledAgent
from acprelay.agents.launcher import StdioLauncher
from acprelay.agents.models import AgentLimits, AgentSpec
from acprelay.agents.orphans import end_orphans
from acprelay.agents.process_limit import LimitedLauncher
from acprelay.config import Limits, RelayConfig
from acprelay.errors import ConfigError
from acprelay.routing.building import Rules
from acprelay.routing.choosing import JOINED
from acprelay.runtime.agent_pool import AgentPool
from acprelay.runtime.agent_run import AgentRun
from acprelay.runtime.agent_source import AgentSource
from acprelay.runtime.archive import Archive
from acprelay.runtime.background import Background
from acprelay.runtime.cleanup import AgentCleaner, BackgroundCleanupScheduler, CleanerChain
from acprelay.runtime.client_connection import ClientConnection
from acprelay.runtime.clients import ConnectedClients
from acprelay.runtime.conversation_host import ConversationHost
from acprelay.runtime.dial_ins import DialIns
from acprelay.runtime.draining import Draining, TurnEnds
from acprelay.runtime.event_log import EventLog
from acprelay.runtime.groups import Groups
from acprelay.runtime.invitation_desk import InvitationDesk
from acprelay.runtime.invitation_requests import InvitationRequests
from acprelay.runtime.observation import Observers
from acprelay.runtime.ports import ConversationStore, InvitationStore
from acprelay.runtime.prewarming import Prewarming
from acprelay.runtime.probe import ProbedAgent, probe
from acprelay.runtime.service_desk import ServiceDesks
from acprelay.runtime.system import LoggingHooks, MonotonicClock, RandomIds, SystemClock
from acprelay.runtime.worktree_claims import WorktreeClaims
from acprelay.server.acp import AcpEndpoint
from acprelay.server.agents import AgentEndpoint
from acprelay.server.app import make_app
from acprelay.server.logs import http_logger
from acprelay.session.manager import LifecycleManager
from acprelay.session.registry_memory import MemoryRegistry
from acprelay.session.store_memory import MemoryStore
from acprelay.storage.disk import SystemDisk
from acprelay.storage.files import FileStorage
from acprelay.storage.invitations import ForgetfulInvitations, InvitationFile
from acprelay.storage.memory import MemoryStorage
from acprelay.storage.state_directory import StateDirectory
from acprelay.wire.bare_link import BareEnd
from acprelay.wire.link import LinkEnd
from acprelay.workspace.environment import git_environment
from acprelay.workspace.folders import default_worktree_directory
from acprelay.workspace.git import Git, PatientGit
from acprelay.workspace.occupants import processes
from acprelay.workspace.worktrees import Worktrees

logger = logging.getLogger(__name__)

_TOKEN_BYTES = 32

DEMO_AGENT = AgentSpec(name="demo", argv=(sys.executable, "-m", "acprelay.testing.demo_agent"))
"""What is offered where no agent is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningRelay:
    """A relay that listens.

    Attributes:
        base_url: The address of its HTTP server.
        url: The WebSocket address for ACP clients.
        agents: The agents that it offers, the default one first.
        groups: Opens and ends sessions of its agents without a connection.
        draining: Has it begin nothing new, and waits for the turns that run.
    """

    base_url: str
    url: str
    agents: tuple[str, ...]
    groups: Groups
    draining: Draining


class _Endpoints(NamedTuple):
    acp: AcpEndpoint
    agents: AgentEndpoint


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
        turn_ends = TurnEnds()
        archive = Archive(
            store=store,
            ids=RandomIds(),
            clock=SystemClock(),
            rules=_rules(config),
            observer=Observers((EventLog(), turn_ends)),
        )
        stack.callback(archive.close)
        background = await stack.enter_async_context(Background())
        launcher = LimitedLauncher(launcher=_launcher(config, owner), most=config.limits.processes)
        pool = AgentPool(
            launcher=launcher,
            deadline_s=config.limits.start_s,
            authenticate_s=config.limits.authenticate_s,
            services=config.services,
        )
        desks = stack.enter_context(
            ServiceDesks(commands=_commands(owner), ids=RandomIds(), limits=config.limits)
        )
        stack.push_async_callback(pool.aclose)
        desk = InvitationDesk(
            store=_invitations(config),
            clock=SystemClock(),
            mint=partial(secrets.token_urlsafe, _TOKEN_BYTES),
        )
        desk.recover()
        dial_ins = DialIns(
            desk=desk,
            make=partial(_dialled_agent, config.limits),
            ids=RandomIds(),
            background=background,
            limits=config.limits,
            services=config.services.elsewhere,
        )
        source = AgentSource(pool=pool, dial_ins=dial_ins)
        registry: MemoryRegistry[AgentRun, object] = MemoryRegistry()
        worktrees = WorktreeClaims(worktrees=_worktrees(config))
        manager = await stack.enter_async_context(_manager(registry, background, worktrees))
        host = ConversationHost(
            manager=manager,
            registry=registry,
            pool=source,
            archive=archive,
            clock=SystemClock(),
            worktrees=worktrees,
            background=background,
            limits=config.limits,
            desks=desks,
        )
        host.recover()
        clients = ConnectedClients()
        draining = Draining(
            host=host, tell=clients.tell, turn_ends=turn_ends, grace_s=config.limits.drain_s
        )
        groups = Groups(host=host, ids=RandomIds(), agents=source.names)
        background.start(_keep_house(host, config.limits), name="housekeeping")
        endpoint = AcpEndpoint(
            agents=source.names,
            connect=partial(
                ClientConnection,
                host=host,
                pool=source,
                groups=groups,
                invitations=InvitationRequests(desk=desk, dial_ins=dial_ins),
                clients=clients,
            ),
            ids=RandomIds(),
            limits=config.limits,
        )
        agents = AgentEndpoint(dial_ins=dial_ins, limits=config.limits)
        port = await _listen(stack, config, _Endpoints(endpoint, agents), manager, draining)
        await stack.enter_async_context(_prewarming(config, launcher, pool, background))
        # Ended over their links, which are there until then.
        stack.push_async_callback(dial_ins.aclose)
        # Left first: clients learn what becomes of their requests while they are connected.
        stack.push_async_callback(host.aclose, reason="the relay is stopping")
        host_name = f"[{config.host}]" if ":" in config.host else config.host
        yield RunningRelay(
            base_url=f"http://{host_name}:{port}",
            url=f"ws://{host_name}:{port}/acp",
            agents=pool.names,
            groups=groups,
            draining=draining,
        )


async def probe_agent(spec: AgentSpec, *, deadline_s: float) -> ProbedAgent:
    """Starts an agent as a relay does, initialises it and ends it; see `acprelay.runtime.probe`.

    Raises:
        AgentError: It cannot be started or initialised.
    """
    launcher = _launcher(RelayConfig(agents=(spec,)), RandomIds().mint())
    return await probe(
        launcher=launcher, name=spec.name, deadline_s=deadline_s, clock=MonotonicClock()
    )


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


def _invitations(config: RelayConfig) -> InvitationStore:
    if config.state_dir is None:
        return ForgetfulInvitations()
    path = config.state_dir.absolute() / "invitations.json"
    return InvitationFile(path=path, disk=SystemDisk())


def _dialled_agent(limits: Limits, is_resumable: bool) -> DialledAgent:
    return DialledAgent(
        name=JOINED,
        end=LinkEnd() if is_resumable else BareEnd(),
        limits=AgentLimits(max_frame=limits.max_frame),
        grace_s=limits.link_grace_s,
    )


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
        stall_s=limits.stall_s,
        silence_s=limits.silence_s,
        restarts={agent.name: agent.restarts for agent in _agents(config)},
        policy=config.policy,
        services=config.services,
    )


def _agents(config: RelayConfig) -> tuple[AgentSpec, ...]:
    return config.agents or (DEMO_AGENT,)


def _prewarming(
    config: RelayConfig, launcher: LimitedLauncher, pool: AgentPool, background: Background
) -> Prewarming:
    return Prewarming(
        wanted={agent.name: agent.prewarm for agent in _agents(config)},
        ready=pool.ready,
        start=pool.start,
        has_room=lambda: launcher.has_room_to_spare,
        background=background,
        sleep=asyncio.sleep,
        now=asyncio.get_running_loop().time,
    )


def _launcher(config: RelayConfig, owner: str) -> StdioLauncher:
    return StdioLauncher(
        owner=owner,
        catalog=Catalog(_agents(config)),
        environment=os.environ,
        cwd=Path.cwd(),
        limits=AgentLimits(max_frame=config.limits.max_frame),
    )


def _worktrees(config: RelayConfig) -> Worktrees:
    root = config.worktree_dir or default_worktree_directory(os.environ)
    git = PatientGit(git=Git(env=git_environment(os.environ)))
    return Worktrees(root=root, git=git, occupants=processes)


def _commands(owner: str) -> CommandLauncher:
    return CommandLauncher(owner=owner, environment=os.environ, limits=AgentLimits())


def _manager(
    registry: MemoryRegistry[AgentRun, object], background: Background, worktrees: WorktreeClaims
) -> LifecycleManager[AgentRun, object]:
    return LifecycleManager(
        store=MemoryStore(),
        registry=registry,
        clock=SystemClock(),
        ids=RandomIds(),
        # A worktree is undone once nobody works in it any more.
        cleaner=CleanerChain(cleaners=(AgentCleaner(registry=registry), worktrees)),
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
    endpoints: _Endpoints,
    manager: LifecycleManager[AgentRun, object],
    draining: Draining,
) -> int:
    """Begins to listen; gives the port."""
    bound: list[int] = []
    app = make_app(
        acp=endpoints.acp,
        agents=endpoints.agents,
        manager=manager,
        port=lambda: bound[0],
        is_draining=lambda: draining.has_begun,
    )
    # Handlers end when their sockets are closed, not by being cancelled in the middle of leaving.
    runner = web.AppRunner(app, access_log=None, logger=http_logger, shutdown_timeout=5.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    for endpoint in endpoints:
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
    return bound[0]
