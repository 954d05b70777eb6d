"""Holds every message that the relay itself makes in this process against the protocol's schema.

All that the relay says of its own accord is built by five functions of `acprelay.wire.messages`;
what it relays never passes through them. They are replaced, wherever they were imported, by ones
that look at the message, too. What an answer answers is known by its id, from the requests that
were read: where several had the same id, one that fits will do.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import pytest
from tests.conformance import schema

import acprelay
from acprelay.wire import envelope, messages

_ROOMS = ("runtime", "routing", "server", "compose")


class Ear:
    """Hears what the relay says of its own accord.

    Attributes:
        faults: What is wrong with it.
        kinds: What it was: methods, `result of METHOD`, `error CODE`.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.kinds: set[str] = set()
        self._asked: dict[str, set[str]] = {}
        self._ill: set[str] = set()

    def note(self, asked: envelope.Envelope) -> None:
        """Takes a message that somebody has sent to the relay."""
        if asked.kind is not envelope.MessageKind.REQUEST or not asked.id or not asked.method:
            return
        self.note_request(json.loads(asked.id), asked.method)
        if schema.knows(asked.method) and any(schema.faults_of_call(json.loads(asked.raw))):
            self._ill.add(asked.method)

    def note_request(self, request_id: object, method: str) -> None:
        """Knows which method an id will be the answer to."""
        self._asked.setdefault(json.dumps(request_id), set()).add(method)

    def hear(self, frame: bytes) -> None:
        """Takes a message that the relay has made."""
        message = json.loads(frame)
        self.faults += [f"{fault}: {frame[:500]!r}" for fault in self._judge(message)]

    def _judge(self, message: dict[str, Any]) -> Iterator[str]:
        if message.get("jsonrpc") != "2.0":
            yield "it does not say its version"
        if "method" in message:
            self.kinds.add(_kind_of_call(message))
            if message["method"] not in self._ill:  # it passes on what it was told
                yield from schema.faults_of_call(_without_words_of_others(message))
        elif "error" in message:
            self.kinds.add(f"error {message['error']['code']}")
            yield from schema.faults_of_error(message["error"])
        else:
            yield from self._judge_result(message)

    def _judge_result(self, message: dict[str, Any]) -> Iterator[str]:
        methods = self._asked.get(json.dumps(message["id"]), set())
        faults = []
        for method in methods:
            found = list(schema.faults_of_result(method, message["result"]))
            if not found:
                self.kinds.add(f"result of {method}")
                return
            faults += found
        yield from faults


def _kind_of_call(message: dict[str, Any]) -> str:
    method = str(message["method"])
    if method == "session/update":
        return f"{method} {message['params'].get('update', {}).get('sessionUpdate')}"
    return method


def _without_words_of_others(message: dict[str, Any]) -> dict[str, Any]:
    """Leaves out blocks and servers that are none: what users say may be anything."""
    params = dict(message.get("params", {}))
    for name, kind in (("prompt", "ContentBlock"), ("mcpServers", "McpServer")):
        if isinstance(params.get(name), list):
            params[name] = [each for each in params[name] if schema.fits(kind, each)]
    update = params.get("update", {})
    is_prompt = update.get("sessionUpdate") == "user_message_chunk"
    if is_prompt and not schema.fits("ContentBlock", update.get("content")):
        params["update"] = {**update, "content": {"type": "text", "text": ""}}
    return {**message, "params": params} if "params" in message else message


class Wire:
    """Stands in for the functions, and lets an ear hear what they make."""

    def __init__(self) -> None:
        self.ear: Ear | None = None

    def heard(self, build: Callable[..., bytes]) -> Callable[..., bytes]:
        """Gives what builds a message and lets it be heard."""

        def built(*args: Any, **named: Any) -> bytes:
            frame = build(*args, **named)
            if self.ear is not None:
                self.ear.hear(frame)
            return frame

        return built

    def noted(self, peek: Callable[[bytes], envelope.Envelope]) -> Callable[..., envelope.Envelope]:
        """Gives what reads a message and lets it be noted."""

        def peeked(frame: bytes) -> envelope.Envelope:
            read = peek(frame)
            if self.ear is not None:
                self.ear.note(read)
            return read

        return peeked


@contextmanager
def listening() -> Iterator[Wire]:
    """Replaces the functions wherever they were imported."""
    wire = Wire()
    builders = (
        *(messages.request, messages.notification, messages.session_notification),
        *(messages.response, messages.error_response),
    )
    replacements: dict[object, object] = {build: wire.heard(build) for build in builders}
    replacements[envelope.peek] = wire.noted(envelope.peek)
    with pytest.MonkeyPatch.context() as patch:
        for module in _modules():
            for name, value in list(vars(module).items()):
                if isinstance(value, FunctionType) and value in replacements:
                    patch.setattr(module, name, replacements[value])
        yield wire


def _modules() -> list[Any]:
    for room in _ROOMS:
        package = importlib.import_module(f"acprelay.{room}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)
    return [module for name, module in sys.modules.items() if name.startswith(acprelay.__name__)]


@pytest.fixture(scope="session")
def tapped_wire() -> Iterator[Wire]:
    """Where what the relay says can be heard."""
    with listening() as wire:
        yield wire


@pytest.fixture(autouse=True)
def ear(tapped_wire: Wire) -> Iterator[Ear]:
    """Fails a test during which the relay said something that the protocol does not know."""
    one = tapped_wire.ear = Ear()
    yield one
    tapped_wire.ear = None
    if one.faults:
        pytest.fail("\n".join(one.faults), pytrace=False)
