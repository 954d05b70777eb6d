"""What a fuzz run found out, for people and for programs.

Pure. `Report.failures` decides the exit status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the relay's process has.

    Attributes:
        rss: Its memory in bytes.
        descriptors: How many file descriptors it has open.
    """

    rss: int
    descriptors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The findings.

    Attributes:
        seed: The seed of all choices.
        seconds: How long it went on.
        outcomes: How the relay took each attack, by the attack's name, and how often so.
        turns: How many turns the witness had meanwhile.
        newcomers: How many new clients were served meanwhile.
        usages: What the relay's process had: before all, and after each round.
        growth: How much its memory may grow, in bytes, after the first round.
        complaints: What happened that should not.
    """

    seed: int
    seconds: float
    outcomes: Mapping[str, Mapping[str, int]]
    turns: int
    newcomers: int
    usages: tuple[Usage, ...]
    growth: int
    complaints: tuple[str, ...] = field(default=())

    @property
    def failures(self) -> list[str]:
        """What must not be, in words; empty where all is well."""
        found = list(self.complaints)
        if not self.turns or not self.newcomers:
            found.append("nobody could work meanwhile")
        if not self.usages:
            return found
        before, warm, last = self.usages[0], self.usages[:2][-1], self.usages[-1]
        if last.descriptors > before.descriptors:
            found.append(f"{last.descriptors - before.descriptors} file descriptors are left")
        if last.rss > warm.rss + self.growth:
            found.append(f"memory grew by {_mib(last.rss - warm.rss)} after the first round")
        return found

    def as_json(self) -> dict[str, object]:
        """The findings as JSON has them."""
        return {**asdict(self), "failures": self.failures}

    def as_text(self) -> str:
        """The findings as a table."""
        lines = [f"fuzz, {self.seconds:.1f} s, seed {self.seed}"]
        for name, seen in self.outcomes.items():
            told = ", ".join(f"{outcome}: {count}" for outcome, count in sorted(seen.items()))
            lines.append(f"  {name:<20}{told}")
        lines.append(f"  turns meanwhile     {self.turns}, and {self.newcomers} new clients")
        for number, usage in enumerate(self.usages):
            when = f"after round {number}" if number else "before"
            lines.append(f"  {when:<20}{_mib(usage.rss)}, {usage.descriptors} descriptors")
        lines += [f"  FAILED: {failure}" for failure in self.failures] or ["  all is well"]
        return "\n".join(lines)


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
