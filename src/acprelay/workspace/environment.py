"""The environment of git: the relay's own, without what would turn git to another repository.

A relay that a hook has started has `GIT_DIR`, `GIT_INDEX_FILE` and the like in its environment, and
every git below it would work on that repository, whatever directory it is told. So of git's own
variables those pass that say who commits, which configuration holds and how to reach a remote; no
other does. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

_PASSED = frozenset(
    {
        *("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"),
        *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_COUNT"),
        *("GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_EXEC_PATH"),
        *("GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"),
    }
)
_PASSED_PREFIXES = ("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_")

_FIXED = {
    "LC_ALL": "C",  # its words are read
    "GIT_TERMINAL_PROMPT": "0",  # nobody is there to answer
    "GIT_OPTIONAL_LOCKS": "0",  # looking at a tree disturbs nobody who works in it
    "GIT_EDITOR": "true",
}


def git_environment(parent: Mapping[str, str]) -> dict[str, str]:
    """Chooses what git sees.

    Args:
        parent: The relay's environment.
    """
    passed = {name: value for name, value in parent.items() if _passes(name)}
    return {**passed, **_FIXED}


def _passes(name: str) -> bool:
    return not name.startswith("GIT_") or name in _PASSED or name.startswith(_PASSED_PREFIXES)
