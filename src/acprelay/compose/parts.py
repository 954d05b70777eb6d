"""The parts of a relay that are made from its configuration alone, each by itself.

How they are put together, and in which order they end, is not known here.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

from acprelay.agents.catalog import Catalog
from acprelay.agents.commands import CommandLauncher
from acprelay.agents.dialled import DialledAgent
from acprelay.agents.launcher import StdioLauncher
from acprelay.agents.models import AgentLimits, AgentSpec
from acprelay.agents.orphans import end_orphans
from acprelay.agents.process_limit import LimitedLauncher
from acprelay.config import Limits, RelayConfig
from acprelay.routing.building import Rules
from acprelay.routing.choosing import JOINED
from acprelay.routing.feed import Ring
from acprelay.routing.message_rate import MessageRates
from acprelay.routing.opening_rules import McpAllowlist
from acprelay.runtime.agent_pool import AgentPool
from acprelay.runtime.agent_run import AgentRun
from acprelay.runtime.background import Background
from acprelay.runtime.cleanup import AgentCleaner, BackgroundCleanupScheduler, CleanerChain
from acprelay.runtime.feed import EventFeed, FeedHooks
from acprelay.runtime.opening_checks import OpeningChecks
from acprelay.runtime.ports import ConversationStore, InvitationStore, TokenStore
from acprelay.runtime.prewarming import Prewarming
from acprelay.runtime.system import LoggingHooks, MonotonicClock, RandomIds, SystemClock
from acprelay.runtime.token_desk import OwnersFile
from acprelay.runtime.worktree_claims import WorktreeClaims
from acprelay.runtime.worktree_desk import WorktreeDesk
from acprelay.session.manager import LifecycleManager
from acprelay.session.registry_memory import MemoryRegistry
from acprelay.session.store_memory import MemoryStore
from acprelay.storage.files import FileStorage
from acprelay.storage.invitations import ForgetfulInvitations, InvitationFile
from acprelay.storage.memory import MemoryStorage
from acprelay.storage.secrets import MemorySecret, SecretFile
from acprelay.storage.state_directory import HeldDisk, StateDirectory
from acprelay.storage.tokens import ForgetfulTokens, TokenFile
from acprelay.wire.bare_link import BareEnd
from acprelay.wire.link import LinkEnd
from acprelay.workspace.environment import git_environment
from acprelay.workspace.folders import default_worktree_directory
from acprelay.workspace.git import Git, PatientGit
from acprelay.workspace.occupants import processes
from acprelay.workspace.worktrees import Worktrees

_MOST_EVENTS = 4096
_MOST_EVENT_BYTES = 16 * 1024 * 1024
_LULL_S = 0.02

DEMO_AGENT = AgentSpec(name="demo", argv=(sys.executable, "-m", "acprelay.testing.demo_agent"))
"""What is offered where no agent is named."""


class Stored(NamedTuple):
    """What keeps the relay's state."""

    conversations: ConversationStore
    tokens: TokenStore
    owners_file: OwnersFile
    """Holds the token of whoever starts the relay."""
    invitations: InvitationStore
    owner: str
    """The mark that the relay's agents carry."""


async def open_store(stack: AsyncExitStack, config: RelayConfig) -> Stored:
    """Opens what keeps the relay's state: a directory, or memory.

    Raises:
        ConfigError: The state directory cannot be used.
        AgentError: What an earlier relay has left cannot be ended.
    """
    if config.state_dir is None:
        memory = MemoryStorage(ids=RandomIds(), history_bytes=config.limits.history_bytes)
        return Stored(
            conversations=await stack.enter_async_context(memory),
            tokens=ForgetfulTokens(),
            owners_file=MemorySecret(),
            invitations=ForgetfulInvitations(),
            owner=RandomIds().mint(),
        )
    directory = stack.enter_context(StateDirectory(config.state_dir))
    # Nobody else owns the directory: what runs in its name was left by a relay that died.
    await end_orphans(directory.id)
    disk = HeldDisk(directory)
    files = FileStorage(
        directory=directory.path, ids=RandomIds(), clock=MonotonicClock(), disk=disk
    )
    return Stored(
        conversations=await stack.enter_async_context(files),
        tokens=TokenFile(path=directory.path / "tokens.json", disk=disk),
        owners_file=SecretFile(path=directory.path / "owner-token", disk=disk),
        invitations=InvitationFile(path=directory.path / "invitations.json", disk=disk),
        owner=directory.id,
    )


