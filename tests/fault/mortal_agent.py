"""A small agent that starts fast, and that the end of its relay does not end.

It answers at once, and says in a file of its own, below the directory that it is given, that it
lives. Each prompt is answered by three updates that name it; one that asks is followed by a request
for permission, and waits for the answer.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

ALLOW = {"optionId": "yes", "name": "Yes", "kind": "allow_once"}
_PATIENCE_S = 300  # long enough for any test, also where one fails and nobody ends this
REJECT = {"optionId": "no", "name": "No", "kind": "reject_once"}


def main(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    asked: dict[str, object] = {}
    for line in sys.stdin.buffer:
        message = json.loads(line)
        match message.get("method"):
            case "initialize":
                answer(message, {"protocolVersion": 1, "agentCapabilities": {"loadSession": True}})
            case "session/new":
                answer(message, {"sessionId": f"own-{os.getpid()}"})
            case "session/load":
                answer(message, {})
            case "session/prompt":
                text = message["params"]["prompt"][0]["text"]
                session_id = message["params"]["sessionId"]
                for number in range(3):
                    content = {"type": "text", "text": f"{text}/{number};"}
                    update = {"sessionUpdate": "agent_message_chunk", "content": content}
                    say(method="session/update", params={"sessionId": session_id, "update": update})
                if text.startswith("ask"):
                    asked[f"ask-{text}"] = message
                    call = {"toolCallId": text, "title": text, "kind": "edit"}
                    params = {"sessionId": session_id, "toolCall": call, "options": [ALLOW, REJECT]}
                    say(id=f"ask-{text}", method="session/request_permission", params=params)
                else:
                    answer(message, {"stopReason": "end_turn"})
            case None:
                answer(asked.pop(message["id"]), {"stopReason": "end_turn"})
    signal.alarm(_PATIENCE_S)
    signal.pause()  # the relay is gone, and this is not


def answer(request: Any, result: dict[str, Any]) -> None:
    say(id=request["id"], result=result)


def say(**message: object) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


main(Path(sys.argv[1]))
