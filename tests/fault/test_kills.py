"""A relay that is killed at any instant, and the next one on the same state directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tests.fault.house import House
from tests.fault.nursery import Nursery

pytestmark = pytest.mark.process

PARTS = 4
"""Each part of the calls is tried by itself, so that the parts can be tried at once."""


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("nursery") / "log") as it:
        yield it


@pytest.mark.parametrize("part", range(PARTS))
def test_a_relay_may_be_killed_before_each_call_that_changes_the_disk_and_within_each_write(
    nursery: Nursery, tmp_path: Path, part: int
) -> None:
    died = 1 + part
    while True:
        house = House(tmp_path / f"{died}", nursery)
        death = house.live("first", dies_at=died)
        house.judge()
        if not death.was_killed:
            break
        if death.last("died") == "writev":
            house = House(tmp_path / f"{died}-torn", nursery)
            house.live("first", dies_at=died, torn=True)
            house.judge()
        died += PARTS
    assert died > PARTS * 10


def test_a_relay_that_takes_up_what_another_has_left_may_be_killed_before_each_call_too(
    nursery: Nursery, tmp_path: Path
) -> None:
    first = House(tmp_path / "first", nursery)
    first.live("first")
    died, was_killed = 0, True
    while was_killed:
        died += 1
        house = first.copy(tmp_path / f"{died}")
        was_killed = house.live("next", dies_at=died).was_killed
        house.judge()
    assert died > 10


INSTANTS = 8


def test_a_relay_may_be_killed_at_any_instant(nursery: Nursery, tmp_path: Path) -> None:
    random = Random(1)
    for number in range(INSTANTS):
        house = House(tmp_path / f"{number}", nursery)
        for script in ("first", "next"):
            house.live(script, dies_after_s=random.uniform(0.01, 0.4))
        house.judge()
