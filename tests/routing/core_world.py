"""The core and a plain model of it, side by side: the model behind `test_core_properties`.

Every method does one thing to both. The model writes each frame itself, in the order in which
things are said, and `check` holds the two against each other: what the log and the agent were
given, and what has happened. What clients are given, `core_streams` checks when they take it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from tests.routing.conftest import ended, failed, marked, noticed, stamp, started
from tests.routing.core_streams import Kind, Stream

from acprelay.errors import (
    AgentBackedUp,
    AgentExited,
    AgentRefused,
    CursorExpired,
    FrameTooLarge,
    InvalidParams,
    InvalidRequest,
    LimitReached,
    RelayError,
    RemoteProtocolError,
    RequestCancelled,
)
from acprelay.routing.access import LOCAL
from acprelay.routing.attachment import Attachment
from acprelay.routing.building import Rules, build_conversation
from acprelay.routing.events import (
    AskDecided,
    Event,
    RunUnwanted,
    RunWanted,
    TurnChanged,
    TurnEnded,
    TurnStarted,
)
from acprelay.routing.frames import cancel_request, error_fields, error_reply, loss_notice
from acprelay.routing.log_memory import MemoryLog
from acprelay.routing.service_modes import unserved
from acprelay.routing.snapshot import Snapshot
from acprelay.wire import OversizedFrame, peek, walk

EXITED = AgentExited(agent="coder", status="exit status 3", stderr="boom")
BACKED_UP = AgentBackedUp(agent="coder", waiting=9, limit=8)
RULES = Rules(
    max_frame=1000,
    most_queued=3,
    cancel_answer_s=10,
    cancel_end_s=20,
    permission_s=40,
    linger_s=30,
)
OPTIONS = b'[{"optionId":"yes","kind":"allow_once"},{"optionId":"no","kind":"reject_once"}]'
SAID = {
    "yes": b'"result":{"outcome":{"outcome":"selected","optionId":"yes"}}',
    "never": b'"result":{"outcome":{"outcome":"selected","optionId":"never"}}',
    "cancelled": b'"result":{"outcome":{"outcome":"cancelled"}}',
    "error": b'"error":{"code":1,"message":"no"}',
}
"""What a client may answer to an ask: one of them is no answer to it."""

CANCELLED = '"outcome":"ended","stopReason":"cancelled"'


class Record(MemoryLog):
    """A log that remembers, beside what it serves, all that it was ever given."""

    def __init__(self, *, history_bytes: int) -> None:
        super().__init__(generation="g", history_bytes=history_bytes)
        self.messages: list[bytes] = []

    def append(self, blob: bytes, count: int) -> None:
        """Adds entries."""
        added = [blob[start:stop] for _, start, stop in walk(blob)]
        assert len(added) == count
        self.messages += added
        super().append(blob, count)


@dataclass(eq=False)
class Prompt:
    """A prompt that waits or runs."""

    number: int
    name: str
    id: bytes
    blocks: list[bytes]

    @property
    def turn(self) -> str:
        return f"g-{self.number}"


@dataclass(eq=False)
class Request:
    """A client's request to the agent."""

    name: str
    id: bytes
    method: str
    mode: str = ""
    prompt: Prompt | None = None


@dataclass(eq=False)
class Ask:
    """A permission that is open."""

    number: int
    agent_id: bytes
    expires_at: float
    offered: set[str] = field(default_factory=set)
    waiting: list[str] = field(default_factory=list)
    vote: bytes | None = None

    @property
    def id(self) -> bytes:
        return b'"g-%d"' % self.number

    @property
    def message(self) -> bytes:
        return (
            b'{"id":%b,"method":"session/request_permission","params":{"sessionId":"s:main",'
            b'"toolCall":{"toolCallId":"call"},"options":%b,'
            b'"_meta":{"acprelay":{"generation":"g"}}}}' % (self.id, OPTIONS)
        )


