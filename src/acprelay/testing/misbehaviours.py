"""What agents do on their bad days, by name: each is a few steps of a misbehaving agent.

Pure: it names steps and takes none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Misbehaviour(NamedTuple):
    """One way to misbehave.

    Attributes:
        does: What the agent does, as a sentence would go on behind "it".
        steps: How it comes about; the agent speaks ACP as it should up to there.
    """

    does: str
    steps: tuple[str, ...]


def _notification(method: str, params: str) -> str:
    return f'{{"jsonrpc":"2.0","method":"{method}","params":{params}}}'


def _update(text: str, *, session: str = "$session") -> str:
    """A piece of an answer; the text is written as JSON has it, without its quotes."""
    content = (
        f'{{"sessionUpdate":"agent_message_chunk","content":{{"type":"text","text":"{text}"}}}}'
    )
    return _notification("session/update", f'{{"sessionId":"{session}","update":{content}}}')


def _ask(request_id: str, *, session: str = "$session") -> str:
    """A request for permission."""
    options = (
        '[{"optionId":"allow","name":"Allow","kind":"allow_once"},'
        '{"optionId":"reject","name":"Reject","kind":"reject_once"}]'
    )
    params = (
        f'{{"sessionId":"{session}","toolCall":{{"toolCallId":"call-1","title":"Try it"}},'
        f'"options":{options}}}'
    )
    head = f'"jsonrpc":"2.0","id":{request_id},"method":"session/request_permission"'
    return f'{{{head},"params":{params}}}'


_PROMPT = "at=session/prompt"
_MUCH = "flood " * 1500
_NEWS = f'{{"text":"{_MUCH}"}}'
_TURN = '{"stopReason":"end_turn"}'

_FLOODS = {
    "floods-updates": Misbehaviour(
        "sends updates without end in a turn", (_PROMPT, f"repeat={_update(_MUCH)}")
    ),
    "floods-stderr": Misbehaviour(
        "writes to its standard error without end in a turn", (_PROMPT, "moan=flood")
    ),
    "floods-notifications": Misbehaviour(
        "sends notifications that name no session, without end",
        (_PROMPT, f"repeat={_notification('_flood/news', _NEWS)}"),
    ),
    "floods-requests": Misbehaviour(
        "asks for permission without end, and reads no answer", (_PROMPT, f"repeat={_ask('7')}")
    ),
    "floods-unknown-requests": Misbehaviour(
        "asks for what nobody knows without end, and reads no answer",
        (_PROMPT, 'repeat={"jsonrpc":"2.0","id":7,"method":"flood"}'),
    ),
    "floods-before-initialize": Misbehaviour(
        "sends notifications without end, and never answers initialize",
        ("at=initialize", f"repeat={_notification('_flood/news', _NEWS)}"),
    ),
    "floods-one-line": Misbehaviour(
        "writes a line without end in a turn", (_PROMPT, f"unended-line={10**15}")
    ),
    "floods-noise": Misbehaviour(
        "writes lines that are no messages without end", (_PROMPT, "flood")
    ),
}

_STALLS = {
    "ignores-initialize": Misbehaviour("never answers initialize", ("at=initialize", "until-eof")),
    "ignores-session-new": Misbehaviour(
        "never answers session/new", ("at=session/new", "until-eof")
    ),
    "ignores-prompt": Misbehaviour(
        "never answers session/prompt, nor heeds session/cancel", (_PROMPT, "until-eof")
    ),
    "never-reads": Misbehaviour(
        "reads nothing any more from its first prompt on", (_PROMPT, "linger")
    ),
    "stops-itself": Misbehaviour("stops itself with SIGSTOP in a turn", (_PROMPT, "die=SIGSTOP")),
}

_FRAMINGS = {
    "content-length": Misbehaviour(
        "frames messages by Content-Length headers", ("frame=content-length", "serve")
    ),
    "length-prefix": Misbehaviour(
        "puts the length in four bytes before each message", ("frame=length-prefix", "serve")
    ),
    "utf-16": Misbehaviour("writes UTF-16", ("frame=utf-16", "serve")),
    "byte-order-mark": Misbehaviour(
        "begins its output with a byte order mark", ("bytes=efbbbf", "serve")
    ),
    "nul-bytes": Misbehaviour(
        "writes NUL bytes between messages and in them",
        (_PROMPT, "bytes=0000000a7b2200223a310a", f"say={_update('after')}", "answer", "serve"),
    ),
    "endless-line": Misbehaviour(
        "writes 100 MB in a turn without a line break, and then ends the line and the turn",
        (
            _PROMPT,
            "unended-line=100000000",
            "bytes=0a",
            f"say={_update('after')}",
            "answer",
            "serve",
        ),
    ),
    "exits-in-a-line": Misbehaviour(
        "exits in the middle of its answer",
        (
            _PROMPT,
            f"say={_update('before')}",
            "begin=" + '{"jsonrpc":"2.0","id":$id,"resu',
            "exit=0",
        ),
    ),
}

_PIPES = {
    "closes-stdin": Misbehaviour(
        "closes its standard input in a turn and lives on", (_PROMPT, "close-stdin", "linger")
    ),
    "closes-stdout": Misbehaviour(
        "closes its standard output in a turn and lives on", (_PROMPT, "close-stdout", "until-eof")
    ),
    "closes-stderr": Misbehaviour(
        "closes its standard error in a turn, which hurts nobody",
        (_PROMPT, "close-stderr", f"say={_update('after')}", "answer", "serve"),
    ),
}

_PROCESSES = {
    "exits-in-a-turn": Misbehaviour("exits with status 0 in a turn", (_PROMPT, "exit=0")),
    "kills-itself": Misbehaviour("kills itself with SIGKILL in a turn", (_PROMPT, "die=SIGKILL")),
    "leaves-a-daemon": Misbehaviour(
        "exits in a turn and leaves an orphan that holds its pipes",
        (_PROMPT, "ignore-term", "child=orphan", "exit=0"),
    ),
    "forks-much": Misbehaviour(
        "starts fifty children in groups and sessions of their own, then ends its turn",
        (_PROMPT, "ignore-term", *("child=own-group", "child=own-session") * 25, "answer", "serve"),
    ),
    "ignores-sigterm": Misbehaviour(
        "ignores SIGTERM and the end of its input, as does its child in another session",
        ("ignore-term", "child=own-session", "serve", "linger"),
    ),
}

_ANSWERS = {
    "answers-twice": Misbehaviour("answers a prompt twice", (_PROMPT, "answer", "answer", "serve")),
    "answers-after-cancel": Misbehaviour(
        "answers a cancelled prompt as cancelled, and then once more",
        (_PROMPT, "at=session/cancel", 'answer={"stopReason":"cancelled"}', "answer", "serve"),
    ),
    "answers-unasked": Misbehaviour(
        "answers a request that nobody has made",
        (_PROMPT, f'say={{"jsonrpc":"2.0","id":4711,"result":{_TURN}}}', "answer", "serve"),
    ),
    "answers-another-type": Misbehaviour(
        "answers with the id as a string first",
        (_PROMPT, f'say={{"jsonrpc":"2.0","id":"$id","result":{_TURN}}}', "answer", "serve"),
    ),
    "answers-both": Misbehaviour(
        "answers with a result and an error",
        (
            _PROMPT,
            f'say={{"jsonrpc":"2.0","id":$id,"result":{_TURN},"error":{{"code":1,"message":"no"}}}}',
            "serve",
        ),
    ),
    "answers-neither": Misbehaviour(
        "answers with neither a result nor an error",
        (_PROMPT, 'say={"jsonrpc":"2.0","id":$id}', "serve"),
    ),
    "answers-in-latin-1": Misbehaviour(
        "answers with text that is not UTF-8",
        (
            _PROMPT,
            'begin={"jsonrpc":"2.0","id":$id,"result":{"stopReason":"end_turn","_meta":{"x":"caf',
            "bytes=e9",
            'begin="}}}',
            "bytes=0a",
            "serve",
        ),
    ),
    "loads-nothing": Misbehaviour(
        "answers session/load with neither a result nor an error",
        ("at=session/load", 'say={"jsonrpc":"2.0","id":$id}', "serve"),
    ),
    "wrong-version": Misbehaviour(
        "answers initialize with a version that there is not",
        ("at=initialize", 'answer={"protocolVersion":65535}', "serve"),
    ),
    "changes-capabilities": Misbehaviour(
        "answers initialize once more in a turn, and can do less then",
        (
            _PROMPT,
            'say={"jsonrpc":"2.0","id":$first,"result":{"protocolVersion":1}}',
            f"say={_update('after')}",
            "answer",
            "serve",
        ),
    ),
}

_ORDER = {
    "updates-after-answer": Misbehaviour(
        "sends an update behind the answer of its turn",
        (_PROMPT, f"say={_update('before')}", "answer", f"say={_update('after')}", "serve"),
    ),
    "updates-before-session": Misbehaviour(
        "sends an update before it has answered session/new",
        ("at=session/new", f"say={_update('early')}", "answer", "serve"),
    ),
    "updates-another-session": Misbehaviour(
        "sends an update of a session that there is not",
        (_PROMPT, f"say={_update('foreign', session='nobodys')}", "answer", "serve"),
    ),
    "asks-twice": Misbehaviour(
        "asks for permission twice under one id",
        (_PROMPT, f"say={_ask('7')}", f"say={_ask('7')}", "hear=7", "hear=7", "answer", "serve"),
    ),
    "asks-for-another-session": Misbehaviour(
        "asks for permission in a session that there is not",
        (_PROMPT, f"say={_ask('7', session='nobodys')}", "hear=7", "answer", "serve"),
    ),
    "asks-after-the-turn": Misbehaviour(
        "asks for permission behind the answer of its turn",
        (_PROMPT, "answer", f"say={_ask('7')}", "hear=7", f"say={_update('after')}", "serve"),
    ),
}

_JSON = {
    "huge-numbers": Misbehaviour(
        "asks under ids such as 2^63, 0.5 and 1e400, and tells of such numbers",
        (
            _PROMPT,
            *(
                step
                for number in ("9223372036854775808", "-0.5", "1e400", "1" * 400)
                for step in (f"say={_ask(number)}", f"hear={number}")
            ),
            "say=" + _update("after").replace('"type"', '"x":1e400,"y":-0,"type"'),
            "answer",
            "serve",
        ),
    ),
    "deep-nesting": Misbehaviour(
        "sends an update that is nested 100,000 deep",
        (_PROMPT, "nested=100000", f"say={_update('after')}", "answer", "serve"),
    ),
    "duplicate-keys": Misbehaviour(
        "names the session of an update twice, and the id of an answer",
        (
            _PROMPT,
            "say=" + _update("twice").replace('"update"', '"sessionId":"nobodys","update"'),
            f'say={{"jsonrpc":"2.0","id":$id,"id":$id,"result":{_TURN}}}',
            f"say={_update('once')}",
            "answer",
            "serve",
        ),
    ),
    "lone-surrogates": Misbehaviour(
        "tells of half a character",
        (_PROMPT, "say=" + _update(r"half \ud83d of it"), "answer", "serve"),
    ),
}

MISBEHAVIOURS: Mapping[str, Misbehaviour] = {
    **_FLOODS,
    **_STALLS,
    **_FRAMINGS,
    **_PIPES,
    **_PROCESSES,
    **_ANSWERS,
    **_ORDER,
    **_JSON,
}
"""All of them, by the word that a misbehaving agent is told."""
