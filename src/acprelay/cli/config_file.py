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

Every value is checked, and an error says where it stands. This module knows what can be written,
and neither the options that win over it nor which agents there are.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acprelay.agents.choosing import AgentSettings
from acprelay.agents.models import DEFAULT_RESTARTS, AgentSpec
from acprelay.cli.toml_file import parse_toml, read_text
from acprelay.cli.toml_table import Table
from acprelay.config import Limits, origin_of
from acprelay.directories import own_directory
from acprelay.errors import ConfigError
from acprelay.routing.service_modes import SERVED_BY_RELAY, ServiceMode, Services

WHAT = "configuration"

_KEYS = (
    *("agents", "default-agent", "limits", "services"),
    *("host", "port", "state-dir", "ephemeral", "worktree-dir", "policy"),
    *("auth", "tls-cert", "tls-key", "public-urls"),
    *("insecure-without-tls", "insecure-without-auth"),
)
_AGENT_KEYS = ("command", "env", "pass-env", "prewarm", "restarts")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileConfig:
    """What a configuration file says; None and empty where it says nothing.

    Attributes:
        path: The file; None where there is none.
        agents: The agents, in their order.
        default_agent: Which one clients get that name none; it need not be in `agents`.
        limits: Bounds.
        services: Who serves files and terminals to agents.
        host: The address to listen on.
        port: The TCP port.
        state_dir: Where conversations are stored.
        ephemeral: Whether nothing is stored.
        worktree_dir: Where git worktrees are made.
        policy: The file with rules for permissions.
        auth: Whether everybody is asked for a token.
        tls_cert: The certificate to serve with.
        tls_key: Its key.
        public_urls: Further addresses under which clients and browsers come.
        insecure_without_tls: Whether others may reach it without TLS.
        insecure_without_auth: Whether others may reach it without tokens.
    """

    path: Path | None = None
    agents: Mapping[str, AgentSettings] = field(default_factory=dict)
    default_agent: str | None = None
    limits: Limits = field(default_factory=Limits)
    services: Services = SERVED_BY_RELAY
    host: str | None = None
    port: int | None = None
    state_dir: Path | None = None
    ephemeral: bool = False
    worktree_dir: Path | None = None
    policy: Path | None = None
    auth: bool | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    public_urls: tuple[str, ...] = ()
    insecure_without_tls: bool = False
    insecure_without_auth: bool = False


def default_config_path(environ: Mapping[str, str]) -> Path | None:
    """Where the configuration is looked for, by the XDG Base Directory Specification.

    Args:
        environ: The environment.

    Returns:
        The path, or None where neither `XDG_CONFIG_HOME` nor `HOME` says.
    """
    directory = own_directory(environ, variable="XDG_CONFIG_HOME", below_home=".config")
    return None if directory is None else directory / "config.toml"


def read_config(path: Path) -> FileConfig:
    """Reads a configuration file.

    Raises:
        ConfigError: It cannot be read, or says something that no relay can be; `configuration`
            names the file.
    """
    return parse_config(read_text(path, what=WHAT, holds="settings"), path=path)


def parse_config(text: bytes, *, path: Path) -> FileConfig:
    """Reads a configuration.

    Args:
        text: TOML.
        path: The file it stands in; paths in it are relative to that file's directory.

    Raises:
        ConfigError: As `read_config`.
    """
    values = parse_toml(text, what=WHAT, source=str(path))
    document = Table(values, place="", refuse=lambda reason, hint: _refusal(path, reason, hint))
    document.check_keys(_KEYS)
    config = FileConfig(
        path=path,
        agents=_agents(document.table("agents")),
        default_agent=document.text("default-agent"),
        limits=_limits(document.table("limits")),
        services=_services(document.table("services")),
        host=document.text("host"),
        port=document.integer("port"),
        state_dir=_path(document, "state-dir", path.parent),
        ephemeral=document.flag("ephemeral") or False,
        worktree_dir=_path(document, "worktree-dir", path.parent),
        policy=_path(document, "policy", path.parent),
        auth=document.flag("auth"),
        tls_cert=_path(document, "tls-cert", path.parent),
        tls_key=_path(document, "tls-key", path.parent),
        public_urls=_public_urls(document),
        insecure_without_tls=document.flag("insecure-without-tls") or False,
        insecure_without_auth=document.flag("insecure-without-auth") or False,
    )
    if config.ephemeral and config.state_dir is not None:
        raise document.error(
            "ephemeral", "is true, and state-dir names a directory", "leave one of them out"
        )
    return config


def _refusal(path: Path, reason: str, hint: str) -> ConfigError:
    return ConfigError(
        f"cannot use the {WHAT} {str(path)!r}: {reason}", hint=hint, **{WHAT: str(path)}
    )


def _agents(table: Table) -> dict[str, AgentSettings]:
    agents = {}
    for name in table:
        entry = table.table(name)
        entry.check_keys(_AGENT_KEYS)
        restarts = entry.integer("restarts")
        settings = AgentSettings(
            command=entry.texts("command"),
            env=entry.mapping("env"),
            pass_env=entry.texts("pass-env") or (),
            prewarm=entry.integer("prewarm") or 0,
            restarts=DEFAULT_RESTARTS if restarts is None else restarts,
        )
        try:
            _check_agent(name, settings)
        except ConfigError as error:
            raise table.error(name, f"is refused: {error.message}", error.hint) from None
        agents[name] = settings
    return agents


def _check_agent(name: str, settings: AgentSettings) -> None:
    """Makes an entry of the catalog, for the errors it raises."""
    AgentSpec(
        name=name,
        argv=(name,) if settings.command is None else settings.command,
        env=settings.env,
        pass_env=settings.pass_env,
        prewarm=settings.prewarm,
        restarts=settings.restarts,
    )


def _limits(table: Table) -> Limits:
    limits = defaults = Limits()
    names = {bound.name.replace("_", "-"): bound.name for bound in dataclasses.fields(Limits)}
    table.check_keys(names)
    values: dict[str, Any] = {}
    for key in table:
        whole = type(getattr(defaults, names[key])) is int
        value = table.integer(key) if whole else table.number(key)
        if value is None or not math.isfinite(value):
            raise table.error(key, f"is {value}", "give a finite number")
        values[names[key]] = value
        try:
            limits = dataclasses.replace(defaults, **values)
        except ConfigError as error:
            raise table.error(key, f"is {value}", error.hint) from None
    return limits


def _services(table: Table) -> Services:
    names = tuple(service.name for service in dataclasses.fields(Services))
    table.check_keys(names)
    modes = {name: table.word(name, map(str, ServiceMode)) for name in names}
    written = {name: ServiceMode(mode) for name, mode in modes.items() if mode is not None}
    return dataclasses.replace(SERVED_BY_RELAY, **written)


def _public_urls(table: Table) -> tuple[str, ...]:
    urls = table.texts("public-urls") or ()
    for url in urls:
        try:
            origin_of(url)
        except ConfigError as error:
            raise table.error("public-urls", f"holds {url[:80]!r}", error.hint) from None
    return urls


def _path(table: Table, key: str, base: Path) -> Path | None:
    text = table.text(key)
    if text is None:
        return None
    try:
        return base / Path(text).expanduser()
    except RuntimeError:
        raise table.error(
            key, f"is {text[:80]!r}, and nobody has such a home", "write the absolute path"
        ) from None
