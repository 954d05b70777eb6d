"""What a stretch of the relay's work costs, in operations that are the same at every run.

A profile function sees each call that the relay's code makes, and each that is made of it; and the
bytes objects that its functions hold in their variables, each of which somebody has made. Time is
not looked at. What libraries do among themselves does not count, as it differs with their versions.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import acprelay

_OWN = str(Path(acprelay.__file__).parent)
_INLINED = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})
"""Functions up to Python 3.11, and none from 3.12 on (PEP 709)."""
_SMALL = 64
"""Fewer bytes than this are a number, a name or a header, and no message."""


class Counting:
    """Counts from `begin` to `end`.

    Args:
        given: Bytes that the test itself has made.

    Attributes:
        calls: How often each function was called: those of the relay, and those that it calls.
        made: The bytes objects that were seen, by their identity; they are kept, so that no two of
            them have the same one.
    """

    def __init__(self, given: Iterable[bytes]) -> None:
        self.calls: Counter[str] = Counter()
        self.made: dict[int, bytes | bytearray] = {}
        self._given = {id(data): data for data in given}

    @property
    def copied(self) -> int:
        """How many bytes those objects have."""
        return sum(map(len, self.made.values()))

    def begin(self) -> None:
        sys.setprofile(self._observe)

    def end(self) -> None:
        sys.setprofile(None)
        self.calls.pop("sys.setprofile", None)

    def see(self, value: object) -> None:
        """Takes note of what a variable holds: bytes, or a list or tuple of them."""
        if isinstance(value, bytes | bytearray):
            if len(value) >= _SMALL and id(value) not in self._given:
                self.made[id(value)] = value
        elif isinstance(value, list | tuple):
            for item in value:
                if isinstance(item, bytes):
                    self.see(item)

    def _observe(self, frame: FrameType, event: str, arg: Any) -> None:
        code = frame.f_code
        if event == "call":
            caller = frame.f_back
            is_relevant = _is_own(code) or (caller is not None and _is_own(caller.f_code))
            if is_relevant and code.co_name not in _INLINED:
                self.calls[_name(code)] += 1
        elif event == "c_call" and _is_own(code):
            self.calls[_builtin_name(arg)] += 1
        if event == "return" and _is_own(code):
            for value in frame.f_locals.values():
                self.see(value)
            self.see(arg)


def _is_own(code: CodeType) -> bool:
    return code.co_filename.startswith(_OWN)


def _name(code: CodeType) -> str:
    place = Path(code.co_filename)
    where = place.relative_to(_OWN).with_suffix("").as_posix() if _is_own(code) else place.stem
    return f"{where.replace('/', '.')}.{code.co_qualname}"


def _builtin_name(function: Any) -> str:
    owner = getattr(function, "__self__", None)
    if owner is None or isinstance(owner, type(sys)):
        return f"{getattr(function, '__module__', None) or 'builtins'}.{function.__name__}"
    return f"{type(owner).__module__}.{type(owner).__qualname__}.{function.__name__}"


@contextmanager
def without_garbage() -> Iterator[None]:
    """Keeps the collector of garbage out of a stretch."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Memory:
    """What a stretch takes of memory, from `begin` to `end`.

    Attributes:
        peak: The most that was held at once, beyond what was there before, in bytes.
        kept: What is still held at the end.
    """

    def __init__(self) -> None:
        self.peak = 0
        self.kept = 0
        self._before = 0

    def begin(self) -> None:
        tracemalloc.start()
        self._before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()

    def end(self) -> None:
        after, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        self.peak, self.kept = peak - self._before, after - self._before
