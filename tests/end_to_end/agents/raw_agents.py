"""Small agents without any package; the first argument chooses one, the others are its own.

They write what a well-behaved library would not. They are programs, started by a relay.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Iterator
from typing import Any

from acprelay.testing import misbehaving_agent
from acprelay.testing.misbehaving_agent import MisbehavingAgent

Message = dict[str, Any]


def write(data: bytes) -> None:
    """Writes to stdout, at once and whole."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


def send(message: Message) -> None:
    """Writes a message as one line; members stay in the order they have."""
    write(json.dumps(message).encode() + b"\n")


def receive() -> Message:
    """Reads a message; at the end of stdin the program ends."""
    line = sys.stdin.buffer.readline()
    if not line:
        sys.exit(0)
    message: Message = json.loads(line)
    return message


def update(text: str, session_id: str) -> Message:
    """A piece of an answer."""
    return {
        "jsonrpc": "2.0",
        "method": "session/update",
        "params": {
            "sessionId": session_id,
            "update": {
                "sessionUpdate": "agent_message_chunk",
                "content": {"type": "text", "text": text},
            },
        },
    }


def answer(request: Message, result: object) -> None:
    """Answers a request."""
    send({"jsonrpc": "2.0", "id": request["id"], "result": result})


def prompts(session_id: str) -> Iterator[Message]:
    """Serves a session; gives each prompt with its text in `text`, for somebody else to answer."""
    while True:
        request = receive()
        match request.get("method"):
            case "initialize":
                answer(request, {"protocolVersion": 1})
            case "session/new":
                answer(request, {"sessionId": session_id})
            case "session/prompt":
                yield {**request, "text": request["params"]["prompt"][0]["text"]}


def counting() -> None:
    """Asks with ids from 0 upwards and with ids that are UUIDs, `id` being the last member."""
    next_id = 0
    for prompt in prompts("counting"):
        for own_id in (next_id, str(uuid.uuid4())):
            send(
                {
                    "method": "_test/question",
                    "params": {"sessionId": "counting", "number": next_id},
                    "jsonrpc": "2.0",
                    "id": own_id,
                }
            )
            reply = receive()
            assert type(reply["id"]) is type(own_id), reply
            assert reply["id"] == own_id, reply
            send(update(f"{reply['result']['text']} ", "counting"))
            next_id += 1
        send({"result": {"stopReason": "end_turn"}, "jsonrpc": "2.0", "id": prompt["id"]})


def firehose() -> None:
    """Answers `COUNT WIDTH` with so many numbered updates of that width, in big batches."""
    head, tail = json.dumps(update("|", "firehose")).encode().split(b"|")
    for prompt in prompts("firehose"):
        count, width = map(int, prompt["text"].split())
        for start in range(0, count, 200):
            numbers = range(start, min(count, start + 200))
            write(b"".join(b"%s%0*d%s\n" % (head, width, number, tail) for number in numbers))
        answer(prompt, {"stopReason": "end_turn"})


def parrot() -> None:
    """Writes what the prompt's text is, in hexadecimal digits, to stdout, and ends the turn."""
    for prompt in prompts("parrot"):
        write(bytes.fromhex(prompt["text"]))
        answer(prompt, {"stopReason": "end_turn"})


def clumsy() -> None:
    """Says too much: in an update, as the answer to a prompt, or in a request of its own."""
    size = int(sys.argv[2])
    for prompt in prompts("clumsy"):
        match prompt["text"]:
            case "update":
                send(update("x" * size, "clumsy"))
            case "answer":
                answer(prompt, {"stopReason": "end_turn", "_meta": {"x": "x" * size}})
                continue
            case "request":
                params = {"sessionId": "clumsy", "x": "x" * size}
                send({"jsonrpc": "2.0", "id": 0, "method": "_test/question", "params": params})
                send(update(json.dumps(receive()), "clumsy"))
        answer(prompt, {"stopReason": "end_turn"})


def hesitant() -> None:
    """Stays silent from a chosen moment on: before `initialize`, `session/new` or `session/prompt`.

    Its further arguments are steps of a misbehaving agent, which it takes first. It says what it is
    asked over the socket that the step `hold=PATH` connects.
    """
    agent = take_steps(sys.argv[3:])
    while True:
        request = receive()
        method = request.get("method")
        agent.take(f"tell={method}")
        if method == sys.argv[2]:
            agent.take("linger")
        elif method == "initialize":
            answer(request, {"protocolVersion": 1})
        elif method == "session/new":
            answer(request, {"sessionId": "hesitant"})
        elif method == "session/prompt":
            answer(request, {"stopReason": "end_turn"})


def parent() -> None:
    """Takes the steps of a misbehaving agent, then serves."""
    take_steps(sys.argv[2:])
    for prompt in prompts("parent"):
        answer(prompt, {"stopReason": "end_turn"})


def needing() -> None:
    """Asks for what a prompt says, one thing after another, and says what it is answered.

    A prompt is a JSON list of methods and params. In these, `$terminal` is the terminal that was
    made last. `$cancel` in place of a method withdraws the request before; `$exit` ends the
    program. An empty list has it say what it was promised.
    """
    promised: Message = {}
    while True:
        request = receive()
        match request.get("method"):
            case "initialize":
                promised = request["params"]["clientCapabilities"]
                answer(request, {"protocolVersion": 1})
            case "session/new":
                answer(request, {"sessionId": "needing"})
            case "session/prompt":
                needs = json.loads(request["params"]["prompt"][0]["text"])
                for said in ask_for(needs) if needs else [promised]:
                    send(update(json.dumps(said) + "\n", "needing"))
                answer(request, {"stopReason": "end_turn"})


def ask_for(needs: list[tuple[str, Message]]) -> Iterator[object]:
    """Asks for one thing after another; gives the results and the errors."""
    terminal = None
    for number, (method, params) in enumerate(needs, start=100):
        if method == "$exit":
            sys.exit(3)
        filled = {key: terminal if it == "$terminal" else it for key, it in params.items()}
        is_cancelled = needs[number - 99 :][:1] == [["$cancel", {}]]
        if method != "$cancel":
            filled = {"sessionId": "needing", **filled}
            send({"jsonrpc": "2.0", "id": number, "method": method, "params": filled})
        if is_cancelled:
            cancelled = {"requestId": number}
            send({"jsonrpc": "2.0", "method": "$/cancel_request", "params": cancelled})
        if method != "$cancel":
            said = receive()
            assert said["id"] == number, said
            yield said.get("result", said.get("error"))
            terminal = (said.get("result") or {}).get("terminalId", terminal)


def take_steps(steps: list[str]) -> MisbehavingAgent:
    """Misbehaves as told."""
    agent = MisbehavingAgent(program=misbehaving_agent.__file__)
    for step in steps:
        agent.take(step)
    return agent


if __name__ == "__main__":
    for program in (counting, firehose, parrot, clumsy, hesitant, parent, needing):
        if program.__name__ == sys.argv[1]:
            program()
