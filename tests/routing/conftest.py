"""A conversation in which a test plays every peer."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from acprelay.errors import RelayError
from acprelay.routing.access import LOCAL, Grant, including
from acprelay.routing.attachment import Attachment
from acprelay.routing.building import Rules, build_conversation
from acprelay.routing.events import AskDecided, Event, TurnEnded, TurnEvent, TurnStarted
from acprelay.routing.frames import cancel_request, error_fields, error_reply
from acprelay.routing.log_memory import MemoryLog
from acprelay.routing.snapshot import Snapshot
from acprelay.wire import MessageKind, OversizedFrame, peek, walk

ALL = 1 << 40
"""A limit that no test reaches."""

RULES = Rules(max_frame=1000)


class Scene:
    """Says what a test tells a peer to say, and gives what each peer was given, as bytes.

    The session is `s:main` to clients and `own` to the agent `coder`; its log's generation is `g`.
    A client's attachment has the client's name, and the secret `<name>'s`.

    Attributes:
        grants: What clients may do; everything where it does not say.
        principals: Whose clients they are; one and the same principal's where it does not say.
    """

    def __init__(
        self, *, history_bytes: int = ALL, rules: Rules = RULES, agent: str = "coder"
    ) -> None:
        self.log = MemoryLog(generation="g", history_bytes=history_bytes)
        self.snapshot = Snapshot()
        self.conversation = build_conversation(
            public_id="s:main",
            prefix="g",
            agent=agent,
            role="main",
            cwd="/home/me",
            log=self.log,
            snapshot=self.snapshot,
            rules=rules,
        )
        self.presence = self.conversation.presence
        self.clients: dict[str, Attachment] = {}
        self.grants: dict[str, set[Grant]] = {}
        self.principals: dict[str, str] = {}
        self.now = 0.0
        self.turn_events: list[TurnEvent] = []

    # -- the beginning

    def make(self, name: str) -> Attachment:
        """Makes a client's attachment, which nobody knows yet."""
        self.clients[name] = Attachment(
            id=name,
            secret=f"{name}'s",
            session_id="s:main",
            log=self.log,
            cursor=0,
            principal=self.principals.get(name, LOCAL.id),
            grants=including(self.grants.get(name, LOCAL.grants)),
        )
        return self.clients[name]

    def join(self, *names: str) -> None:
        """Brings clients in, at the head of the log; the reply to that is behind them."""
        for name in names:
            self.presence.attach(self.make(name), b"0", after=self.presence.locate(self.place))
            self.gets(name)

    def open(self, *names: str) -> None:
        """Brings these clients in, and begins a run; what that took is behind them."""
        self.join(*names)
        self.conversation.begin_run("own", last_id=1)
        self.events()

    @property
    def place(self) -> str:
        """The log's head, as clients name it."""
        return str(self.log.position(self.log.head))

    # -- what peers do

    def agent(self, *said: bytes | OversizedFrame) -> None:
        """The agent writes lines, some perhaps over the limit, in one batch."""
        lines: list[bytes] = []
        oversized: list[OversizedFrame] = []
        for each in said:
            if isinstance(each, bytes):
                lines.append(each + b"\n")
            else:
                oversized.append(replace(each, index=len(lines)))
        self.conversation.receive_agent(lines, oversized, now=self.now)
        self.conversation.publish()

    def client(self, name: str, said: bytes) -> bool:
        """A client says something; tells whether an answer was one that was waited for."""
        envelope = peek(said)
        if envelope.kind is MessageKind.RESPONSE:
            taken = self.conversation.receive_ask_answer(name, envelope, now=self.now)
            self.conversation.answers_received()
            return taken
        self.conversation.receive_client(name, envelope, now=self.now)
        self.conversation.publish()
        return True

    def cancels(self, name: str, request_id: bytes) -> bool:
        """A client sends `$/cancel_request`; tells whether that request is in flight."""
        return self.conversation.cancel_client_request(name, request_id, now=self.now)

    def loses(self, *names: str) -> None:
        """Clients' connections are lost."""
        for name in names:
            self.presence.lose(name, now=self.now)

    def run_ends(self, error: RelayError) -> None:
        """The run is over."""
        self.conversation.end_run(error, now=self.now)

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
        self.conversation.tick(self.now)

    # -- what peers are given

    def agent_gets(self) -> list[bytes]:
        """What the agent is written now, line by line."""
        lines: list[bytes] = []
        while (output := self.conversation.take_agent_output()) is not None:
            assert output.lines.endswith(b"\n")
            lines += output.lines.split(b"\n")[:-1]
        return lines

    def gets(self, name: str, limit: int = ALL) -> list[bytes]:
        """What a client is written now, message by message."""
        blob = b"".join(self.clients[name].take(limit))
        return [blob[start:stop] for _, start, stop in walk(blob)]

    def reads(self, name: str, limit: int = ALL) -> list[Any]:
        """The same, read."""
        return list(map(json.loads, self.gets(name, limit)))

    def log_has(self, after: int = 0) -> list[bytes]:
        """What the log holds, message by message."""
        blob = b"".join(self.log.read(after, upto=self.log.head, limit=ALL)[0])
        return [blob[start:stop] for _, start, stop in walk(blob)]

    def events(self) -> list[Event]:
        """What has happened, but for turns and the decisions about permissions."""
        kept: list[Event] = []
        for event in self.conversation.take_events():
            if isinstance(event, (TurnStarted, TurnEnded)):
                self.turn_events.append(event)
            elif not isinstance(event, AskDecided):
                kept.append(event)
        return kept

    # -- what is said

    @staticmethod
    def said(text: str) -> bytes:
        """An update, as the agent writes it."""
        return (
            b'{"jsonrpc":"2.0","method":"session/update","params":'
            b'{"sessionId":"own","update":{"text":%b}}}' % json.dumps(text).encode()
        )

    @staticmethod
    def seen(seq: int, text: str, *, in_turn: bool = True) -> bytes:
        """The same, as clients get it."""
        return (
            b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s:main",'
            b'"update":{"text":%b},"_meta":{"acprelay":%b}}}'
            % (json.dumps(text).encode(), stamp(seq, in_turn=in_turn))
        )


