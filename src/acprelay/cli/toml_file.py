"""What all files that users write in TOML have in common: how they are read, and what errors say.

A key that is not known is an error, never ignored: one that is misspelt would else do nothing, and
nobody would know.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path

from acprelay.errors import ConfigError

MAX_SIZE = 1024 * 1024
"""The most bytes of a file."""


def read_text(path: Path, *, what: str, holds: str) -> bytes:
    """Reads a file whole.

    Args:
        path: Where it is.
        what: What it is, as errors call it; the error's field of that name tells the path.
        holds: What such a file holds.

    Raises:
        ConfigError: It cannot be read, or is too long.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_SIZE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"cannot read the {what} {str(path)!r}: {reason}",
            hint="name a file that there is",
            **{what: str(path)},
        ) from None
    if len(text) > MAX_SIZE:
        raise ConfigError(
            f"cannot read the {what} {str(path)!r}: it has more than {MAX_SIZE} bytes",
            hint=f"name a TOML file with {holds}",
            **{what: str(path)},
        )
    return text


def parse_toml(text: bytes, *, what: str, source: str) -> dict[str, object]:
    """Reads TOML.

    Args:
        text: The file's bytes.
        what: As for `read_text`.
        source: What errors call the file.

    Raises:
        ConfigError: It is no TOML.
    """
    try:
        return tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"cannot read the {what} {source!r}: {error}",
            hint="write it in TOML",
            **{what: source},
        ) from None


_FEW = 12


def choices(word: str, known: Iterable[str]) -> str:
    """Says what may be written instead of a word that is not known, the nearest first.

    Where there is a nearest one, a long list of all others would only hide it.
    """
    known = tuple(known)
    near = nearest(word.lower(), known)
    if near and len(known) > _FEW:
        return f"did you mean {near!r}?"
    return (f"did you mean {near!r}? " if near else "") + f"choose one of {', '.join(known)}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Finds the known word that one which is not known was most likely meant to be."""
    near = difflib.get_close_matches(word[:80], tuple(known), n=1)
    return near[0] if near else None
