"""What the demo agent does on request: one directive a line of the prompt.

`DIRECTIVES` is the whole list; `/help` and the session's available commands are made from it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from acprelay.testing.demo_agent.commits import CommitFailed, commit_all
from acprelay.testing.demo_agent.files import PathRefused, confine, write_text
from acprelay.testing.demo_agent.rpc import JsonObject, RpcError, encode
from acprelay.testing.demo_agent.turn import Mode, StopReason, ToolCall, Turn, text_content

_MOST_BYTES = 256 << 20
_MOST_UPDATES = 10_000_000
_MOST_SECONDS = 86_400


class UsageError(ValueError):
    """A directive's arguments do not fit."""


class Directive(NamedTuple):
    """One thing the agent does on request.

    Attributes:
        name: What follows the slash.
        arguments: How its arguments are written, for people.
        summary: What it does.
        run: Does it; returns a stop reason to end the turn there, or None to go on.
    """

    name: str
    arguments: str
    summary: str
    run: Callable[[Turn, str], StopReason | None]

    @property
    def usage(self) -> str:
        """The directive as one types it."""
        return f"/{self.name} {self.arguments}".rstrip()


def say_help(turn: Turn, _arguments: str) -> None:
    """Lists the directives."""
    width = max(len(directive.usage) for directive in DIRECTIVES)
    turn.say("One directive a line; any other line is answered.\n")
    for directive in DIRECTIVES:
        turn.say(f"  {directive.usage:<{width}}  {directive.summary}\n")


def think(turn: Turn, arguments: str) -> None:
    """Sends a thought."""
    turn.think(arguments or "Hm.")


def show_plan(turn: Turn, _arguments: str) -> None:
    """Sends a plan, and sends it again as its entries are done."""
    entries = ("Look", "Change", "Check")
    for done in range(len(entries) + 1):
        turn.plan(entries, done=done)
    turn.say("The plan is carried out.\n")


def call_tool(turn: Turn, arguments: str) -> None:
    """Makes a tool call that asks for permission and changes nothing."""
    title = arguments or "Run nothing"
    call = turn.call_tool(title=title, kind="execute", rawInput={"command": "true"})
    if not _permitted(turn, call):
        return
    call.start()
    call.complete(text_content("Nothing was run."))
    turn.say("The tool call is completed.\n")


def write_file(turn: Turn, arguments: str) -> None:
    """Writes a file below the session's directory, after permission."""
    path, _, text = arguments.partition(" ")
    if not path:
        raise UsageError("PATH is missing")
    text += "\n"
    call = turn.call_tool(
        title=f"Write {path}", kind="edit", rawInput={"path": path, "content": text}
    )
    try:
        target = confine(turn.session.cwd, path)
    except PathRefused as error:
        _report_unwritten(turn, call, error)
        return
    diff: JsonObject = {"type": "diff", "path": str(target), "newText": text}
    if not _permitted(turn, call, content=[diff], locations=[{"path": str(target)}]):
        return
    call.start()
    try:
        write_text(target, text)
    except OSError as error:
        _report_unwritten(turn, call, error)
        return
    call.complete(diff)
    turn.say(f"Wrote {path}.\n")


def commit(turn: Turn, arguments: str) -> None:
    """Commits what is changed in the session's directory, after permission."""
    message = arguments or "Work of the demo agent"
    call = turn.call_tool(title="Commit", kind="execute", rawInput={"message": message})
    if not _permitted(turn, call):
        return
    call.start()
    try:
        commit_id = commit_all(turn.session.cwd, message)
    except CommitFailed as error:
        call.fail(str(error))
        turn.say(f"Nothing is committed: {error}.\n")
        return
    call.complete(text_content(commit_id))
    turn.say(f"Committed {commit_id}.\n")


def _report_unwritten(turn: Turn, call: ToolCall, error: Exception) -> None:
    call.fail(str(error))
    turn.say(f"The file is not written: {error}.\n")


def _permitted(turn: Turn, call: ToolCall, **members: object) -> bool:
    if call.ask_permission(**members):
        return True
    call.fail("The permission was not given.")
    turn.say("The permission was not given; nothing is changed.\n")
    return False


def ask_client(turn: Turn, arguments: str) -> None:
    """Asks the client for something, such as a file, and says what it answers."""
    method, _, written = arguments.partition(" ")
    if not method:
        raise UsageError("METHOD is missing")
    try:
        params: object = json.loads(written or "{}")
    except (ValueError, RecursionError):
        params = None
    if not isinstance(params, dict):
        raise UsageError("PARAMS is a JSON object")
    answer = turn.ask(method, params)
    said = {name: answer[name] for name in ("result", "error") if name in answer}
    turn.say(f"{encode(said).decode()}\n")


def stream(turn: Turn, arguments: str) -> None:
    """Sends many text chunks of one size."""
    words = _words(arguments, least=1, most=3)
    count = _whole(words[0], "COUNT", least=0, most=_MOST_UPDATES)
    size = _whole(words[1], "BYTES", least=2, most=_MOST_BYTES) if len(words) > 1 else 16
    delay_ms = _number(words[2], "DELAY_MS", most=_MOST_SECONDS) if len(words) > 2 else 0  # noqa: PLR2004 the third word
    for number in range(count):
        turn.pause(delay_ms / 1000)
        turn.say(f"{number:0{size - 1}d}"[-(size - 1) :] + "\n")


