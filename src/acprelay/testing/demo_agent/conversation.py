"""How the demo agent answers a prompt: its directives in their order, its other lines as talk."""

from __future__ import annotations

import re
from collections.abc import Iterator

from acprelay.testing.demo_agent.directives import DIRECTIVES, UsageError
from acprelay.testing.demo_agent.turn import StopReason, Turn, TurnCancelled

_MOST_CHUNKS = 32
_PLAN = ("Read the prompt", "Answer it")


def answer(turn: Turn, prompt: str) -> StopReason:
    """Carries a turn out.

    Returns:
        Why it ended.

    Raises:
        RpcError: `/error` asked for it.
        BrokenPipeError: The client is gone.
    """
    try:
        for step in _steps(prompt):
            if not step.startswith("/"):
                _talk(turn, step)
            elif reason := _direct(turn, step):
                return reason
    except TurnCancelled:
        return "cancelled"
    return "end_turn"


def _steps(prompt: str) -> Iterator[str]:
    """Yields each directive, and each run of other lines."""
    talk: list[str] = []
    for line in prompt.splitlines():
        if not line.startswith("/"):
            talk.append(line)
            continue
        if any(talk):
            yield "\n".join(talk)
        talk.clear()
        yield line
    if any(talk):
        yield "\n".join(talk)


def _direct(turn: Turn, line: str) -> StopReason | None:
    name, _, arguments = line[1:].partition(" ")
    for directive in DIRECTIVES:
        if directive.name == name:
            try:
                return directive.run(turn, arguments.strip())
            except UsageError as error:
                turn.say(f"I cannot do {line}: {error}. Usage: {directive.usage}\n")
                return None
    turn.say(f"I do not know /{name}. Send /help for what I can do.\n")
    return None


def _talk(turn: Turn, text: str) -> None:
    words = re.findall(r"\S+\s*", text.strip())
    turn.think(f"The prompt has {_count(words)}.")
    turn.plan(_PLAN, done=1)
    turn.say(f"You wrote {_count(words)}: ")
    step = -(-len(words) // _MOST_CHUNKS)
    for start in range(0, len(words), step or 1):
        turn.say("".join(words[start : start + step]))
    turn.say("\nSend /help for what else I can do.\n")
    turn.plan(_PLAN, done=2)


def _count(words: list[str]) -> str:
    return "1 word" if len(words) == 1 else f"{len(words)} words"
