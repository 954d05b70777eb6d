"""Agents that misbehave, one in each way there is: what their clients are told, and what is left.

Whatever an agent does, its client is answered, sessions of others go on meanwhile, the relay keeps
its size, and with the end of the session every process of the agent is gone.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from tests.end_to_end.relays import TAG, RelayProcess, tagged, until_gone
from tests.fault.agents.endings import ENDED, GOES_ON, NO_SESSION, STOPPED, Ending, Refusal
from tests.server.clients import AcpClient, prompt_params
from tests.server.peers import Message
from tests.server.relays import Dialler

from acprelay.agents.models import AgentSpec
from acprelay.compose import DEMO_AGENT

pytestmark = pytest.mark.process

MIB = 1024 * 1024
ROOM = 64 * MIB
"""How much larger the relay may have become."""

START = {"ACPRELAY_LIMITS_START_S": "8"}
"""How long agents have that open no session; those that do have started by then."""
CANCEL = {"ACPRELAY_LIMITS_CANCEL_ANSWER_S": "0.1", "ACPRELAY_LIMITS_CANCEL_END_S": "0.2"}
"""How long agents have to stop."""


class Site(NamedTuple):
    """A relay with agents that misbehave, and one that does not.

    Attributes:
        relay: The relay.
        tag: With the misbehaviour behind it, marks the processes of that agent.
        size: How large the relay was when it was idle, in bytes.
        session_id: A session of the agent that does not misbehave.
    """

    relay: RelayProcess
    tag: str
    size: int
    session_id: str


def site(names: Iterable[str], folder: Path, settings: Mapping[str, str]) -> Iterator[Site]:
    """Runs a relay for as long as the generator is kept."""
    tag = uuid.uuid4().hex
    program = (sys.executable, "-m", "acprelay.testing.misbehaving_agent")
    agents = [
        AgentSpec(name=name, argv=("env", f"{TAG}={tag} {name}", *program, name)) for name in names
    ]
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in settings.items():
            patch.setenv(variable, value)
        relay = RelayProcess(DEMO_AGENT, *agents, log=folder / "log")
        with relay:
            session_id = asyncio.run(open_session(relay))
            yield Site(relay, tag, relay.process.memory_info().rss, session_id)


async def open_session(relay: RelayProcess) -> str:
    """Opens a session of the demo agent, which outlives its client."""
    with Dialler(relay.url) as dial:
        return await (await dial()).open_session()


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A relay that waits for no agent to stop."""
    yield from site(STOPPED, tmp_path_factory.mktemp("hasty"), CANCEL)


@pytest.fixture
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A relay that waits for no agent to start."""
    yield from site(NO_SESSION, tmp_path_factory.mktemp("impatient"), START)


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A relay as it is without settings."""
    yield from site([*ENDED, *GOES_ON], tmp_path_factory.mktemp("patient"), {})


class Stage:
    """One agent that misbehaves, its client, and somebody who works with another one beside it."""

    def __init__(self, site: Site, name: str, dial: Dialler) -> None:
        self.site = site
        self.name = name
        self.dial = dial

    def processes(self) -> list[psutil.Process]:
        """Those of the agent, and of all that it has started."""
        return tagged(f"{self.site.tag} {self.name}")

    async def client(self) -> AcpClient:
        """A client of the agent."""
        return await self.dial(f"?agent={self.name}")

    @asynccontextmanager
    async def beside_others(self) -> AsyncIterator[None]:
        """Has somebody work with an agent that does not misbehave, meanwhile."""
        async with asyncio.TaskGroup() as beside:
            beside.create_task(self._work_with_another())
            yield

    async def _work_with_another(self) -> None:
        other = await self.dial()
        await other.initialize()
        session: Message = {"sessionId": self.site.session_id}
        await other.result("session/resume", {**session, "cwd": "/", "mcpServers": []})
        answer = await other.prompt(self.site.session_id, "hello")
        assert answer["result"] == {"stopReason": "end_turn"}

    async def expect_nothing_left(self, client: AcpClient, session_id: str) -> None:
        """Closes the session, and finds nothing of it."""
        assert await client.result("session/close", {"sessionId": session_id}) == {}
        assert self.processes() == []
        assert self.site.relay.process.memory_info().rss < self.site.size + ROOM


@pytest.fixture
async def hasty_stage(hasty: Site, name: str) -> AsyncIterator[Stage]:
    """An agent that does not stop."""
    with Dialler(hasty.relay.url) as dial:
        yield Stage(hasty, name, dial)


@pytest.fixture
async def stage(patient: Site, name: str) -> AsyncIterator[Stage]:
    """An agent that has as much time as it is given anywhere."""
    with Dialler(patient.relay.url) as dial:
        yield Stage(patient, name, dial)


async def take_turn(
    client: AcpClient, session_id: str, *, is_cancelled: bool
) -> tuple[Message, int]:
    """Prompts, gives every permission, and may cancel; gives the answer, and the count of asks."""
    prompt_id = await client.begin("session/prompt", prompt_params(session_id, "hello"))
    await client.until("_acprelay/turn_started")
    if is_cancelled:
        await client.send({"method": "session/cancel", "params": {"sessionId": session_id}})
    asks = 0
    while True:
        message = await client.receive()
        if message.get("method") == "session/request_permission":
            asks += 1
            outcome = {"outcome": {"outcome": "selected", "optionId": "allow"}}
            await client.send({"id": message["id"], "result": outcome})
        elif "method" not in message and message["id"] == prompt_id:
            return message, asks
        else:
            client.heard.append(message)


