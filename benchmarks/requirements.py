"""What the relay must reach: ratios of medians of one run, and bounds, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.results import Results

Value = Callable[[Results], float | None]

RELAY = "acprelay"
DIRECT = "direct"
PARTS = "parts"
AGENTLESS = "agentless"
BARE = "bare"
WEBSOCKETD = "websocketd"
ACPREMOTE = "acpremote"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One thing that the relay must reach.

    Attributes:
        what: What is measured.
        unit: What the bound is in: a unit, or times something.
        value: Gives what was reached; None where it was not measured.
        bound: What must be reached.
        at_most: Whether less is better.
    """

    what: str
    unit: str
    value: Value
    bound: float
    at_most: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """A requirement, and what one run says of it.

    Attributes:
        requirement: The requirement.
        value: What was reached; None where it was not measured.
        bare: What the least that a relay in Python can do reaches; None where it was not measured.
    """

    requirement: Requirement
    value: float | None
    bare: float | None = None

    @property
    def word(self) -> str:
        """Says it: reached, missed or not measured."""
        if self.value is None:
            return "not measured"
        over = self.value >= self.requirement.bound
        under = self.value <= self.requirement.bound
        return "reached" if (under if self.requirement.at_most else over) else "missed"


def figure(measure: str, key: str, peer: str = RELAY) -> Value:
    """Gives a median of one peer."""
    return lambda results: results.median(measure, peer, key)


def ratio(above: Value, below: Value) -> Value:
    """Gives how many times the second the first one is."""

    def value(results: Results) -> float | None:
        dividend, divisor = above(results), below(results)
        return None if dividend is None or not divisor else dividend / divisor

    return value


def added(total: Value, base: Value) -> Value:
    """Gives by how much the first one is more than the second."""

    def value(results: Results) -> float | None:
        more, less = total(results), base(results)
        return None if more is None or less is None else more - less

    return value


def against(measure: str, key: str, peer: str) -> Value:
    """Gives the relay's median over another's."""
    return ratio(figure(measure, key), figure(measure, key, peer))


def added_trip(key: str, peer: str) -> Value:
    """Gives what a peer adds to a round trip over the pipe."""
    return added(figure("trips", key, peer), figure("trips", key, DIRECT))


_ONE = figure("stream", "rate")

REQUIREMENTS = (
    Requirement(
        what="stream", unit="times direct pipe", value=against("stream", "rate", DIRECT), bound=0.50
    ),
    Requirement(
        what="stream",
        unit="times websocketd",
        value=against("stream", "rate", WEBSOCKETD),
        bound=3.5,
    ),
    Requirement(
        what="stream", unit="times acpremote", value=against("stream", "rate", ACPREMOTE), bound=8
    ),
    Requirement(
        what="mixed shapes",
        unit="times uniform rate",
        value=ratio(figure("mixed", "rate"), _ONE),
        bound=0.6,
    ),
    Requirement(
        what="any frame on the exact path",
        unit="µs",
        value=figure("exact-path", "worst_us", PARTS),
        bound=3,
        at_most=True,
    ),
    Requirement(
        what="CPU for a million updates",
        unit="times websocketd",
        value=against("stream", "cpu_s_per_million", WEBSOCKETD),
        bound=0.3,
        at_most=True,
    ),
    Requirement(
        what="fan-out to 20 clients",
        unit="times one-client rate",
        value=ratio(figure("fan-out", "rate"), _ONE),
        bound=2.5,
    ),
    Requirement(
        what="added round trip, p50",
        unit="times websocketd",
        value=ratio(added_trip("p50_us", RELAY), added_trip("p50_us", WEBSOCKETD)),
        bound=1.3,
        at_most=True,
    ),
    Requirement(
        what="added round trip, p99",
        unit="times websocketd",
        value=ratio(added_trip("p99_us", RELAY), added_trip("p99_us", WEBSOCKETD)),
        bound=1.3,
        at_most=True,
    ),
    Requirement(
        what="connect to first update, warm pool",
        unit="times websocketd",
        value=against("first", "p50_ms", WEBSOCKETD),
        bound=1.5,
        at_most=True,
    ),
    Requirement(
        what="20 KiB updates, bytes/s",
        unit="times websocketd",
        value=against("20kib", "mb_per_s", WEBSOCKETD),
        bound=1,
    ),
    Requirement(
        what="1 MiB updates, bytes/s",
        unit="times websocketd",
        value=against("1mib", "mb_per_s", WEBSOCKETD),
        bound=1,
    ),
    Requirement(
        what="20 sessions at once, together",
        unit="times one-session rate",
        value=ratio(figure("sessions", "rate"), _ONE),
        bound=0.8,
    ),
    Requirement(
        what="10,000 idle sessions, memory of each",
        unit="KiB",
        value=figure("idle", "kib_each", AGENTLESS),
        bound=20,
        at_most=True,
    ),
    Requirement(
        what="create a session, among 10,000",
        unit="times among 1,000",
        value=figure("idle", "create_ratio", AGENTLESS),
        bound=1.5,
        at_most=True,
    ),
    Requirement(
        what="find a session, among 10,000",
        unit="times among 1,000",
        value=figure("idle", "find_ratio", AGENTLESS),
        bound=1.5,
        at_most=True,
    ),
    Requirement(
        what="end a session, among 10,000",
        unit="times among 1,000",
        value=figure("idle", "end_ratio", AGENTLESS),
        bound=1.5,
        at_most=True,
    ),
    Requirement(
        what="100 live agents: delivery, p99",
        unit="ms",
        value=figure("live", "p99_ms"),
        bound=20,
        at_most=True,
    ),
    Requirement(
        what="100 live agents: lost",
        unit="updates",
        value=figure("live", "lost"),
        bound=0,
        at_most=True,
    ),
    Requirement(
        what="100 live agents: CPU",
        unit="cores",
        value=figure("live", "cores"),
        bound=0.5,
        at_most=True,
    ),
    Requirement(
        what="attach to 1,000,000 entries: first",
        unit="ms",
        value=figure("attach", "first_ms"),
        bound=20,
        at_most=True,
    ),
    Requirement(
        what="attach to 1,000,000 entries: replay",
        unit="times live rate",
        value=figure("attach", "replay_ratio"),
        bound=1,
    ),
    Requirement(
        what="a client pauses: memory",
        unit="MB more",
        value=figure("pause", "grown_mb"),
        bound=32,
        at_most=True,
    ),
    Requirement(
        what="a client pauses: others",
        unit="times their rate",
        value=figure("pause", "others_ratio"),
        bound=0.9,
    ),
    Requirement(
        what="10,000,000 updates: end",
        unit="times start",
        value=figure("long", "end_ratio"),
        bound=0.9,
    ),
)


def verdicts(results: Results) -> list[Verdict]:
    """Tells what one run says of each requirement."""
    of_bare = with_bare_for_relay(results)
    return [Verdict(each, each.value(results), each.value(of_bare)) for each in REQUIREMENTS]


def with_bare_for_relay(results: Results) -> Results:
    """Gives results in which `bare` stands in the relay's place, without any of the relay's own."""
    others = (sample for sample in results.samples if sample.peer not in (RELAY, AGENTLESS, PARTS))
    return Results(
        samples=[replace(each, peer=RELAY) if each.peer == BARE else each for each in others]
    )
