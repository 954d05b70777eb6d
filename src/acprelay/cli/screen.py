"""Where a turn is shown: the agent's words on standard output, everything else on standard error.

Either may be a terminal, or both the same one; then a note never begins in the middle of a line of
the answer. It knows no message of the protocol.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TextIO

from acprelay.cli.stdio import Output
from acprelay.cli.terminal import complain, cut, harmless, one_line

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"
_INDENT = "  "
_LABEL_WIDTH = 12


class Screen:
    """Standard output and standard error, kept in order.

    Args:
        output: Standard output.
        output_is_terminal: Whether it is a terminal; text is made harmless for one, and for nothing
            else.
        notes: Standard error; notes are shown only if it is a terminal.
        styled: Whether notes may be dimmed.
    """

    def __init__(
        self, *, output: Output, output_is_terminal: bool, notes: TextIO, styled: bool
    ) -> None:
        self._output = output
        self._output_is_terminal = output_is_terminal
        self._notes = notes
        self._notes_shown = notes.isatty()
        self._styled = styled
        self._line_is_open = False

    async def say(self, text: str) -> None:
        """Shows a piece of the answer; waits while whoever reads is slow.

        Raises:
            BrokenPipeError: Nobody reads any more.
        """
        if self._output_is_terminal and text:
            text = harmless(text)
            self._line_is_open = not text.endswith("\n")
        await self._output.write(text.encode(errors="backslashreplace"))

    async def note(self, label: str, text: str, *, important: bool = False) -> None:
        """Shows a line beside the answer, where there is a terminal to show it on.

        Args:
            label: One word for what it is, or nothing under the same word again.
            text: What it says, in one line.
            important: Whether it is never dimmed, and never cut at the end of the line.
        """
        if not self._notes_shown:
            return
        await self._end_line()
        line = f"{label:<{_LABEL_WIDTH}}{one_line(text)}"
        if not important:
            line = self._dimmed(cut(line, width=shutil.get_terminal_size().columns - len(_INDENT)))
        self._write(_INDENT + line + "\n")

    async def warn(self, text: str) -> None:
        """Says something on standard error, whatever that is."""
        await self._end_line()
        complain(text, stream=self._notes)

    async def ask(self, question: str) -> None:
        """Shows a question, and leaves the cursor behind it."""
        await self._end_line()
        self._write(f"{_INDENT}{'':<{_LABEL_WIDTH}}{question}")
        self._line_is_open = True

    def answered(self) -> None:
        """Takes note that a person has answered, and so ended the line."""
        self._line_is_open = False

    async def finish(self) -> None:
        """Writes what is unwritten, and ends the last line on a terminal.

        Raises:
            BrokenPipeError: Nobody reads any more.
        """
        await self._end_line()

    async def _end_line(self) -> None:
        if self._line_is_open and self._output_is_terminal:
            await self._output.write(b"\n")
        elif self._line_is_open:
            self._write("\n")
        self._line_is_open = False
        await self._output.drain()

    def _dimmed(self, line: str) -> str:
        return f"{_DIM}{line}{_PLAIN}" if self._styled else line

    def _write(self, text: str) -> None:
        with suppress(OSError):  # nobody reads standard error
            self._notes.write(text)
            self._notes.flush()
