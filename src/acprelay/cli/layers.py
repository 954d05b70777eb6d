"""Layers of values that win over each other: defaults, the file, variables, options.

This module knows in which order they win and how they are told apart, and not how each is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from acprelay.errors import ConfigError


class Layer(StrEnum):
    """Where a value comes from; each wins over those before it."""

    DEFAULT = "default"
    FILE = "file"
    VARIABLE = "variable"
    OPTION = "option"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A value, and who gave it.

    Attributes:
        value: The value.
        layer: Where it comes from.
        by: The file, the variable or the option; empty for a default.
    """

    value: Any
    layer: Layer
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong in one place.

    Attributes:
        reason: The place, and what is wrong there.
        hint: What to write instead.
    """

    reason: str
    hint: str


Values = Mapping[str, Given]
"""What is said, by the settings' places."""

_RIVALS = {"state-dir": "ephemeral", "ephemeral": "state-dir"}


def overlay(*layers: Values) -> dict[str, Given]:
    """Puts layers over each other; the last one wins.

    To store nothing and to store in a directory exclude each other: whichever is said higher up
    silences the other.
    """
    result: dict[str, Given] = {}
    for layer in layers:
        for place, given in layer.items():
            if place in _RIVALS and given.value is not False:
                result.pop(_RIVALS[place], None)
            result[place] = given
    return result


def rivals(values: Mapping[str, Any]) -> bool:
    """Whether one layer says that nothing is stored, and where."""
    return bool(values.get("ephemeral")) and values.get("state-dir") is not None


def refusal(subject: str, problems: Sequence[Problem], **fields: str) -> ConfigError:
    """Makes one error of all that is wrong.

    Args:
        subject: What cannot be used, such as `the configuration 'a.toml'`.
        problems: What is wrong with it, one thing at least.
        **fields: What the error tells programs.
    """
    if len(problems) == 1:
        [problem] = problems
        reason, hint = problem.reason, problem.hint
    else:
        reason = "; ".join(problem.reason for problem in problems)
        hint = "; ".join(
            f"({number}) {problem.hint}" for number, problem in enumerate(problems, start=1)
        )
    return ConfigError(f"cannot use {subject}: {reason}", hint=hint, **fields)
