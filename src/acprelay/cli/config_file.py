"""The configuration file: what a relay is started with, in TOML.

```toml
default-agent = "claude"

[agents.claude]            # a well-known one, adjusted
pass-env = ["CLAUDE_CODE_MAX_OUTPUT_TOKENS"]

[agents.mine]              # one of your own
command = ["my-agent", "--acp"]

[limits]
idle-s = 3600

[services]
fs = "relay"
```

Every value is checked, and an error says where each one stands that cannot be used. What can be
written is the table in `acprelay.cli.settings`. This module knows neither the variables and options
that win over the file nor which agents there are.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from acprelay.agents.choosing import AgentSettings
from acprelay.agents.models import DEFAULT_RESTARTS, AgentSpec
from acprelay.cli.layers import Given, Layer, Problem, refusal, rivals
from acprelay.cli.setting import Kind, Setting
from acprelay.cli.settings import AGENT_SETTINGS, in_section, sections
from acprelay.cli.toml_file import parse_toml, read_text
from acprelay.cli.toml_table import Table
from acprelay.directories import own_directory
from acprelay.errors import ConfigError

WHAT = "configuration"

_AGENT_KEYS = tuple(setting.key for setting in AGENT_SETTINGS)
_FILE_KEYS = ("agents", *sections(), *(setting.key for setting in in_section("")))

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigText:
    """What a configuration file says.

    Attributes:
        path: The file; None where there is none.
        values: What it says, by the settings' places.
        agents: The agents, in their order.
    """

    path: Path | None = None
    values: Mapping[str, Given] = field(default_factory=dict)
    agents: Mapping[str, AgentSettings] = field(default_factory=dict)


def default_config_path(environ: Mapping[str, str]) -> Path | None:
    """Where the configuration is looked for, by the XDG Base Directory Specification.

    Args:
        environ: The environment.

    Returns:
        The path, or None where neither `XDG_CONFIG_HOME` nor `HOME` says.
    """
    directory = own_directory(environ, variable="XDG_CONFIG_HOME", below_home=".config")
    return None if directory is None else directory / "config.toml"


def read_config(path: Path) -> ConfigText:
    """Reads a configuration file.

    Raises:
        ConfigError: It cannot be read, or says something that no relay can be; `configuration`
            names the file, and the message names all that is wrong.
    """
    return parse_config(read_text(path, what=WHAT, holds="settings"), path=path)


def parse_config(text: bytes, *, path: Path) -> ConfigText:
    """Reads a configuration.

    Args:
        text: TOML.
        path: The file it stands in; paths in it are relative to that file's directory.

    Raises:
        ConfigError: As `read_config`.
    """
    config, problems = survey_config(text, path=path)
    if problems:
        raise refusal(f"the {WHAT} {str(path)!r}", problems, **{WHAT: str(path)})
    return config


def survey_config(text: bytes, *, path: Path) -> tuple[ConfigText, list[Problem]]:
    """Does as `parse_config`, and gives what is wrong instead of raising it.

    Raises:
        ConfigError: It is no TOML.
    """
    reading = _Reading(parse_toml(text, what=WHAT, source=str(path)), path)
    return reading.result(), reading.problems


class _Reading:
    """One file as it is read; what is wrong is kept, and the rest is read on."""

    def __init__(self, values: Mapping[str, object], path: Path) -> None:
        self.problems: list[Problem] = []
        self._path = path
        self._document = _plain_table(values)
        self._nothing = _plain_table({})

    def result(self) -> ConfigText:
        document = self._document
        self._check_keys(document, _FILE_KEYS)
        agents = self._agents(self._table(document, "agents"))
        values = self._values(document, "")
        for name in sections():
            table = self._table(document, name)
            self._check_keys(table, [setting.key for setting in in_section(name)])
            values |= self._values(table, name)
        if rivals(values):
            reason = "ephemeral is true, and state-dir names a directory"
            self.problems.append(Problem(reason=reason, hint="leave one of them out"))
        given = {
            place: Given(value=value, layer=Layer.FILE, by=str(self._path))
            for place, value in values.items()
        }
        return ConfigText(path=self._path, values=given, agents=agents)

    def _values(self, table: Table, section: str) -> dict[str, Any]:
        values = {}
        for setting in in_section(section):
            value = self._trying(self._checked, table, setting)
            if value is not None:
                values[setting.place] = value
        return values

    def _checked(self, table: Table, setting: Setting) -> Any:
        value = _take(table, setting, self._path.parent)
        if value is not None:
            try:
                setting.check(value)
            except ConfigError as error:
                said = json.dumps(value, default=str)
                raise table.error(setting.key, f"is {said}", error.hint) from None
        return value

    def _agents(self, table: Table) -> dict[str, AgentSettings]:
        agents = {}
        for name in table:
            settings = self._trying(self._agent, table, name)
            if settings is not None:
                agents[name] = settings
        return agents

    def _agent(self, table: Table, name: str) -> AgentSettings:
        entry = table.table(name)
        self._check_keys(entry, _AGENT_KEYS)
        restarts = self._trying(entry.integer, "restarts")
        settings = AgentSettings(
            command=self._trying(entry.texts, "command"),
            env=self._trying(entry.mapping, "env") or {},
            pass_env=self._trying(entry.texts, "pass-env") or (),
            prewarm=self._trying(entry.integer, "prewarm") or 0,
            restarts=DEFAULT_RESTARTS if restarts is None else restarts,
        )
        for error in _refusals(name, settings):
            refused = table.error(name, f"is refused: {error.message}", error.hint)
            self.problems.append(_problem(refused))
        return settings

    def _table(self, table: Table, key: str) -> Table:
        found = self._trying(table.table, key)
        return self._nothing if found is None else found

    def _check_keys(self, table: Table, known: tuple[str, ...] | list[str]) -> None:
        self.problems += map(_problem, table.unknown_keys(known))

    def _trying(self, take: Callable[..., _Result | None], *arguments: Any) -> _Result | None:
        try:
            return take(*arguments)
        except ConfigError as error:
            self.problems.append(_problem(error))
            return None


def _plain_table(values: Mapping[str, object]) -> Table:
    return Table(values, place="", refuse=_refuse)


def _refuse(reason: str, hint: str) -> ConfigError:
    return ConfigError(f"cannot use a setting: {reason}", hint=hint, reason=reason)


def _problem(error: ConfigError) -> Problem:
    return Problem(reason=str(error.fields["reason"]), hint=error.hint)


def _refusals(name: str, settings: AgentSettings) -> Iterator[ConfigError]:
    """Makes an entry of the catalog for each thing that is said, for the errors it raises."""
    said: list[dict[str, Any]] = [
        *([] if settings.command is None else [{"argv": settings.command}]),
        *({"env": {variable: value}} for variable, value in settings.env.items()),
        *({"pass_env": (variable,)} for variable in settings.pass_env),
        {"prewarm": settings.prewarm},
        {"restarts": settings.restarts},
    ]
    try:
        sound = AgentSpec(name=name, argv=("program",))
    except ConfigError as error:  # whatever it is, it is refused for its name
        yield error
        return
    for one in said:
        try:
            dataclasses.replace(sound, **one)
        except ConfigError as error:
            yield error


def _take(table: Table, setting: Setting, base: Path) -> Any:  # noqa: PLR0911 - one line for each kind
    key = setting.key
    match setting.kind:
        case Kind.FLAG:
            return table.flag(key)
        case Kind.INTEGER:
            return table.integer(key)
        case Kind.NUMBER:
            return _finite(table, key)
        case Kind.WORD:
            return table.word(key, setting.words)
        case Kind.PATH:
            text = table.text(key)
            return None if text is None else _path(table, key, text, base)
        case Kind.PATHS:
            texts = _texts(table, key)
            return texts and tuple(_path(table, key, text, base) for text in texts)
        case Kind.TEXTS:
            return _texts(table, key)
        case _:
            return table.text(key)


def _texts(table: Table, key: str) -> tuple[str, ...] | None:
    texts = table.texts(key)
    if texts and "" in texts:
        place = f"{key}[{texts.index('')}]"
        raise table.error(place, "is empty", "write something, or leave it out")
    return texts


def _finite(table: Table, key: str) -> float | None:
    value = table.number(key)
    if value is not None and not math.isfinite(value):
        raise table.error(key, f"is {value}", "give a finite number")
    return value


def _path(table: Table, key: str, text: str, base: Path) -> Path:
    try:
        return base / Path(text).expanduser()
    except RuntimeError:
        raise table.error(
            key, f"is {text[:80]!r}, and nobody has such a home", "write the absolute path"
        ) from None
