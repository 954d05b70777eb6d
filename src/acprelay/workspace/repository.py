"""One repository, as it is looked at from one directory: questions only, nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from acprelay.errors import WorkspaceError
from acprelay.workspace import commands, parsing
from acprelay.workspace.commands import Command
from acprelay.workspace.failures import failure
from acprelay.workspace.folders import is_directory
from acprelay.workspace.git import GitRunner
from acprelay.workspace.parsing import Location, TreeStatus, WorktreeEntry
from acprelay.workspace.process import Ended

_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The tree that a directory belongs to.

    Attributes:
        top: Its top level.
        common: What all worktrees of its repository share; absolute, without symbolic links.
        prefix: Where the directory is in it: empty, or ending in a slash.
    """

    top: str
    common: str
    prefix: str


class Repository:
    """Asks git about one repository.

    Every method raises a `WorkspaceError` where git fails. All are safe to cancel.

    Args:
        git: Runs it.
        project: The tree that questions are asked in.
    """

    def __init__(self, *, git: GitRunner, project: Project) -> None:
        self.git = git
        self.project = project

    @classmethod
    async def find(cls, git: GitRunner, directory: str) -> Repository:
        """Finds the repository that a directory belongs to.

        Raises:
            WorkspaceError: It is no absolute path, or not there, or in no tree of a repository.
        """
        if not Path(directory).is_absolute():
            raise WorkspaceError(
                f"cannot work in {directory[:_SHOWN]!r}: it is no absolute path",
                hint="name the directory with its whole path",
            )
        if not is_directory(directory):
            raise WorkspaceError(
                f"cannot work in {directory[:_SHOWN]!r}: there is no such directory",
                hint="choose a directory that exists on the machine of the relay",
            )
        answer = await git.run(commands.locate(), at=directory)
        location = parsing.parse_location(answer.out)
        if location is None and answer.code == 0:
            raise WorkspaceError(
                f"cannot work in {directory!r}: its path has a line break",
                hint="rename the directory",
            )
        if location is None or (
            answer.code != 0 and "must be run in a work tree" not in answer.err
        ):
            raise failure(f"use the repository of {directory!r}", answer.err)
        return cls(git=git, project=_project(directory, location))

    async def status(self, at: str | None = None, *, untracked: str = "normal") -> TreeStatus:
        """Tells HEAD and the uncommitted changes of a tree, by default the project's."""
        tree = at or self.project.top
        answer = await self.ask(commands.status(untracked=untracked), at=tree)
        return parsing.parse_status(answer.out)

    async def refs(self) -> dict[str, str]:
        """Tells the refs of acprelay, and the branches that have its prefix."""
        return parsing.parse_refs((await self.ask(commands.list_refs())).out)

    async def worktrees(self) -> list[WorktreeEntry]:
        """Tells of all worktrees, the repository's own tree first."""
        return parsing.parse_worktrees((await self.ask(commands.list_worktrees())).out)

    async def count(self, tips: Iterable[str], *, without: Iterable[str]) -> int:
        """Counts the commits that tips have and others have not."""
        return parsing.parse_count(
            (await self.ask(commands.count_commits(tips, without=without))).out
        )

    async def count_unmerged(self, tips: Iterable[str], *, without: Iterable[str]) -> int:
        """Counts the commits of tips that are neither in other commits nor on others' branches."""
        return parsing.parse_count(
            (await self.ask(commands.count_unmerged(tips, without=without))).out
        )

    async def ask(self, command: Command, *, at: str | None = None) -> Ended:
        """Runs a command that is to succeed, by default in the project's tree.

        Raises:
            WorkspaceError: It does not.
        """
        where = at or self.project.top
        answer = await self.git.run(command, at=where)
        if answer.code != 0:
            raise failure(f"look at {where!r}", answer.err)
        return answer


def _project(directory: str, location: Location) -> Project:
    if location.top is None and location.bare:
        raise WorkspaceError(
            f"cannot work in {directory!r}: it is a bare repository, without files",
            hint="clone it, or make a worktree of it by hand, and work there",
        )
    if location.top is None:
        raise WorkspaceError(
            f"cannot work in {directory!r}: it is inside of git's own directory",
            hint="choose a directory of the project itself",
        )
    common = str((Path(directory) / location.common).resolve())
    return Project(top=location.top, common=common, prefix=location.prefix)
