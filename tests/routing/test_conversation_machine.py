"""A conversation under any interleaving of what its peers say, against a plain model of it.

The model keeps a list of what each client is due and of what the agent is due, in the order in
which things were said, and writes every frame itself. After each step the agent has been given
exactly its list, and each client a beginning of its own; after the last one, all of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from acprelay.errors import (
    AgentExited,
    FrameTooLarge,
    InvalidRequest,
    MethodNotFound,
    RelayError,
    RequestCancelled,
)
from acprelay.routing.attachment import Attachment
from acprelay.routing.conversation import Conversation
from acprelay.routing.events import OpeningRefused, SessionOpened
from acprelay.routing.frames import cancel_request, error_reply, notice
from acprelay.routing.log import PublicLog
from acprelay.routing.publisher import Publisher
from acprelay.routing.requests import AskLedger, RequestLedger
from acprelay.wire import OversizedFrame, peek, text_frame
from acprelay.wire.websocket import walk

MAX_FRAME = 1000
EXITED = AgentExited(agent="coder", status="exit status 3")

REQUEST_IDS = [b"1", b'"1"', b"1.0"]
METHODS = [b"session/prompt", b"session/set_mode"]
ASK_METHODS = [b"session/request_permission", b"_vendor/ask", b"fs/read_text_file"]
NOISE = [b"Loading ...", b"[]", b'{"level":"info"}', b"\xff"]
VALUES = [
    b"{}",
    b"null",
    b'"a"',
    b'{"t":"}}]\\u00e9\\""}',
    b'"\xc3\xa9"',
    b'[1.0,{"sessionId":"own","_meta":{"acprelay":1}}]',
    b'"%b"' % (b"x" * 200),
]


class Shape(NamedTuple):
    """A notification as the agent writes it and as clients get it, with gaps."""

    line: bytes
    seen: bytes

    def write(self, value: bytes) -> bytes:
        return self.line.replace(b"<value>", value)

    def deliver(self, value: bytes, seq: int) -> bytes:
        meta = b'"_meta":{"acprelay":{"generation":"g","seq":%d}}' % seq
        sub = b'"_meta":{"acprelay":{"generation":"g","seq":%d,"agentSessionId":"own/sub"}}' % seq
        return self.seen.replace(b"<meta>", meta).replace(b"<sub>", sub).replace(b"<value>", value)


SHAPES = [
    Shape(
        b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"own","update":<value>}}',
        b'{"jsonrpc":"2.0","method":"session/update","params":'
        b'{"sessionId":"s:main","update":<value>,<meta>}}',
    ),
    Shape(
        b'{"method": "session/update", "params": {"a": 1, "sessionId": "own", "u": <value> } } ',
        b'{"method": "session/update", "params":'
        b' {"a": 1, "sessionId": "s:main", "u": <value> ,<meta>} } ',
    ),
    Shape(
        b'{"method":"session/update","params":{"update":<value>,"sessionId":"own"},"x":1.0}',
        b'{"method":"session/update","params":{"update":<value>,"sessionId":"s:main",<meta>},"x":1.0}',
    ),
    Shape(
        b'{"method":"session/update","params":'
        b'{"_meta":{"acprelay":<value>},"sessionId":"own","update":<value>}}',
        b'{"method":"session/update","params":{<meta>,"sessionId":"s:main","update":<value>}}',
    ),
    Shape(
        b'{"method":"session/update","params":{"sessionId":"own/sub","update":<value>}}',
        b'{"method":"session/update","params":{"sessionId":"s:main","update":<value>,<sub>}}',
    ),
    Shape(
        b'{"method":"_vendor/x","params":{"v":<value>}}',
        b'{"method":"_vendor/x","params":{"v":<value>,<meta>}}',
    ),
]


@dataclass
class Client:
    """A client, and what it is due in order."""

    attachment: Attachment
    begins_after: int
    due: list[bytes] = field(default_factory=list)
    taken: int = 0
    is_admitted: bool = False

    @property
    def waiting(self) -> list[bytes]:
        return self.due[self.taken :]


class Asked(NamedTuple):
    """A request in flight, or an open ask: whose it is, and how they call it."""

    client: str
    id: bytes
    method: bytes


Deliver = Callable[[int], bytes]
"""Writes an entry of the log as clients get it, given its number."""

Step = tuple[str, int]
"""What the agent does, and a number that chooses among the ways to do it."""

agent_steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["update", "update", "burst", "noise", "answer", "ask", "withdraw", "oversized"]
        ),
        st.integers(0, 300),
    ),
    min_size=1,
    max_size=8,
)
names = st.sampled_from(["ann", "bob", "cat"])
numbers = st.integers(0, 20)


class ConversationMachine(RuleBasedStateMachine):
    """What the peers do, each in its own time."""

    @initialize(history_bytes=st.sampled_from([0, 500, 1 << 30]))
    def begin(self, history_bytes: int) -> None:
        self.log = PublicLog(generation="g", history_bytes=history_bytes)
        self.conversation = Conversation(
            agent_name="coder",
            publisher=Publisher(public_id="s:main", log=self.log),
            asks=AskLedger(prefix="g"),
            requests=RequestLedger(),
            max_frame=MAX_FRAME,
        )
        self.clients: dict[str, Client] = {}
        self.requests: dict[bytes, Asked] = {}
        self.asks: dict[bytes, Asked] = {}
        self.minted = self.asked = self.seq = 0
        self.noise = self.dropped = 0
        self.early: list[tuple[bytes, Deliver | None]] = []
        self.to_agent: list[bytes] = []
        self.events: list[SessionOpened | OpeningRefused] = []
        self.is_open = self.is_over = False
        self.say: dict[str, Callable[[int], bytes]] = {
            "noise": self.say_noise,
            "open": self.say_opened,
            "answer": self.say_answer,
            "ask": self.say_ask,
            "withdraw": self.say_withdrawn,
        }
        self.attach("ann")
        self.ask_agent("ann", b"new", b"session/new")

    # -- the clients

    @rule(name=names)
    def attach(self, name: str) -> None:
        if name not in self.clients:
            attachment = Attachment(id=name, log=self.log, cursor=self.log.head)
            self.conversation.attach(attachment)
            self.clients[name] = Client(attachment, self.log.head)

    @rule(name=names)
    def admit(self, name: str) -> None:
        client = self.clients.get(name)
        if client and not client.is_admitted and self.is_open:
            client.attachment.admit(b"{}")
            client.due.insert(0, b"{}")
            client.is_admitted = True

    @precondition(lambda self: self.is_open)
    @rule(name=names)
    def detach(self, name: str) -> None:
        if name not in self.clients:
            return
        self.conversation.detach(name)
        del self.clients[name]
        self.requests = {m: r for m, r in self.requests.items() if r.client != name}
        heir = next(iter(self.clients), None)
        for ask_id, ask in list(self.asks.items()):
            if ask.client == name and heir:
                self.asks[ask_id] = ask._replace(client=heir)
                self.tell(heir, ask_frame(ask_id, ask.method))
            elif ask.client == name:
                del self.asks[ask_id]
                self.to_agent.append(unanswered(ask))

    @rule(name=names, choice=numbers, method=st.sampled_from(METHODS))
    def request(self, name: str, choice: int, method: bytes) -> None:
        if name in self.clients and self.is_open:
            self.ask_agent(name, REQUEST_IDS[choice % len(REQUEST_IDS)], method)

    def ask_agent(self, name: str, request_id: bytes, method: bytes) -> None:
        frame = b'{"id":%b,"method":"%b","params":{"sessionId":"s:main"}}'
        if method == b"session/new":
            frame = b'{"id":"%b","method":"%b","params":{}}'
        said = peek(frame % (request_id, method))
        asked = Asked(name, said.id or b"", method)
        if self.is_over:
            with pytest.raises(AgentExited):
                self.conversation.receive_client(name, said)
        elif any(other[:2] == asked[:2] for other in self.requests.values()):
            with pytest.raises(InvalidRequest):
                self.conversation.receive_client(name, said)
        else:
            self.conversation.receive_client(name, said)
            self.minted += 1
            self.requests[b"%d" % self.minted] = asked
            line = said.raw.replace(b'"id":%b' % asked.id, b'"id":%d' % self.minted)
            self.to_agent.append(line.replace(b"s:main", b"own"))

    @precondition(lambda self: self.is_open)
    @rule(name=names, choice=numbers)
    def answer_ask(self, name: str, choice: int) -> None:
        known = [*self.asks, b'"g-0"']
        ask_id = known[choice % len(known)]
        ask = self.asks.get(ask_id)
        counts = ask is not None and ask.client == name
        said = b'{"result": {"a":1.0} , "id" : %b}'
        assert self.conversation.receive_ask_answer(name, peek(said % ask_id)) is counts
        if ask is not None and counts:
            del self.asks[ask_id]
            self.to_agent.append(said % ask.id)

    @rule(name=names, choice=numbers)
    def cancel_request(self, name: str, choice: int) -> None:
        request_id = [*REQUEST_IDS, b'"new"'][choice % 4]
        minted = [m for m, r in self.requests.items() if r[:2] == (name, request_id)]
        assert self.conversation.cancel_client_request(name, request_id) is bool(minted)
        self.to_agent += [cancel_request(each) for each in minted]

    @rule(name=names, limit=st.integers(1, 2000))
    def take(self, name: str, limit: int) -> None:
        if name in self.clients:
            self.take_some(self.clients[name], limit)

    def take_some(self, client: Client, limit: int) -> None:
        blob = b"".join(client.attachment.take(limit))
        taken = [blob[start:stop] for _, start, stop in walk(blob)]
        assert taken == client.waiting[: len(taken)]
        assert bool(taken) is (client.is_admitted and bool(client.waiting))
        client.taken += len(taken)

    # -- the agent

    @rule(before=agent_steps, after=agent_steps)
    def open_session(self, before: list[Step], after: list[Step]) -> None:
        self.agent([*before, ("open", 0), *after])

    @rule(steps=agent_steps)
    def agent_writes(self, steps: list[Step]) -> None:
        self.agent(steps)

    def agent(self, steps: list[Step]) -> None:
        lines: list[bytes] = []
        oversized: list[OversizedFrame] = []
        for kind, choice in steps:
            if kind == "oversized":
                oversized.append(self.say_too_much(choice, index=len(lines)))
            elif kind == "burst":
                lines += [self.say_update(choice, value) for value in VALUES * 3]
            elif kind == "update":
                lines.append(self.say_update(choice, VALUES[choice % len(VALUES)]))
            else:
                lines.append(self.say[kind](choice))
        self.conversation.receive_agent(lines, oversized)

    def say_update(self, choice: int, value: bytes) -> bytes:
        shape = SHAPES[choice % len(SHAPES)]
        return self.notify(shape.write(value), lambda seq: shape.deliver(value, seq))

    def say_noise(self, choice: int) -> bytes:
        self.noise += not self.is_over
        return NOISE[choice % len(NOISE)]

    def say_opened(self, _: int) -> bytes:
        line = b'{"id":1,"result":{"sessionId":"own"}}'
        if self.is_over:
            return line
        if self.requests.pop(b"1", None) is None:
            self.dropped += 1
            return line
        self.is_open = True
        self.events.append(SessionOpened(b'{"id":"new","result":{"sessionId":"s:main"}}'))
        early, self.early = self.early, []
        for deliver in filter(None, (deliver for _, deliver in early)):
            self.publish(deliver)
        return line

    def say_answer(self, choice: int) -> bytes:
        known = [*(m for m, r in self.requests.items() if r.method != b"session/new"), b"0"]
        minted = known[choice % len(known)]
        line = b'{"result":{"sessionId":"own"},"id":%b, "x":1.0}'
        if not self.is_over:
            request = self.requests.pop(minted, None)
            if request is None:
                self.dropped += 1
            else:
                self.tell(request.client, line % request.id)
        return line % minted

    def say_ask(self, choice: int) -> bytes:
        agent_id = REQUEST_IDS[choice % len(REQUEST_IDS)]
        method = ASK_METHODS[choice // len(REQUEST_IDS) % len(ASK_METHODS)]
        client = self.who_answers() if self.is_open else None
        if client is None or method.startswith(b"fs/"):
            hint = "no client of this session can answer it"
            self.tell_agent(agent_id, MethodNotFound(method=method.decode(), hint=hint))
        elif not self.is_over:
            self.asked += 1
            ask_id = b'"g-%d"' % self.asked
            self.asks[ask_id] = Asked(client, agent_id, method)
            self.tell(client, ask_frame(ask_id, method))
        return b'{"id":%b,"method":"%b","params":{"sessionId":"own"}}' % (agent_id, method)

    def say_withdrawn(self, choice: int) -> bytes:
        agent_id = REQUEST_IDS[choice % len(REQUEST_IDS)]
        line = b'{"method":"$/cancel_request","params":{"requestId":%b}}' % agent_id
        if not self.is_open:
            return self.notify(line, None)
        ask_id = next((each for each, ask in self.asks.items() if ask.id == agent_id), None)
        if ask_id is not None:
            ask = self.asks.pop(ask_id)
            self.tell(ask.client, cancel_request(ask_id))
            self.tell_agent(agent_id, RequestCancelled(method=ask.method.decode()))
        return line

    def say_too_much(self, choice: int, *, index: int) -> OversizedFrame:
        size = MAX_FRAME + 1 + choice
        error = FrameTooLarge(size=size, limit=MAX_FRAME)
        minted = next(iter(self.requests), b"0")
        agent_id = REQUEST_IDS[choice % len(REQUEST_IDS)]
        head, tail = [
            (b'{"method":"session/update","params":{"x":"', b'"}}'),
            (b'{"id":%b,"method":"_x","params":{"x":"' % agent_id, b'"}}'),
            (b'{"id":%b,"result":{"x":"' % minted, b'"}}'),
            (b'{"result":{"x":"', b'"},"id":%b}' % minted),
            (b"prose ", b" without an end"),
        ][choice % 5]
        if b'"id"' in head and b"method" in head:
            self.tell_agent(agent_id, error)
        elif b'"id"' in head + tail and not self.is_over:
            self.fail_request(minted, error)
        if self.is_open:
            self.publish(lambda seq: notice("s:main", error, stamp=make_stamp(seq)))
        return OversizedFrame(size, head, tail, index)

    # -- the end

    @precondition(lambda self: self.is_open)
    @rule()
    def cancel_turns(self) -> None:
        self.conversation.cancel_turns()
        reply = b'{"jsonrpc":"2.0","id":%b,"result":{"stopReason":"cancelled"}}'
        for minted, request in list(self.requests.items()):
            if request.method == b"session/prompt":
                del self.requests[minted]
                self.tell(request.client, reply % request.id)

    @precondition(lambda self: self.seq > 50)
    @rule()
    def fail(self) -> None:
        self.conversation.fail(EXITED)
        if self.is_over:
            return
        if self.is_open:
            self.publish(lambda seq: notice("s:main", EXITED, stamp=make_stamp(seq)))
        for minted in list(self.requests):
            self.fail_request(minted, EXITED)
        for ask_id, ask in self.asks.items():
            self.tell(ask.client, cancel_request(ask_id))
        self.asks = {}
        self.is_over = True

    def teardown(self) -> None:
        if not hasattr(self, "clients"):
            return
        for client in self.clients.values():
            if not client.is_admitted:
                client.attachment.admit(b"{}")
                client.due.insert(0, b"{}")
                client.is_admitted = True
            while client.waiting:
                self.take_some(client, 700)
            numbered = [seq for seq in map(seq_of, client.due) if seq is not None]
            assert numbered == list(range(client.begins_after + 1, self.seq + 1))
            assert not client.attachment.has_pending

    # -- the model

    def publish(self, deliver: Deliver) -> None:
        if not self.is_over:
            self.seq += 1
            for client in self.clients.values():
                client.due.append(deliver(self.seq))

    def notify(self, line: bytes, deliver: Deliver | None) -> bytes:
        if self.is_open and deliver:
            self.publish(deliver)
        elif not self.is_over:
            self.early.append((line, deliver))
        return line

    def tell(self, name: str, message: bytes) -> None:
        self.clients[name].due.append(message)

    def tell_agent(self, agent_id: bytes, error: RelayError) -> None:
        if not self.is_over:
            self.to_agent.append(error_reply(agent_id, error))

    def fail_request(self, minted: bytes, error: RelayError) -> None:
        request = self.requests.pop(minted, None)
        if request is None:
            return
        reply = error_reply(request.id, error)
        if request.method == b"session/new":
            self.events.append(OpeningRefused(reply))
        else:
            self.tell(request.client, reply)

    def who_answers(self) -> str | None:
        owners = [r.client for r in self.requests.values() if r.method == b"session/prompt"]
        present = list(self.clients)
        return owners[0] if owners else present[0] if len(present) == 1 else None

    # -- what holds after every step

    @invariant()
    def the_agent_is_given_what_it_is_due(self) -> None:
        assert self.conversation.take_agent_output() == b"".join(
            line + b"\n" for line in self.to_agent
        )
        self.to_agent = []

    @invariant()
    def the_shell_is_told_what_has_happened(self) -> None:
        assert self.conversation.take_events() == self.events
        self.events = []

    @invariant()
    def what_goes_nowhere_is_counted(self) -> None:
        assert self.conversation.oddities.noise_lines == self.noise
        assert self.conversation.oddities.dropped_answers == self.dropped

    @invariant()
    def what_waits_is_measured(self) -> None:
        waiting = [
            sum(len(text_frame(message)) for message in client.waiting)
            for client in self.clients.values()
        ]
        early = sum(len(line) for line, _ in self.early)
        assert self.conversation.unread_bytes == max(waiting, default=0) + early


def ask_frame(ask_id: bytes, method: bytes) -> bytes:
    return b'{"id":%b,"method":"%b","params":{"sessionId":"s:main"}}' % (ask_id, method)


def unanswered(ask: Asked) -> bytes:
    if ask.method == b"session/request_permission":
        return b'{"jsonrpc":"2.0","id":%b,"result":{"outcome":{"outcome":"cancelled"}}}' % ask.id
    error = MethodNotFound(method=ask.method.decode(), hint="the client has left")
    return error_reply(ask.id, error)


def make_stamp(seq: int) -> bytes:
    return b'{"generation":"g","seq":%d}' % seq


def seq_of(message: bytes) -> int | None:
    """The number that a message has in the log; None for one of a lane."""
    params = json.loads(message).get("params") or {}
    mark = params.get("_meta", {}).get("acprelay")
    return mark["seq"] if mark else None


TestConversation = ConversationMachine.TestCase
TestConversation.settings = settings(max_examples=150, stateful_step_count=40)