def stamp(seq: int, *, in_turn: bool) -> bytes:
    """The relay's mark on an entry of the log."""
    return b'{"generation":"g","seq":%d%b}' % (seq, b"" if in_turn else b',"outOfTurn":true')


def marked(method: str, seq: int, fields: str, *, in_turn: bool = True) -> bytes:
    """A marker in the log, as clients get it; `fields` is JSON without its braces."""
    return (
        b'{"jsonrpc":"2.0","method":"_acprelay/%b","params":'
        b'{"sessionId":"s:main",%b,"_meta":{"acprelay":%b}}}'
        % (method.encode(), fields.encode(), stamp(seq, in_turn=in_turn))
    )


def started(seq: int, turn: str) -> bytes:
    """The marker of a turn's start."""
    return marked("turn_started", seq, f'"turn":"{turn}"')


def ended(seq: int, turn: str, rest: str = '"outcome":"ended","stopReason":"end_turn"') -> bytes:
    """The marker of a turn's end."""
    return marked("turn_ended", seq, f'"turn":"{turn}",{rest}')


def failed(seq: int, turn: str, error: RelayError) -> bytes:
    """The marker of a turn that came to nothing."""
    said = json.dumps(error_fields(error), separators=(",", ":"))
    return ended(seq, turn, f'"outcome":"failed","error":{said}')


def noticed(seq: int, error: RelayError, *, in_turn: bool) -> bytes:
    """A notice in the log."""
    said = json.dumps(error_fields(error), separators=(",", ":"))
    return marked("notice", seq, said[1:-1], in_turn=in_turn)


def refused(request_id: bytes, error: RelayError) -> bytes:
    """The reply to a request that failed."""
    return error_reply(request_id, error)


def closed(ask_id: bytes) -> bytes:
    """What a client is told of an ask that others have settled."""
    return cancel_request(ask_id)


@pytest.fixture
def scene() -> Scene:
    """Nobody is there yet, and no run serves."""
    return Scene()


@pytest.fixture
def open_scene(scene: Scene) -> Scene:
    """Ann and Bob are there, and a run serves; nothing was said yet."""
    scene.open("ann", "bob")
    return scene


@pytest.fixture
def dormant_scene(scene: Scene) -> Scene:
    """Ann and Bob are there, and no run serves."""
    scene.join("ann", "bob")
    return scene
