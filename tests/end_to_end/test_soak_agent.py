"""The soak's agent: it counts as ordered, asks now and then, and says what became of that."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from acprelay.testing.soak.agent import SESSION_ID, SoakAgent
from acprelay.testing.soak.payload import Order, read

Message = dict[str, Any]


class Talk:
    """Both ends of an agent that runs in a thread."""

    def __init__(self) -> None:
        source, self._to_agent = os.pipe()
        from_agent, sink = os.pipe()
        self._said = os.fdopen(from_agent, "rb")
        self._ends = (source, sink)
        agent = SoakAgent(source=source, sink=sink)

        def serve() -> None:
            with suppress(EOFError):
                agent.serve()

        self._thread = threading.Thread(target=serve)
        self._thread.start()

    def say(self, message: Message) -> None:
        os.write(self._to_agent, json.dumps(message).encode() + b"\n")

    def hear(self) -> Message:
        message: Message = json.loads(self._said.readline())
        return message

    def call(self, method: str) -> Message:
        self.say({"id": method, "method": method, "params": {}})
        return self.hear()

    def prompt(self, order: Order) -> None:
        block = {"type": "text", "text": order.text}
        params = {"sessionId": SESSION_ID, "prompt": [block]}
        self.say({"id": 1, "method": "session/prompt", "params": params})

    def close(self) -> None:
        os.close(self._to_agent)
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._said.close()
        for end in self._ends:
            os.close(end)


@pytest.fixture
def talk() -> Iterator[Talk]:
    talk = Talk()
    yield talk
    talk.close()


def test_it_offers_what_a_relay_can_restore(talk: Talk) -> None:
    capabilities = talk.call("initialize")["result"]["agentCapabilities"]
    assert capabilities["loadSession"] is True
    assert talk.call("session/new")["result"] == {"sessionId": SESSION_ID}
    assert talk.call("session/resume")["result"] == {}
    assert talk.call("fs/read_text_file")["error"]["code"] == -32601


@pytest.mark.parametrize("rate", [0, 100_000])
def test_it_counts_as_far_as_it_is_told(talk: Talk, rate: int) -> None:
    talk.prompt(Order("t", 300, rate))
    numbers = []
    while "result" not in (message := talk.hear()):
        found = read(json.dumps(message["params"]["update"], separators=(",", ":")).encode())
        assert found is not None
        numbers.append(found[0].number)
    assert numbers == list(range(1, 301))
    assert message["result"]["_meta"]["soak"]["written"] == 300


@pytest.mark.parametrize(
    ("answer", "counted"),
    [
        ({"outcome": {"outcome": "selected", "optionId": "go"}}, "answered"),
        ({"outcome": {"outcome": "selected", "optionId": "other"}}, "wrong"),
        ({"outcome": {"outcome": "cancelled"}}, "cancelled"),
    ],
)
def test_it_asks_and_counts_how_it_was_answered(talk: Talk, answer: Message, counted: str) -> None:
    talk.prompt(Order("t", 4, asks=4))
    while (message := talk.hear()).get("method") != "session/request_permission":
        assert message["method"] == "session/update"
    talk.say({"id": "nobody's", "result": {}})
    talk.say({"id": message["id"], "result": answer})
    told = talk.hear()["result"]["_meta"]["soak"]
    assert (told["asked"], told[counted]) == (1, 1)


def test_it_stops_when_it_is_told_to(talk: Talk) -> None:
    talk.prompt(Order("t", 10, 1))
    assert talk.hear()["method"] == "session/update"
    talk.say({"method": "session/cancel", "params": {"sessionId": SESSION_ID}})
    while "result" not in (message := talk.hear()):
        pass
    assert message["result"]["stopReason"] == "cancelled"
