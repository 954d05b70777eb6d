"""What the members of a tool call name: paths and commands, as published agents write them.

All of it is the agent's claim. Whatever the input, nothing is raised: what cannot be read, and
what is more than a policy needs to look at, is left out and the rest is marked as not whole. This
module knows JSON and the spellings that agents use, and neither rules nor sessions.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from acprelay.wire.objects import mend

_T = TypeVar("_T")

MAX_PATH = 4096
"""The most characters of a path; Linux opens none that is longer."""

MAX_NAMED = 64 * 1024
"""The most characters that one member's paths, or its commands, are kept of."""

_OVERHEAD = 32

# Members of `rawInput` that hold paths: those of Claude's, Codex's, Gemini's, OpenCode's, Cursor's
# and fast-agent's tools, and the directory that a command runs in.
_PATH_MEMBERS = (
    "path",
    "paths",
    "file_path",
    "filePath",
    "filepath",
    "abs_path",
    "absPath",
    "absolute_path",
    "absolutePath",
    "notebook_path",
    "dir_path",
    "old_path",
    "new_path",
    "source_path",
    "destination_path",
    "target_file",
    "cwd",
    "workdir",
)
_PATH_NAMES = frozenset(_PATH_MEMBERS)
_COMMAND_MEMBERS = ("command", "cmd")
_CHANGES = "changes"
_TELLING = _PATH_NAMES | {*_COMMAND_MEMBERS, _CHANGES}
_SHELLS = frozenset(
    folder + name for folder in ("", "/bin/", "/usr/bin/") for name in ("sh", "bash", "dash", "zsh")
)
_SCRIPT_FLAGS = frozenset(("-c", "-lc"))


class Named(msgspec.Struct, frozen=True, gc=False):
    """What one member of a tool call names.

    Attributes:
        paths: As the agent wrote them, without repeats.
        commands: Each as one text.
        whole: Whether that is all of it.
        size: About how many characters are kept.
    """

    paths: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    whole: bool = True
    size: int = 0


NOTHING = Named()
UNREADABLE = Named(whole=False)


class Location(msgspec.Struct, gc=False):
    """One of a tool call's `locations`."""

    path: str


class Content(msgspec.Struct, gc=False):
    """One of a tool call's `content`."""

    type: str
    path: str | None = None


class _Change(msgspec.Struct, gc=False):
    move_path: str | None = None


_changes = msgspec.json.Decoder(dict[str, _Change])
_texts = msgspec.json.Decoder(str | list[str] | None)


def decode(decoder: msgspec.json.Decoder[_T], raw: bytes | msgspec.Raw) -> _T | None:
    """Reads a JSON value; None where it is malformed or of another shape.

    Escapes of lone surrogates become private-use characters.
    """
    try:
        return decoder.decode(raw)
    except (msgspec.ValidationError, RecursionError):
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = bytes(raw)
        mended = mend(text)
        return None if mended == text else decode(decoder, mended)


def name_locations(locations: Sequence[Location] | UnsetType) -> Named:
    """Tells what a tool call's `locations` name; unset are such as cannot be read."""
    if locations is UNSET:
        return UNREADABLE
    return _keep(paths=[location.path for location in locations])


def name_content(contents: Sequence[Content] | UnsetType) -> Named:
    """Tells what a tool call's `content` names, which are the paths of its diffs; likewise."""
    if contents is UNSET:
        return UNREADABLE
    diffs = [content.path for content in contents if content.type == "diff"]
    return _keep(paths=[path for path in diffs if path is not None], whole=None not in diffs)


def name_input(members: Mapping[str, msgspec.Raw] | UnsetType) -> Named:
    """Tells what the members of a tool call's `rawInput` name; likewise."""
    if members is UNSET:
        return UNREADABLE
    if _TELLING.isdisjoint(members):
        return NOTHING
    reading = _Reading(members)
    paths = [*reading.paths()]
    commands = [text.strip() for text in reading.commands()]
    return _keep(paths=paths, commands=commands, whole=reading.whole)


def is_object(raw: msgspec.Raw) -> bool:
    """Whether a JSON value is an object, by its first byte."""
    return bytes(memoryview(raw)[:1]) == b"{"


class _Reading:
    """One pass over a `rawInput`; `whole` tells afterwards whether all of it could be read."""

    def __init__(self, members: Mapping[str, msgspec.Raw]) -> None:
        self._members = members
        self.whole = True

    def paths(self) -> Iterator[str]:
        for name in sorted(_PATH_NAMES.intersection(self._members), key=_PATH_MEMBERS.index):
            match self._texts(name):
                case str(path):
                    yield path
                case list(paths):
                    yield from paths
        if _CHANGES in self._members:
            yield from self._changed(self._members[_CHANGES])

    def commands(self) -> Iterator[str]:
        for name in _COMMAND_MEMBERS:
            command = self._texts(name) if name in self._members else None
            if command:
                yield _command_text(command, self._texts("args"))

    def _changed(self, raw: msgspec.Raw) -> Iterator[str]:
        """Yields the keys of `changes`, where Codex's patches have their files."""
        if not is_object(raw):
            return
        changes = decode(_changes, raw)
        if changes is None:
            self.whole = False
            return
        for path, change in changes.items():
            yield path
            if change.move_path is not None:
                yield change.move_path

    def _texts(self, name: str) -> str | list[str] | None:
        raw = self._members.get(name)
        if raw is None:
            return None
        texts = decode(_texts, raw)
        if texts is None and bytes(raw) != b"null":
            self.whole = False
        return texts


def _command_text(command: str | list[str], arguments: str | list[str] | None) -> str:
    """Writes a command as one text, as it would be typed.

    A shell that is handed a script (`["bash", "-lc", "make test"]`) is what the agent runs every
    command with: the script is the command.
    """
    if isinstance(arguments, str) and isinstance(command, str):
        return f"{command} {arguments}"
    if isinstance(command, str) and not arguments:
        return command
    argv = [command] if isinstance(command, str) else list(command)
    argv += [arguments] if isinstance(arguments, str) else arguments or []
    match argv:
        case [shell, flag, script] if shell in _SHELLS and flag in _SCRIPT_FLAGS:
            return script
    return shlex.join(argv)


def _keep(*, paths: Sequence[str], commands: Sequence[str] = (), whole: bool = True) -> Named:
    """Keeps what a policy can look at in bounded time."""
    if not paths and not commands:
        return NOTHING if whole else UNREADABLE
    if len(paths) <= 1 and len(commands) <= 1 and all(paths) and all(commands):
        size = sum(len(name) + _OVERHEAD for name in (*paths, *commands))
        if size <= MAX_PATH:  # nearly always
            return Named(tuple(paths), tuple(commands), whole, size)
    kept_paths, all_paths = _bounded(paths, longest=MAX_PATH)
    kept_commands, all_commands = _bounded(commands, longest=MAX_NAMED)
    size = sum(len(name) + _OVERHEAD for name in kept_paths + kept_commands)
    return Named(kept_paths, kept_commands, whole and all_paths and all_commands, size)


def _bounded(names: Sequence[str], *, longest: int) -> tuple[tuple[str, ...], bool]:
    """Gives the names that there is room for, and whether those are all."""
    kept: list[str] = []
    room = MAX_NAMED + _OVERHEAD
    whole = True
    for name in dict.fromkeys(names):
        if not name:
            continue
        room -= len(name) + _OVERHEAD
        if room < 0:
            return tuple(kept), False
        if len(name) > longest:
            whole = False
        else:
            kept.append(name)
    return tuple(kept), whole
