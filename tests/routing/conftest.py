"""A conversation in which a test plays every peer."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from acprelay.routing.attachment import Attachment
from acprelay.routing.conversation import Conversation
from acprelay.routing.events import OpeningRefused, SessionOpened
from acprelay.routing.log import PublicLog
from acprelay.routing.publisher import Publisher
from acprelay.routing.requests import AskLedger, RequestLedger
from acprelay.wire import OversizedFrame, peek
from acprelay.wire.envelope import MessageKind
from acprelay.wire.websocket import walk

ALL = 1 << 40
"""A limit that no test reaches."""


class Scene:
    """Says what a test tells a peer to say, and gives what each peer was given, as bytes.

    The session is `s:main` to clients and `own` to the agent `coder`; its log's generation is `g`.
    """

    def __init__(self, *, history_bytes: int = ALL) -> None:
        self.log = PublicLog(generation="g", history_bytes=history_bytes)
        self.conversation = Conversation(
            agent_name="coder",
            publisher=Publisher(public_id="s:main", log=self.log),
            asks=AskLedger(prefix="g"),
            requests=RequestLedger(),
            max_frame=1000,
        )
        self.clients: dict[str, Attachment] = {}

    def join(self, *names: str) -> None:
        """Attaches clients; they are given nothing yet."""
        for name in names:
            self.clients[name] = Attachment(id=name, log=self.log, cursor=self.log.head)
            self.conversation.attach(self.clients[name])

    def open(self, *names: str) -> None:
        """Brings the session up for these clients; what that took is behind them."""
        self.join(*names)
        self.client(names[0], b'{"id":"new","method":"session/new","params":{}}')
        self.agent(b'{"id":1,"result":{"sessionId":"own"}}')
        [opened] = self.events()
        assert isinstance(opened, SessionOpened)
        for name in names:
            self.clients[name].admit(opened.reply)
            self.gets(name)
        self.agent_gets()

    def agent(self, *said: bytes | OversizedFrame) -> None:
        """The agent writes lines, some perhaps over the limit, in one batch."""
        lines: list[bytes] = []
        oversized: list[OversizedFrame] = []
        for each in said:
            if isinstance(each, bytes):
                lines.append(each)
            else:
                oversized.append(replace(each, index=len(lines)))
        self.conversation.receive_agent(lines, oversized)

    def client(self, name: str, said: bytes) -> bool:
        """A client says something; tells whether an answer was one that was waited for."""
        envelope = peek(said)
        if envelope.kind is MessageKind.RESPONSE:
            return self.conversation.receive_ask_answer(name, envelope)
        self.conversation.receive_client(name, envelope)
        return True

    def agent_gets(self) -> list[bytes]:
        """What the agent is written now, line by line."""
        output = self.conversation.take_agent_output()
        assert output == b"" or output.endswith(b"\n")
        return output.split(b"\n")[:-1]

    def gets(self, name: str, limit: int = ALL) -> list[bytes]:
        """What a client is written now, message by message."""
        blob = b"".join(self.clients[name].take(limit))
        return [blob[start:stop] for _, start, stop in walk(blob)]

    def events(self) -> list[SessionOpened | OpeningRefused]:
        """What has happened."""
        return self.conversation.take_events()

    @staticmethod
    def said(text: str) -> bytes:
        """An update, as the agent writes it."""
        return (
            b'{"jsonrpc":"2.0","method":"session/update","params":'
            b'{"sessionId":"own","update":{"text":%b}}}' % json.dumps(text).encode()
        )

    @staticmethod
    def seen(seq: int, text: str) -> bytes:
        """The same, as clients get it."""
        return (
            b'{"jsonrpc":"2.0","method":"session/update","params":'
            b'{"sessionId":"s:main","update":{"text":%b},'
            b'"_meta":{"acprelay":{"generation":"g","seq":%d}}}}' % (json.dumps(text).encode(), seq)
        )


@pytest.fixture
def scene() -> Scene:
    """Nobody is there yet."""
    return Scene()


@pytest.fixture
def open_scene(scene: Scene) -> Scene:
    """Ann has opened the session, and Bob is there too."""
    scene.open("ann", "bob")
    return scene


@pytest.fixture
def forgetful_scene() -> Scene:
    """Ann and Bob are there, and the log keeps nothing for latecomers but its last run."""
    scene = Scene(history_bytes=0)
    scene.open("ann", "bob")
    return scene