async def until_text(client: AcpClient, text: str) -> None:
    """Returns once the agent's text is there, and gives permissions meanwhile."""
    while client.text != text:
        message = await client.receive()
        client.heard.append(message)
        if message.get("method") == "session/request_permission":
            outcome = {"outcome": {"outcome": "selected", "optionId": "allow"}}
            await client.send({"id": message["id"], "result": outcome})


def expect(answer: Message, ending: Ending) -> None:
    """Checks the answer to a prompt."""
    if "error" in answer:
        error = answer["error"]
        assert (error["data"]["code"], ending.words in error["message"]) == (ending.outcome, True)
        assert error["data"]["hint"]
    else:
        assert answer["result"]["stopReason"] == ending.outcome


@pytest.mark.requirement("misbehaviour.agents-end-in-a-defined-state")
async def test_agents_that_open_no_session_fail_the_request_and_are_gone(impatient: Site) -> None:
    """All at once, as each is waited for until the deadline."""
    with Dialler(impatient.relay.url) as dial:
        stages = [Stage(impatient, name, dial) for name in NO_SESSION]
        async with stages[0].beside_others(), asyncio.TaskGroup() as starts:
            for stage in stages:
                starts.create_task(expect_refusal(stage, NO_SESSION[stage.name]))


async def expect_refusal(stage: Stage, expected: Refusal) -> None:
    """Tries to open a session."""
    client = await stage.client()
    method, answer = "initialize", await client.ask("initialize", {"protocolVersion": 1})
    if "error" not in answer:
        method = "session/new"
        answer = await client.ask(method, {"cwd": "/", "mcpServers": []})
    error = answer["error"]
    assert (method, error["data"]["code"]) == (expected.method, expected.code)
    assert expected.words in error["message"] + error["data"]["hint"], stage.name
    await until_gone(stage.processes())


@pytest.mark.requirement("misbehaviour.agents-end-in-a-defined-state")
@pytest.mark.parametrize("name", STOPPED)
async def test_an_agent_that_does_not_stop_is_ended_and_its_client_answered(
    hasty_stage: Stage,
) -> None:
    await expect_ending(hasty_stage, STOPPED[hasty_stage.name])


@pytest.mark.requirement("misbehaviour.agents-end-in-a-defined-state")
@pytest.mark.parametrize("name", ENDED)
async def test_an_agent_that_is_lost_fails_the_turn_with_the_reason(stage: Stage) -> None:
    await expect_ending(stage, ENDED[stage.name])


@pytest.mark.requirement("misbehaviour.agents-end-in-a-defined-state")
@pytest.mark.parametrize("name", GOES_ON)
async def test_an_agent_that_says_what_it_should_not_goes_on(stage: Stage) -> None:
    await expect_ending(stage, GOES_ON[stage.name])


async def expect_ending(stage: Stage, ending: Ending) -> None:
    """Has an agent misbehave in a turn, and sees how that ends and what comes after."""
    client = await stage.client()
    session_id = await client.open_session()
    async with stage.beside_others():
        answer, asks = await take_turn(client, session_id, is_cancelled=ending.is_cancelled)
    expect(answer, ending)
    if ending.goes_on:
        assert (client.text, asks) == (ending.text, ending.asks)
        await until_text(client, ending.text + ending.late)
    else:
        assert client.text.startswith(ending.text)  # more of it may be a flood
        await until_run_is_over(client)
    prompt_id = await client.begin_prompt(session_id, "again")
    await client.until("_acprelay/turn_started")
    run = await client.result("_acprelay/run", {"sessionId": session_id})
    assert run["run"] == (1 if ending.goes_on else 2)
    if ending.goes_on:
        assert (await client.answer_to(prompt_id))["result"] == {"stopReason": "end_turn"}
        assert stage.processes()
    await stage.expect_nothing_left(client, session_id)


async def until_run_is_over(client: AcpClient) -> None:
    """Returns once everybody was told that the run has ended."""
    if not any(each.get("method") == "_acprelay/notice" for each in client.heard):
        await client.until("_acprelay/notice")
    del client.heard[:]


@pytest.mark.requirement("misbehaviour.agents-end-in-a-defined-state")
@pytest.mark.parametrize("name", ["loads-nothing"])
async def test_an_agent_that_restores_nothing_fails_the_prompt_at_once(stage: Stage) -> None:
    client = await stage.client()
    session_id = await client.open_session()
    run = await client.result("_acprelay/run", {"sessionId": session_id})
    psutil.Process(run["pid"]).kill()
    await client.until("_acprelay/notice")
    error = (await client.prompt(session_id, "again"))["error"]
    await until_gone(stage.processes())
    assert error["data"]["code"] == "agent_refused"
    assert "it answered session/load with a malformed message" in error["message"]
    await stage.expect_nothing_left(client, session_id)
