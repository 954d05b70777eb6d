"""What the session manager offers, and what it needs: protocols only.

`SessionManager` is what the rest of the relay depends on. `SessionStore`, `ConnectionRegistry`,
`Clock`, `IdGenerator`, `Cleaner`, `CleanupScheduler` and `LifecycleHooks` are what a manager is
built from. This module knows no implementation of any of them.
"""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol, TypeVar

from acprelay.session.models import (
    AgentT,
    AttachmentT,
    Handle,
    Process,
    Session,
    SessionFilter,
    SessionKey,
    SessionSpec,
    SessionState,
)

AgentT_contra = TypeVar("AgentT_contra", contravariant=True)


class SessionLifecycle(Protocol[AgentT_contra]):
    """Moves sessions through their life, one method for each responsibility.

    Changes of one key are carried out one after another, in the order of the calls; changes of
    different keys do not wait for each other. A change that was asked for is carried out whole,
    with its hook and its scheduling, even when the task that awaits it is cancelled. Contention
    with other writers of the same store is retried until it succeeds.

    Every method raises a `StoreError` where the store is out of reach.
    """

    async def create(self, spec: SessionSpec, *, run: int = 1) -> Session:
        """Create a session, and the handle for its live references.

        Not idempotent. If the caller is cancelled, the session that may have come of it is marked
        terminating, since nobody else would know of it.

        Args:
            spec: What it is to be; a session id of None is minted.
            run: Which run under this key it is, from 1; a later run has a higher number.

        Raises:
            InvalidKey: The session id or the role does not match its pattern.
            SessionExists: The key lives; also while its end is under way.
            ValueError: The run is not counted from 1.
        """

    async def begin_spawn(self, key: SessionKey) -> Session:
        """Enter SPAWNING: from now on something may exist that has to be ended.

        Not idempotent: the second caller is refused, so only one spawns.

        Raises:
            SessionNotFound: No session lives under the key.
            InvalidTransition: It is not CREATED.
        """

    async def attach_agent(
        self, key: SessionKey, agent: AgentT_contra, *, process: Process | None = None
    ) -> Session:
        """Put the agent into the session's handle, where the cleaner will find it.

        A refusal is certain: the agent is in the handle if this returns, and never comes to be
        there if it raises. Then the caller ends the agent that it has started. After a cancellation
        it does so too; the cleaner may have the agent as well.

        Raises:
            SessionNotFound: No session lives under the key, or its handle is not in this process.
            InvalidTransition: It is not SPAWNING, or has its agent already.
        """

    async def activate(self, key: SessionKey) -> Session:
        """Enter ACTIVE: the session can serve. Fires `on_activate`. Not idempotent.

        Raises:
            SessionNotFound: No session lives under the key.
            InvalidTransition: It is not SPAWNING. A caller that has started an agent ends it.
        """

    async def record_heartbeat(self, key: SessionKey, *, received: int = 0, sent: int = 0) -> None:
        """Count messages and note that the session was heard of.

        Meant for batches. What comes late, when the session is ending or gone, is ignored.

        Args:
            key: The session.
            received: Messages from the agent since the last heartbeat.
            sent: Messages to the agent since the last heartbeat.

        Raises:
            ValueError: A count is negative.
        """

    async def mark_terminating(self, key: SessionKey, *, reason: str) -> Session:
        """Begin the end, from any state. Idempotent: the first call does it, and its reason stays.

        The first call fires `on_terminate`, then hands the cleanup to the `CleanupScheduler`. What
        the scheduler raises reaches the caller; the session is TERMINATING all the same.

        Raises:
            SessionNotFound: No session lives under the key: it never did, or its end is complete.
        """

    async def complete_cleanup(self, key: SessionKey) -> None:
        """End what the session holds, and forget it. Idempotent, and single flight.

        However many calls arrive, at once or one after another, the cleaner runs once; all calls
        that arrive while it runs get its outcome. A caller that is cancelled does not cancel the
        cleaner. A cleaner that fails leaves the session TERMINATING with the error on it, and the
        next call runs it again. Where no session lives under the key, nothing happens.

        Raises:
            InvalidTransition: The session is not TERMINATING.
            Exception: Whatever the cleaner raised.
        """


class SessionManager(SessionLifecycle[AgentT_contra], Protocol[AgentT_contra]):
    """The lifecycle, and the ways to look at it: what servers and runtimes depend on.

    `AgentT_contra` is the type of agent connection it takes; `SessionManager[Never]` suits a
    dependant that attaches none. What is returned are values: they do not change, and may be out of
    date the moment they arrive.
    """

    async def get(self, key: SessionKey) -> Session:
        """Find the session under a key.

        Raises:
            SessionNotFound: No session lives under the key.
        """

    async def get_by_role(self, session_id: str, role: str) -> Session:
        """Find the session that has a role in a group.

        Raises:
            InvalidKey: The session id or the role does not match its pattern.
            SessionNotFound: The group has no such role.
        """

    async def list(
        self,
        filter: SessionFilter | None = None,  # noqa: A002 - the word every caller expects
    ) -> builtins.list[Session]:
        """List the sessions that satisfy a filter, or all of them, in no promised order."""

    async def count(self) -> int:
        """Count the sessions, in constant time."""

    async def state_counts(self) -> dict[SessionState, int]:
        """Count the sessions of every state, zeros included, in constant time."""


