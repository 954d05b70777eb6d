"""What is kept of a conversation besides its log: all that a later run, or a later relay, needs."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from acprelay.session.models import SessionKey


class _NewSession(msgspec.Struct, rename="camel"):
    additional_directories: list[str] = msgspec.field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worktree:
    """A git worktree that a conversation has for itself.

    Attributes:
        path: Its top level; absolute.
        workdir: What the agent works in: the same place in it that was asked for in the project.
        branch: The branch that was made for it, such as `acprelay/task/main`.
        base: The id of the commit that it began at.
        repository: The top level of the project's tree, which it was made from.
        dirty: Whether that tree had uncommitted changes, which are not in the worktree.
        notes: What its user should know, in sentences without a final period.
    """

    path: str
    workdir: str
    branch: str
    base: str
    repository: str
    dirty: bool = False
    notes: tuple[str, ...] = ()


class ConversationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation at rest.

    Attributes:
        key: Its name, never used for another one while it lives.
        agent: The agent's name in the catalog.
        cwd: The directory that its first client named.
        worktree: The worktree of that project that the agent works in, where it has its own.
        params: The params of `session/new`, raw, as the agent got them. May hold secrets (the
            environment of an MCP server).
        agent_session_id: The agent's own id of its session: what the next run restores.
        run: The number of the latest run, from 1.
        snapshot: What `Snapshot.dump` gave; raw JSON.
        turn: The id of the turn that runs; None between turns.
        position: Where the log was when that was so, `generation:seq`; None where it is not known.
        title: What the agent calls it, if it does.
        created_at: Seconds since the epoch.
        updated_at: When something last happened in it; seconds since the epoch.
    """

    key: SessionKey
    agent: str
    cwd: str
    worktree: Worktree | None = None
    params: bytes
    agent_session_id: str
    run: int = 1
    snapshot: bytes = b"{}"
    turn: str | None = None
    position: str | None = None
    title: str | None = None
    created_at: float
    updated_at: float

    @property
    def workdir(self) -> str:
        """The directory that the agent works in."""
        return self.cwd if self.worktree is None else self.worktree.workdir

    @property
    def roots(self) -> tuple[str, ...]:
        """The directory, and the further ones that ACP counts to the session's roots.

        ACP, "Additional Workspace Roots": the `additionalDirectories` of `session/new`. What is no
        absolute path is no root: it would depend on where the relay was started.
        """
        try:
            added = msgspec.json.decode(self.params, type=_NewSession).additional_directories
        except msgspec.DecodeError:
            added = []
        named = (self.workdir, *added)
        return tuple(root for root in named if root.startswith("/") and "\0" not in root)
