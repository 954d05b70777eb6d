"""A relay in memory: everything but the processes and the sockets is real."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.conformance.authored import ear, tapped_wire  # noqa: F401  # fixtures of every test here

from acprelay.agents.commands import CommandLauncher
from acprelay.agents.dialled import DialledAgent
from acprelay.agents.models import AgentLimits
from acprelay.config import Limits
from acprelay.errors import RelayError
from acprelay.routing.access import LOCAL, Principal
from acprelay.routing.building import Rules
from acprelay.routing.choosing import Choice
from acprelay.routing.message_rate import MessageRates
from acprelay.routing.opening_rules import McpAllowlist
from acprelay.routing.records import ConversationRecord, Worktree
from acprelay.routing.service_modes import SERVED_BY_RELAY
from acprelay.runtime.agent_pool import AgentPool
from acprelay.runtime.agent_run import AgentRun
from acprelay.runtime.agent_source import AgentSource
from acprelay.runtime.archive import Archive
from acprelay.runtime.background import Background
from acprelay.runtime.cleanup import AgentCleaner, BackgroundCleanupScheduler, CleanerChain
from acprelay.runtime.client_connection import ClientConnection
from acprelay.runtime.clients import ConnectedClients
from acprelay.runtime.conversation_driver import ConversationDriver
from acprelay.runtime.conversation_host import ConversationHost
from acprelay.runtime.dial_ins import DialIns
from acprelay.runtime.event_log import EventLog
from acprelay.runtime.feed import EventFeed
from acprelay.runtime.groups import Groups
from acprelay.runtime.invitation_desk import InvitationDesk
from acprelay.runtime.invitation_requests import InvitationRequests
from acprelay.runtime.measurements import Measures, Traffic
from acprelay.runtime.observation import Observers
from acprelay.runtime.opening_checks import OpeningChecks
from acprelay.runtime.outbox import Outbox
from acprelay.runtime.ports import ConversationStore
from acprelay.runtime.service_desk import ServiceDesks
from acprelay.runtime.worktree_claims import WorktreeClaims
from acprelay.session.manager import LifecycleManager
from acprelay.session.models import Process, Session, SessionKey, SessionSpec
from acprelay.session.ports import LifecycleHooks, SessionStore
from acprelay.session.registry_memory import MemoryRegistry
from acprelay.session.store_memory import MemoryStore
from acprelay.storage.invitations import ForgetfulInvitations
from acprelay.storage.memory import MemoryStorage
from acprelay.testing.agents import FakeAgent, Message, encode
from acprelay.testing.feed import memory_feed
from acprelay.testing.launcher import FakeLauncher
from acprelay.testing.outlet import MemoryOutlet
from acprelay.testing.session import FakeClock, FakeIds, RecordingHooks
from acprelay.wire.bare_link import BareEnd
from acprelay.wire.link import LinkEnd

PATIENCE_S = 30.0
MOST_STEPS = 2_000

KEY = SessionKey("task", "main")
"""The session that clients open by default."""

UPDATE = "session/update"


class TracingManager(LifecycleManager[AgentRun, object]):
    """The real manager, which writes down what it is told."""

    def __init__(
        self,
        *,
        trace: list[str],
        registry: MemoryRegistry[AgentRun, object],
        store: SessionStore,
        background: Background,
        hooks: LifecycleHooks,
        claims: WorktreeClaims,
        feed: EventFeed,
    ) -> None:
        super().__init__(
            store=store,
            registry=registry,
            clock=FakeClock(),
            ids=FakeIds(),
            cleaner=CleanerChain(cleaners=(AgentCleaner(registry=registry), claims)),
            scheduler=BackgroundCleanupScheduler(
                background=background, feed=feed, retry_after_s=(0, 0)
            ),
            hooks=hooks,
        )
        self.trace = trace
        self.heartbeats: list[tuple[int, int]] = []
        self._handles = registry

    async def create(self, spec: SessionSpec, *, run: int = 1) -> Session:
        session = await super().create(spec, run=run)
        self.trace.append("create" if run == 1 else f"create run {run}")
        return session

    async def begin_spawn(self, key: SessionKey) -> Session:
        handle = self._handles.get(key)
        if handle is not None and handle.spawn_task is not None:
            self.trace.append("spawn task registered")
        session = await super().begin_spawn(key)
        self.trace.append("begin_spawn")
        return session

    async def attach_agent(
        self, key: SessionKey, agent: AgentRun, *, process: Process | None = None
    ) -> Session:
        session = await super().attach_agent(key, agent, process=process)
        self.trace.append("attach_agent")
        return session

    async def activate(self, key: SessionKey) -> Session:
        session = await super().activate(key)
        self.trace.append("activate")
        return session

    async def mark_terminating(self, key: SessionKey, *, reason: str) -> Session:
        session = await super().mark_terminating(key, reason=reason)
        self.trace.append("mark_terminating")
        return session

    async def record_heartbeat(self, key: SessionKey, *, received: int = 0, sent: int = 0) -> None:
        await super().record_heartbeat(key, received=received, sent=sent)
        self.heartbeats.append((received, sent))


class TracingAgent(FakeAgent):
    """A fake agent that writes down what it is asked, and its end."""

    def __init__(self, *, name: str, trace: list[str]) -> None:
        super().__init__(name=name)
        self._trace = trace

    def send(self, data: bytes, *, is_owed: bool = False) -> None:
        super().send(data, is_owed=is_owed)
        self._trace += [f"agent: {m['method']}" for m in self.messages[-1:] if "method" in m]

    async def end(self) -> Any:
        how = await super().end()
        self._trace.append("agent: ended")
        return how


class FakeWorktrees:
    """Worktrees that are but names; a test may have them fail, or take their time.

    Attributes:
        root: Where they are said to be.
        there: Those that were made and not undone.
        occupied: Where agents work.
        failure: What the next call of either kind raises, once.
        work: Why they are to be kept, if they are.
        gate: What making waits for, after it has begun.
    """

    def __init__(self, *, trace: list[str]) -> None:
        self.root = Path("/trees")
        self.there: list[Worktree] = []
        self.occupied: list[str] = []
        self.failure: RelayError | None = None
        self.work: str | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self._trace = trace

    async def create(self, key: SessionKey, cwd: str) -> Worktree:
        self._trace.append("worktree")
        await self.gate.wait()
        self._fail()
        path = f"{self.root}/{key.session_id}/{key.role}"
        worktree = Worktree(
            path=path, workdir=f"{path}/sub", branch="b", base="c", repository=cwd, notes=("n",)
        )
        self.there.append(worktree)
        return worktree

    async def occupy(self, worktree: Worktree) -> Callable[[], None]:
        self.occupied.append(worktree.path)
        return lambda: self.occupied.remove(worktree.path)

    async def discard(self, worktree: Worktree) -> str | None:
        assert worktree.path not in self.occupied
        self._trace.append("worktree discarded")
        self._fail()
        if self.work is None:
            self.there.remove(worktree)
        return self.work

    def _fail(self) -> None:
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure


class Client:
    """A client that says what a test lets it say; its socket is memory."""

    def __init__(self, connection: ClientConnection, outbox: Outbox, outlet: MemoryOutlet) -> None:
        self.connection = connection
        self.outbox = outbox
        self.outlet = outlet
        self._ids = itertools.count(1)

    @property
    def messages(self) -> list[Message]:
        """Everything that it was ever sent."""
        return self.outlet.messages

    def send(self, message: Message | bytes) -> None:
        self.connection.receive(message if isinstance(message, bytes) else encode(message))

    def notify(self, method: str, **params: object) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def request(self, method: str, params: object = None, *, request_id: object = None) -> object:
        """Sends a request; gives its id."""
        request_id = next(self._ids) if request_id is None else request_id
        params = {} if params is None else params
        self.send({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
        return request_id

    def answers(self, request_id: object) -> list[Message]:
        """What answers that request; JSON's numbers and strings are told apart."""
        return [m for m in self.messages if "method" not in m and m["id"] == request_id]

    async def answer(self, request_id: object) -> Message:
        """Waits for the answer to a request."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.outlet.wait_for(lambda m: "method" not in m and m["id"] == request_id)

    async def called(self, method: str) -> Message:
        """Waits for the first request or notification with a method."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.outlet.wait_for(lambda m: m.get("method") == method)

    async def call(self, method: str, params: object = None) -> Message:
        """Sends a request and waits for its answer."""
        return await self.answer(self.request(method, params))

    async def initialize(self) -> Message:
        return await self.call("initialize", {"protocolVersion": 1})

    def begin_session(self) -> object:
        """Asks for a session; gives the request's id."""
        return self.request("session/new", {"cwd": "/repo", "mcpServers": []})

    async def open_session(self) -> str:
        answer = await self.answer(self.begin_session())
        session_id = answer["result"]["sessionId"]
        assert isinstance(session_id, str)
        return session_id

    def prompt(self, session_id: str, *, request_id: object = None) -> object:
        """Sends a prompt; gives the request's id."""
        prompt = [{"type": "text", "text": "go"}]
        params = {"sessionId": session_id, "prompt": prompt}
        return self.request("session/prompt", params, request_id=request_id)

    def texts(self) -> list[str]:
        """The texts of the agent's messages that it was sent."""
        updates = [m["params"]["update"] for m in self.messages if m.get("method") == UPDATE]
        said = [u for u in updates if u["sessionUpdate"] == "agent_message_chunk"]
        return [update["content"]["text"] for update in said]

    def markers(self, method: str) -> list[Message]:
        """The params of the relay's notifications of one kind that it was sent, unstamped."""
        told = [m["params"] for m in self.messages if m.get("method") == method]
        return [{name: value for name, value in each.items() if name != "_meta"} for each in told]

    def kinds(self) -> list[object]:
        """What it was sent, in order: methods, and for answers the ids of its requests."""
        return [message.get("method", message.get("id")) for message in self.messages]

    def refusals(self) -> list[tuple[object, int, object]]:
        """The errors that it was sent, and nothing else: request id, JSON-RPC code, own code."""
        errors = [(message["id"], message["error"]) for message in self.messages]
        assert all(error["message"].startswith("cannot ") for _, error in errors)
        assert all(isinstance(error["data"]["retryable"], bool) for _, error in errors)
        return [(request_id, error["code"], error["data"]["code"]) for request_id, error in errors]

    def hint(self) -> str:
        """The hint of the error that it was sent last."""
        hint = self.messages[-1]["error"]["data"]["hint"]
        assert isinstance(hint, str)
        return hint

    async def leave(self) -> None:
        """Vanishes. Idempotent."""
        self.outlet.lose()
        await self.connection.__aexit__(None, None, None)


