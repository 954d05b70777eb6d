"""The memory registry holds one handle for each key."""

import pytest

from acprelay.errors import SessionExists
from acprelay.session import ConnectionRegistry, Handle, MemoryRegistry, SessionKey

MAIN, DATABASE = SessionKey("task", "main"), SessionKey("task", "db")


@pytest.fixture
def registry() -> ConnectionRegistry[str, str]:
    return MemoryRegistry()


def test_a_registered_handle_is_found_until_it_is_unregistered(
    registry: ConnectionRegistry[str, str],
) -> None:
    handle = Handle[str, str]()
    registry.register(MAIN, handle)
    assert registry.get(MAIN) is handle
    assert registry.get(DATABASE) is None
    registry.unregister(MAIN)
    assert registry.get(MAIN) is None


def test_a_key_holds_one_handle(registry: ConnectionRegistry[str, str]) -> None:
    first = Handle[str, str]()
    registry.register(MAIN, first)
    with pytest.raises(SessionExists, match="'task:main'"):
        registry.register(MAIN, Handle())
    assert registry.get(MAIN) is first


def test_unregistering_what_is_not_there_does_nothing(
    registry: ConnectionRegistry[str, str],
) -> None:
    registry.unregister(MAIN)
    assert len(registry) == 0


def test_the_keys_can_be_gone_through_while_handles_leave(
    registry: ConnectionRegistry[str, str],
) -> None:
    registry.register(MAIN, Handle())
    registry.register(DATABASE, Handle())
    assert len(registry) == 2
    for key in registry:
        registry.unregister(key)
    assert list(registry) == []
