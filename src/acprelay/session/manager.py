"""The session manager: the pure rules of `state_machine`, applied to a store, with their effects.

A **swap** applies a rule to the value that was read, replaces the value where its revision is still
the one read, and else reads again and repeats. It needs no lock, so it holds against writers in
other threads and processes. It is not bounded: a conflict means that somebody else's change was
stored, sessions only move forward, and what can repeat, the heartbeat, comes in batches.

A **turn** is one change together with what follows from it in this process: the handle registered,
the hook fired, the cleanup scheduled. Turns of one key go one after another, first come first
served: nobody starves, hooks are told in the order of the changes, and no terminate falls between
the storing of an agent's attachment and its arrival in the handle. A turn runs in a task of the
manager, so that a caller that is cancelled leaves no half of one behind. Where the store never
waits, no turn does: none can be cut in half, nor come into another one, and the caller's own task
takes it as it comes.

A **flight** is one run of the cleaner, in a task of its own that any number of callers await. This
module does not know what an agent is, how one is ended, what time it is, or who calls.
"""

from __future__ import annotations

import asyncio
import builtins
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Generic, Protocol, Self, TypeAlias, TypeVar
from weakref import WeakValueDictionary

from acprelay.errors import Conflict, SessionError, SessionNotFound
from acprelay.session import models, ports, state_machine
from acprelay.session.models import AgentT, AttachmentT, Handle, Process, Session, SessionKey
from acprelay.session.state_machine import Rule

_logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_Effect: TypeAlias = Callable[[Session], None]
_Step: TypeAlias = Callable[[], Coroutine[object, object, _T]]


class _Write(Protocol):
    def __call__(self, session: Session, *, expected_revision: int) -> Awaitable[Session]: ...