def dialled_agent(limits: Limits, is_resumable: bool) -> DialledAgent:
    """Makes the relay's end of an agent that dials in."""
    return DialledAgent(
        name=JOINED,
        end=LinkEnd() if is_resumable else BareEnd(),
        limits=AgentLimits(max_frame=limits.max_frame),
        grace_s=limits.link_grace_s,
    )


def rules(config: RelayConfig) -> Rules:
    """Gives what conversations go by."""
    limits = config.limits
    return Rules(
        max_frame=limits.max_frame,
        most_queued=limits.queued_prompts,
        most_clients=limits.session_clients,
        most_asks=limits.asks,
        most_requests=limits.session_requests,
        most_requests_of_one=limits.requests,
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


def prewarming(
    config: RelayConfig, launcher: LimitedLauncher, pool: AgentPool, background: Background
) -> Prewarming:
    """Keeps processes ready that the configuration wants kept."""
    return Prewarming(
        wanted={agent.name: agent.prewarm for agent in _agents(config)},
        ready=pool.ready,
        start=pool.start,
        has_room=lambda: launcher.has_room_to_spare,
        background=background,
        sleep=asyncio.sleep,
        lull=partial(asyncio.sleep, _LULL_S),
        now=asyncio.get_running_loop().time,
    )


def agent_launcher(config: RelayConfig, owner: str) -> StdioLauncher:
    """Starts the agents that are offered.

    Args:
        config: Names them.
        owner: The mark that their processes carry.
    """
    return StdioLauncher(
        owner=owner,
        catalog=Catalog(_agents(config)),
        environment=os.environ,
        cwd=Path.cwd(),
        limits=AgentLimits(max_frame=config.limits.max_frame),
    )


def worktrees(config: RelayConfig) -> Worktrees:
    """Makes and removes worktrees."""
    root = config.worktree_dir or default_worktree_directory(os.environ)
    git = PatientGit(git=Git(env=git_environment(os.environ)))
    return Worktrees(root=root, git=git, occupants=processes)


def worktree_desk() -> WorktreeDesk:
    """Looks after worktrees that were made, whichever relay has made them."""
    git = PatientGit(git=Git(env=git_environment(os.environ)))
    return WorktreeDesk(git=git, occupants=processes)


def command_launcher(owner: str) -> CommandLauncher:
    """Starts the commands of terminals; their processes carry the owner's mark."""
    return CommandLauncher(owner=owner, environment=os.environ, limits=AgentLimits())


def event_feed() -> EventFeed:
    """Has the relay's events, the latest ones."""
    ring = Ring(epoch=RandomIds().mint(), most=_MOST_EVENTS, most_bytes=_MOST_EVENT_BYTES)
    return EventFeed(ring=ring, clock=SystemClock())


def session_manager(
    registry: MemoryRegistry[AgentRun, object],
    background: Background,
    claims: WorktreeClaims,
    feed: EventFeed,
) -> LifecycleManager[AgentRun, object]:
    """Leads runs through their lives."""
    return LifecycleManager(
        store=MemoryStore(),
        registry=registry,
        clock=SystemClock(),
        ids=RandomIds(),
        # A worktree is undone once nobody works in it any more.
        cleaner=CleanerChain(cleaners=(AgentCleaner(registry=registry), claims)),
        scheduler=BackgroundCleanupScheduler(background=background, feed=feed),
        hooks=FeedHooks(feed=feed, hooks=LoggingHooks()),
        store_waits=False,
    )


def opening_checks(config: RelayConfig) -> OpeningChecks:
    """What holds for sessions that are to be opened."""
    allowed = McpAllowlist(commands=config.mcp_commands, urls=config.mcp_urls)
    return OpeningChecks(roots=config.roots, allowed=allowed)


def message_rates(limits: Limits) -> MessageRates:
    """How many messages principals may send."""
    return MessageRates(per_s=limits.client_message_rate, burst=limits.client_message_burst)
