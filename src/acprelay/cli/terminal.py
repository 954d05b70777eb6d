"""Text on a terminal: what others wrote is shown, never obeyed.

A terminal acts on control characters, and an agent's text can hold any. What goes to a terminal
passes `harmless` first; what goes to a file or a pipe does not.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TextIO

_KEPT = "\t\n"
_BIDI = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))


def _table() -> dict[int, str]:
    table = {code: f"^{chr(code ^ 0x40)}" for code in (*range(0x20), 0x7F)}
    table |= {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}
    table |= {code: f"\\u{code:04x}" for code in _BIDI}
    table[ord("\r")] = (
        ""  # before a newline it means nothing; elsewhere it would overwrite the line
    )
    return {code: shown for code, shown in table.items() if chr(code) not in _KEPT}


_SHOWN = _table()


def harmless(text: str) -> str:
    """Makes control characters visible, so that a terminal does not act on them.

    Args:
        text: Anything.

    Returns:
        The text with every control character but tab and newline, and every mark that changes the
        direction of writing, replaced by a notation of it (ESC becomes `^[`); carriage returns are
        dropped.
    """
    return text.translate(_SHOWN)


def one_line(text: str) -> str:
    """Makes text one line: harmless, and without line breaks."""
    return " ".join(harmless(text).split())


def cut(line: str, *, width: int) -> str:
    """Makes a line no longer than a width, and says so where that takes something away."""
    return line if len(line) <= width else line[: width - 1] + "…"


def complain(
    message: str, *, hint: str = "", quoted: str = "", stream: TextIO | None = None
) -> None:
    """Writes an error and its remedy, for people.

    Args:
        message: What cannot be done, and why.
        hint: What to do next.
        quoted: What somebody else said about it, in lines.
        stream: Where to; standard error where it is None.
    """
    stream = stream or sys.stderr
    text = f"acprelay: {message}\n"
    if hint:
        text += f"  hint: {hint}\n"
    text += "".join(f"  | {line}\n" for line in quoted.splitlines())
    if stream.isatty():
        text = harmless(text)
    with suppress(OSError):  # nobody reads it, and there is nowhere else to say so
        stream.write(text)
        stream.flush()