class SessionStore(Protocol):
    """Keeps one value for each key, and replaces it only where it is still the one that was read.

    Every write gives its value a revision that no value under the same key has had before, not even
    before the key was removed and inserted again; so an old reader never overwrites a new session.
    It knows no lifecycle: it keeps what it is given. Every method may raise `Unavailable`.
    """

    async def insert(self, session: Session) -> Session:
        """Store the first value under its key; return it with its revision.

        Raises:
            SessionExists: The key has a value.
        """

    async def get(self, key: SessionKey) -> Session | None:
        """Return the value under a key, if there is one."""

    async def replace(self, session: Session, *, expected_revision: int) -> Session:
        """Store another value under its key; return it with its new revision.

        Raises:
            Conflict: The value under the key does not have the expected revision, or there is none.
        """

    async def remove(self, session: Session, *, expected_revision: int) -> Session:
        """Take the value under a key out; return the last value with its revision.

        Args:
            session: The last value; for a store that keeps a history or tells watchers.
            expected_revision: The revision of the value that is stored.

        Raises:
            Conflict: The value under the key does not have the expected revision, or there is none.
        """

    async def list(
        self,
        filter: SessionFilter | None = None,  # noqa: A002 - the word every caller expects
    ) -> builtins.list[Session]:
        """Return the values that satisfy a filter, or all of them, in no promised order.

        A filter that names a session id costs no more than that group has sessions, and one that
        names states no more than there are sessions in those states, however many are stored.
        """

    async def count(self) -> int:
        """Count the values, in constant time."""

    async def state_counts(self) -> dict[SessionState, int]:
        """Count the values of every state, zeros included, in constant time."""


class ConnectionRegistry(Protocol[AgentT, AttachmentT]):
    """Holds the handles of the sessions that live in this process.

    Synchronous, and for the event loop's thread alone. The manager registers and unregisters;
    others only look.
    """

    def register(self, key: SessionKey, handle: Handle[AgentT, AttachmentT]) -> None:
        """Hold a handle under a key.

        Raises:
            SessionExists: There is one already.
        """

    def get(self, key: SessionKey) -> Handle[AgentT, AttachmentT] | None:
        """Return the handle under a key, if there is one."""

    def unregister(self, key: SessionKey) -> None:
        """Let go of the handle under a key, if there is one."""

    def __len__(self) -> int:
        """Count the handles."""

    def __iter__(self) -> Iterator[SessionKey]:
        """Go through the keys as they are now."""


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> float:
        """Return the seconds since the epoch of the clock's choice."""


class IdGenerator(Protocol):
    """Makes session ids."""

    def mint(self) -> str:
        """Return an id that matches `KEY_PART_PATTERN` and was never minted before."""


class Cleaner(Protocol):
    """Ends what a session holds: its spawn task, its agent, its files."""

    async def cleanup(self, session: Session) -> None:
        """End it all, and return when it has ended.

        Never runs twice at a time for one session, but runs again after it failed, and after its
        success could not be stored; so it takes in its stride what is ended already. The session is
        TERMINATING, and its handle is still registered. Neither it nor what it awaits may await
        `complete_cleanup` for the session, which waits for them; and nothing that it ends may call
        the manager for the session once it has returned: a later run may have the key by then.

        Raises:
            Exception: Something is left. The session stays TERMINATING, with this error on it.
        """


class CleanupScheduler(Protocol):
    """Decides when and where a cleanup runs."""

    def schedule(self, key: SessionKey, cleanup: Callable[[], Awaitable[None]]) -> None:
        """Take a cleanup to be run: soon, in a task of the scheduler's own.

        Called once for each session that ends, on the event loop.

        Args:
            key: The session.
            cleanup: Does what `complete_cleanup` does, for this run of the session alone. To be
                called again, at a time of the scheduler's choice, if it raises.
        """


class LifecycleHooks(Protocol):
    """Is told of changes, after they are stored.

    Each hook is called once for each session, on the event loop, and never for a call that changed
    nothing; `on_activate` never comes after `on_terminate`. One that raises is logged, and changes
    nothing.
    """

    def on_activate(self, session: Session) -> None:
        """The session has become ACTIVE."""

    def on_terminate(self, session: Session) -> None:
        """The session has become TERMINATING; its `reason` says why."""
