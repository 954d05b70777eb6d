"""What a check has found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How it stands with one thing."""

    OK = "ok"
    """It is as it should be."""
    WARN = "warn"
    """A relay can do its work, but something may fail or surprise."""
    FAIL = "fail"
    """A relay cannot start, or cannot do what it is configured for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One judgement.

    Attributes:
        check: What was looked at, in a word or two.
        status: How it stands.
        message: What was found.
        remedy: What to do; empty where there is nothing to do.
    """

    check: str
    status: Status
    message: str
    remedy: str = ""


def fine(check: str, message: str) -> Finding:
    """Finds nothing wrong."""
    return Finding(check=check, status=Status.OK, message=message)


def warn(check: str, message: str, remedy: str) -> Finding:
    """Finds what may fail or surprise."""
    return Finding(check=check, status=Status.WARN, message=message, remedy=remedy)


def fail(check: str, message: str, remedy: str) -> Finding:
    """Finds what keeps a relay from its work."""
    return Finding(check=check, status=Status.FAIL, message=message, remedy=remedy)
