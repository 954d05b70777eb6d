"""Globs over texts and over paths, and how paths are read without a file system.

The language is small on purpose: `*` stands for any run of characters, in a path of characters
within one segment; a segment `**` stands for any run of segments, none included; every other
character stands for itself, and case counts. So no match needs to go back: time grows with the
length of the text, whatever the pattern. This module knows no tool calls and touches no file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_UNPLACED_BEGINNINGS = ("~", "$")


def matches(pattern: str, text: str) -> bool:
    """Whether a text is what a pattern describes, from its first to its last character."""
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    if not text.startswith(first):
        return False
    at = len(first)
    for piece in rest[:-1]:
        found = text.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return len(text) - at >= len(rest[-1]) and text.endswith(rest[-1])


def is_placed(path: str, *, cwd: str) -> bool:
    """Whether it is plain where a path leads, up to symbolic links.

    It is not for one that a shell or a program may expand (`~/x`, `$HOME/x`), for a URI, for one
    with a NUL in it, and for a relative one where the directory is not known.
    """
    if path.startswith(_UNPLACED_BEGINNINGS) or "://" in path or "\0" in path:
        return False
    return path.startswith("/") or cwd.startswith("/")


def place(path: str, *, cwd: str) -> tuple[str, ...]:
    """Gives the segments of a path as seen from the root.

    Args:
        path: Absolute, or relative to `cwd`. `.`, `..` and repeated slashes are resolved by their
            text alone: a symbolic link before a `..` is not followed.
        cwd: An absolute directory.
    """
    segments: list[str] = []
    for segment in (path if path.startswith("/") else f"{cwd}/{path}").split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    return tuple(segments)


def path_matches(pattern: str, path: Sequence[str], *, cwd: Sequence[str]) -> bool:
    """Whether a placed path is what a pattern describes.

    Args:
        pattern: Absolute, or relative to `cwd`; one with `..` describes nothing.
        path: What `place` gave for the path.
        cwd: What `place` gave for the directory. Its characters all stand for themselves.
    """
    if not pattern.startswith("/"):
        if tuple(path[: len(cwd)]) != tuple(cwd):
            return False
        path = path[len(cwd) :]
    first, *rest = _runs(pattern)
    if not _fit(first, path, 0) or (not rest and len(path) != len(first)):
        return False
    if not rest:
        return True
    at = len(first)
    for run in rest[:-1]:
        starts = range(at, len(path) - len(run) + 1)
        found = next((start for start in starts if _fit(run, path, start)), None)
        if found is None:
            return False
        at = found + len(run)
    last_start = len(path) - len(rest[-1])
    return last_start >= at and _fit(rest[-1], path, last_start)


def _runs(pattern: str) -> Iterator[list[str]]:
    """Yields the runs of segments between the `**` of a path's pattern."""
    run: list[str] = []
    for segment in pattern.split("/"):
        if segment == "**":
            yield run
            run = []
        elif segment not in ("", "."):
            run.append(segment)
    yield run


def _fit(run: Sequence[str], path: Sequence[str], start: int) -> bool:
    here = path[start : start + len(run)]
    return len(here) == len(run) and all(map(matches, run, here))
