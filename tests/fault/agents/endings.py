"""What becomes of a session whose agent misbehaves: for each misbehaviour, what its client is told.

`acprelay.testing.misbehaviours` has what each of them is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Refusal(NamedTuple):
    """How a session does not come to be.

    Attributes:
        method: Which request is answered with the error.
        code: The error's stable code.
        words: What its message or its hint says.
    """

    method: str
    code: str
    words: str


class Ending(NamedTuple):
    """How a turn ends.

    Attributes:
        outcome: The stop reason, or the stable code of the error.
        words: What the error says.
        text: What of the agent's text came by then.
        late: What of it comes afterwards.
        asks: How many permissions the client was asked for, and gave.
        goes_on: Whether the same run takes the next prompt.
        is_cancelled: Whether the client cancels the turn, once it has begun.
    """

    outcome: str = "end_turn"
    words: str = ""
    text: str = ""
    late: str = ""
    asks: int = 0
    goes_on: bool = True
    is_cancelled: bool = False


NO_SESSION: Mapping[str, Refusal] = {
    "ignores-initialize": Refusal("initialize", "agent_unresponsive", "within 8 s"),
    "floods-before-initialize": Refusal("initialize", "agent_unresponsive", "within 8 s"),
    "ignores-session-new": Refusal("session/new", "agent_unresponsive", "within 8 s"),
    "content-length": Refusal("initialize", "agent_unresponsive", "it wrote 'Content-Length: "),
    "length-prefix": Refusal("initialize", "agent_unresponsive", "speaks ACP"),
    "utf-16": Refusal("initialize", "agent_unresponsive", "one JSON message in UTF-8 on each line"),
    "byte-order-mark": Refusal("initialize", "agent_unresponsive", "it wrote '\\ufeff{"),
    "wrong-version": Refusal("initialize", "agent_refused", "ACP version 65535"),
}
"""Those that an agent starts with."""

_STOPPED = Ending("cancelled", goes_on=False, is_cancelled=True)

STOPPED: Mapping[str, Ending] = {
    "floods-updates": _STOPPED,
    "floods-notifications": _STOPPED,
    "floods-stderr": _STOPPED,
    "floods-noise": _STOPPED,
    "floods-one-line": _STOPPED,
    "floods-requests": _STOPPED,
    "ignores-prompt": _STOPPED,
    "never-reads": _STOPPED,
    "stops-itself": _STOPPED,
    "closes-stdin": _STOPPED,
}
"""Those that end when a client has had enough: it is answered, and then the run is ended."""

ENDED: Mapping[str, Ending] = {
    "floods-unknown-requests": Ending(
        "session_ended", "asks on and on, and reads no answer", goes_on=False
    ),
    "closes-stdout": Ending(
        "agent_exited", "SIGTERM, after it had closed its standard output", goes_on=False
    ),
    "exits-in-a-line": Ending("agent_exited", "exit status 0", text="before", goes_on=False),
    "exits-in-a-turn": Ending("agent_exited", "exit status 0", goes_on=False),
    "kills-itself": Ending("agent_exited", "signal SIGKILL", goes_on=False),
    "leaves-a-daemon": Ending("agent_exited", "exit status 0", goes_on=False),
}
"""Those that end the run."""

GOES_ON: Mapping[str, Ending] = {
    "nul-bytes": Ending(text="after"),
    "endless-line": Ending(text="after"),
    "closes-stderr": Ending(text="after"),
    "forks-much": Ending(),
    "ignores-sigterm": Ending(),
    "answers-twice": Ending(),
    "answers-after-cancel": Ending("cancelled", is_cancelled=True),
    "answers-unasked": Ending(),
    "answers-another-type": Ending(),
    "answers-both": Ending("agent_refused", "without one result or one error"),
    "answers-neither": Ending("agent_refused", "without one result or one error"),
    "answers-in-latin-1": Ending("agent_refused", "can't decode byte 0xe9"),
    "changes-capabilities": Ending(text="after"),
    "updates-after-answer": Ending(text="before", late="after"),
    "updates-before-session": Ending(text="early"),
    "updates-another-session": Ending(text="foreign"),
    "asks-twice": Ending(asks=2),
    "asks-for-another-session": Ending(asks=1),
    "asks-after-the-turn": Ending(late="after"),
    "huge-numbers": Ending(text="after", asks=4),
    "deep-nesting": Ending(text="after"),
    "duplicate-keys": Ending(text="once"),
    "lone-surrogates": Ending(text="half \ud83d of it"),
    "loads-nothing": Ending(),
}
"""Those that the run survives, and the turn that follows."""