class World:
    """One conversation with all its peers, and what they are due.

    Args:
        history_bytes: How much the log keeps.
    """

    def __init__(self, *, history_bytes: int) -> None:
        self.log = Record(history_bytes=history_bytes)
        self.core = build_conversation(
            public_id="s:main",
            prefix="g",
            agent="coder",
            role="main",
            cwd="/home/me",
            log=self.log,
            snapshot=Snapshot(),
            rules=RULES,
        )
        self.now = 0.0
        self.record: list[bytes] = []
        self.attachments: dict[str, Attachment] = {}
        self.streams: dict[str, Stream] = {}
        self.present: dict[str, None] = {}
        self.absent: dict[str, float] = {}
        self.to_agent: list[bytes] = []
        self.events: list[type[Event]] = []
        self.told_turn: str | None = None
        self.begun_turn: str | None = None
        self.decided = 0
        self.is_served = self.is_wanted = self.is_closing = False
        self.minted = 0
        self.in_flight: dict[int, Request] = {}
        self.held: list[Request] = []
        self.queue: list[Prompt] = []
        self.running: Prompt | None = None
        self.phase = "idle"
        self.cancelled_at = 0.0
        self.turns = 0
        self.asks: list[Ask] = []
        self.asked = 0
        self.refused: list[int] = []
        self.state: dict[str, bytes] = {}
        self.last_heard = 0
        self.agent_is_at: int | None = None

    # -- what is said

    @property
    def in_turn(self) -> bool:
        return self.phase in ("running", "cancelling")

    @property
    def seq(self) -> int:
        return len(self.record) + 1

    def publish(self, message: bytes, *, own: str | None = None) -> None:
        """An entry comes to the log."""
        seq = self.seq
        for name, stream in self.streams.items():
            stream.publish(seq, is_own=name == own)
        self.record.append(message)

    def publish_update(self, update: bytes, *, own: str | None = None) -> None:
        """An update comes to the log, whose author is not shown it."""
        frame = (
            b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s:main",'
            b'"update":%b,"_meta":{"acprelay":%b}}}'
        )
        self.publish(frame % (update, stamp(self.seq, in_turn=self.in_turn)), own=own)

    def reply(self, name: str, request_id: bytes, message: bytes) -> None:
        """A client that is still known is answered."""
        if name in self.streams:
            self.streams[name].push(Kind.REPLY, message, request_id)

    def note(self, name: str, message: bytes, tag: bytes | None = None) -> None:
        """A client is told something."""
        self.streams[name].push(Kind.NOTE, message, tag)

    def mint(self, request: Request) -> bytes:
        """A request goes to the agent, under an id of the relay's."""
        self.minted += 1
        self.in_flight[self.minted] = request
        return b"%d" % self.minted

    # -- clients come and go

    def make(self, name: str) -> tuple[Attachment, Stream]:
        """Makes a new attachment."""
        self.attachments[name] = Attachment(
            id=name,
            secret=name,
            session_id="s:main",
            log=self.log,
            cursor=0,
            principal=LOCAL.id,
            grants=LOCAL.grants,
        )
        self.streams[name] = Stream(name, self.record)
        return self.attachments[name], self.streams[name]

    def find(self, name: str) -> tuple[Attachment, Stream]:
        """Gives a client's attachment, made now if it is new."""
        if name in self.streams:
            return self.attachments[name], self.streams[name]
        return self.make(name)

    def result(self, name: str, request_id: bytes, place: int) -> bytes:
        """What a client is told of its attachment."""
        return (
            b'{"jsonrpc":"2.0","id":%b,"result":{"_meta":{"acprelay":'
            b'{"attachment":"%b","secret":"%b","position":"g:%d"}}}}'
            % (request_id, name.encode(), name.encode(), place)
        )

    def give_snapshot(self, stream: Stream) -> None:
        """A client that has not read the log from its start is told how things stand."""
        for kind in ("available_commands_update", "current_mode_update"):
            if kind in self.state:
                stream.push(
                    Kind.NOTE,
                    b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s:main",'
                    b'"update":%b,"_meta":{"acprelay":{"generation":"g","snapshot":true}}}}'
                    % self.state[kind],
                )

    def enter(self, name: str) -> None:
        """A client is there, and is asked what is open."""
        self.present.setdefault(name)
        for ask in self.asks:
            self.offer(ask, name)

    def load(self, name: str, request_id: bytes) -> None:
        """A client asks for the whole log."""
        is_new = name not in self.streams
        attachment, stream = self.find(name)
        start = self.log.start
        if is_new:
            stream.seen_to = start
            stream.read_from(start)
        else:
            stream.move(start)
        if start:
            oldest = CursorExpired(oldest=f"g:{start}")
            notice = stream.push(Kind.NOTE, loss_notice("s:main", "g", oldest), b"start")
            stream.due.remove(notice)
            stream.due.insert(len(stream.due) - (len(self.record) - start), notice)
            notice.seq = start
        stream.expect_reply(request_id)
        self.reply(name, request_id, self.result(name, request_id, len(self.record)))
        if start:
            self.give_snapshot(stream)
        self.enter(name)
        self.core.presence.load(attachment, request_id)

    def resume(self, name: str, request_id: bytes) -> None:
        """A client asks for what comes."""
        is_new = name not in self.streams
        attachment, stream = self.find(name)
        if is_new:
            stream.seen_to = len(self.record)
        else:
            stream.move(len(self.record))
        stream.expect_reply(request_id)
        self.reply(name, request_id, self.result(name, request_id, len(self.record)))
        self.give_snapshot(stream)
        self.enter(name)
        self.core.presence.resume(attachment, request_id)

    def attach(self, name: str, request_id: bytes, after: int) -> None:
        """A client that is new asks for the log from a place on."""
        place = max(after, self.log.start)
        assert self.core.presence.locate(f"g:{place}" if place else "start") == place
        attachment, stream = self.make(name)
        stream.lead(self.result(name, request_id, place))
        stream.read_from(place)
        self.enter(name)
        self.core.presence.attach(attachment, request_id, after=place)

    def lose(self, name: str) -> None:
        """A connection is lost."""
        self.core.presence.lose(name, now=self.now)
        del self.present[name]
        self.absent[name] = self.now + RULES.linger_s

    def adopt(
        self, name: str, request_id: bytes, *, lost: int, says_after: bool, says_pending: bool
    ) -> None:
        """A client comes back, which has not had all that it was given."""
        attachment, stream = self.attachments[name], self.streams[name]
        seen = max(stream.given - lost, stream.least_seen)
        if seen > stream.given:
            return  # it does not know its attachment
        stream.unsee(seen)
        after = stream.last_seen(seen) if says_after or seen < stream.given else None
        # Who does not know all that came before has to say what it waits for.
        stream.has_jumped |= after is not None and after < self.log.start
        pending = frozenset(stream.awaits) if says_pending or stream.has_jumped else None
        if after is not None and after < self.log.start:
            with pytest.raises(CursorExpired):
                self.core.presence.locate(f"g:{after}")
            # The error tells where the log begins, and a client may go on from there.
            after = self.log.start
        if after is None:
            cursor = attachment.cursor
            assert stream.can_be_at(cursor)
        else:
            cursor = self.core.presence.locate(f"g:{after}")
        stream.go_back(seen, cursor, pending)
        stream.lead(self.result(name, request_id, cursor))
        self.absent.pop(name, None)
        self.enter(name)
        self.core.presence.adopt(
            name, name, request_id, principal="local", after=after, pending=pending
        )

    def give_up(self, name: str) -> None:
        """A client goes for good."""
        self.core.presence.give_up(name)
        self.forget(name)

    def forget(self, name: str) -> None:
        """A client is gone for good."""
        del self.streams[name]
        self.present.pop(name, None)
        self.absent.pop(name, None)
        for ask in [ask for ask in self.asks if name in ask.waiting]:
            ask.waiting.remove(name)
            self.conclude(ask)

    def take(self, name: str, limit: int) -> int:
        """A client takes what it is due, up to a limit; tells how many messages it got."""
        start = self.log.start
        blob = b"".join(self.attachments[name].take(limit))
        messages = [blob[begin:stop] for _, begin, stop in walk(blob)]
        is_all = len(blob) < limit
        self.streams[name].take(messages, start=start, generation="g", is_all=is_all)
        return len(messages)

    # -- requests

    def is_in_use(self, name: str, request_id: bytes) -> bool:
        """Whether a client waits for a request with an id."""
        waiting = [
            *((p.name, p.id) for p in self.queue),
            *((r.name, r.id) for r in self.held),
            *((r.name, r.id) for r in self.in_flight.values() if self.is_awaited(r)),
        ]
        return (name, request_id) in waiting

    def is_awaited(self, request: Request) -> bool:
        """Whether a request in flight has no answer: a prompt may have one already."""
        return request.prompt is None or (request.prompt is self.running and self.in_turn)

    def submit(self, name: str, request_id: bytes, blocks: list[bytes]) -> None:
        """A client prompts."""
        said = peek(
            b'{"id":%b,"method":"session/prompt","params":{"sessionId":"s:main","n":%d,"prompt":[%b]}}'
            % (request_id, self.turns + 1, b",".join(blocks))
        )
        room = RULES.most_queued + (self.running is None)
        if self.is_in_use(name, request_id):
            with pytest.raises(InvalidRequest):
                self.core.receive_client(name, said, now=self.now)
        elif len(self.queue) >= room:
            with pytest.raises(LimitReached):
                self.core.receive_client(name, said, now=self.now)
        else:
            self.turns += 1
            self.queue.append(Prompt(self.turns, name, request_id, blocks))
            self.streams[name].expect_reply(request_id)
            self.core.receive_client(name, said, now=self.now)
            self.go_on()

    def request(self, name: str, request_id: bytes, mode: str) -> None:
        """A client sets a mode."""
        frame = b'{"id":%b,"method":"session/set_mode","params":{"sessionId":"%b","modeId":"%b"}}'
        said = peek(frame % (request_id, b"s:main", mode.encode()))
        if self.is_in_use(name, request_id):
            with pytest.raises(InvalidRequest):
                self.core.receive_client(name, said, now=self.now)
            return
        self.streams[name].expect_reply(request_id)
        request = Request(name, request_id, "session/set_mode", mode)
        self.core.receive_client(name, said, now=self.now)
        if self.is_served:
            self.forward(request)
        else:
            self.held.append(request)
        self.go_on()

    def forward(self, request: Request) -> None:
        """The agent is asked."""
        frame = b'{"id":%b,"method":"session/set_mode","params":{"sessionId":"own","modeId":"%b"}}'
        self.to_agent.append(frame % (self.mint(request), request.mode.encode()))

    def cancel(self, name: str) -> None:
        """A client sends `session/cancel`."""
        said = b'{"method":"session/cancel","params":{"sessionId":"s:main"}}'
        self.core.receive_client(name, peek(said), now=self.now)
        dropped = [prompt for prompt in self.queue if prompt.name == name]
        owner = self.running.name if self.running else None
        if owner == name or not dropped:
            self.cancel_running()
        self.drop(dropped)
        self.go_on()

    def cancel_request(self, name: str, request_id: bytes) -> None:
        """A client sends `$/cancel_request`."""
        known = self.core.cancel_client_request(name, request_id, now=self.now)
        assert known is self.is_in_use(name, request_id)
        queued = [p for p in self.queue if (p.name, p.id) == (name, request_id)]
        held = [r for r in self.held if (r.name, r.id) == (name, request_id)]
        for request in held:
            self.held.remove(request)
            self.fail(request, RequestCancelled(method=request.method))
        for minted, request in self.in_flight.items():
            if (request.name, request.id) == (name, request_id) and self.is_awaited(request):
                if request.prompt is None:
                    self.to_agent.append(cancel_request(b"%d" % minted))
                else:
                    self.cancel_running()
        self.drop(queued)

    def cancel_turn(self, turn: str) -> None:
        """A client cancels a turn by its name."""
        queued = [prompt for prompt in self.queue if prompt.turn == turn]
        is_running = self.in_turn and self.running is not None and self.running.turn == turn
        known = self.core.cancel_turn(turn, now=self.now)
        assert known is (bool(queued) or is_running)
        if is_running:
            self.cancel_running()
        self.drop(queued)

    def cancel_running(self) -> None:
        """The agent is told to stop, once."""
        if self.phase == "running":
            self.phase, self.cancelled_at = "cancelling", self.now
            self.to_agent.append(
                b'{"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"own"}}'
            )
            self.cancel_asks()

    def drop(self, prompts: list[Prompt]) -> None:
        """Prompts that wait no longer do."""
        for prompt in prompts:
            self.queue.remove(prompt)
            self.reply_cancelled(prompt)

    def reply_cancelled(self, prompt: Prompt) -> None:
        """The owner of a prompt is told that it was cancelled."""
        reply = b'{"jsonrpc":"2.0","id":%b,"result":{"stopReason":"cancelled"}}'
        self.reply(prompt.name, prompt.id, reply % prompt.id)

    def close_turns(self) -> None:
        """A client closes the session; the run is ended after that."""
        self.core.close_turns(now=self.now)
        self.cancel_asks()
        self.is_closing = self.is_served
        if self.in_turn and self.running is not None:
            self.publish(ended(self.seq, self.running.turn, CANCELLED))
            self.reply_cancelled(self.running)
        self.phase, self.running = "idle", None
        self.drop(self.queue[:])

    def fail(self, request: Request, error: RelayError) -> None:
        """A client's request comes to nothing."""
        if request.prompt is None:
            self.reply(request.name, request.id, error_reply(request.id, error))
        elif self.finish(request.prompt):
            self.publish(failed(self.seq, request.prompt.turn, error))
            self.phase = "idle"
            self.reply(request.name, request.id, error_reply(request.id, error))

    def finish(self, prompt: Prompt) -> bool:
        """The agent is done with a prompt; tells whether anybody waits for that."""
        is_open = self.in_turn and prompt is self.running
        if prompt is self.running and self.phase != "ending":
            self.running = None
            self.phase = self.phase if is_open else "idle"
        return is_open

    # -- runs and time

    def begin_run(self, last_id: int) -> None:
        """A run serves from now on."""
        self.core.begin_run("own", last_id=last_id)
        self.is_served, self.is_wanted = True, False
        self.minted = max(self.minted, last_id)
        held, self.held = self.held, []
        for request in held:
            self.forward(request)
        self.go_on()

    def end_run(self) -> None:
        """The run is over, or none could begin."""
        self.core.end_run(EXITED, now=self.now)
        self.publish(noticed(self.seq, EXITED, in_turn=self.in_turn))
        if self.in_turn and self.running is not None:
            self.fail(Request(self.running.name, self.running.id, "", prompt=self.running), EXITED)
        self.running, self.phase = None, "idle"
        for prompt in self.queue:
            self.reply(prompt.name, prompt.id, error_reply(prompt.id, EXITED))
        for request in [*self.in_flight.values(), *self.held]:
            if request.prompt is None:
                self.fail(request, EXITED)
        self.queue, self.held, self.in_flight = [], [], {}
        for ask in self.asks[:]:
            self.settle(ask, None, "agent")
        self.to_agent.clear()
        self.agent_is_at = None
        self.is_served = self.is_wanted = self.is_closing = False

    def tick(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
        self.core.tick(self.now)
        if self.phase == "cancelling" and self.now >= self.cancelled_at + 10:
            assert self.running is not None
            self.publish(ended(self.seq, self.running.turn, CANCELLED))
            self.phase = "abandoned"
            self.reply_cancelled(self.running)
        elif self.phase == "abandoned" and self.now >= self.cancelled_at + 20:
            self.phase = "ending"
            self.events.append(RunUnwanted)
        for ask in [ask for ask in self.asks if ask.expires_at <= self.now]:
            self.settle(ask, selected(ask.agent_id, "no"), "deadline", "no")
        for name in [each for each, until in self.absent.items() if until <= self.now]:
            self.forget(name)
        self.go_on()

    def go_on(self) -> None:
        """What can begin begins."""
        if self.is_served and self.queue and self.running is None and not self.is_closing:
            prompt = self.running = self.queue.pop(0)
            self.phase = "running"
            self.publish(started(self.seq, prompt.turn))
            for block in prompt.blocks:
                chunk = b'{"sessionUpdate":"user_message_chunk","content":%b,"messageId":"%b"}'
                self.publish_update(chunk % (block, prompt.turn.encode()), own=prompt.name)
            request = Request(prompt.name, prompt.id, "session/prompt", prompt=prompt)
            self.to_agent.append(
                b'{"id":%b,"method":"session/prompt","params":{"sessionId":"own","n":%d,"prompt":[%b]}}'
                % (self.mint(request), prompt.number, b",".join(prompt.blocks))
            )
        elif not self.is_served and (self.queue or self.held) and not self.is_wanted:
            self.is_wanted = True
            self.events.append(RunWanted)

    # -- the agent

    def write(self, steps: list[tuple[str, int]]) -> None:
        """The agent writes one batch."""
        ways: dict[str, Callable[[int], bytes]] = {
            "chunk": self.say_chunk,
            "update": self.say_update,
            "state": self.say_state,
            "answer": self.say_answer,
            "ask": self.say_ask,
            "withdraw": self.say_withdrawn,
            "noise": lambda choice: [b"Loading ...", b"[]", b'{"id":null}'][choice % 3],
        }
        lines: list[bytes] = []
        oversized: list[OversizedFrame] = []
        for way, choice in steps:
            if way == "oversized":
                oversized.append(self.say_too_much(choice, len(lines)))
            else:
                lines.append(ways[way](choice) + b"\n")
        self.core.receive_agent(lines, oversized, now=self.now)
        self.go_on()

    def say_chunk(self, choice: int) -> bytes:
        """Pieces of messages, which go the short way once their shape is known."""
        update = (
            b'{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"%b"}}'
            % (b"x" * choice)
        )
        self.publish_update(update)
        return (
            b'{"jsonrpc":"2.0","method":"session/update","params":'
            b'{"sessionId":"own","update":%b}}' % update
        )

    def say_update(self, choice: int) -> bytes:
        """Other shapes, which go the long way; also of a sub-agent."""
        marks = stamp(self.seq, in_turn=self.in_turn)
        line, seen = [
            (
                b'{"method": "session/update", "params": {"sessionId": "own", "update": %d } } ',
                b'{"method": "session/update", "params":'
                b' {"sessionId": "s:main", "update": %d ,"_meta":{"acprelay":<mark>}} } ',
            ),
            (
                b'{"method":"session/update","params":{"sessionId":"own/sub","update":%d}}',
                b'{"method":"session/update","params":{"sessionId":"s:main","update":%d,'
                b'"_meta":{"acprelay":<sub>}}}',
            ),
            (
                b'{"method":"_x","params":{"_meta":{"acprelay":1},"v":%d}}',
                b'{"method":"_x","params":{"_meta":{"acprelay":<mark>},"v":%d}}',
            ),
        ][choice % 3]
        sub = marks[:-1] + b',"agentSessionId":"own/sub"}'
        self.publish((seen % choice).replace(b"<mark>", marks).replace(b"<sub>", sub))
        return line % choice

    def say_state(self, choice: int) -> bytes:
        """What the snapshot has."""
        if choice % 2:
            kind, member = "current_mode_update", b'"currentModeId":"%b"' % mode_of(choice).encode()
        else:
            kind, member = "available_commands_update", b'"availableCommands":[%d]' % choice
        update = b'{"sessionUpdate":"%b",%b}' % (kind.encode(), member)
        self.state[kind] = update
        self.publish_update(update)
        return (
            b'{"jsonrpc":"2.0","method":"session/update","params":'
            b'{"sessionId":"own","update":%b}}' % update
        )

    def say_answer(self, choice: int) -> bytes:
        """An answer to a request in flight, or to nothing."""
        minted = [*self.in_flight, 0][choice % (len(self.in_flight) + 1)]
        request = self.answered(minted)
        if choice % 7 == 0:
            line = b'{"id":%d,"result":{},"error":1}' % minted
            if request is not None:
                self.fail(request, unusable(request, line))
            return line
        line = b'{"id":%b,"result":{"stopReason":"end_turn"}}'
        if request is not None and request.prompt is not None:
            if self.finish(request.prompt):
                self.publish(ended(self.seq, request.prompt.turn))
                self.phase = "idle"
                self.reply(request.name, request.id, line % request.id)
        elif request is not None:
            self.note_mode(request)
            self.reply(request.name, request.id, line % request.id)
        return line % (b"%d" % minted)

    def answered(self, minted: int | None) -> Request | None:
        """The agent is done with a request, if there is such a one."""
        if minted == self.agent_is_at:
            self.agent_is_at = None
        return self.in_flight.pop(minted, None) if minted is not None else None

    def hear(self, lines: list[bytes]) -> None:
        """The agent hears each prompt once, in order, and none while it is at another one."""
        for said in map(json.loads, lines):
            if said.get("method") == "session/prompt":
                assert self.agent_is_at is None
                assert said["params"]["n"] > self.last_heard
                self.agent_is_at, self.last_heard = said["id"], said["params"]["n"]

    def note_mode(self, request: Request) -> None:
        """A mode that one client has set is told to the others."""
        update = (
            b'{"sessionUpdate":"current_mode_update","currentModeId":"%b"}' % request.mode.encode()
        )
        if self.state.get("current_mode_update") != update:
            self.state["current_mode_update"] = update
            self.publish_update(update, own=request.name)

    def say_too_much(self, choice: int, index: int) -> OversizedFrame:
        """A frame over the limit."""
        error = FrameTooLarge(size=2000, limit=1000)
        minted = [*self.in_flight, 0][choice % (len(self.in_flight) + 1)]
        head = [
            b'{"method":"session/update","params":{"x":"',
            b'{"id":"q","method":"_x","params":{"x":"',
            b'{"id":%d,"result":{"x":"' % minted,
        ][choice % 3]
        if choice % 3 == 1:
            self.to_agent.append(error_reply(b'"q"', error))
        elif choice % 3 == 2 and (request := self.answered(minted)) is not None:
            self.fail(request, error)
        self.publish(noticed(self.seq, error, in_turn=self.in_turn))
        return OversizedFrame(2000, head, b'"}}', index)

    def say_ask(self, choice: int) -> bytes:
        """A request of the agent: most are for a permission."""
        agent_id = b"%d" % (choice % 3)
        if choice % 5 == 0:
            self.to_agent.append(error_reply(agent_id, unserved("fs/read_text_file")))
            return b'{"id":%b,"method":"fs/read_text_file","params":{}}' % agent_id
        self.asked += 1
        ask = Ask(self.asked, agent_id, self.now + RULES.permission_s)
        if self.phase in ("cancelling", "abandoned", "ending"):
            self.settle(ask, selected(agent_id, None), "cancel")
        else:
            self.asks.append(ask)
            for name in self.present:
                self.offer(ask, name)
        return (
            b'{"id":%b,"method":"session/request_permission","params":{"sessionId":"own",'
            b'"toolCall":{"toolCallId":"call"},"options":%b}}' % (agent_id, OPTIONS)
        )

    def say_withdrawn(self, choice: int) -> bytes:
        """The agent no longer wants an answer."""
        agent_id = b"%d" % (choice % 3)
        error = RequestCancelled(method="session/request_permission")
        for ask in [ask for ask in self.asks if ask.agent_id == agent_id]:
            self.settle(ask, error_reply(agent_id, error), "agent")
        return b'{"method":"$/cancel_request","params":{"requestId":%b}}' % agent_id

    # -- asks

    def offer(self, ask: Ask, name: str) -> None:
        """A client is asked, once."""
        if name not in ask.offered:
            ask.offered.add(name)
            ask.waiting.append(name)
            self.streams[name].push(Kind.ASK, ask.message, ask.id)

    def settle(self, ask: Ask, answer: bytes | None, by: str, option: str | None = None) -> None:
        """An ask is decided."""
        if ask in self.asks:
            self.asks.remove(ask)
        if answer is not None:
            self.to_agent.append(answer)
        for name in ask.waiting:
            if self.streams[name].retract(ask.id):
                self.note(name, cancel_request(ask.id))
        told = f'"outcome":"selected","by":"{by}","optionId":"{option}"'
        if option is None:
            told = f'"outcome":"cancelled","by":"{by}"'
        fields = f'"ask":"g-{ask.number}","toolCallId":"call",{told}'
        self.publish(marked("permission_settled", self.seq, fields, in_turn=self.in_turn))
        self.decided += 1

    def cancel_asks(self) -> None:
        """The turn that asks is cancelled."""
        for ask in self.asks[:]:
            self.settle(ask, selected(ask.agent_id, None), "cancel")

    def answer(self, name: str, number: int, said: str) -> None:
        """A client answers an ask that is open, or one that is not."""
        ask_id = b'"g-%d"' % number
        body = SAID[said]
        counts = [ask for ask in self.asks if ask.number == number and name in ask.waiting]
        body += b',"from":"%b"' % name.encode()
        envelope = peek(b'{"id":%b,%b}' % (ask_id, body))
        taken = self.core.receive_ask_answer(name, envelope, now=self.now)
        self.core.answers_received()
        assert taken is bool(counts)
        for ask in counts:
            ask.waiting.remove(name)
            self.streams[name].retract(ask.id)
            vote = b'{"id":%b,%b}' % (ask.agent_id, body)
            if said == "yes":
                self.settle(ask, vote, "client", "yes")
                continue
            if said == "never":
                self.note(name, self.not_counted(ask))
            if said == "cancelled":
                ask.vote = ask.vote or vote
            self.conclude(ask)

    def conclude(self, ask: Ask) -> None:
        """An ask ends once everybody abstains, where somebody has cancelled it."""
        if ask.vote is not None and not ask.waiting:
            self.settle(ask, ask.vote, "client")

    def not_counted(self, ask: Ask) -> bytes:
        """What a client is told that chooses what was not offered."""
        error = InvalidParams(
            "cannot choose option 'never': it was not offered",
            hint="answer with the outcome selected and the optionId of an offered option, "
            "or with cancelled",
        )
        fields = json.dumps(
            {**error_fields(error), "ask": f"g-{ask.number}"}, separators=(",", ":")
        )
        return (
            b'{"jsonrpc":"2.0","method":"_acprelay/notice","params":{"sessionId":"s:main",'
            b'%b,"_meta":{"acprelay":{"generation":"g"}}}}' % fields[1:-1].encode()
        )

    # -- what holds after every step

    def check(self, *, refuses: bool = False) -> None:
        """Holds what the log, the agent and the shell were given against what they are due.

        Args:
            refuses: Whether the agent takes nothing of what it is written.
        """
        while (output := self.core.take_agent_output()) is not None:
            lines = output.lines.splitlines()
            written, self.to_agent = self.to_agent[: len(lines)], self.to_agent[len(lines) :]
            assert lines == written
            self.hear(lines)
            if not refuses or output.is_owed:
                continue
            self.core.output_refused(BACKED_UP)
            for said in map(json.loads, written):
                request = self.answered(said.get("id")) if "method" in said else None
                if request is not None:
                    self.fail(request, BACKED_UP)
            self.go_on()
        self.core.publish()
        assert self.to_agent == []
        assert self.log.messages == self.record
        assert self.log.head == len(self.record)
        happened = self.core.take_events()
        decided = [event for event in happened if isinstance(event, AskDecided)]
        assert len(decided) == self.decided
        self.decided = 0
        turn = self.running.turn if self.running is not None and self.in_turn else None
        due = [*self.events, *([TurnChanged] if turn != self.told_turn else [])]
        turns = [event for event in happened if isinstance(event, (TurnStarted, TurnEnded))]
        for event in turns:  # each begins where none runs, and ends where it does
            assert (self.begun_turn is None) == isinstance(event, TurnStarted)
            assert self.begun_turn in (None, event.turn)
            self.begun_turn = event.turn if isinstance(event, TurnStarted) else None
        assert self.begun_turn == turn
        others = [each for each in happened if each not in decided and each not in turns]
        assert [type(each) for each in others] == due
        self.events, self.told_turn = [], turn
        assert self.core.turn == turn


def unusable(request: Request, line: bytes) -> RelayError:
    """What a client is told of an answer that is no message."""
    with pytest.raises(RemoteProtocolError) as caught:
        peek(line)
    reason = f"a malformed message ({caught.value.message})"
    return AgentRefused(agent="coder", method=request.method, reason=reason)


def mode_of(choice: int) -> str:
    """A mode."""
    return ["ask", "code"][choice // 2 % 2]


def selected(agent_id: bytes, option: str | None) -> bytes:
    """The relay's own answer to a permission."""
    outcome = b'{"outcome":"cancelled"}'
    if option is not None:
        outcome = b'{"outcome":"selected","optionId":"%b"}' % option.encode()
    return b'{"jsonrpc":"2.0","id":%b,"result":{"outcome":%b}}' % (agent_id, outcome)
