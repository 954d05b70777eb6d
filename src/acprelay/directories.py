"""Where a user's files lie, by the XDG Base Directory Specification.

Pure: the environment is an argument, and no file is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from acprelay.errors import ConfigError

_OWN_NAME = "acprelay"


def own_directory(environ: Mapping[str, str], *, variable: str, below_home: str) -> Path | None:
    """Gives the relay's own directory of one kind.

    Args:
        environ: The environment.
        variable: The specification's variable for the kind, such as `XDG_STATE_HOME`.
        below_home: What it stands for where it is not set, such as `.local/state`.

    Returns:
        The directory, or None where neither the variable nor `HOME` says.
    """
    base = Path(environ.get(variable, ""))
    if not base.is_absolute():  # the specification: a relative path is to be ignored
        home = Path(environ.get("HOME", ""))
        if not home.is_absolute():
            return None
        base = home / below_home
    return base / _OWN_NAME


def needed_directory(
    environ: Mapping[str, str], *, variable: str, below_home: str, contents: str, option: str
) -> Path:
    """Does as `own_directory`, for what has to lie somewhere.

    Args:
        environ: The environment.
        variable: The specification's variable for the kind.
        below_home: What it stands for where it is not set.
        contents: What is kept there, for the error.
        option: What names another directory, for its hint.

    Raises:
        ConfigError: Neither the variable nor `HOME` says.
    """
    directory = own_directory(environ, variable=variable, below_home=below_home)
    if directory is None:
        raise ConfigError(
            f"cannot tell where to keep {contents}: HOME is not set",
            hint=f"name a directory with {option}",
        )
    return directory
