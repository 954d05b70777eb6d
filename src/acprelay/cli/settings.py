"""The settings: one row for each, from which everything else about it follows.

What can stand in the configuration file, which environment variable stands for it, which option
wins over both, what `acprelay config` shows and what the page about it has to say: all of that is
read off this table. It knows neither where a value comes from nor what a relay makes of it.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from acprelay.agents.models import DEFAULT_RESTARTS
from acprelay.cli.log_settings import DEFAULT_FORMAT, DEFAULT_LEVEL, FORMATS, LEVELS
from acprelay.config import DEFAULT_HOST, DEFAULT_PORT, Limits, RelayConfig, origin_of
from acprelay.routing.service_modes import SERVED_BY_RELAY, ServiceMode

PREFIX = "ACPRELAY_"
"""What the relay's own environment variables begin with."""

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


class Kind(StrEnum):
    """What a setting's value is."""

    TEXT = "text"
    """A string that is not empty."""
    WORD = "word"
    """One of a few words."""
    PATH = "path"
    """A file or a directory."""
    FLAG = "flag"
    """True or false."""
    INTEGER = "integer"
    """A whole number."""
    NUMBER = "number"
    """A number that may be a fraction."""
    TEXTS = "texts"
    """Strings; in a variable, commas stand between them."""
    PATHS = "paths"
    """Files or directories; in a variable, the system's separator of paths stands between them."""
    MAPPING = "mapping"
    """A table of strings. No variable has one."""


def _everything(_: object) -> None:
    """Lets every value pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting.

    Attributes:
        key: Its key in the file.
        about: What it is, in words that begin with a small letter.
        section: The table of the file that it stands in; empty for the file itself.
        kind: What its value is.
        default: What it is where nothing is said; None where that is nothing, or depends.
        words: The words of a `Kind.WORD`.
        flag: The option of `acprelay serve` that wins over everything else.
        check: Raises `ConfigError` for a value that is of the kind, but cannot be used.
    """

    key: str
    about: str
    section: str = ""
    kind: Kind = Kind.TEXT
    default: Any = None
    words: tuple[str, ...] = ()
    flag: str | None = None
    check: Callable[[Any], None] = _everything

    @property
    def place(self) -> str:
        """Where it stands in the file, such as `limits.idle-s`."""
        return f"{self.section}.{self.key}" if self.section else self.key

    @property
    def variable(self) -> str:
        """The environment variable, such as `ACPRELAY_LIMITS_IDLE_S`."""
        return PREFIX + re.sub("[.-]", "_", self.place).upper()

    @property
    def field(self) -> str:
        """Its key as Python writes it, such as `idle_s`."""
        return self.key.replace("-", "_")

    @property
    def destination(self) -> str | None:
        """Where the parser puts the option's value."""
        return None if self.flag is None else self.flag.removeprefix("--").replace("-", "_")

    def of_option(self, typed: Any) -> Any:
        """Makes a value of what the parser makes of the option; None where it was not typed.

        An option that only affirms is false where it was not typed; one that can deny, as that of a
        setting that is true by default has to, is None there.
        """
        if typed is None or typed == [] or (typed is False and not self.default):
            return None
        match self.kind:
            case Kind.PATH:
                return Path(typed)
            case Kind.PATHS:
                return tuple(map(Path, typed))
            case Kind.TEXTS:
                return tuple(typed)
            case _:
                return typed


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
