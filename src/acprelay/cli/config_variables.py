"""Settings in environment variables: `ACPRELAY_PORT`, `ACPRELAY_LIMITS_IDLE_S`.

A variable's name is the setting's place in the file in capitals, with `_` for dots and dashes.
Pure: the environment is an argument. It does not know the file, and agents have no variables.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acprelay.cli.layers import Given, Layer, Problem, refusal, rivals
from acprelay.cli.setting import PREFIX, Kind, Setting
from acprelay.cli.settings import OTHER_VARIABLES, SETTINGS
from acprelay.cli.toml_file import choices, nearest
from acprelay.errors import ConfigError

_KNOWN = (*(setting.variable for setting in SETTINGS), *OTHER_VARIABLES)


def read_variables(environ: Mapping[str, str]) -> dict[str, Given]:
    """Reads what variables say; one that is empty says nothing.

    Returns:
        The values, by the settings' places.

    Raises:
        ConfigError: A variable that begins as the relay's own do is not known, or has a value that
            cannot be used. It names all of them.
    """
    values, problems = survey_variables(environ)
    if problems:
        raise refusal("the environment", problems)
    return values


def survey_variables(environ: Mapping[str, str]) -> tuple[dict[str, Given], list[Problem]]:
    """Does as `read_variables`, and gives what is wrong instead of raising it."""
    problems = [_unknown(name) for name in sorted(environ) if _is_unknown(name)]
    values = {}
    for setting in SETTINGS:
        text = environ.get(setting.variable)
        if not text:
            continue
        try:
            value = _convert(setting, text)
            setting.check(value)
        except ConfigError as error:
            reason = f"{setting.variable} is {text[:80]!r}"
            problems.append(Problem(reason=reason, hint=error.hint))
        else:
            values[setting.place] = Given(value=value, layer=Layer.VARIABLE, by=setting.variable)
    if rivals({place: given.value for place, given in values.items()}):
        problems.append(
            Problem(
                reason=f"{PREFIX}EPHEMERAL is true, and {PREFIX}STATE_DIR names a directory",
                hint="unset one of them",
            )
        )
    return values, problems


def _is_unknown(name: str) -> bool:
    return name.startswith(PREFIX) and name not in _KNOWN


def _unknown(name: str) -> Problem:
    near = nearest(name, _KNOWN)
    return Problem(
        reason=f"the variable {name[:160]!r} is not known",
        hint=(f"did you mean {near}? " if near else "unset it; ")
        + "acprelay config show lists the settings and their variables",
    )


def _convert(setting: Setting, text: str) -> Any:  # noqa: PLR0911 - one line for each kind
    match setting.kind:
        case Kind.FLAG:
            return _flag(text)
        case Kind.INTEGER | Kind.NUMBER:
            return _number(setting.kind, text)
        case Kind.WORD:
            if text not in setting.words:
                raise ConfigError("cannot use it", hint=choices(text, setting.words))
            return text
        case Kind.PATH:
            return _path(text)
        case Kind.PATHS:
            return tuple(_path(part) for part in _split(text, os.pathsep))
        case Kind.TEXTS:
            return tuple(map(str.strip, _split(text, ",")))
        case _:
            return text


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ConfigError("cannot use it", hint="write true or false")
    return text.lower() == "true"


def _number(kind: Kind, text: str) -> float:
    whole = kind is Kind.INTEGER
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        example = "a whole number such as 3" if whole else "a number such as 3"
        raise ConfigError("cannot use it", hint=f"write {example}")
    return value


def _split(text: str, separator: str) -> list[str]:
    parts = text.split(separator)
    if not all(map(str.strip, parts)):  # one passed over could leave none, which allows everything
        raise ConfigError("cannot use it", hint=f"write something on both sides of {separator!r}")
    return parts


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise ConfigError("cannot use it", hint="write the absolute path") from None
