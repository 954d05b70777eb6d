"""Whether the condition of a rule holds, and why: one function for each fact that rules speak of.

Conditions are judged with a bias. `every` is set where holding lets something happen: then all that
the tool call names must fit, and fit beyond doubt. Else holding is what protects, and one of the
names, or a part of it, is enough. What is missing never holds. This module knows neither rules nor
what follows from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from acprelay.routing.globs import matches, path_matches, place

_SHOWN = 120

# Characters with which one text becomes two commands, or reaches a file. With "(" come "$(", and
# zsh's "=(" and the qualifiers of its globs, which run commands too.
_METACHARACTERS = re.compile(r"[;|&`()<>\n\r]")

# A command in backticks, as some agents write it in a title.
_TICKED = re.compile(r"`(.+)`", flags=re.DOTALL)


class Finding(NamedTuple):
    """Whether a condition holds, and why."""

    holds: bool
    reason: str


def name(what: str, value: str, patterns: Sequence[str]) -> Finding:
    """Judges the name of an agent or a role; an empty one is missing."""
    if not value:
        return Finding(False, f"the {what} is not known")
    if any(matches(pattern, value) for pattern in patterns):
        return Finding(True, f"the {what} is {shown(value)}")
    return Finding(False, f"the {what} is {shown(value)}, not {' or '.join(patterns)}")


def kind(value: str | None, kinds: Sequence[str]) -> Finding:
    """Judges the kind of tool."""
    if value is None:
        return Finding(False, "the kind is not given")
    if value in kinds:
        return Finding(True, f"the kind is {value}")
    return Finding(False, f"the kind is {value}, not {' or '.join(kinds)}")


def path(paths: Sequence[str], patterns: Sequence[str], *, cwd: str, every: bool) -> Finding:
    """Judges the paths that are named, as seen from a directory; empty where it is not known."""
    if not paths:
        return Finding(False, "no path is named")
    if not cwd.startswith("/"):
        if every:
            return Finding(False, "the conversation's directory is not known")
        cwd = "/"  # so that a pattern that protects does, wherever it is meant to
    directory = place("", cwd=cwd)

    def fits(named: str) -> bool:
        placed = place(named, cwd=cwd)
        return any(path_matches(pattern, placed, cwd=directory) for pattern in patterns)

    return _judge("path", paths, fits, every=every)


def command(commands: Sequence[str], patterns: Sequence[str], *, every: bool) -> Finding:
    """Judges the commands that are named, each as one text."""
    if not commands:
        return Finding(False, "no command is named")
    rule = _is_certain if every else _has_part
    finding = _judge(
        "command",
        commands,
        lambda text: any(rule(pattern, text) for pattern in patterns),
        every=every,
    )
    if every and not finding.holds and any(map(_METACHARACTERS.search, commands)):
        only = "shell metacharacters are allowed in an equal pattern only"
        return Finding(False, f"{finding.reason} ({only})")
    return finding


def title(text: str, patterns: Sequence[str], *, every: bool) -> Finding:
    """Judges a title that stands for the command.

    It is written for people and may be cut or tidied: a line break that became a space would hide
    a second command. So nothing but the very text is certain.
    """
    ticked = _TICKED.fullmatch(text.strip())
    stripped = ticked[1] if ticked else text.strip()
    if not every:
        fits = any(_has_part(pattern, stripped) for pattern in patterns)
        return _judge("title", (stripped,), lambda _: fits, every=False)
    if stripped in patterns:
        return Finding(True, "the title stands for the command and equals a pattern")
    return Finding(
        False, f"the title {shown(stripped)}, which stands for the command, equals no pattern"
    )


def shown(text: str) -> str:
    """Quotes what somebody else wrote: cut, and in one line."""
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


def _judge(what: str, named: Sequence[str], fits: Callable[[str], bool], *, every: bool) -> Finding:
    """Judges names, of which every one or any one must fit."""
    decisive = next((each for each in named if fits(each) is not every), None)
    if decisive is None:
        return Finding(every, f"every {what} fits" if every else f"no {what} fits")
    verb = "fits" if not every else "does not fit"
    return Finding(not every, f"the {what} {shown(decisive)} {verb}")


def _is_certain(pattern: str, text: str) -> bool:
    """Whether a command fits as a whole; one that may be two, or reach a file, only if equal."""
    if _METACHARACTERS.search(text):
        return pattern == text
    return matches(pattern, text)


def _has_part(pattern: str, text: str) -> bool:
    """Whether a command fits as a whole, or a part of it between metacharacters."""
    parts = (part.strip() for part in _METACHARACTERS.split(text))
    return matches(pattern, text) or any(matches(pattern, part) for part in parts if part)
