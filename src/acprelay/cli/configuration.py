"""What a relay is started with: what options say, else variables, else the file, else the table.

This module puts them together and makes a relay's configuration of them. Which settings there are
is the table in `acprelay.cli.settings`; how each layer is read is decided in a module of its own,
and what an agent's name stands for in `acprelay.agents.choosing`.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acprelay.agents.catalog import parse_agent
from acprelay.agents.choosing import AgentChoice, AgentSettings
from acprelay.agents.detection import installed
from acprelay.agents.models import AgentSpec
from acprelay.agents.well_known import WELL_KNOWN
from acprelay.cli.config_file import (
    WHAT,
    ConfigText,
    default_config_path,
    read_config,
    survey_config,
)
from acprelay.cli.config_variables import read_variables, survey_variables
from acprelay.cli.layers import Given, Layer, Problem, overlay
from acprelay.cli.policy_file import read_policy
from acprelay.cli.settings import CONFIG_VARIABLE, DEFAULTS, SETTINGS, in_section
from acprelay.cli.toml_file import read_text
from acprelay.compose import DEMO_AGENT
from acprelay.config import Limits, RelayConfig, Tls
from acprelay.errors import ConfigError
from acprelay.routing.policy import Policy
from acprelay.routing.service_modes import SERVED_BY_RELAY, ServiceMode, Services
from acprelay.storage.state_directory import default_state_directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """What is said about a relay, whoever says it; the settings' defaults where nobody does.

    Attributes:
        file: The configuration file; None where there is none.
        agents: The agents of the file, in their order.
        given: What is said, by the settings' places, and who says it.
    """

    file: Path | None = None
    agents: Mapping[str, AgentSettings] = field(default_factory=dict)
    given: Mapping[str, Given] = field(default_factory=dict)

    def __getitem__(self, place: str) -> Any:
        """Gives the value of a setting by its place in the file, such as `limits.idle-s`."""
        given = self.given.get(place)
        return DEFAULTS[place] if given is None else given.value

    def fields(self, section: str) -> dict[str, Any]:
        """Gives what is said of one section, by the names that Python has for the settings."""
        return {
            setting.field: self.given[setting.place].value
            for setting in in_section(section)
            if setting.place in self.given
        }


def find_config(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Configured:
    """Puts together what the file, the variables and the options say.

    The file is the one that is named, or else the one in the usual place. Variables win over it,
    and options over both.

    Args:
        arguments: With `config`, a path or None, and `no_config`; with the options of settings, or
            without.
        environ: The environment.

    Raises:
        ConfigError: The file or a variable cannot be used, or the file that is named cannot be
            read.
    """
    path = config_path(arguments, environ)
    file = ConfigText() if path is None else read_config(path)
    return Configured(
        file=file.path,
        agents=file.agents,
        given=overlay(file.values, read_variables(environ), _options(arguments)),
    )


def config_path(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Path | None:
    """Says which configuration file is read; None where none is."""
    if arguments.config is not None:
        return Path(arguments.config)
    if arguments.no_config:
        return None
    named = environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    path = default_config_path(environ)
    return path if path is not None and _is_there(path) else None


def config_problems(arguments: argparse.Namespace, environ: Mapping[str, str]) -> list[Problem]:
    """Says everything that keeps `acprelay serve` from starting with what is configured.

    What the file and the variables name is looked for only if both can be read: else the rest would
    be judged by what is not meant.

    Args:
        arguments: As for `find_config` and `serving`.
        environ: The environment.
    """
    problems = written_problems(config_path(arguments, environ), environ)
    if not problems:
        try:
            serving(arguments, find_config(arguments, environ), environ)
        except ConfigError as error:
            problems = [Problem(reason=error.message, hint=error.hint)]
    return problems


def written_problems(path: Path | None, environ: Mapping[str, str]) -> list[Problem]:
    """Says everything that is wrong in a configuration file and in the variables, as they stand.

    Args:
        path: The file; None for none.
        environ: The environment.
    """
    problems = survey_variables(environ)[1]
    if path is None:
        return problems
    try:
        text = read_text(path, what=WHAT, holds="settings")
        return [*survey_config(text, path=path)[1], *problems]
    except ConfigError as error:
        return [Problem(reason=error.message, hint=error.hint), *problems]


def _options(arguments: argparse.Namespace) -> dict[str, Given]:
    given = {}
    for setting in SETTINGS:
        typed = getattr(arguments, setting.destination, None) if setting.destination else None
        value = setting.of_option(typed)
        if value is not None:
            given[setting.place] = Given(value=value, layer=Layer.OPTION, by=str(setting.flag))
    return given


def serving(
    arguments: argparse.Namespace, configured: Configured, environ: Mapping[str, str]
) -> RelayConfig:
    """Says how the relay of `acprelay serve` is started.

    Raises:
        ConfigError: What is configured cannot be used.
    """
    return RelayConfig(
        host=configured["host"],
        port=configured["port"],
        state_dir=_state_dir(configured, environ),
        roots=tuple(root.absolute() for root in configured["roots"] or ()),
        mcp_commands=configured["mcp-commands"],
        mcp_urls=configured["mcp-urls"],
        auth=configured["auth"],
        tls=_tls(configured),
        public_urls=configured["public-urls"] or (),
        insecure_without_tls=configured["insecure-without-tls"],
        insecure_without_auth=configured["insecure-without-auth"],
        **_common(arguments, configured, environ),
    )


def embedded(
    arguments: argparse.Namespace,
    configured: Configured,
    environ: Mapping[str, str],
    *,
    state_dir: Path,
) -> RelayConfig:
    """Says how a relay is started that a command has for itself.

    It takes everything that is configured but where to listen and what to store.

    Raises:
        ConfigError: What is configured cannot be used.
    """
    return RelayConfig(port=0, state_dir=state_dir, **_common(arguments, configured, environ))


def _common(
    arguments: argparse.Namespace, configured: Configured, environ: Mapping[str, str]
) -> dict[str, Any]:
    """Gives what every relay has of what is configured."""
    return {
        "agents": _agents(arguments, configured, environ),
        "limits": Limits(**configured.fields("limits")),
        "worktree_dir": configured["worktree-dir"],
        "policy": _policy(configured["policy"]),
        "services": _services(configured),
    }


def choice(configured: Configured, environ: Mapping[str, str]) -> AgentChoice:
    """Gives what turns agents' names into agents."""
    return AgentChoice(
        well_known=WELL_KNOWN,
        own=(DEMO_AGENT,),
        settings=configured.agents,
        installed=installed,
        environment=environ,
    )


