"""Facts about a machine: values only, gathered by one module and judged by another."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonFacts:
    """The interpreter.

    Attributes:
        version: Its version.
        is_optimised: Whether it was built to be fast, with a profile of what programs do.
    """

    version: tuple[int, int, int]
    is_optimised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GitFacts:
    """Git.

    Attributes:
        version: The first two numbers of its version; None where it cannot be started, or says
            something else.
        identity: Whether it knows who commits.
        worktree_trouble: What it said when it could not make a worktree; empty where it could.
    """

    version: tuple[int, int] | None
    identity: bool = False
    worktree_trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryFacts:
    """A directory that a relay writes to.

    Attributes:
        path: Where it is, or will be.
        exists: Whether there is anything.
        is_directory: Whether it, or the nearest above it that there is, is a directory.
        is_usable: Whether this process can read and write it, or make it where it is missing.
        is_own: Whether it belongs to this user.
        mode: Its permission bits.
        free_bytes: How much may be written to its file system.
        free_inodes: How many files may be made there; None where nobody counts.
    """

    path: Path
    exists: bool
    is_directory: bool
    is_usable: bool
    is_own: bool
    mode: int
    free_bytes: int
    free_inodes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StateFacts:
    """What is known of a state directory besides.

    Attributes:
        holder: The process that has it locked, or `?` for one that is not known; None if none has.
        orphans: The processes that run in its name, though no relay has it.
        open_secrets: The files with secrets in it that others can read.
        in_the_way: The files in it that stand where a directory is to be.
        ahead_s: How many seconds the clock lies behind what was last written there.
    """

    holder: str | None
    orphans: int
    open_secrets: tuple[Path, ...]
    in_the_way: tuple[Path, ...]
    ahead_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFacts:
    """An agent that is offered.

    Attributes:
        name: Its name.
        program: What is started.
        trouble: Why it cannot be started; empty where it can.
        remedy: What to do then.
        unset: Variables that it is to get and that are not set.
        credentials: Variables none of which is set, though one would spare a login.
        answered_s: How long it took to answer when it was tried out; None where it was not.
    """

    name: str
    program: str
    trouble: str = ""
    remedy: str = ""
    unset: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    answered_s: float | None = None


class PortUse(StrEnum):
    """Who has a port."""

    FREE = "free"
    RELAY = "relay"
    OTHER = "other"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortFacts:
    """The address to listen on.

    Attributes:
        host: Its host.
        port: Its port.
        use: Who has it.
        reason: What the system said where it is denied.
    """

    host: str
    port: int
    use: PortUse
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomFacts:
    """What this process may use; None where there is no bound.

    Attributes:
        open_files: How many files and sockets may be open.
        processes: How many processes this user may have.
    """

    open_files: int | None
    processes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFacts:
    """The certificate and its key.

    Attributes:
        certificate: The file.
        key: The file with its key.
        trouble: Why they cannot be used together; empty where they can.
        expires_at: When the certificate ends, in seconds since the epoch; None where it could not
            be read.
        is_key_open: Whether others can read the key.
    """

    certificate: Path
    key: Path
    trouble: str = ""
    expires_at: float | None = None
    is_key_open: bool = False
