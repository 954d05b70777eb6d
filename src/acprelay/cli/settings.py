"""The settings: one row for each, from which everything else about it follows.

What can stand in the configuration file, which environment variable stands for it, which option
wins over both, what `acprelay config` shows and what the page about it has to say: all of that is
read off this table. It knows neither where a value comes from nor what a relay makes of it.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping
from typing import Any

from acprelay.agents.models import DEFAULT_RESTARTS
from acprelay.cli.log_settings import DEFAULT_FORMAT, DEFAULT_LEVEL, FORMATS, LEVELS
from acprelay.cli.setting import PREFIX, Kind, Setting
from acprelay.config import DEFAULT_HOST, DEFAULT_PORT, Limits, RelayConfig, origin_of
from acprelay.routing.service_modes import SERVED_BY_RELAY, ServiceMode

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
"""Names the configuration file, as `--config` does."""

OTHER_VARIABLES: Mapping[str, str] = {
    CONFIG_VARIABLE: "the configuration file, as --config names it",
    f"{PREFIX}DEBUG": "1 shows where a defect of acprelay is",
    f"{PREFIX}RUN": "set by a relay for its agents: whose they are",
    f"{PREFIX}TOKEN": "the token for a relay or an invitation",
    f"{PREFIX}URL": "the relay that commands reach",
}
"""The variables that are no settings, and what each is for."""


def _check_port(port: int) -> None:
    RelayConfig(port=port)


def _check_public_urls(urls: tuple[str, ...]) -> None:
    for url in urls:
        origin_of(url)


_LIMIT_FLAGS = {"drain_s": "--drain"}
"""The limits that are typed often."""

_GENERAL = (
    Setting(
        key="default-agent",
        about="the agent for clients that name none: one of the file's, or a well-known one; "
        "without it, the first of the file's",
    ),
    Setting(
        key="host",
        about="the address to listen on; one that is no loopback address takes TLS",
        default=DEFAULT_HOST,
        flag="--host",
    ),
    Setting(
        key="port",
        about="the TCP port; 0 lets the system choose",
        kind=Kind.INTEGER,
        default=DEFAULT_PORT,
        flag="--port",
        check=_check_port,
    ),
    Setting(
        key="state-dir",
        about="where conversations are stored",
        kind=Kind.PATH,
        flag="--state-dir",
    ),
    Setting(
        key="ephemeral",
        about="`true` stores nothing",
        kind=Kind.FLAG,
        default=False,
        flag="--ephemeral",
    ),
    Setting(
        key="worktree-dir",
        about="where git worktrees are made",
        kind=Kind.PATH,
        flag="--worktree-dir",
    ),
    Setting(
        key="policy",
        about="the file with rules for permissions",
        kind=Kind.PATH,
        flag="--policy",
    ),
    Setting(
        key="auth",
        about="`false` asks nobody for a token: everybody may do everything",
        kind=Kind.FLAG,
        default=True,
        flag="--auth",
    ),
    Setting(
        key="tls-cert",
        about="the certificate to serve TLS with, in PEM",
        kind=Kind.PATH,
        flag="--tls-cert",
    ),
    Setting(
        key="tls-key",
        about="the key of the certificate, in PEM",
        kind=Kind.PATH,
        flag="--tls-key",
    ),
    Setting(
        key="public-urls",
        about="further addresses under which clients and browsers come, such as that of a proxy",
        kind=Kind.TEXTS,
        flag="--public-url",
        check=_check_public_urls,
    ),
    Setting(
        key="insecure-without-tls",
        about="`true` lets others reach the relay without TLS",
        kind=Kind.FLAG,
        default=False,
        flag="--insecure-without-tls",
    ),
    Setting(
        key="insecure-without-auth",
        about="with `auth = false`, `true` lets others reach the relay: they may run commands here",
        kind=Kind.FLAG,
        default=False,
        flag="--insecure-without-auth",
    ),
    Setting(
        key="roots",
        about="where clients may have agents work, with what lies below; without it, anywhere",
        kind=Kind.PATHS,
        flag="--root",
    ),
    Setting(
        key="mcp-commands",
        about="the programs that clients may have agents start as MCP servers; without it, any",
        kind=Kind.TEXTS,
    ),
    Setting(
        key="mcp-urls",
        about="what the addresses of MCP servers begin with that clients may name; without it, any",
        kind=Kind.TEXTS,
    ),
    Setting(
        key="log-format",
        about="how the log on standard error looks: lines for people, or JSON",
        kind=Kind.WORD,
        default=DEFAULT_FORMAT,
        words=FORMATS,
        flag="--log-format",
    ),
    Setting(
        key="log-level",
        about="from which level on lines are logged",
        kind=Kind.WORD,
        default=DEFAULT_LEVEL,
        words=LEVELS,
        flag="--log-level",
    ),
)

_SERVICES = tuple(
    Setting(
        section="services",
        key=name,
        about=about,
        kind=Kind.WORD,
        default=getattr(SERVED_BY_RELAY, name),
        words=tuple(map(str, ServiceMode)),
        flag=f"--{name}",
    )
    for name, about in (
        ("fs", "who serves `fs/read_text_file` and `fs/write_text_file` to agents"),
        ("terminal", "who serves the methods that begin with `terminal/` to agents"),
    )
)

AGENT_SETTINGS = tuple(
    Setting(section="agents.NAME", key=key, kind=kind, default=default, about=about)
    for key, kind, default, about in (
        ("command", Kind.TEXTS, None, "the program and its arguments"),
        ("env", Kind.MAPPING, None, "variables that the agent gets besides"),
        ("pass-env", Kind.TEXTS, None, "variables that it gets from the relay's environment"),
        ("prewarm", Kind.INTEGER, 0, "how many initialised processes are kept ready"),
        (
            *("restarts", Kind.INTEGER, DEFAULT_RESTARTS),
            "how many times in a row a run that ends by itself is begun again unasked",
        ),
    )
)
"""What can stand in the table of each agent. No variable and no option stands for one of them."""


def _limit(bound: dataclasses.Field[Any], about: str) -> Setting:
    def check(value: Any) -> None:
        Limits(**{bound.name: value})  # for the errors it raises

    return Setting(
        section="limits",
        key=bound.name.replace("_", "-"),
        about=about,
        kind=Kind.INTEGER if type(bound.default) is int else Kind.NUMBER,
        default=bound.default,
        flag=_LIMIT_FLAGS.get(bound.name),
        check=check,
    )


def _attributes(documented: type) -> dict[str, str]:
    """Reads what a class's docstring says of each attribute: a limit is described once."""
    text = inspect.getdoc(documented) or ""  # there is none under `python -OO`
    _, _, listed = text.partition("Attributes:\n")
    entries = re.findall(r"^    (\w+): (.+(?:\n {6,}.+)*)", listed, flags=re.MULTILINE)
    return {name: re.sub(r"\s+", " ", said) for name, said in entries}


def _limits() -> tuple[Setting, ...]:
    said = _attributes(Limits)
    return tuple(
        _limit(bound, _uncapitalised(said.get(bound.name, "")))
        for bound in dataclasses.fields(Limits)
    )


def _uncapitalised(text: str) -> str:
    return text[:1].lower() + text[1:].removesuffix(".")


SETTINGS: tuple[Setting, ...] = (*_GENERAL, *_limits(), *_SERVICES)
"""All but those of agents."""

DEFAULTS: Mapping[str, Any] = {setting.place: setting.default for setting in SETTINGS}
"""What each is where nobody says anything, by its place."""


def in_section(section: str) -> tuple[Setting, ...]:
    """Gives the settings of one table of the file; those of the file itself have the section ''."""
    return tuple(setting for setting in SETTINGS if setting.section == section)


def sections() -> tuple[str, ...]:
    """Gives the names of the file's tables that hold settings."""
    return tuple(dict.fromkeys(setting.section for setting in SETTINGS if setting.section))