def read_agents(options: Iterable[str]) -> list[AgentSpec | str]:
    """Reads `--agent` options: an agent where one has a command, and else its name.

    Raises:
        ConfigError: A command cannot be read.
    """
    return [parse_agent(option) if "=" in option else option for option in options]


def _agents(
    arguments: argparse.Namespace, configured: Configured, environ: Mapping[str, str]
) -> tuple[AgentSpec, ...]:
    named = read_agents(arguments.agents)
    offered = choice(configured, environ).offer(named, default=configured["default-agent"])
    if arguments.pass_env and not offered:
        offered = (DEMO_AGENT,)
    return tuple(
        dataclasses.replace(spec, pass_env=(*spec.pass_env, *arguments.pass_env))
        for spec in offered
    )


def _state_dir(configured: Configured, environ: Mapping[str, str]) -> Path | None:
    if configured["ephemeral"]:
        return None
    return configured["state-dir"] or default_state_directory(environ)


def _services(configured: Configured) -> Services:
    chosen = {name: ServiceMode(mode) for name, mode in configured.fields("services").items()}
    return dataclasses.replace(SERVED_BY_RELAY, **chosen)


def _tls(configured: Configured) -> Tls | None:
    certificate, key = configured["tls-cert"], configured["tls-key"]
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ConfigError(
            "cannot serve TLS with a certificate and no key, or a key and no certificate",
            hint="name both, with --tls-cert and --tls-key",
        )
    return Tls(certificate=certificate, key=key)


def _policy(path: Path | None) -> Policy:
    return Policy() if path is None else read_policy(path)


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # reading it will say why
        return True
    return True