class World:
    """The parts of a relay, as `acprelay.compose` puts them together."""

    def __init__(
        self,
        stack: AsyncExitStack,
        background: Background,
        *,
        limits: Limits,
        rules: Rules,
        store: SessionStore,
        storage: ConversationStore,
        checks: OpeningChecks,
    ) -> None:
        self.rates = MessageRates(
            per_s=limits.client_message_rate, burst=limits.client_message_burst
        )
        self.trace: list[str] = []
        self.hooks = RecordingHooks()
        self.launcher = FakeLauncher("fake", "other", make=self._make_agent)
        self.program: Callable[[FakeAgent], object] = lambda _agent: None
        self.worktrees = FakeWorktrees(trace=self.trace)
        self.claims = WorktreeClaims(worktrees=self.worktrees)
        self.background = background
        self.store = store
        self.storage = storage
        self.limits = limits
        self.commands = CommandLauncher(owner="test", environment={}, limits=AgentLimits())
        self.pool = AgentPool(launcher=self.launcher, deadline_s=limits.start_s)
        self.clock = FakeClock()
        self.feed = memory_feed()
        tokens = map("token-{}".format, itertools.count(1))
        self.desk = InvitationDesk(
            store=ForgetfulInvitations(), clock=self.clock, mint=lambda: next(tokens)
        )
        self.dial_ins = DialIns(
            desk=self.desk,
            make=lambda is_resumable: DialledAgent(
                name="joined",
                end=LinkEnd() if is_resumable else BareEnd(),
                limits=AgentLimits(),
                grace_s=limits.link_grace_s,
            ),
            ids=FakeIds(),
            background=background,
            limits=limits,
            services=SERVED_BY_RELAY,
            feed=self.feed,
        )
        self.source = AgentSource(pool=self.pool, dial_ins=self.dial_ins)
        self.registry: MemoryRegistry[AgentRun, object] = MemoryRegistry()
        self.manager = TracingManager(
            trace=self.trace,
            registry=self.registry,
            store=store,
            background=background,
            hooks=self.hooks,
            claims=self.claims,
            feed=self.feed,
        )
        self.clients = ConnectedClients()
        self.lags: list[float] = []
        self.measures = Measures(traffic=Traffic(), delivered=self.lags.append)
        self.archive = Archive(
            store=storage,
            ids=FakeIds(),
            clock=self.clock,
            rules=replace(rules, linger_s=limits.linger_s),
            observer=Observers((EventLog(),)),
            feed=self.feed,
        )
        self.host = ConversationHost(
            manager=self.manager,
            registry=self.registry,
            pool=self.source,
            archive=self.archive,
            clock=self.clock,
            worktrees=self.claims,
            background=background,
            limits=limits,
            desks=stack.enter_context(
                ServiceDesks(commands=self.commands, ids=FakeIds(), limits=limits)
            ),
            traffic=self.measures.traffic,
            checks=checks,
        )
        self._stack = stack
        self._connected = itertools.count(1)

    def _make_agent(self, name: str) -> FakeAgent:
        agent = TracingAgent(name=name, trace=self.trace)
        self.program(agent)
        return agent

    @property
    def agent(self) -> FakeAgent:
        """The agent that was launched last."""
        return self.launcher.launched[-1]

    def driver(self, key: SessionKey = KEY) -> ConversationDriver:
        """What drives a conversation, which is woken for that."""
        return self.host.find(str(key))

    def record(self, key: SessionKey = KEY) -> ConversationRecord:
        """What is stored of a conversation."""
        [record] = [record for record in self.storage.records() if record.key == key]
        return record

    async def at_rest(self, key: SessionKey = KEY) -> None:
        """Waits until what is stored of a conversation says that no turn runs."""
        async with asyncio.timeout(PATIENCE_S):
            while self.record(key).turn is not None:  # noqa: ASYNC110 - a timer stores it
                await asyncio.sleep(0)

    async def connect(
        self,
        *,
        agent: str = "fake",
        role: str = "main",
        session_id: str | None = "task",
        outlet: MemoryOutlet | None = None,
        principal: Principal = LOCAL,
    ) -> Client:
        """A client that has connected, and has said nothing yet."""
        outlet = outlet or MemoryOutlet()
        outbox = Outbox(outlet=outlet, measures=self.measures)
        connection = ClientConnection(
            id=f"connection-{next(self._connected)}",
            principal=principal,
            choice=Choice(agent=agent, role=role, group=session_id),
            outbox=outbox,
            limits=self.limits,
            host=self.host,
            pool=self.source,
            groups=Groups(host=self.host, ids=FakeIds(), agents=self.source.names),
            invitations=InvitationRequests(desk=self.desk, dial_ins=self.dial_ins),
            clients=self.clients,
            measures=self.measures,
            rates=self.rates,
        )
        await self._stack.enter_async_context(connection)
        return Client(connection, outbox, outlet)

    async def greeted(self, **options: Any) -> Client:
        """A client that has initialized its connection."""
        client = await self.connect(**options)
        answer = await client.initialize()
        assert "result" in answer, answer
        return client

    async def steps(self, count: int) -> None:
        """Lets the event loop go round that often."""
        for _ in range(count):
            await asyncio.sleep(0)

    async def steps_until(self, condition: Callable[[], bool]) -> int:
        """Lets the event loop go round until something holds; tells how often it did."""
        for count in range(MOST_STEPS):
            if condition():
                return count
            await asyncio.sleep(0)
        pytest.fail("the event loop goes round and round, and it does not come to pass")

    def is_gone(self, key: SessionKey = KEY) -> bool:
        """Whether nothing is kept under a key in this process."""
        return self.registry.get(key) is None

    async def gone(self, key: SessionKey = KEY) -> None:
        """Waits until a session has ended, and checks that nothing of it is kept."""
        await self.steps_until(lambda: self.is_gone(key))
        assert await self.store.get(key) is None

    def reason(self, key: SessionKey = KEY) -> str | None:
        """Why a session ended."""
        ends = [session for name, session in self.hooks.calls if name == "on_terminate"]
        return next((session.reason for session in ends if session.key == key), None)


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Runs tests with real processes on both loops, and all others on the one that is simpler."""
    factories = {"asyncio": asyncio.new_event_loop}
    if item.get_closest_marker("process") is not None:
        factories["uvloop"] = uvloop.new_event_loop
    return factories


def a_storage(history_bytes: int = 1 << 20) -> MemoryStorage:
    """Keeps conversations for as long as somebody holds it."""
    return MemoryStorage(ids=FakeIds(), history_bytes=history_bytes)


@asynccontextmanager
async def _open_world(
    *,
    limits: Limits | None = None,
    rules: Rules | None = None,
    store: SessionStore | None = None,
    storage: ConversationStore | None = None,
    checks: OpeningChecks | None = None,
) -> AsyncIterator[World]:
    before = asyncio.all_tasks()
    failures: list[dict[str, Any]] = []  # of callbacks, which nobody awaits
    asyncio.get_running_loop().set_exception_handler(lambda _, failure: failures.append(failure))
    async with AsyncExitStack() as stack:
        background = await stack.enter_async_context(Background())
        world = World(
            stack,
            background,
            limits=limits or Limits(),
            rules=rules or Rules(),
            store=store or MemoryStore(),
            storage=storage or a_storage(),
            checks=checks or OpeningChecks(roots=(), allowed=McpAllowlist()),
        )
        stack.push_async_callback(world.pool.aclose)
        await stack.enter_async_context(world.manager)
        stack.push_async_callback(world.host.aclose, reason="the test is over")
        world.host.recover()
        yield world
    assert failures == []
    assert world.launcher.living == []
    assert len(world.registry) == 0
    assert await world.store.count() == 0
    assert asyncio.all_tasks() - before == {asyncio.current_task()} - before


@pytest.fixture
def open_world() -> Callable[..., AbstractAsyncContextManager[World]]:
    """Opens a world for as long as a context lasts; leaving it checks that nothing is left."""
    return _open_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with _open_world() as world:
        yield world


@pytest.fixture
async def client(world: World) -> Client:
    """A client that has initialized its connection, and forgotten the answer."""
    client = await world.greeted()
    client.outlet.payloads.clear()
    world.trace.clear()
    return client


@pytest.fixture
async def session(client: Client) -> str:
    """The session that this client has opened; it has forgotten that answer, too."""
    session_id = await client.open_session()
    client.outlet.payloads.clear()
    return session_id
