"""What a relay is started with: the options that were typed, and where they say nothing, the file.

This module knows how both are put together. What can stand in the file is decided in
`acprelay.cli.config_file`, and what a name stands for in `acprelay.agents.choosing`.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from acprelay.agents.catalog import parse_agent
from acprelay.agents.choosing import AgentChoice
from acprelay.agents.detection import installed
from acprelay.agents.models import AgentSpec
from acprelay.agents.well_known import WELL_KNOWN
from acprelay.cli.config_file import FileConfig, default_config_path, read_config
from acprelay.cli.policy_file import read_policy
from acprelay.compose import DEMO_AGENT
from acprelay.config import DEFAULT_HOST, DEFAULT_PORT, RelayConfig, Tls
from acprelay.errors import ConfigError
from acprelay.routing.policy import Policy
from acprelay.routing.service_modes import ServiceMode, Services
from acprelay.storage.state_directory import default_state_directory

_Value = TypeVar("_Value")


def find_config(arguments: argparse.Namespace, environ: Mapping[str, str]) -> FileConfig:
    """Reads the configuration file that is named, or else the one in the usual place.

    Args:
        arguments: With `config`, a path or None, and `no_config`.
        environ: The environment.

    Raises:
        ConfigError: It cannot be used, or the one that is named cannot be read.
    """
    if arguments.config is not None:
        return read_config(Path(arguments.config))
    path = None if arguments.no_config else default_config_path(environ)
    return FileConfig() if path is None or not _is_there(path) else read_config(path)


def serving(
    arguments: argparse.Namespace, file: FileConfig, environ: Mapping[str, str]
) -> RelayConfig:
    """Says how the relay of `acprelay serve` is started.

    Raises:
        ConfigError: The options or the file cannot be used.
    """
    return RelayConfig(
        host=_first(arguments.host, file.host, DEFAULT_HOST),
        port=_first(arguments.port, file.port, DEFAULT_PORT),
        agents=_agents(arguments, file, environ),
        limits=file.limits,
        state_dir=_state_dir(arguments, file, environ),
        worktree_dir=file.worktree_dir
        if arguments.worktree_dir is None
        else Path(arguments.worktree_dir),
        policy=_policy(file.policy if arguments.policy is None else arguments.policy),
        services=_services(arguments, file),
        auth=_first(arguments.auth, file.auth, True),
        tls=_tls(arguments, file),
        public_urls=tuple(arguments.public_urls) or file.public_urls,
        insecure_without_tls=arguments.insecure_without_tls or file.insecure_without_tls,
        insecure_without_auth=arguments.insecure_without_auth or file.insecure_without_auth,
    )


def embedded(
    arguments: argparse.Namespace,
    file: FileConfig,
    environ: Mapping[str, str],
    *,
    state_dir: Path,
) -> RelayConfig:
    """Says how a relay is started that a command has for itself.

    Of the file it takes everything but where to listen and what to store.

    Raises:
        ConfigError: The options or the file cannot be used.
    """
    return RelayConfig(
        port=0,
        agents=_agents(arguments, file, environ),
        limits=file.limits,
        state_dir=state_dir,
        worktree_dir=file.worktree_dir,
        policy=_policy(file.policy),
        services=file.services,
    )


def choice(file: FileConfig, environ: Mapping[str, str]) -> AgentChoice:
    """Gives what turns agents' names into agents."""
    return AgentChoice(
        well_known=WELL_KNOWN,
        own=(DEMO_AGENT,),
        settings=file.agents,
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
    arguments: argparse.Namespace, file: FileConfig, environ: Mapping[str, str]
) -> tuple[AgentSpec, ...]:
    named = read_agents(arguments.agents)
    offered = choice(file, environ).offer(named, default=file.default_agent)
    return tuple(
        dataclasses.replace(spec, pass_env=(*spec.pass_env, *arguments.pass_env))
        for spec in offered
    )


def _state_dir(
    arguments: argparse.Namespace, file: FileConfig, environ: Mapping[str, str]
) -> Path | None:
    if arguments.state_dir is not None:
        return Path(arguments.state_dir)
    if arguments.ephemeral or file.ephemeral:
        return None
    return file.state_dir or default_state_directory(environ)


def _tls(arguments: argparse.Namespace, file: FileConfig) -> Tls | None:
    certificate = file.tls_cert if arguments.tls_cert is None else Path(arguments.tls_cert)
    key = file.tls_key if arguments.tls_key is None else Path(arguments.tls_key)
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ConfigError(
            "cannot serve TLS with a certificate and no key, or a key and no certificate",
            hint="give both --tls-cert and --tls-key",
        )
    return Tls(certificate=certificate, key=key)


def _services(arguments: argparse.Namespace, file: FileConfig) -> Services:
    typed = {"fs": arguments.fs, "terminal": arguments.terminal}
    chosen = {name: ServiceMode(mode) for name, mode in typed.items() if mode is not None}
    return dataclasses.replace(file.services, **chosen)


def _policy(path: str | Path | None) -> Policy:
    return Policy() if path is None else read_policy(Path(path))


def _first(typed: _Value | None, written: _Value | None, default: _Value) -> _Value:
    if typed is not None:
        return typed
    return default if written is None else written


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # reading it will say why
        return True
    return True
