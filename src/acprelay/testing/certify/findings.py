"""What checks find, and how that is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What became of a check."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class CheckFailed(Exception):
    """The agent does not do what it has to; the message says what it did."""


class CheckSkipped(Exception):
    """There is nothing to check; the message says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: Its name.
        outcome: What became of it.
        reason: Why, unless it passed.
    """

    check: str
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What all of them found, in order."""

    findings: Sequence[Finding]

    @property
    def failures(self) -> Sequence[str]:
        """What should not be."""
        failed = [each for each in self.findings if each.outcome is Outcome.FAILED]
        return [f"{each.check}: {each.reason}" for each in failed]

    def as_json(self) -> dict[str, object]:
        """All of it, for programs."""
        checks = [
            {"check": each.check, "outcome": each.outcome.value, "reason": each.reason}
            for each in self.findings
        ]
        return {"passed": not self.failures, "checks": checks}

    def as_text(self) -> str:
        """All of it, for people."""
        width = max(len(each.check) for each in self.findings)
        lines = [
            f"{each.outcome:<8}{each.check:<{width}}  {each.reason}".rstrip()
            for each in self.findings
        ]
        counts = ", ".join(
            f"{sum(each.outcome is outcome for each in self.findings)} {outcome}"
            for outcome in Outcome
        )
        return "\n".join([*lines, counts])
