"""`acprelay worktrees`: the worktrees of a repository, looked at, merged and removed."""

from __future__ import annotations

import argparse
import asyncio
import codecs
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from acprelay.cli.exits import ExitCode, of_signal
from acprelay.cli.loop import run_async
from acprelay.cli.signals import Interrupts
from acprelay.cli.terminal import harmless, one_line
from acprelay.cli.worktrees_view import (
    as_json,
    as_table,
    diff_as_json,
    leftover,
    merge_as_text,
)
from acprelay.errors import ConfigError
from acprelay.workspace.environment import git_environment
from acprelay.workspace.git import Git, PatientGit
from acprelay.workspace.inventory import Inventory
from acprelay.workspace.merging import merge
from acprelay.workspace.models import WorktreeStatus
from acprelay.workspace.occupants import processes
from acprelay.workspace.process import Sink
from acprelay.workspace.records import Record, choose
from acprelay.workspace.removal import refusal, remove
from acprelay.workspace.repository import Repository
from acprelay.workspace.uninterrupted import to_the_end


def command(arguments: argparse.Namespace) -> int:
    """Does what is asked.

    Returns:
        0, once it is done.

    Raises:
        ConfigError: The options cannot be used.
        WorkspaceError: It cannot be done.
        BrokenPipeError: Nobody reads standard output any more.
    """
    if arguments.worktrees_command == "remove":
        _check_removal(arguments)
    return run_async(_interruptible(arguments, directory=str(Path(arguments.repo).absolute())))


def _check_removal(arguments: argparse.Namespace) -> None:
    if not arguments.names and not arguments.merged:
        raise ConfigError(
            "cannot remove worktrees: none is named",
            hint="name them, or remove all that are merged with --merged",
        )
    if arguments.merged and (arguments.names or arguments.force):
        raise ConfigError(
            "cannot use --merged with names or --force: it removes all that are merged, and "
            "nothing by force",
            hint="leave one of them out",
        )


async def _interruptible(arguments: argparse.Namespace, *, directory: str) -> int:
    interrupts = Interrupts()
    try:
        async with interrupts:
            await _execute(arguments, directory)
    except asyncio.CancelledError:
        if interrupts.signal is None:
            raise
        return of_signal(interrupts.signal)
    return ExitCode.OK


async def _execute(arguments: argparse.Namespace, directory: str) -> None:
    git = PatientGit(git=Git(env=git_environment(os.environ)))
    repository = await Repository.find(git, directory)
    desk = _Desk(repository, as_json=arguments.json)
    match arguments.worktrees_command:
        case "list":
            await desk.list()
        case "diff":
            await desk.diff(arguments.names)
        case "merge":
            await desk.merge(arguments.names)
        case _:
            await desk.remove(arguments.names, force=arguments.force)


class _Desk:
    """Carries out one command in one repository, and prints what comes of it."""

    def __init__(self, repository: Repository, *, as_json: bool) -> None:
        self._repository = repository
        self._inventory = Inventory(repository=repository, occupants=processes)
        self._as_json = as_json

    async def list(self) -> None:
        statuses = await self._inventory.look(await self._inventory.records())
        if self._as_json:
            for status in statuses:
                _print_json(as_json(status))
        else:
            _print("\n".join(as_table(statuses)))

    async def diff(self, names: Sequence[str]) -> None:
        for record in await self._chosen(names):
            if self._as_json:
                files, untracked = await self._inventory.numbers(record)
                _print_json(diff_as_json(record.name, record.base, files, untracked))
            else:
                for path in await self._inventory.diff(record, _patch_writer()):
                    _print(f"Only in {record.name}, untracked: {one_line(path)}")

    async def merge(self, names: Sequence[str]) -> None:
        for record in await self._chosen(names):
            [status] = await self._inventory.look([record])
            merged = await merge(self._repository, status)
            if self._as_json:
                fields = {"name": merged.name, "into": merged.into}
                _print_json({**fields, "commits": merged.commits, "left": merged.left})
                continue
            _print(merge_as_text(merged))
            if (left := leftover(merged)) is not None:
                _print(left)

    async def remove(self, names: Sequence[str], *, force: bool) -> None:
        """Removes those that are named, or all that are merged; all or none is refused."""
        records = await self._chosen(names) if names else await self._inventory.records()
        pairs = list(zip(records, await self._inventory.look(records), strict=True))
        if names:
            for record, status in pairs:
                self._check(record, status, force=force)
        else:
            pairs = [pair for pair in pairs if self._is_settled(*pair)]
        for record, _ in pairs:
            await to_the_end(remove(self._repository, record, force=force))
            if self._as_json:
                _print_json({"name": record.name, "removed": True})
            else:
                _print(f"{record.name}: removed")
        if not pairs and not self._as_json:
            _print("nothing to remove")

    async def _chosen(self, names: Sequence[str]) -> Sequence[Record]:
        records = await self._inventory.records()
        chosen = {record.slot: record for record in (choose(name, records) for name in names)}
        return list(chosen.values())

    def _check(self, record: Record, status: WorktreeStatus, *, force: bool) -> None:
        top = self._repository.project.top
        refused = refusal(status, top=top, elsewhere=record.elsewhere, force=force)
        if refused is not None:
            raise refused

    def _is_settled(self, record: Record, status: WorktreeStatus) -> bool:
        top = self._repository.project.top
        refused = refusal(status, top=top, elsewhere=record.elsewhere, force=False)
        return refused is None and status.finished and status.merged


def _print_json(value: dict[str, object]) -> None:
    _print(json.dumps(value))


def _print(text: str) -> None:
    """Writes text, with escapes for what standard output cannot carry."""
    encoding = sys.stdout.encoding
    raw = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    print(raw.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def _patch_writer() -> Sink:
    """Gives what writes a patch piece by piece: as it is, unless a terminal would act on it."""
    if not sys.stdout.isatty():
        return _write_raw
    decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a piece may end in a character
    return lambda piece: _write_shown(decoder.decode(piece))


def _write_raw(piece: bytes) -> None:
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def _write_shown(text: str) -> None:
    encoding = sys.stdout.encoding
    sys.stdout.write(harmless(text).encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()
