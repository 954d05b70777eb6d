"""What is configured, setting by setting, for people and for programs.

It knows what must not be shown: the values of the variables that agents get.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acprelay.agents.choosing import AgentSettings
from acprelay.agents.models import AgentSpec
from acprelay.cli.configuration import Configured, read_agents
from acprelay.cli.layers import Given, Layer
from acprelay.cli.setting import Setting
from acprelay.cli.settings import SETTINGS
from acprelay.directories import own_directory

_HIDDEN = "***"
_UNADJUSTED = AgentSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One value.

    Attributes:
        place: The setting's place in the file.
        given: The value, and who gave it.
        variable: The variable that stands for it; None where none does.
    """

    place: str
    given: Given
    variable: str | None = None

    def as_row(self) -> tuple[str, str, str]:
        """Gives what people see: the place, the value, where it comes from."""
        return self.place, _in_words(self.given.value), self.given.by or str(self.given.layer)

    def as_json(self) -> dict[str, object]:
        """Gives what programs see."""
        return {
            "setting": self.place,
            "value": _as_json(self.given.value),
            "layer": str(self.given.layer),
            "by": self.given.by or None,
            "variable": self.variable,
        }


def effective(
    configured: Configured, arguments: argparse.Namespace, environ: Mapping[str, str]
) -> list[Shown]:
    """Gives every setting with its value; agents come last.

    Args:
        configured: What is said.
        arguments: With `agents`, the `--agent` options.
        environ: The environment, which decides about some defaults.

    Raises:
        ConfigError: An `--agent` option cannot be read.
    """
    named = read_agents(arguments.agents)
    shown = [_setting(configured, setting, environ) for setting in SETTINGS]
    if named:
        first = named[0].name if isinstance(named[0], AgentSpec) else named[0]
        given = Given(value=first, layer=Layer.OPTION, by="--agent")
        shown = [
            Shown(place=each.place, given=given, variable=each.variable)
            if each.place == "default-agent"
            else each
            for each in shown
        ]
    return [*shown, *_agents(configured, [one for one in named if isinstance(one, AgentSpec)])]


def _setting(configured: Configured, setting: Setting, environ: Mapping[str, str]) -> Shown:
    given = configured.given.get(setting.place)
    if given is None:
        value = _default(configured, setting, environ)
        given = Given(value=value, layer=Layer.DEFAULT)
    return Shown(place=setting.place, given=given, variable=setting.variable)


def _default(configured: Configured, setting: Setting, environ: Mapping[str, str]) -> Any:
    if setting.place == "state-dir" and not configured["ephemeral"]:
        return own_directory(environ, variable="XDG_STATE_HOME", below_home=".local/state")
    if setting.place == "worktree-dir":
        data = own_directory(environ, variable="XDG_DATA_HOME", below_home=".local/share")
        return data and data / "worktrees"
    return setting.default


def _agents(configured: Configured, typed: list[AgentSpec]) -> Iterator[Shown]:
    replaced = {spec.name for spec in typed}
    for name, settings in configured.agents.items():
        if name not in replaced:
            yield from _agent(name, settings, str(configured.file))
    for spec in typed:
        given = Given(value=spec.argv, layer=Layer.OPTION, by="--agent")
        yield Shown(place=f"agents.{spec.name}.command", given=given)


def _agent(name: str, settings: AgentSettings, file: str) -> Iterator[Shown]:
    values = {
        "command": settings.command,
        "env": dict.fromkeys(settings.env, _HIDDEN) or None,
        "pass-env": settings.pass_env or None,
        "prewarm": settings.prewarm,
        "restarts": settings.restarts,
    }
    for key, value in values.items():
        if value is not None:
            is_default = value == getattr(_UNADJUSTED, key.replace("-", "_"))
            given = (
                Given(value=value, layer=Layer.DEFAULT)
                if is_default
                else Given(value=value, layer=Layer.FILE, by=file)
            )
            yield Shown(place=f"agents.{name}.{key}", given=given)


def _in_words(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case dict():
            return " ".join(f"{name}={one}" for name, one in value.items())
        case tuple() | list():
            return shlex.join(map(str, value)) or "none"
        case _:
            return str(value)


def _as_json(value: Any) -> object:
    match value:
        case Path():
            return str(value)
        case tuple():
            return [_as_json(one) for one in value]
        case _:
            return value
