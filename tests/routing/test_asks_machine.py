"""Random stories of asks: clients come, vanish, return and leave while an agent asks and ends."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from acprelay.routing.access import LOCAL
from acprelay.routing.asks import Asks
from acprelay.routing.attachment import Attachment
from acprelay.routing.log_memory import MemoryLog
from acprelay.routing.policy import Action, Policy, Rule
from acprelay.routing.publisher import Publisher
from acprelay.wire import peek, walk

ALL = 1 << 40
PERMISSION_S = 20.0
ELICITATION_S = 10.0
MOST_OPEN = 5

METHODS = ("session/request_permission", "elicitation/create", "_vendor/ask")
POLICY = Policy(
    rules=(
        Rule(action=Action.ALLOW, kind=("read",)),
        Rule(action=Action.REJECT, kind=("edit",)),
    )
)
SAID = {
    "yes": b'"result":{"outcome":{"outcome":"selected","optionId":"yes"}}',
    "no": b' "result" : {"outcome":{"optionId":"no","outcome":"selected"},"x":1.0}',
    "cancelled": b'"result":{"outcome":{"outcome":"cancelled"}}',
    "invalid": b'"result":{"outcome":{"outcome":"selected","optionId":"other"}}',
    "error": b'"error":{"code":-32601,"message":"no"}',
}

choices = st.integers(0, 1000)


@dataclass
class Client:
    """What a client has been given, over all its connections."""

    attachment: Attachment
    open: dict[str, str] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)
    answered: set[str] = field(default_factory=set)
    settled: list[str] = field(default_factory=list)


class AskMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.log = MemoryLog(generation="g", history_bytes=ALL)
        self.publisher = Publisher(public_id="s:main", log=self.log)
        self.got: list[bytes] = []
        self.asks = Asks(
            prefix="g",
            publisher=self.publisher,
            to_agent=self.got.append,
            policy=POLICY,
            agent="coder",
            role="main",
            cwd="/w",
            permission_s=PERMISSION_S,
            elicitation_s=ELICITATION_S,
            most_open=MOST_OPEN,
        )
        self.now = 0.0
        self.clients: dict[str, Client] = {}
        self.gone: list[str] = []
        self.owner: str | None = None
        self.unanswered: Counter[int] = Counter()
        self.asked: dict[int, str] = {}
        self.decided = 0

    # -- clients

    @precondition(lambda self: len(self.clients) < 4)
    @rule()
    def join(self) -> None:
        name = f"c{len(self.clients) + len(self.gone)}"
        self.publisher.flush()
        attachment = Attachment(
            id=name,
            secret="",
            session_id="s:main",
            log=self.log,
            cursor=self.log.head,
            principal=LOCAL.id,
            grants=LOCAL.grants,
        )
        self.publisher.attachments[name] = attachment
        self.clients[name] = Client(attachment)
        self.asks.attached(name)

    @precondition(lambda self: self.publisher.attachments)
    @rule(choice=choices, takes_prompt=st.booleans())
    def lose(self, choice: int, *, takes_prompt: bool) -> None:
        name = self.pick(self.publisher.attachments, choice)
        self.publisher.absent[name] = self.publisher.attachments.pop(name)
        self.owner = name if takes_prompt else self.owner

    @precondition(lambda self: self.publisher.absent)
    @rule(choice=choices)
    def adopt(self, choice: int) -> None:
        name = self.pick(self.publisher.absent, choice)
        self.publisher.attachments[name] = self.publisher.absent.pop(name)
        self.asks.attached(name)

    @precondition(lambda self: self.clients)
    @rule(choice=choices)
    def give_up(self, choice: int) -> None:
        name = self.pick(self.clients, choice)
        self.deliver(name)
        self.check(name)
        self.publisher.attachments.pop(name, None)
        self.publisher.absent.pop(name, None)
        del self.clients[name]
        self.gone.append(name)
        self.asks.left(name)

    @precondition(lambda self: self.clients)
    @rule(choice=choices)
    def take(self, choice: int) -> None:
        self.deliver(self.pick(self.clients, choice))

    @precondition(lambda self: self.clients)
    @rule(choice=choices, said=st.sampled_from([*SAID]), late=st.booleans())
    def answer(self, choice: int, said: str, *, late: bool) -> None:
        name = self.pick(self.clients, choice)
        client = self.clients[name]
        known = list(client.asked) if late else list(client.open)
        if not known:
            return
        ask_id = known[choice % len(known)]
        line = b'{"id":"%b",%b}'
        before = len(self.got)
        taken = self.asks.answer(name, peek(line % (ask_id.encode(), SAID[said])), now=self.now)
        assert not (ask_id in client.answered and taken)
        if not taken:
            assert len(self.got) == before
            return
        client.answered.add(ask_id)
        client.open.pop(ask_id, None)
        if len(self.got) > before:
            [relayed] = self.got[before:]
            agent_id = json.loads(relayed)["id"]
            is_permission = self.asked[agent_id] == METHODS[0]
            decisive = said in ("yes", "no") or not is_permission
            words = SAID[said if decisive else "cancelled"]
            assert relayed == b'{"id":%d,%b}' % (agent_id, words)

    @precondition(lambda self: self.gone)
    @rule(choice=choices, number=st.integers(1, 30))
    def answer_from_beyond(self, choice: int, number: int) -> None:
        name = self.gone[choice % len(self.gone)]
        line = b'{"id":"g-%d",%b}' % (number, SAID["yes"])
        assert not self.asks.answer(name, peek(line), now=self.now)

    # -- the agent

    @rule(
        method=st.sampled_from(METHODS),
        kind=st.sampled_from(["read", "edit", "other", "other", "other"]),
        offers=st.sampled_from(["yes no", "yes", "no", ""]),
        is_cancelling=st.sampled_from([False, False, False, True]),
        choice=choices,
    )
    def ask(self, method: str, kind: str, offers: str, *, is_cancelling: bool, choice: int) -> None:
        agent_id = len(self.asked)
        self.asked[agent_id] = method
        self.unanswered[agent_id] += 1
        kinds = {"yes": "allow_once", "no": "reject_once"}
        options = [{"optionId": option, "kind": kinds[option]} for option in offers.split()]
        params = {"toolCall": {"toolCallId": "c", "kind": kind}, "options": options}
        request = {"id": agent_id, "method": method, "params": params}
        if self.owner not in self.clients and self.clients:
            self.owner = self.pick(self.clients, choice)
        self.asks.receive(
            peek(json.dumps(request).encode()),
            now=self.now,
            turn="t" if choice % 2 else None,
            owner=self.owner,
            is_cancelling=is_cancelling,
            own_session_id="own",
            client_request=lambda _name, _request_id: None,
        )

    @precondition(lambda self: self.asked)
    @rule(choice=choices)
    def withdraw(self, choice: int) -> None:
        agent_id = choice % len(self.asked)
        was_open = self.unanswered[agent_id]
        self.asks.withdraw(b"%d" % agent_id, now=self.now)
        self.collect()
        assert self.unanswered[agent_id] == 0
        assert was_open in (0, 1)

    @rule()
    def cancel(self) -> None:
        self.asks.cancel(now=self.now)
        self.collect()
        still = [agent_id for agent_id, count in self.unanswered.items() if count]
        assert all(self.asked[agent_id] != METHODS[0] for agent_id in still)

    @precondition(lambda self: len(self.asked) > 5)
    @rule()
    def agent_dies(self) -> None:
        self.collect()
        self.asks.close(now=self.now)
        assert self.got == []
        assert not self.asks.is_open
        self.unanswered.clear()

    @rule(seconds=st.floats(0, 30))
    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.asks.tick(self.now)
        assert self.asks.deadline_at is None or self.asks.deadline_at > self.now

    # -- what holds after every step

    def pick(self, names: Iterable[str], choice: int) -> str:
        ordered = sorted(names)
        return ordered[choice % len(ordered)]

    def deliver(self, name: str) -> None:
        """Gives a client all that it is due, and looks at each message."""
        self.publisher.flush()
        client = self.clients[name]
        blob = b"".join(client.attachment.take(ALL))
        for _, start, stop in walk(blob):
            message = json.loads(blob[start:stop])
            method = message["method"]
            params = message["params"]
            if method in METHODS:
                assert message["id"] not in client.settled
                client.asked[message["id"]] += 1
                client.open[message["id"]] = method
            elif method == "$/cancel_request":
                assert client.open.pop(params["requestId"], None), "closed what it was not asked"
                client.closed[params["requestId"]] += 1
            elif method == "_acprelay/permission_settled":
                client.settled.append(params["ask"])

    def check(self, name: str) -> None:
        """What holds once a client has been given everything."""
        client = self.clients[name]
        assert all(count == 1 for count in client.asked.values())
        assert all(count == 1 for count in client.closed.values())
        assert len(client.settled) == len(set(client.settled))
        # What is open to it is open to the broker: all else it has answered, or was told to close.
        assert len(client.open) <= self.asks.count
        assert not client.answered & set(client.closed)

    @invariant()
    def collect(self) -> None:
        """Every answer to the agent is to an open request of its."""
        for line in self.got:
            agent_id = json.loads(line)["id"]
            self.unanswered[agent_id] -= 1
            assert self.unanswered[agent_id] == 0
        self.got.clear()
        assert self.asks.count == sum(self.unanswered.values()) <= MOST_OPEN

    @invariant()
    def every_end_of_a_permission_is_marked_and_noted(self) -> None:
        self.publisher.flush()
        self.decided += len(self.asks.take_decisions())
        assert self.log.head == self.decided

    def teardown(self) -> None:
        self.collect()
        for name in self.clients:
            self.deliver(name)
            self.check(name)
        self.asks.close(now=self.now)
        for name, client in self.clients.items():
            self.deliver(name)
            self.check(name)
            assert client.open == {}


TestAsks = AskMachine.TestCase
TestAsks.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
