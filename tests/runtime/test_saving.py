"""What is saved whole: one save after the other, each to its end, and the last has the last word.

The threads of these tests do their work when a test says so, the latest first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, TypeVar

import pytest

from acprelay.errors import Unavailable
from acprelay.routing.access import LOCAL, Grant
from acprelay.routing.invitations import Invitation
from acprelay.routing.tokens import Token, TokenWish
from acprelay.runtime.invitation_desk import InvitationDesk
from acprelay.runtime.live_connections import LiveConnections
from acprelay.runtime.saving import Saving
from acprelay.runtime.token_desk import TokenDesk
from acprelay.session.models import SessionKey
from acprelay.storage.secrets import MemorySecret

PATIENCE_S = 30.0
KEY, OTHER = SessionKey("g", "main"), SessionKey("g", "other")

_T = TypeVar("_T")


class HeldThreads(ThreadPoolExecutor):
    """Threads that have begun, and go on when they are told to."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)
        self.begun: list[Callable[[], None]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()

        def go_on() -> None:
            try:
                result = fn(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - that of whoever waits for it
                future.set_exception(error)
            else:
                future.set_result(result)

        self.begun.append(go_on)
        return future

    async def finish(self, *tasks: asyncio.Task[Any]) -> None:
        """Lets all go on, the latest first, until some tasks are done."""
        async with asyncio.timeout(PATIENCE_S):
            while self.begun or not all(task.done() for task in tasks):
                if self.begun:
                    self.begun.pop()()
                await until_nothing_moves()


@pytest.fixture
async def threads() -> AsyncIterator[HeldThreads]:
    threads = HeldThreads()
    asyncio.get_running_loop().set_default_executor(threads)
    yield threads
    assert threads.begun == []


async def until_nothing_moves() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Shelf(Generic[_T]):
    """A store that remembers what was saved last."""

    def __init__(self) -> None:
        self.kept: Sequence[_T] = ()

    def load(self) -> Sequence[_T]:
        return self.kept

    def save(self, values: Any) -> None:
        self.kept = tuple(values)


class FailingStore:
    """A store that fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def save(self, _values: object) -> None:
        raise self._error


class Clock:
    def now(self) -> float:
        return 1000.0


class Numbers:
    def __init__(self) -> None:
        self._last = 0

    def mint(self) -> str:
        self._last += 1
        return f"n{self._last}"


def begin(work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
    return asyncio.get_running_loop().create_task(work)


async def cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task], timeout=PATIENCE_S)
    assert task.cancelled()


def token_desk(shelf: Shelf[Token]) -> TokenDesk:
    ids = Numbers()
    connections = LiveConnections(forsake=lambda _: None)
    return TokenDesk(store=shelf, clock=Clock(), ids=ids, mint=ids.mint, connections=connections)


def invitation_desk(shelf: Shelf[Invitation]) -> InvitationDesk:
    return InvitationDesk(store=shelf, clock=Clock(), mint=Numbers().mint)


@pytest.mark.requirement("access.tokens-end")
async def test_a_token_that_was_revoked_stays_so_where_somebody_left_whose_token_was_being_stored(
    threads: HeldThreads,
) -> None:
    shelf: Shelf[Token] = Shelf()
    desk = token_desk(shelf)
    create = partial(desk.create, TokenWish(name="a", grants=frozenset({Grant.PROMPT})))
    bad = begin(create(creator=LOCAL))
    await until_nothing_moves()
    await threads.finish(bad)
    other = begin(create(creator=LOCAL))
    await until_nothing_moves()
    await cancel(other)
    revoking = begin(desk.revoke([bad.result().token.id]))
    await until_nothing_moves()
    await threads.finish(revoking)
    assert list(shelf.kept) == []


async def test_an_invitation_that_was_revoked_stays_so_where_somebody_left_who_was_inviting(
    threads: HeldThreads,
) -> None:
    shelf: Shelf[Invitation] = Shelf()
    desk = invitation_desk(shelf)
    bad = begin(desk.invite(KEY, ttl_s=60.0))
    await until_nothing_moves()
    await threads.finish(bad)
    other = begin(desk.invite(OTHER, ttl_s=60.0))
    await until_nothing_moves()
    await cancel(other)
    revoking = begin(desk.revoke(KEY))
    await until_nothing_moves()
    await threads.finish(revoking)
    assert list(shelf.kept) == []


async def test_who_revokes_and_leaves_before_that_is_stored_has_revoked(
    threads: HeldThreads,
) -> None:
    shelf: Shelf[Invitation] = Shelf()
    desk = invitation_desk(shelf)
    inviting = begin(desk.invite(KEY, ttl_s=60.0))
    await until_nothing_moves()
    revoking = begin(desk.revoke(KEY))
    await until_nothing_moves()
    await cancel(revoking)
    closing = begin(desk.aclose())
    await threads.finish(inviting, closing)
    assert list(shelf.kept) == []


async def test_a_desk_is_closed_once_what_was_being_stored_is(threads: HeldThreads) -> None:
    shelf: Shelf[Token] = Shelf()
    desk = token_desk(shelf)
    recovering = begin(desk.recover(MemorySecret()))
    await until_nothing_moves()
    for _load in ("the tokens", "the owner's"):
        threads.begun.pop()()
        await until_nothing_moves()
    await cancel(recovering)
    closing = begin(desk.aclose())
    await until_nothing_moves()
    assert not closing.done()
    assert list(shelf.kept) == []
    await threads.finish(closing)
    assert [token.is_owners for token in shelf.kept] == [True]


@pytest.mark.parametrize(
    "error", [Unavailable("cannot keep it: full", hint="make room"), ValueError("odd")]
)
async def test_the_log_tells_of_a_save_that_failed_after_everybody_has_left(
    threads: HeldThreads, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    saving = Saving(current=str, store=FailingStore(error))
    waiting = begin(saving.save())
    await until_nothing_moves()
    await cancel(waiting)
    closing = begin(saving.aclose())
    await threads.finish(closing)
    assert [record.getMessage() for record in caplog.records] == [str(error)]


async def test_whoever_waits_for_a_save_is_told_that_it_failed_and_the_log_is_not(
    threads: HeldThreads, caplog: pytest.LogCaptureFixture
) -> None:
    store = FailingStore(Unavailable("cannot keep it: full", hint="make room"))
    saving = begin(Saving(current=str, store=store).save())
    await until_nothing_moves()
    await threads.finish(saving)
    with pytest.raises(Unavailable):
        saving.result()
    assert caplog.records == []
