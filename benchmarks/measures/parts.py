"""What a frame costs that takes the exact path through the wire, whatever its shape."""

from __future__ import annotations

from benchmarks.measures.model import Driver, Figure, Figures, Measure
from benchmarks.micro.exact_path import exact_costs_us
from benchmarks.peers import Running


def _exact(_: Driver, __: Running) -> Figures:
    costs = exact_costs_us()
    return {**costs, "worst_us": max(costs.values())}


EXACT_PATH = Measure(
    name="exact-path",
    title="a frame of 300 bytes on the exact path: parse, splice, stamp and frame",
    figures=(
        Figure("compact", "compact µs", 2),
        Figure("spaced", "spaced µs", 2),
        Figure("meta", "with _meta µs", 2),
        Figure("request", "request µs", 2),
        Figure("unicode", "not ASCII µs", 2),
        Figure("worst_us", "worst µs", 2),
    ),
    take=_exact,
    peers=("parts",),
)
