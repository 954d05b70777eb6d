"""The steps of a scripted agent, as values and as JSON.

As JSON a step is an object: `{"expect": "session/prompt"}`, `{"update": {"sessionUpdate": …}}`,
`{"answer": {"stopReason": "end_turn"}}`. What it is follows from its members; further ones are the
step's further fields. What is done about a step is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from acprelay.errors import ConfigError

Object: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Expect:
    """Goes on once the client has sent a message with this method."""

    expect: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Answers with a result: what was expected last, or the last request with the method `to`."""

    answer: Any
    to: str = ""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answers with an error, an object with `code` and `message`; otherwise like `Answer`."""

    refuse: Object
    to: str = ""


@dataclass(frozen=True, slots=True)
class Update:
    """Sends a `session/update` of the session that was opened, loaded or resumed last."""

    update: Object


@dataclass(frozen=True, slots=True)
class Notify:
    """Sends a notification."""

    notify: str
    params: Object = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ask:
    """Sends a request, and goes on once it is answered; the session's id is added to its params."""

    ask: str
    params: Object = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Say:
    """Writes a line as it is: good for what should never be said."""

    say: str


@dataclass(frozen=True, slots=True)
class Exit:
    """Ends, with a status."""

    exit: int


Step: TypeAlias = Expect | Answer | Refuse | Update | Notify | Ask | Say | Exit

_KINDS: tuple[type[Step], ...] = (Expect, Answer, Refuse, Update, Notify, Ask, Say, Exit)
_TYPES: dict[str, type] = {
    "expect": str,
    "refuse": dict,
    "update": dict,
    "notify": str,
    "ask": str,
    "say": str,
}
_TYPES |= {"exit": int, "to": str, "params": dict}


def parse(text: str | bytes) -> list[Step]:
    """Reads a script: a JSON array of steps.

    Raises:
        ConfigError: It is none.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"it is no JSON: {error}") from None
    if not isinstance(values, list):
        raise _unreadable("it is no array")
    return [_step(number, value) for number, value in enumerate(values, start=1)]


def to_json(steps: Sequence[Step]) -> str:
    """Writes a script."""
    return json.dumps([_members(step) for step in steps])


def _members(step: Step) -> dict[str, object]:
    return {each.name: getattr(step, each.name) for each in fields(step)}


def _step(number: int, value: object) -> Step:
    if not isinstance(value, dict):
        raise _unreadable(f"step {number} is no object")
    for kind in _KINDS:
        first, *_ = (each.name for each in fields(kind))
        if first in value:
            return _made(number, kind, value)
    names = ", ".join(fields(kind)[0].name for kind in _KINDS)
    raise _unreadable(f"step {number} is none of {names}")


def _made(number: int, kind: type[Step], value: dict[str, Any]) -> Step:
    known = {each.name for each in fields(kind)}
    for name, it in value.items():
        if name not in known:
            raise _unreadable(f"step {number} has a member {name!r} that is not known")
        if name in _TYPES and type(it) is not _TYPES[name]:  # true is an int, too
            raise _unreadable(f"step {number}: {name!r} is of the wrong type")
    return kind(**value)


def _unreadable(why: str) -> ConfigError:
    return ConfigError(
        f"cannot read the script: {why}", hint='write steps like [{"expect": "session/prompt"}]'
    )
