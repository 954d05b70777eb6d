"""What a setting is: one row of the table that has them all.

It knows none of them, nor where a value comes from.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

PREFIX = "ACPRELAY_"
"""What the relay's own environment variables begin with."""


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
