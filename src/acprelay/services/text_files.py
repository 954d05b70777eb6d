"""`fs/read_text_file` and `fs/write_text_file`, inside the directories of a session.

Everything here blocks on the disk: it is called in a thread. This module knows no session, no
frame and no event loop.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import msgspec

from acprelay.errors import FileMissing, InvalidParams, RequestCancelled, ServiceError
from acprelay.routing.service_modes import READ
from acprelay.services.confinement import Place, locate, open_file, open_parent, status
from acprelay.services.lines import TooLong, pick_lines
from acprelay.services.params import Natural, read_params

_PIECE = 256 * 1024


class _Read(msgspec.Struct):
    path: str
    line: Natural | None = None
    limit: Natural | None = None


class _Write(msgspec.Struct):
    path: str
    content: str


class TextFiles:
    """Reads and writes text files.

    Args:
        most_bytes: How many bytes of a file one answer may give.
    """

    def __init__(self, *, most_bytes: int) -> None:
        self._most_bytes = most_bytes

    def serve(
        self, method: str, params: bytes, *, roots: Sequence[str], is_wanted: Callable[[], bool]
    ) -> bytes:
        """Serves a request. Blocks.

        Args:
            method: One of the methods for files.
            params: Its raw params.
            roots: The directories that a path may lie in, the session's own first.
            is_wanted: Whether the answer is still wanted: asked while much is read.

        Returns:
            The raw result.

        Raises:
            InvalidParams: The params cannot be used.
            Forbidden: The path leads out of every root.
            FileMissing: There is no file to read.
            ServiceError: The file cannot be read or written, and is as it was.
            RequestCancelled: The answer is not wanted any more.
        """
        if method == READ:
            return self._read(read_params(params, _Read, method), roots, is_wanted)
        _write(read_params(params, _Write, method), roots)
        return b"{}"

    def _read(self, asked: _Read, roots: Sequence[str], is_wanted: Callable[[], bool]) -> bytes:
        place = _locate_file(asked.path, roots)
        with _explained("read", place), open_parent(place) as parent:
            opened = open_file(place, parent, flags=os.O_RDONLY)
            try:
                data = pick_lines(
                    _pieces(opened, is_wanted),
                    line=asked.line or 1,
                    limit=asked.limit,
                    most=self._most_bytes,
                )
            except TooLong:
                raise self._too_long(place) from None
            finally:
                os.close(opened)
        try:
            return msgspec.json.encode({"content": data.decode()})
        except UnicodeDecodeError as error:
            raise ServiceError(
                f"cannot read {place.path[:200]!r} as text: it is not UTF-8 ({error.reason})",
                hint="read it with a program that knows its format",
            ) from None

    def _too_long(self, place: Place) -> ServiceError:
        return ServiceError(
            f"cannot give {place.path[:200]!r} in one answer: "
            f"that would be more than {self._most_bytes} bytes",
            hint="read it in parts, with line and limit",
            most=self._most_bytes,
        )


def _locate_file(path: str, roots: Sequence[str]) -> Place:
    place = locate(path, roots)
    if place.parts and path.endswith(("/", "/.", "/..")):
        raise InvalidParams(
            f"cannot use {path[:200]!r} as a file's path: it is that of a directory",
            hint="name a file",
        )
    return place


def _pieces(opened: int, is_wanted: Callable[[], bool]) -> Iterator[bytes]:
    while piece := os.read(opened, _PIECE):
        yield piece
        if not is_wanted():
            raise RequestCancelled(method=READ)


def _write(asked: _Write, roots: Sequence[str]) -> None:
    """Replaces a file at one instant: whoever reads it has the old content or the new."""
    place = _locate_file(asked.path, roots)
    content = asked.content.encode()
    with _explained("write", place), open_parent(place, make=True) as parent:
        former = status(place, parent)
        if former is not None:
            # A file that may not be written could be replaced all the same.
            os.close(open_file(place, parent, flags=os.O_WRONLY))
        temporary = f".acprelay-{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        opened = os.open(temporary, flags, 0o666, dir_fd=parent)
        try:
            try:
                _fill(opened, content, former)
            finally:
                os.close(opened)
            os.rename(temporary, place.parts[-1], src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=parent)
            raise


def _fill(opened: int, content: bytes, former: os.stat_result | None) -> None:
    if former is not None:
        with suppress(PermissionError):  # only root gives files away: then it becomes the relay's
            os.fchown(opened, former.st_uid, former.st_gid)
        os.fchmod(opened, stat.S_IMODE(former.st_mode) & 0o777)
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(opened, rest) :]
    os.fsync(opened)


@contextmanager
def _explained(what: str, place: Place) -> Iterator[None]:
    """Puts what the system says into words."""
    try:
        yield
    except FileNotFoundError:
        raise FileMissing(path=place.path) from None
    except OSError as error:
        raise ServiceError(
            f"cannot {what} {place.path[:200]!r}: {error.strerror}",
            hint="check the path, its permissions and the space that is left",
            path=place.path[:200],
        ) from error