class LifecycleManager(Generic[AgentT, AttachmentT]):
    """The `SessionManager`, where its methods are documented, for one event loop.

    Leaving it waits for the turns and cleaners that are under way, and ends no session.

    Args:
        store: Keeps the sessions.
        registry: Holds their handles; for this manager alone to write.
        clock: Tells the time of every change.
        ids: Mints the session ids that a spec leaves open.
        cleaner: Ends what a session holds.
        scheduler: Runs the cleanup of every session that is marked terminating.
        hooks: Are told of activations and terminations.
        store_waits: Whether a method of the store may wait for anything at all.
    """

    def __init__(
        self,
        *,
        store: ports.SessionStore,
        registry: ports.ConnectionRegistry[AgentT, AttachmentT],
        clock: ports.Clock,
        ids: ports.IdGenerator,
        cleaner: ports.Cleaner,
        scheduler: ports.CleanupScheduler,
        hooks: ports.LifecycleHooks,
        store_waits: bool = True,
    ) -> None:
        self._store_waits = store_waits
        self._store = store
        self._registry = registry
        self._clock = clock
        self._ids = ids
        self._cleaner = cleaner
        self._scheduler = scheduler
        self._hooks = hooks
        self._turns: WeakValueDictionary[SessionKey, asyncio.Lock] = WeakValueDictionary()
        self._flights: WeakValueDictionary[SessionKey, asyncio.Task[None]] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[object]] = set()  # strong: what runs is kept, and awaited

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def create(self, spec: models.SessionSpec, *, run: int = 1) -> Session:
        """Create a session, and the handle for its live references."""
        session_id = self._ids.mint() if spec.session_id is None else spec.session_id
        key = SessionKey(session_id, spec.role)
        spec = replace(spec, session_id=session_id)
        session = state_machine.new_session(key, spec, run=run, now=self._clock.now())
        insert = partial(self._insert, session)
        if not self._store_waits:
            return await insert()
        creation = self._own(self._alone(key, insert))
        try:
            return await _outcome(creation)
        except asyncio.CancelledError:
            self._own(self._withdraw(creation))
            raise

    async def begin_spawn(self, key: SessionKey) -> Session:
        """Enter SPAWNING."""
        return await self._change(key, state_machine.begin_spawn)

    async def attach_agent(
        self, key: SessionKey, agent: AgentT, *, process: Process | None = None
    ) -> Session:
        """Put the agent into the session's handle, or refuse for certain."""
        return await self._in_turn(key, partial(self._attach, key, agent, process))

    async def activate(self, key: SessionKey) -> Session:
        """Enter ACTIVE, and fire `on_activate`."""
        announce = partial(self._fire, self._hooks.on_activate)
        return await self._change(key, state_machine.activate, announce)

    async def record_heartbeat(self, key: SessionKey, *, received: int = 0, sent: int = 0) -> None:
        """Count messages; ignored when the session is ending or gone."""
        rule = partial(state_machine.heartbeat, received=received, sent=sent)
        with suppress(SessionNotFound):
            await self._change(key, rule)

    async def mark_terminating(self, key: SessionKey, *, reason: str) -> Session:
        """Begin the end: the first call fires `on_terminate` and schedules the cleanup."""
        rule = partial(state_machine.terminate, reason=reason)
        return await self._change(key, rule, self._begin_end)

    async def complete_cleanup(self, key: SessionKey) -> None:
        """Run the cleaner, or join the call that does, and forget the session."""
        await self._clean_up(key)

    async def get(self, key: SessionKey) -> Session:
        """Find the session under a key."""
        session = await self._store.get(key)
        if session is None:
            raise SessionNotFound(key=str(key))
        return session

    async def get_by_role(self, session_id: str, role: str) -> Session:
        """Find the session that has a role in a group."""
        return await self.get(SessionKey(session_id, role))

    async def list(
        self,
        filter: models.SessionFilter | None = None,  # noqa: A002 - the word every caller expects
    ) -> builtins.list[Session]:
        """List the sessions that satisfy a filter, or all of them."""
        return await self._store.list(filter)

    async def count(self) -> int:
        """Count the sessions."""
        return await self._store.count()

    async def state_counts(self) -> dict[models.SessionState, int]:
        """Count the sessions of every state."""
        return await self._store.state_counts()

    async def _insert(self, session: Session) -> Session:
        # The handle first: a session that others can see has one.
        self._registry.register(session.key, Handle())
        try:
            return await self._store.insert(session)
        except BaseException:
            self._registry.unregister(session.key)
            raise

    async def _withdraw(self, creation: asyncio.Task[Session]) -> None:
        await asyncio.wait({creation})
        if not creation.cancelled() and creation.exception() is None:
            key = creation.result().key
            with suppress(SessionNotFound):
                await self.mark_terminating(key, reason="its creation was cancelled")

    async def _attach(self, key: SessionKey, agent: AgentT, process: Process | None) -> Session:
        handle = self._registry.get(key)
        if handle is None:
            raise SessionNotFound(key=str(key))
        session = await self._apply(key, state_machine.attach_agent)
        handle.agent, handle.process = agent, process
        return session

    def _begin_end(self, session: Session) -> None:
        self._fire(self._hooks.on_terminate, session)
        # Bound to this session's handle: however late it is called, it ends no later session.
        handle = self._registry.get(session.key)
        self._scheduler.schedule(session.key, partial(self._clean_up, session.key, handle))

    def _fire(self, hook: _Effect, session: Session) -> None:
        try:
            hook(session)
        except Exception:
            _logger.exception("a lifecycle hook failed for session %s", session.key)

    async def _clean_up(self, key: SessionKey, handle: object = None) -> None:
        flight = await self._in_turn(key, partial(self._board, key, handle))
        if flight is not None:
            await _outcome(flight)

    async def _board(self, key: SessionKey, handle: object) -> asyncio.Task[None] | None:
        """Join the cleanup or start it; None where no session, or not the handle's, is there."""
        session = await self._store.get(key)
        if session is None or handle not in (None, self._registry.get(key)):
            return None
        state_machine.next_state(session.state, state_machine.Event.CLEAN, key=key)
        flight = self._flights.get(key)
        if flight is None or flight.done():
            flight = self._flights[key] = self._own(self._fly(session))
        return flight

    async def _fly(self, session: Session) -> None:
        try:
            await self._run_cleaner(session)
        except Exception as error:
            await self._in_turn(session.key, partial(self._note_failure, session, error))
            raise
        await self._in_turn(session.key, partial(self._land, session))

    async def _run_cleaner(self, session: Session) -> None:
        try:
            await self._cleaner.cleanup(session)
        except asyncio.CancelledError as stray:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Callers would take it for a cancellation of their own.
            raise SessionError(
                f"cannot clean up session {str(session.key)!r}: its cleaner let a cancellation out",
                hint="catch the CancelledError of what the cleaner has cancelled",
            ) from stray

    async def _note_failure(self, session: Session, error: Exception) -> None:
        rule = partial(state_machine.cleanup_failed, error=f"{type(error).__name__}: {error}")
        with suppress(SessionNotFound):
            await self._swap(session, rule, self._store.replace)

    async def _land(self, session: Session) -> None:
        with suppress(SessionNotFound):
            await self._swap(session, state_machine.clean, self._store.remove)
        self._registry.unregister(session.key)
        self._flights.pop(session.key, None)  # in this turn: the next may create the key again

    async def _change(self, key: SessionKey, rule: Rule, effect: _Effect | None = None) -> Session:
        return await self._in_turn(key, partial(self._apply, key, rule, effect))

    async def _apply(self, key: SessionKey, rule: Rule, effect: _Effect | None = None) -> Session:
        return await self._swap(await self.get(key), rule, self._store.replace, effect)

    async def _swap(
        self, session: Session, rule: Rule, write: _Write, effect: _Effect | None = None
    ) -> Session:
        """Apply a rule until it is stored, then its effect; where it changes nothing, neither."""
        while (changed := rule(session, self._clock.now())) is not session:
            try:
                stored = await write(changed, expected_revision=session.revision)
            except Conflict:
                session = await self._read_again(session)
            else:
                if effect is not None:
                    effect(stored)
                return stored
        return session

    async def _read_again(self, session: Session) -> Session:
        if self._store_waits:  # else the writer that was faster is in another thread
            await asyncio.sleep(0)  # it finishes first
        current = await self.get(session.key)
        if current.run != session.run:
            raise SessionNotFound(key=str(session.key))
        return current

    async def _in_turn(self, key: SessionKey, step: _Step[_T]) -> _T:
        if not self._store_waits:
            return await step()
        return await _outcome(self._own(self._alone(key, step)))

    async def _alone(self, key: SessionKey, step: _Step[_T]) -> _T:
        async with self._turns.setdefault(key, asyncio.Lock()):
            return await step()

    def _own(self, work: Coroutine[object, object, _T]) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _outcome(task: asyncio.Task[_T]) -> _T:
    """Wait for a task without cancelling it when the waiter is cancelled."""
    woken: asyncio.Future[None] = task.get_loop().create_future()

    def wake(_: asyncio.Task[_T]) -> None:
        with suppress(asyncio.InvalidStateError):  # whoever waited was cancelled in this instant
            woken.set_result(None)

    task.add_done_callback(wake)  # for a single task, half of what `asyncio.wait` costs
    try:
        await woken
    except asyncio.CancelledError:
        task.add_done_callback(_report)
        raise
    return task.result()


def _report(task: asyncio.Task[_T]) -> None:
    """Log the failure of a task whose caller was cancelled; a refusal has changed nothing."""
    if not task.cancelled() and (error := task.exception()) is not None:
        level = logging.DEBUG if isinstance(error, SessionError) else logging.ERROR
        _logger.log(level, "a session's change failed after its caller left", exc_info=error)
