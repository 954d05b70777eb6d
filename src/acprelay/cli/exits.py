"""How a command ended, as an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process ends with. A signal ends it with 128 and the signal's number."""

    OK = 0
    ERROR = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSAL = 4
    MAX_TOKENS = 5
    MAX_TURN_REQUESTS = 6
    CANCELLED = 7
    HUNG_UP = 129
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


EXIT_CODES: Mapping[ExitCode, str] = {
    ExitCode.OK: "the turn came to its end (end_turn)",
    ExitCode.ERROR: "an error: the relay or the agent refused something, or the agent ended",
    ExitCode.USAGE: "the options cannot be used, or the relay cannot start with them",
    ExitCode.UNREACHABLE: "the relay cannot be reached, or went away",
    ExitCode.REFUSAL: "the agent refused to go on (refusal)",
    ExitCode.MAX_TOKENS: "the agent ran out of tokens (max_tokens)",
    ExitCode.MAX_TURN_REQUESTS: "the agent made too many requests (max_turn_requests)",
    ExitCode.CANCELLED: "somebody else cancelled the turn (cancelled)",
    ExitCode.HUNG_UP: "SIGHUP cancelled the turn",
    ExitCode.INTERRUPTED: "Ctrl-C cancelled the turn",
    ExitCode.BROKEN_PIPE: "whoever read the output stopped reading; the turn was cancelled",
    ExitCode.TERMINATED: "SIGTERM cancelled the turn",
}
"""What each code means, for `--help`."""

STOP_REASONS: Mapping[str, ExitCode] = {
    "end_turn": ExitCode.OK,
    "refusal": ExitCode.REFUSAL,
    "max_tokens": ExitCode.MAX_TOKENS,
    "max_turn_requests": ExitCode.MAX_TURN_REQUESTS,
    "cancelled": ExitCode.CANCELLED,
}
"""The code for each of ACP's stop reasons."""


def of_signal(number: int) -> int:
    """Gives the code that a shell gives a process which a signal ended."""
    return 128 + number
