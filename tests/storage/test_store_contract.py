"""What every store of conversations promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from acprelay.runtime.ports import ConversationStore
from acprelay.session.models import SessionKey
from acprelay.storage import MemoryStorage
from acprelay.testing.session import FakeIds
from acprelay.wire import text_frame

if TYPE_CHECKING:
    from tests.storage.conftest import World

ALL = 1 << 40


@pytest.fixture(params=["memory", "files"])
async def store(request: pytest.FixtureRequest, world: World) -> AsyncIterator[ConversationStore]:
    if request.param == "memory":
        async with MemoryStorage(ids=FakeIds(), history_bytes=ALL) as memory:
            yield memory
    else:
        async with world.storage() as files:
            yield files


async def test_a_new_store_has_no_conversations(store: ConversationStore) -> None:
    assert store.records() == ()


async def test_a_record_is_given_back_as_it_was_saved_last(
    world: World, store: ConversationStore
) -> None:
    first = world.record(world.key)
    other = world.record(SessionKey("s", "other"))
    newest = replace(
        first, turn="t1", title="Ünïcode", run=3, snapshot=b'{"plan" : [ 1.50 ]}', updated_at=9.25
    )
    for record in (first, other, newest):
        store.save(record)
    await store.flush()
    assert sorted(store.records(), key=lambda record: record.key) == [newest, other]


async def test_a_deleted_conversation_is_gone_with_its_log(
    world: World, store: ConversationStore
) -> None:
    other = world.record(SessionKey("s", "other"))
    store.save(world.record(world.key))
    store.save(other)
    log = store.open_log(world.key, on_relief=lambda: None, on_trouble=world.troubles.append)
    log.append(text_frame(b"one"), 1)
    await store.delete(world.key)
    await store.delete(world.key)
    assert store.records() == (other,)
    again = store.open_log(world.key, on_relief=lambda: None, on_trouble=world.troubles.append)
    assert (again.start, again.head) == (0, 0)
    assert world.troubles == []


async def test_deleting_what_never_was_does_nothing(world: World, store: ConversationStore) -> None:
    await store.delete(world.key)
    assert store.records() == ()


async def test_a_log_that_is_closed_and_opened_again_goes_on(
    world: World, store: ConversationStore
) -> None:
    log = store.open_log(world.key, on_relief=lambda: None, on_trouble=world.troubles.append)
    log.append(text_frame(b"one"), 1)
    before = log.position(1)
    store.close_log(world.key)
    store.close_log(world.key)
    await store.flush()
    again = store.open_log(world.key, on_relief=lambda: None, on_trouble=world.troubles.append)
    again.append(text_frame(b"two"), 1)
    assert again.locate(before) == 1
    assert again.read(1, upto=2, limit=ALL) == ([text_frame(b"two")], 2)


async def test_logs_of_different_conversations_are_different(
    world: World, store: ConversationStore
) -> None:
    keys = [SessionKey("s", "main"), SessionKey("s", "other"), SessionKey("t", "main")]
    logs = [
        store.open_log(key, on_relief=lambda: None, on_trouble=world.troubles.append)
        for key in keys
    ]
    for key, log in zip(keys, logs, strict=True):
        log.append(text_frame(str(key).encode()), 1)
    await store.flush()
    for key, log in zip(keys, logs, strict=True):
        assert log.read(0, upto=9, limit=ALL) == ([text_frame(str(key).encode())], 1)


async def test_calls_about_a_log_that_is_not_open_do_nothing(
    world: World, store: ConversationStore
) -> None:
    store.close_log(world.key)
    store.sync(world.key)
    await store.flush()
    assert store.records() == ()


async def test_decisions_are_taken(store: ConversationStore) -> None:
    store.audit(b'{"decision":"allow"}')
    await store.flush()


async def test_memory_keeps_the_latest_decisions() -> None:
    store = MemoryStorage(ids=FakeIds(), history_bytes=ALL, audit_lines=2)
    for number in range(3):
        store.audit(b"%d" % number)
    assert store.audited == (b"1", b"2")
