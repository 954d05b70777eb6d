"""What is put off where turns are fast: what a turn's start is written with, and their record."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.hot_path.memory_relay import MemoryRelay
from tests.hot_path.scenarios import open_turn

from acprelay.storage.files import FileStorage

_MS = 0.001
_MANY = 5


async def test_what_a_prompt_begins_waits_its_own_milliseconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_turn(tmp_path, monkeypatch) as relay:
        client = relay.clients[0]
        for _ in range(2):
            relay.program.end_turn()
            relay.forget()
            client.prompt(relay.session_id)
            await relay.rest(seconds=1.5 * _MS)
            assert client.heard() == []
        await relay.rest(seconds=_MS)
        [started] = client.heard()
        assert started["method"] == "_acprelay/turn_started"
        relay.forget()
        await relay.rest(seconds=2 * _MS)
        assert client.heard() == []


async def test_fast_turns_are_made_durable_in_the_log_and_their_record_is_written_once_they_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_turn(tmp_path, monkeypatch) as relay:
        await relay.rest(seconds=1.1)
        done = _spy(monkeypatch)
        for _ in range(5):
            await _take_turns(relay)
            await relay.rest(seconds=0.1)
        assert done == ["save", *["sync"] * 6]
        done.clear()
        await relay.rest(seconds=0.1)
        assert done == ["save", "sync"]


async def test_the_record_of_turns_that_are_fast_for_long_is_written_every_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_turn(tmp_path, monkeypatch) as relay:
        await relay.rest(seconds=1.1)
        done = _spy(monkeypatch)
        for _ in range(21):
            await _take_turns(relay)
            await relay.rest(seconds=0.1)
        assert 3 <= done.count("save") <= 6  # housekeeping, once a second, stores it, too
        assert done.count("sync") >= 21


async def _take_turns(relay: MemoryRelay) -> None:
    for _ in range(_MANY):
        relay.program.end_turn()
        relay.clients[0].prompt(relay.session_id)


def _spy(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []
    monkeypatch.setattr(FileStorage, "save", lambda _storage, _record: done.append("save"))
    monkeypatch.setattr(FileStorage, "sync", lambda _storage, _key: done.append("sync"))
    return done
