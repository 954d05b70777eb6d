"""Puts together what runs sessions: conversations, agents, groups.

Who reaches it, and over what, is not known here.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import NamedTuple

from acprelay.agents.process_limit import LimitedLauncher
from acprelay.compose import parts
from acprelay.config import RelayConfig
from acprelay.runtime.agent_pool import AgentPool
from acprelay.runtime.agent_run import AgentRun
from acprelay.runtime.agent_source import AgentSource
from acprelay.runtime.archive import Archive
from acprelay.runtime.background import Background
from acprelay.runtime.census import RelayCensus
from acprelay.runtime.clients import ConnectedClients
from acprelay.runtime.conversation_host import ConversationHost
from acprelay.runtime.dial_ins import DialIns
from acprelay.runtime.draining import Draining, TurnEnds
from acprelay.runtime.event_log import EventLog
from acprelay.runtime.feed import EventFeed
from acprelay.runtime.groups import Groups
from acprelay.runtime.invitation_desk import InvitationDesk
from acprelay.runtime.live_connections import LiveConnections
from acprelay.runtime.measurements import WatchedLauncher, watch_loop
from acprelay.runtime.observation import Observers
from acprelay.runtime.ports import InvitationStore, TokenStore
from acprelay.runtime.prewarming import Prewarming
from acprelay.runtime.service_desk import ServiceDesks
from acprelay.runtime.system import RandomIds, SystemClock
from acprelay.runtime.token_desk import TokenDesk
from acprelay.runtime.worktree_claims import WorktreeClaims
from acprelay.server.metrics import Metrics
from acprelay.session.manager import LifecycleManager
from acprelay.session.registry_memory import MemoryRegistry

logger = logging.getLogger(__name__)

_TOKEN_BYTES = 32
_LOOK_AT_LOOP_S = 0.5


class Runtime(NamedTuple):
    """What runs sessions."""

    agents: tuple[str, ...]
    """What is offered, the default one first."""
    host: ConversationHost
    source: AgentSource
    groups: Groups
    desk: InvitationDesk
    dial_ins: DialIns
    connections: LiveConnections
    tokens: TokenDesk | None
    """None where everybody is let in."""
    owner_token: str | None
    manager: LifecycleManager[AgentRun, object]
    feed: EventFeed
    pool: AgentPool
    launcher: LimitedLauncher
    prewarming: Prewarming
    """Begins once it is entered."""
    clients: ConnectedClients
    census: RelayCensus
    draining: Draining


async def open_runtime(
    stack: AsyncExitStack, config: RelayConfig, *, metrics: Metrics, with_tokens: bool
) -> Runtime:
    """Opens what is stored, and takes it up; no agent is started.

    Args:
        stack: Ends what was begun.
        config: What is wanted.
        metrics: Measures what is done.
        with_tokens: Whether it is the relay that knows who comes.

    Raises:
        ConfigError: The state directory cannot be used.
    """
    stored = await parts.open_store(stack, config)
    turn_ends = TurnEnds()
    feed = parts.event_feed()
    archive = Archive(
        store=stored.conversations,
        ids=RandomIds(),
        clock=SystemClock(),
        rules=parts.rules(config),
        observer=Observers((EventLog(), turn_ends, metrics)),
        feed=feed,
    )
    stack.callback(archive.close)
    background = await stack.enter_async_context(Background())
    launcher = _launcher(config, stored.owner, metrics)
    pool = _pool(config, launcher)
    desks = stack.enter_context(
        ServiceDesks(
            commands=parts.command_launcher(stored.owner), ids=RandomIds(), limits=config.limits
        )
    )
    stack.push_async_callback(pool.aclose)
    desk, dial_ins = _invitations(config, stored.invitations, background, feed)
    stack.push_async_callback(desk.aclose)
    source = AgentSource(pool=pool, dial_ins=dial_ins)
    registry: MemoryRegistry[AgentRun, object] = MemoryRegistry()
    claims = WorktreeClaims(worktrees=parts.worktrees(config))
    manager = await stack.enter_async_context(
        parts.session_manager(registry, background, claims, feed)
    )
    host = ConversationHost(
        manager=manager,
        registry=registry,
        pool=source,
        archive=archive,
        clock=SystemClock(),
        worktrees=claims,
        background=background,
        limits=config.limits,
        desks=desks,
        traffic=metrics.traffic,
        checks=parts.opening_checks(config),
    )
    host.recover()
    connections = LiveConnections(forsake=host.forsake)
    tokens = _tokens(stored.tokens, connections) if with_tokens else None
    every_s = config.limits.heartbeat_s
    background.start(_keep_house(host.keep_house, every_s=every_s), name="housekeeping")
    owner_token = None
    if tokens is not None:
        stack.push_async_callback(tokens.aclose)
        owner_token = await tokens.recover(stored.owners_file)
        # By itself: whoever is to be let go waits for no store.
        background.start(_keep_house(tokens.keep_house, every_s=every_s), name="end of tokens")
    clients = ConnectedClients()
    background.start(watch_loop(metrics.loop_woke, every_s=_LOOK_AT_LOOP_S), name="loop watch")
    return Runtime(
        agents=pool.names,
        host=host,
        source=source,
        groups=Groups(host=host, ids=RandomIds(), agents=source.names),
        desk=desk,
        dial_ins=dial_ins,
        connections=connections,
        tokens=tokens,
        owner_token=owner_token,
        manager=manager,
        feed=feed,
        pool=pool,
        launcher=launcher,
        prewarming=parts.prewarming(config, launcher, pool, background),
        clients=clients,
        census=RelayCensus(
            manager=manager, archive=archive, clients=clients, store=stored.conversations
        ),
        draining=Draining(
            host=host, tell=clients.tell, turn_ends=turn_ends, grace_s=config.limits.drain_s
        ),
    )


def _launcher(config: RelayConfig, owner: str, metrics: Metrics) -> LimitedLauncher:
    watched = WatchedLauncher(
        launcher=parts.agent_launcher(config, owner),
        on_start=metrics.agent_started,
        on_failure=metrics.agent_failed,
    )
    return LimitedLauncher(launcher=watched, most=config.limits.processes)


def _pool(config: RelayConfig, launcher: LimitedLauncher) -> AgentPool:
    return AgentPool(
        launcher=launcher,
        deadline_s=config.limits.start_s,
        authenticate_s=config.limits.authenticate_s,
        services=config.services,
    )


def _invitations(
    config: RelayConfig, store: InvitationStore, background: Background, feed: EventFeed
) -> tuple[InvitationDesk, DialIns]:
    desk = InvitationDesk(
        store=store,
        clock=SystemClock(),
        mint=partial(secrets.token_urlsafe, _TOKEN_BYTES),
    )
    desk.recover()
    dial_ins = DialIns(
        desk=desk,
        make=partial(parts.dialled_agent, config.limits),
        ids=RandomIds(),
        background=background,
        limits=config.limits,
        services=config.services.elsewhere,
        feed=feed,
    )
    return desk, dial_ins


def _tokens(store: TokenStore, connections: LiveConnections) -> TokenDesk:
    return TokenDesk(
        store=store,
        clock=SystemClock(),
        ids=RandomIds(),
        mint=partial(secrets.token_urlsafe, _TOKEN_BYTES),
        connections=connections,
    )


async def _keep_house(work: Callable[[], Awaitable[None]], *, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            await work()
        except Exception:  # what failed once is tried again: tokens and idle runs have to end
            logger.exception("cannot keep house")