def be_slow(turn: Turn, arguments: str) -> None:
    """Does nothing for a while."""
    words = _words(arguments, least=1, most=1)
    turn.pause(_number(words[0], "SECONDS", most=_MOST_SECONDS))
    turn.say("That took a while.\n")


def send_big(turn: Turn, arguments: str) -> None:
    """Sends one update whose line is exactly so long."""
    empty = encode(_message(turn, ""))
    words = _words(arguments, least=1, most=1)
    size = _whole(words[0], "BYTES", least=len(empty), most=_MOST_BYTES)
    turn.peer.write_line(encode(_message(turn, "x" * (size - len(empty)))))


def _message(turn: Turn, text: str) -> JsonObject:
    params = turn.update_params("agent_message_chunk", content={"type": "text", "text": text})
    return {"jsonrpc": "2.0", "method": "session/update", "params": params}


def make_noise(turn: Turn, arguments: str) -> None:
    """Writes a line that is no message where only messages belong."""
    turn.peer.write_line((arguments or "this line is not JSON").encode(errors="replace"))


def set_mode(turn: Turn, arguments: str) -> None:
    """Changes the mode, as an agent may of its own accord."""
    turn.session.mode = mode_named(arguments)
    turn.update("current_mode_update", currentModeId=turn.session.mode)


def fail(_turn: Turn, arguments: str) -> None:
    """Answers the prompt with an error."""
    code, _, message = arguments.partition(" ")
    most = 2**31 - 1
    raise RpcError(
        _whole(code, "CODE", least=-most, most=most), message or "cannot go on, as was asked"
    )


def crash(_turn: Turn, arguments: str) -> None:
    """Ends the process at once, whatever else goes on in it."""
    status = _whole(arguments or "1", "STATUS", least=0, most=255)
    sys.stderr.write(f"demo agent: ending with status {status}, as was asked\n")
    sys.stderr.flush()
    os._exit(status)


def refuse(turn: Turn, _arguments: str) -> StopReason:
    """Ends the turn with `refusal`."""
    turn.say("I refuse, as was asked.\n")
    return "refusal"


def stop(_turn: Turn, arguments: str) -> StopReason:
    """Ends the turn with a reason of the user's choice."""
    for reason in STOP_REASONS:
        if arguments == reason:
            return reason
    raise UsageError(f"REASON is one of {', '.join(STOP_REASONS)}")


def mode_named(name: str) -> Mode:
    """Returns the mode of that name.

    Raises:
        UsageError: There is none.
    """
    for mode in MODES:
        if mode == name:
            return mode
    raise UsageError(f"the mode is one of {', '.join(MODES)}")


def _words(arguments: str, *, least: int, most: int) -> list[str]:
    words = arguments.split()
    if not least <= len(words) <= most:
        raise UsageError("the number of arguments does not fit")
    return words


def _whole(word: str, name: str, *, least: int, most: int) -> int:
    try:
        value = int(word)
    except ValueError:
        raise UsageError(f"{name} is a whole number") from None
    if not least <= value <= most:
        raise UsageError(f"{name} is between {least} and {most}")
    return value


def _number(word: str, name: str, *, most: float) -> float:
    try:
        value = float(word)
    except ValueError:
        raise UsageError(f"{name} is a number") from None
    if not 0 <= value <= most:
        raise UsageError(f"{name} is between 0 and {most:g}")
    return value


STOP_REASONS: Sequence[StopReason] = ("end_turn", "max_tokens", "max_turn_requests", "refusal")
MODES: Sequence[Mode] = ("ask", "auto")
DIRECTIVES: Sequence[Directive] = (
    Directive("think", "[TEXT]", "send TEXT as a thought", think),
    Directive("plan", "", "send a plan and carry it out", show_plan),
    Directive("tool", "[TITLE]", "make a tool call, which asks for permission", call_tool),
    Directive("write", "PATH TEXT", "write a file in the session's directory", write_file),
    Directive("commit", "[MESSAGE]", "commit with git what is changed there", commit),
    Directive("ask", "METHOD [PARAMS]", "ask the client, as for a file or a terminal", ask_client),
    Directive("mode", "|".join(MODES), "change the mode: auto asks for no permission", set_mode),
    Directive("stream", "COUNT [BYTES] [DELAY_MS]", "send COUNT chunks of text", stream),
    Directive("slow", "SECONDS", "do nothing for a while; can be cancelled", be_slow),
    Directive("big", "BYTES", "send one update whose line has so many bytes", send_big),
    Directive("noise", "[TEXT]", "write TEXT to stdout as it is, on a line of its own", make_noise),
    Directive("refuse", "", "end the turn with refusal", refuse),
    Directive("stop", "REASON", "end the turn with a stop reason", stop),
    Directive("error", "CODE [MESSAGE]", "answer the prompt with an error", fail),
    Directive("crash", "[STATUS]", "end the process", crash),
    Directive("help", "", "list the directives", say_help),
)
