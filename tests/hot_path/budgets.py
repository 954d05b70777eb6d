"""Holds what was measured against the table of budgets, from above and from below."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from tests.hot_path.scenarios import Measured

TABLE = Path(__file__).with_name("budgets.toml")
LOOSE = 0.8
"""A budget of which less than this is used would let what was won be lost again."""
_DIGITS = 2
_MOST_NAMED = 12

Budgets: TypeAlias = Mapping[str, Mapping[str, float]]


def read_budgets() -> Budgets:
    """Reads the table: way, measure, budget."""
    table: Budgets = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return table


def complaints(way: str, measured: Measured, budgets: Mapping[str, float]) -> list[str]:
    """Says what of a way's costs does not fit its budgets."""
    found = []
    for name, exact in measured.costs.items():
        cost, budget = round(exact, _DIGITS), budgets.get(name)
        if budget is None:
            found.append(f"{way}: {name} has no budget; it is {_number(cost)}")
        elif cost > budget:
            growth = "" if not budget else f", {100 * (cost / budget - 1):.0f} % over"
            found.append(f"{way}: {name} grew to {_number(cost)}{growth} its budget of {budget:g}")
        elif cost < LOOSE * budget:
            found.append(
                f"{way}: {name} fell to {_number(cost)}: its budget of {budget:g} is loose"
            )
    found += [
        f"{way}: {name} has a budget, and nobody measures it"
        for name in budgets
        if name not in measured.costs
    ]
    return found


def explain(way: str, measured: Measured, found: list[str]) -> str:
    """Writes a failure so that whoever meets it knows what to look at and what to do."""
    largest = sorted(measured.calls.items(), key=lambda item: -item[1])[:_MOST_NAMED]
    calls = "\n".join(f"  {number:8.2f}  {name}" for name, number in largest if number)
    costs = "\n".join(f"  {name} = {_number(cost)}" for name, cost in measured.costs.items())
    return (
        "\n".join(["", *found])
        + f"\n\nCalls for each {measured.per}, the most frequent ones:\n{calls}\n"
        + f"\nAll that is measured in [{way}]:\n{costs}\n"
        "\nWhere the time goes: make profile\n"
        f"A budget is changed on purpose, in {TABLE.parent.name}/{TABLE.name}, by the commit that "
        "changes the cost, which says why."
    )


def _number(cost: float) -> str:
    return f"{cost:.{_DIGITS}f}".rstrip("0").rstrip(".")
