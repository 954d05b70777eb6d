"""Why a program could not be started, in words that tell what to do.

It looks at the file system after the fact: the system's own error does not say whether the program,
its interpreter or the directory is missing. This module starts nothing.
"""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from acprelay.agents.models import AgentSpec
from acprelay.errors import SpawnFailed


def spawn_failure(error: OSError, *, spec: AgentSpec, path: str | None, cwd: Path) -> SpawnFailed:
    """Explains an error of the start.

    Args:
        error: What the system said.
        spec: What was to be started.
        path: The `PATH` that the program was looked for in.
        cwd: The directory it was to start in.
    """
    reason, hint = explain(error, program=spec.argv[0], path=path, cwd=cwd)
    return SpawnFailed(f"cannot start agent {spec.name!r}: {reason}", hint=hint, agent=spec.name)


def explain(error: OSError, *, program: str, path: str | None, cwd: Path) -> tuple[str, str]:
    """Says why a program does not start, and what to do about it.

    Args:
        error: What the system said.
        program: What was to be started.
        path: The `PATH` that it was looked for in.
        cwd: The directory it was to start in.
    """
    if not cwd.is_dir():
        return f"there is no directory {str(cwd)!r} to start it in", "create the directory"
    if isinstance(error, FileNotFoundError):
        return _explain_missing(program, path=path, cwd=cwd)
    if isinstance(error, PermissionError):
        return (
            f"{program!r} may not be executed",
            "make it executable with chmod +x, and check that its directories may be entered",
        )
    if error.errno == errno.ENOEXEC:
        return f"{program!r} is no program", "let a script begin with #! and its interpreter"
    return (
        error.strerror or str(error),
        "see the limits of the relay's process (ulimit -a) and the memory that is left",
    )


def _explain_missing(program: str, *, path: str | None, cwd: Path) -> tuple[str, str]:
    if "/" not in program:
        if shutil.which(program, path=path) is None:
            return (
                f"there is no program {program!r} on PATH",
                "install it, or give its full path",
            )
    elif not (cwd / program).exists():
        return (
            f"there is no file {program!r}",
            "check the path",
        )
    return (
        f"the interpreter of {program!r} is missing",
        "install what its first line (#!) names, or correct that line",
    )
