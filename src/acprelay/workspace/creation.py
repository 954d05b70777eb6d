"""Makes one worktree, and takes back what it has made if that does not succeed.

Every step claims what it makes, and fails where there is something already; so what is to be taken
back is this creation's own, whoever else works in the repository. The steps that git must not be
killed in are short, and are carried out whole; only writing the files may take long, and can be
stopped anywhere, as all that it leaves is inside of the worktree.
"""

from __future__ import annotations

from pathlib import Path

from acprelay.errors import WorkspaceError
from acprelay.workspace import commands, names
from acprelay.workspace.commands import Command
from acprelay.workspace.failures import failure
from acprelay.workspace.folders import make_folder, remove_empty
from acprelay.workspace.removal import delete_refs, remove_directory
from acprelay.workspace.repository import Repository


class Creation:
    """The making of one worktree.

    Args:
        repository: Of which.
        slot: What it is called.
        base: The commit that it is to begin at.
        root: Where worktrees are.
    """

    def __init__(self, *, repository: Repository, slot: str, base: str, root: Path) -> None:
        self.path = root / names.folder_of(repository.project.common) / slot
        self._repository = repository
        self._root = root
        self.slot = slot
        self.base = base
        self._claimed = False
        self._made = False

    async def register(self) -> None:
        """Makes branch, directory and worktree, without files. To be carried out whole.

        Raises:
            WorkspaceError: It cannot; `undo` takes back what it has done.
        """
        await self._do(commands.claim(self.slot, base=self.base))
        self._claimed = True
        try:
            make_folder(self.path)
        except FileExistsError:
            raise in_the_way(self.path) from None
        except OSError as error:
            raise WorkspaceError(
                f"cannot make the directory {str(self.path)!r}: {error.strerror or error}",
                hint=f"have {str(self._root)!r} writable, or choose another root for worktrees",
            ) from error
        self._made = True
        await self._do(commands.add_worktree(self.slot, path=str(self.path)))

    async def fill(self) -> None:
        """Writes the files. May be cancelled anywhere; `undo` is due then.

        Raises:
            WorkspaceError: It cannot.
        """
        await self._do(commands.fill_worktree(), at=str(self.path))

    async def finish(self) -> None:
        """Says that it is whole. To be carried out whole.

        Raises:
            WorkspaceError: It cannot.
        """
        await self._do(commands.finish(self.slot, base=self.base))

    async def undo(self) -> None:
        """Takes back what was made, whatever that is. To be carried out whole. Idempotent.

        Raises:
            WorkspaceError: Something is left, and still marked unfinished.
        """
        if self._made:
            await remove_directory(self._repository, str(self.path))
            self._made = False
        if self._claimed:
            remove_empty(self.path.parent)
            await delete_refs(self._repository, self.slot)
            self._claimed = False

    async def _do(self, command: Command, *, at: str | None = None) -> None:
        top = self._repository.project.top
        answer = await self._repository.git.run(command, at=at or top)
        if answer.code != 0:
            raise failure(f"make a worktree of {top!r}", answer.err)


def in_the_way(path: Path) -> WorkspaceError:
    """Says that a directory is where a worktree is to be."""
    return WorkspaceError(
        f"cannot make a worktree in {str(path)!r}: there is something already",
        hint="move it away, or choose another session id or role",
    )
