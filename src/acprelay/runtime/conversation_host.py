"""Opens conversations, takes them up again, closes and removes them.

What a conversation's driver does is the driver's own, and when a run may move on is the session
manager's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from acprelay.config import Limits
from acprelay.errors import (
    InvalidTransition,
    RelayError,
    SessionExists,
    SessionNotFound,
)
from acprelay.routing.listing import Listed
from acprelay.routing.recency import Place
from acprelay.routing.records import ConversationRecord
from acprelay.runtime.agent_run import AgentRun
from acprelay.runtime.agent_source import AgentSource
from acprelay.runtime.archive import Archive
from acprelay.runtime.background import Background
from acprelay.runtime.conversation_driver import ConversationDriver
from acprelay.runtime.creations import Creations
from acprelay.runtime.further_runs import FurtherRuns
from acprelay.runtime.measurements import Traffic
from acprelay.runtime.opening import Opening
from acprelay.runtime.opening_checks import OpeningChecks
from acprelay.runtime.purposes import Founding, Restoration
from acprelay.runtime.run_lifecycle import RunLifecycle
from acprelay.runtime.service_desk import ServiceDesks
from acprelay.runtime.worktree_claims import WorktreeClaims
from acprelay.session.models import Handle, SessionFilter, SessionKey, SessionSpec
from acprelay.session.ports import Clock, ConnectionRegistry, SessionManager
from acprelay.wire import rewrite

_DELETED = "it was deleted"


class ConversationHost:
    """The relay's conversations, as far as something is started or ended for them.

    Args:
        manager: The lifecycle of sessions: of runs.
        registry: Their live references.
        pool: Gives agents.
        archive: Has the conversations.
        clock: Wall-clock time.
        worktrees: Makes worktrees for those that want one, and keeps them while they run.
        background: Owns the tasks.
        limits: Bounds of runs.
        desks: Serve agents with files and terminals.
        traffic: What has passed; runs add to it.
        checks: Refuse what may not be opened.
    """

    def __init__(
        self,
        *,
        manager: SessionManager[AgentRun],
        registry: ConnectionRegistry[AgentRun, object],
        pool: AgentSource,
        archive: Archive,
        clock: Clock,
        worktrees: WorktreeClaims,
        background: Background,
        limits: Limits,
        desks: ServiceDesks,
        traffic: Traffic,
        checks: OpeningChecks,
    ) -> None:
        self.runs = RunLifecycle(
            manager=manager,
            registry=registry,
            background=background,
            most=limits.sessions,
            most_each=limits.sessions_per_principal,
        )
        self.background = background
        self._manager = manager
        self._pool = pool
        self._archive = archive
        self.clock = clock
        self._worktrees = worktrees
        self._limits = limits
        self._desks = desks
        self._traffic = traffic
        self._checks = checks
        self._creations = Creations(background=background)
        self._further_runs = FurtherRuns(
            runs=self.runs, creations=self._creations, background=background
        )

    def find(self, public_id: str) -> ConversationDriver:
        """Gives a conversation's driver; a conversation at rest is woken, and no run begun.

        Raises:
            SessionNotFound: There is no such conversation.
            StoreError: Its log cannot be read.
        """
        return self._archive.find(public_id, runs=self)

    def recover(self) -> None:
        """Takes up what an earlier relay has left; turns that it was in are marked interrupted."""
        self._archive.recover(runs=self)

    def listed(self, may_see: Callable[[SessionKey], bool]) -> Iterator[Listed]:
        """Tells of every conversation that somebody may see.

        Args:
            may_see: Tells that of one, by its name.
        """
        return self._archive.listed(may_see)

    def latest(
        self, may_see: Callable[[SessionKey], bool], after: Place | None
    ) -> Iterator[Listed]:
        """Tells of those that somebody may see, what changed last first, from a place on."""
        return self._archive.latest(may_see, after)

    def describe(self, key: SessionKey) -> Listed | None:
        """Tells of one conversation; None where there is none."""
        return self._archive.describe(key)

    def forsake(self, principal: str) -> None:
        """Lets a principal go for good: what its clients have left is not taken up by anybody.

        Nor is anything begun that they have asked for. Idempotent.

        Args:
            principal: The principal's id.
        """
        self._archive.forsake(principal)

    def in_use(self) -> list[ConversationDriver]:
        """Gives the drivers of the conversations that are in use."""
        return self._archive.in_use()

    def has(self, key: SessionKey) -> bool:
        """Tells whether a conversation has that name, also one that is being removed."""
        return key in self._archive

    # -- opening

    def open(self, opening: Opening) -> None:
        """Begins to open a session; its client is answered once it is open, or why it is not."""
        group = opening.choice.group
        self._creations.start(self._open(opening), name="opening of a session", group=group)

    async def _open(self, opening: Opening) -> None:
        spec = opening.spec
        try:
            self._creations.check_open()
            opening.request = await self._checks.check(opening.request)
            self._check_free(spec)
            key, handle = await self.runs.create(spec, sponsor=opening.sponsor)
            self.background.start(self._found(opening, key, handle), name=f"start of {key}")
        except RelayError as error:
            opening.refuse(error)
        except Exception:
            opening.refuse(RelayError("cannot open a session", hint="see the relay's log"))
            raise

    def _check_free(self, spec: SessionSpec) -> None:
        if spec.session_id is not None:
            key = SessionKey(spec.session_id, spec.role)
            if key in self._archive:
                raise SessionExists(key=str(key))

    async def _found(
        self, opening: Opening, key: SessionKey, handle: Handle[AgentRun, object]
    ) -> None:
        purpose = Founding(
            key=key,
            opening=opening,
            make=self._make,
            store=self._archive.store,
            clock=self.clock,
            worktrees=self._worktrees,
            on_lost=self.abandon,
        )
        run = self._run(key, purpose)
        try:
            await self._bring_up(purpose, run, handle)
        except asyncio.CancelledError:
            opening.refuse(run.why_over)
            raise
        except (InvalidTransition, SessionNotFound):
            # Whoever has ended the session is about to cancel this, or came before it began.
            opening.refuse(run.why_over)
        except RelayError as error:
            opening.refuse(error)
            await self.runs.terminate(key, reason=error.message)
        except Exception:
            opening.refuse(RelayError("cannot start the session", hint="see the relay's log"))
            await self.runs.terminate(key, reason="the relay failed")
            raise
        finally:
            handle.spawn_task = None
            if purpose.driver is not None and key not in self._archive:
                self._discard(purpose.driver)

    async def _bring_up(
        self, purpose: Founding, run: AgentRun, handle: Handle[AgentRun, object]
    ) -> None:
        opening = purpose.opening
        opening.key = purpose.key
        answer = None
        if opening.client.wants_session(opening):
            answer = await run.start(handle)
        if answer is None or not opening.client.wants_session(opening):
            opening.refuse(run.why_over)
            await self.runs.terminate(purpose.key, reason="its client no longer wants it")
        elif answer.is_error or purpose.driver is None:
            reply = rewrite(answer, id=opening.request_id)
            opening.client.session_refused(opening, reply)
            await self.runs.terminate(purpose.key, reason="the agent refused session/new")
        else:
            purpose.driver.sponsor = opening.sponsor
            self._archive.keep(purpose.driver)
            self._worktrees.settle(purpose.key)
            opening.client.session_opened(opening, purpose.driver, answer)

    def _make(self, record: ConversationRecord) -> ConversationDriver:
        return self._archive.make(record, runs=self)

    def _discard(self, driver: ConversationDriver) -> None:
        """Removes what is left of a conversation that no client has come to know."""
        self._archive.withdraw(driver)
        self.background.start(self._archive.remove(driver.key), name=f"removal of {driver.key}")

    # -- runs

    def begin_run(self, driver: ConversationDriver) -> AgentRun:
        """Begins a run for a conversation that has none."""
        purpose = Restoration(driver=driver, worktrees=self._worktrees, on_lost=self.abandon)
        run = self._run(driver.key, purpose)
        self._further_runs.begin(driver, run)
        return run

    def abandon(self, run: AgentRun, reason: str) -> None:
        """Begins to end a run, and none that came after it. Idempotent."""
        self.runs.abandon(run, reason)

    def _run(self, key: SessionKey, purpose: Founding | Restoration) -> AgentRun:
        return AgentRun(
            key=key,
            purpose=purpose,
            manager=self._manager,
            pool=self._pool,
            limits=self._limits,
            desk=self._desks.open(),
            traffic=self._traffic,
        )

    # -- ending

    def withdraw(self, driver: ConversationDriver) -> None:
        """Ends a conversation for everybody; nobody finds it from now on. `remove` follows."""
        driver.end_session(_DELETED)
        self._archive.withdraw(driver)

    async def remove(self, key: SessionKey) -> None:
        """Removes a conversation that was withdrawn, with its run and all that is kept of it.

        Where that fails, or is cancelled, the conversation can be found again.

        Raises:
            AgentError: A process of its agent survives.
            StoreError: What is stored of it cannot be removed.
        """
        try:
            await self.runs.end(key, reason=_DELETED)
        except BaseException:
            self._archive.bring_back(key)
            raise
        await self._archive.remove(key)

    async def close_group(self, group: str, *, reason: str) -> list[SessionKey]:
        """Ends the runs of every session of a group, also of those that are on their way.

        Cancelling it does not stop the endings. Idempotent.

        Returns:
            The sessions, in order.

        Raises:
            SessionNotFound: The group has none.
            AgentError: A process of an agent survives; the others are ended all the same.
        """
        await self._creations.settled(group)  # what is being created is not listed yet
        starting = await self._manager.list(SessionFilter(session_id=group))
        keys = sorted({*self._archive.group(group), *(session.key for session in starting)})
        if not keys:
            raise SessionNotFound(key=group[:200], what="group")
        for driver in filter(None, map(self._archive.awake, keys)):
            driver.end_session(reason)
        endings = [
            self.background.start(self.runs.end(key, reason=reason), name=f"ending of {key}")
            for key in keys
        ]
        await asyncio.wait(endings)
        for ending in endings:
            ending.result()
        return keys

    def drain(self) -> None:
        """Opens no session and begins no run and no turn any more; turns go on. Idempotent."""
        self._creations.drain()
        self._archive.drain()

    def turns(self) -> list[str]:
        """The public ids of the sessions whose turns run."""
        drivers = self._archive.drivers()
        return [str(driver.key) for driver in drivers if driver.workload.is_in_turn]

    async def aclose(self, *, reason: str) -> None:
        """Begins no run any more, ends every one, and returns once they are gone. Idempotent."""
        self._archive.retire()
        await self._creations.aclose()  # what is being created is not listed yet
        await self.runs.end_all(reason=reason)

    # -- what time does

    async def keep_house(self) -> None:
        """Tells the manager what runs have done; lets go of conversations that nobody uses."""
        await self.runs.report_activity()
        now = asyncio.get_running_loop().time()
        await self._archive.keep_house(now, idle_s=self._limits.idle_s)
