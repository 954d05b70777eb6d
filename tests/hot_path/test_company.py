"""How long a turn's start waits for what the agent says, to be written together with that."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.hot_path.scenarios import open_turn

_MS = 0.001


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
        await relay.rest(seconds=1 * _MS)
        [started] = client.heard()
        assert started["method"] == "_acprelay/turn_started"
        relay.forget()
        await relay.rest(seconds=2 * _MS)
        assert client.heard() == []
