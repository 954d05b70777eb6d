"""Every misbehaviour that there is has an ending, and users are told of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.fault.agents.endings import ENDED, GOES_ON, NO_SESSION, STOPPED
from tests.project.faults import read_table

from acprelay.testing.misbehaviours import MISBEHAVIOURS

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def test_every_misbehaviour_has_one_ending() -> None:
    tables = (NO_SESSION, STOPPED, ENDED, GOES_ON)
    assert Counter(name for table in tables for name in table) == Counter([*MISBEHAVIOURS])


def test_every_misbehaviour_has_a_row_of_the_page() -> None:
    faults = " ".join(row.fault for row in read_table(PAGE).rows)
    assert [name for name in MISBEHAVIOURS if f"`{name}`" not in faults] == []
