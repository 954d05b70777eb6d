"""What a message costs is held in a table, in operations: no machine is timed here.

A change that makes a way of the hot path dearer fails, and so does one that makes it a lot cheaper
and leaves the table as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.hot_path.budgets import complaints, explain, read_budgets
from tests.hot_path.scenarios import (
    EXTENSION,
    HUGE,
    TEXT,
    TURN,
    Measured,
    measure_asks,
    measure_lines,
    measure_many_asks,
    measure_more_clients,
    measure_turns,
    open_turn,
)

from acprelay.wire import Rewritten, UpdateStream


def check(way: str, measured: Measured) -> None:
    found = complaints(way, measured, read_budgets().get(way, {}))
    assert not found, explain(way, measured, found)


@pytest.mark.requirement("speed.operations-have-budgets")
@pytest.mark.parametrize(
    ("way", "lines"),
    [
        ("stream", [TEXT] * 50),
        ("mix", TURN * 5),
        ("exact", [EXTENSION] * 50),
        ("megabyte", [HUGE] * 2),
    ],
    ids=["stream", "mix", "exact", "megabyte"],
)
async def test_lines_of_an_agent_keep_within_their_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, lines: Sequence[bytes]
) -> None:
    async with open_turn(tmp_path / "state", monkeypatch) as relay:
        check(way, await measure_lines(relay, lines))


@pytest.mark.requirement("speed.operations-have-budgets")
async def test_a_turn_keeps_within_its_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_turn(tmp_path / "state", monkeypatch) as relay:
        check("turn", await measure_turns(relay))


@pytest.mark.requirement("speed.operations-have-budgets")
async def test_a_request_for_permission_keeps_within_its_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_turn(tmp_path / "state", monkeypatch) as relay:
        check("permission", await measure_asks(relay))


@pytest.mark.requirement("speed.operations-have-budgets")
async def test_requests_and_answers_that_come_together_keep_within_their_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_turn(tmp_path / "state", monkeypatch) as relay:
        check("permissions", await measure_many_asks(relay))


@pytest.mark.requirement("speed.operations-have-budgets")
async def test_a_further_client_keeps_within_its_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check("client", await measure_more_clients(tmp_path, monkeypatch))


async def test_a_way_that_is_lost_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UpdateStream, "rewrite", lambda *_: ([], 0, []))
    async with open_turn(tmp_path / "state", monkeypatch) as relay:
        measured = await measure_lines(relay, [TEXT] * 50)
    found = complaints("stream", measured, read_budgets()["stream"])
    assert any(complaint.startswith("stream: calls-per-message grew to") for complaint in found)
    assert any(complaint.startswith("stream: decodes-per-message grew to") for complaint in found)


async def test_a_copy_more_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite = UpdateStream.rewrite

    def copying(*given: object) -> Rewritten:
        parts, count, noted = rewrite(*given)  # type: ignore[arg-type]
        return [bytes(bytearray(part)) for part in parts], count, noted

    monkeypatch.setattr(UpdateStream, "rewrite", copying)
    async with open_turn(tmp_path / "state", monkeypatch) as relay:
        measured = await measure_lines(relay, [TEXT] * 50)
    found = complaints("stream", measured, read_budgets()["stream"])
    assert any(complaint.startswith("stream: bytes-made-per-byte grew to") for complaint in found)


def measured_as(**costs: float) -> Measured:
    named = {name.replace("_", "-"): cost for name, cost in costs.items()}
    return Measured(named, {"wire.peek": 2.0, "json.loads": 0.5}, "message")


@pytest.mark.parametrize(
    ("cost", "budget", "expected"),
    [
        (5.0, 5.0, []),
        (4.0, 5.0, []),
        (0.0, 0.0, []),
        (5.01, 5.0, ["way: calls grew to 5.01, 0 % over its budget of 5"]),
        (6.0, 5.0, ["way: calls grew to 6, 20 % over its budget of 5"]),
        (1.0, 0.0, ["way: calls grew to 1 its budget of 0"]),
        (3.99, 5.0, ["way: calls fell to 3.99: its budget of 5 is loose"]),
        (0.0, 1.0, ["way: calls fell to 0: its budget of 1 is loose"]),
    ],
)
def test_costs_fit_a_budget_that_is_neither_exceeded_nor_loose(
    cost: float, budget: float, expected: list[str]
) -> None:
    assert complaints("way", measured_as(calls=cost), {"calls": budget}) == expected


def test_a_cost_without_a_budget_and_a_budget_without_a_cost_are_found() -> None:
    assert complaints("way", measured_as(calls=1), {"writes": 1}) == [
        "way: calls has no budget; it is 1",
        "way: writes has a budget, and nobody measures it",
    ]


def test_a_failure_says_what_grew_where_to_look_and_what_to_change() -> None:
    text = explain("way", measured_as(calls=6), ["way: calls grew to 6"])
    assert "way: calls grew to 6\n" in text
    assert "2.00  wire.peek" in text
    assert "calls = 6\n" in text
    assert "make profile" in text
    assert "hot_path/budgets.toml" in text
