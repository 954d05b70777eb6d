"""An agent that tells, in each answer, all that it was ever sent; whatever else it is asked: null.

It is a program, started by a relay, and may be asked to load sessions of its earlier processes.
"""

from __future__ import annotations

import json
import sys
from typing import Any

Message = dict[str, Any]

OWN_SESSION = "own-session-of-the-agent"
CAPABILITIES = {"loadSession": True}


def send(message: Message) -> None:
    """Writes a message as one line."""
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def tell(heard: list[Message]) -> None:
    """Says what was heard."""
    content = {"type": "text", "text": json.dumps(heard)}
    update = {"sessionUpdate": "agent_message_chunk", "content": content}
    params = {"sessionId": OWN_SESSION, "update": update}
    send({"method": "session/update", "params": params})


def result_of(method: str) -> Message | None:
    """What the agent answers."""
    match method:
        case "initialize":
            return {"protocolVersion": 1, "agentCapabilities": CAPABILITIES}
        case "session/new":
            return {"sessionId": OWN_SESSION}
    return None


def main() -> None:
    """Serves until its input ends."""
    heard: list[Message] = []
    for line in sys.stdin:
        message: Message = json.loads(line)
        heard.append(message)
        if message.get("method") == "session/prompt":
            tell(heard)
        if "id" in message and "method" in message:
            send({"id": message["id"], "result": result_of(message["method"])})


if __name__ == "__main__":
    main()
