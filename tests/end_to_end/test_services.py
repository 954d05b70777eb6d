"""Files and terminals over the whole path: an agent asks, and a relay or a client serves."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.end_to_end.relays import TAG, RelayProcess, raw_agent, tagged, until_gone
from tests.server.clients import AcpClient
from tests.server.peers import PATIENCE_S, Message
from tests.server.relays import Dialler, serve

from acprelay.config import Limits, RelayConfig
from acprelay.routing.service_modes import ServiceMode, Services

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_factories=["asyncio"])]

BY_CLIENTS = Services(fs=ServiceMode.CLIENT, terminal=ServiceMode.CLIENT)
ABLE: Message = {"fs": {"readTextFile": True, "writeTextFile": True}, "terminal": True}
READ, WRITE = "fs/read_text_file", "fs/write_text_file"
LAST: Message = {"terminalId": "$terminal"}

Needs = list[tuple[str, Message]]


def config(tag: str, **settings: Any) -> RelayConfig:
    """A relay with an agent that asks for what it is told to."""
    return RelayConfig(port=0, agents=(raw_agent("needing", tag=tag),), **settings)


def command(text: str, tag: str = "") -> tuple[str, Message]:
    """Has a command run."""
    return "terminal/create", {"command": text, "env": [{"name": TAG, "value": tag}]}


async def said(client: AcpClient, session_id: str, *needs: tuple[str, Message]) -> list[Any]:
    """Has the agent ask for something; gives what it is answered."""
    client.heard.clear()
    answer = await client.prompt(session_id, json.dumps(needs))
    assert answer["result"] == {"stopReason": "end_turn"}, answer
    return answers(client)


def answers(client: AcpClient) -> list[Any]:
    """What the agent has said of its answers."""
    return [json.loads(line) for line in client.text.splitlines()]


async def able(dial: Dialler, capabilities: Message = ABLE) -> AcpClient:
    """A client that says what it can."""
    client = await dial()
    params: Message = {"protocolVersion": 1, "clientCapabilities": capabilities}
    await client.result("initialize", params)
    return client


def where(session_id: str) -> Message:
    """The params of a load."""
    return {"sessionId": session_id, "cwd": "/", "mcpServers": []}


@pytest.fixture
async def dial(tag: str) -> AsyncIterator[Dialler]:
    """Opens WebSockets to a relay that serves both itself."""
    async with serve(config(tag)) as (_, dialler):
        yield dialler


@pytest.mark.requirement("files.advertised-as-served")
@pytest.mark.parametrize(
    ("services", "promised"),
    [
        (None, ABLE),
        (BY_CLIENTS, ABLE),
        (Services(), {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False}),
        (
            Services(fs=ServiceMode.RELAY),
            {"fs": {"readTextFile": True, "writeTextFile": True}, "terminal": False},
        ),
    ],
)
async def test_an_agent_is_promised_what_is_served(
    tag: str, services: Services | None, promised: Message
) -> None:
    settings = {} if services is None else {"services": services}
    async with serve(config(tag, **settings)) as (_, dial):
        client = await dial()
        session_id = await client.open_session()
        assert await said(client, session_id) == [promised]


async def test_files_are_read_and_written_and_commands_run(dial: Dialler, tmp_path: Path) -> None:
    client = await dial()
    session_id = await client.open_session(str(tmp_path))
    path = str(tmp_path / "new" / "a")
    assert await said(
        client,
        session_id,
        (WRITE, {"path": path, "content": "one\ntwo\n"}),
        (READ, {"path": path, "line": 2}),
        command("wc -l < new/a; exit 7"),
        ("terminal/wait_for_exit", LAST),
        ("terminal/release", LAST),
    ) == [
        {},
        {"content": "two\n"},
        {"terminalId": answers(client)[2]["terminalId"]},
        {"exitCode": 7, "signal": None},
        {},
    ]
    assert (tmp_path / "new" / "a").read_text() == "one\ntwo\n"


@pytest.mark.requirement("files.stay-in-the-worktree", "files.leaving-symlinks-are-refused")
async def test_what_lies_outside_is_out_of_reach_but_for_the_roots_that_were_added(
    dial: Dialler, tmp_path: Path
) -> None:
    for name in ("root", "added", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    (tmp_path / "root" / "link").symlink_to("../other/a")
    client = await dial()
    await client.initialize()
    params = {"cwd": str(tmp_path / "root"), "mcpServers": []}
    added = {"additionalDirectories": [str(tmp_path / "added")]}
    session = await client.result("session/new", {**params, **added})
    got = await said(
        client,
        session["sessionId"],
        (READ, {"path": str(tmp_path / "root" / "a")}),
        (READ, {"path": str(tmp_path / "added" / "a")}),
        (READ, {"path": str(tmp_path / "other" / "a")}),
        (WRITE, {"path": str(tmp_path / "root" / "link"), "content": "x"}),
        ("terminal/create", {"command": "true", "cwd": str(tmp_path / "other")}),
        (READ, {"path": str(tmp_path / "root" / "none")}),
    )
    assert got[:2] == [{"content": "root"}, {"content": "added"}]
    assert [error["code"] for error in got[2:]] == [-32040, -32040, -32040, -32002]
    assert (tmp_path / "other" / "a").read_text() == "other"


@pytest.mark.requirement("files.served-without-clients")
async def test_with_no_client_attached_all_goes_on(dial: Dialler, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    os.mkfifo(go_on)
    client = await dial()
    session_id = await client.open_session(str(tmp_path))
    needs: Needs = [
        command("echo ready > begun; read line < go-on"),
        ("terminal/wait_for_exit", LAST),
        (WRITE, {"path": str(tmp_path / "a"), "content": "alone"}),
        (READ, {"path": str(tmp_path / "a")}),
        command("echo done > ended"),
        ("terminal/wait_for_exit", LAST),
    ]
    await client.begin_prompt(session_id, json.dumps(needs))
    writing = asyncio.to_thread(go_on.write_text, "\n")  # returns once the command reads
    client.peer.abort()
    await writing
    async with asyncio.timeout(PATIENCE_S):
        while not (tmp_path / "ended").exists():  # noqa: ASYNC110 - nobody is there to be told
            await asyncio.sleep(0)
    reader = await dial()
    await reader.initialize()
    await reader.result("session/load", where(session_id))
    while len(answers(reader)) < len(needs):
        reader.heard.append(await reader.receive())
    assert answers(reader)[2:4] == [{}, {"content": "alone"}]


@pytest.mark.requirement("files.withdrawn-requests-end")
async def test_a_wait_that_the_agent_withdraws_is_broken_off(dial: Dialler, tag: str) -> None:
    client = await dial()
    session_id = await client.open_session("/tmp")
    got = await said(
        client,
        session_id,
        command("sleep 1000", tag),
        ("terminal/wait_for_exit", LAST),
        ("$cancel", {}),
        ("terminal/kill", LAST),
        ("terminal/output", LAST),
    )
    assert got[1]["code"] == -32800
    assert got[2:] == [
        {},
        {"output": "", "truncated": False, "exitStatus": {"exitCode": None, "signal": "SIGTERM"}},
    ]


async def test_a_session_has_no_more_terminals_than_may_be(tag: str) -> None:
    async with serve(config(tag, limits=Limits(terminals=2))) as (_, dial):
        client = await dial()
        session_id = await client.open_session("/tmp")
        got = await said(client, session_id, *[command("true")] * 3)
        assert got[2]["code"] == -32044
        other = await client.new_session("/tmp")
        assert "terminalId" in (await said(client, other, command("true")))[0]


# --- what becomes of commands


async def until_they_sleep(count: int, tag: str) -> list[psutil.Process]:
    """Returns once so many of a test's commands are asleep; gives those that are."""
    asleep: list[psutil.Process] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(asleep) < count:
            asleep = [each for each in await asyncio.to_thread(tagged, tag) if is_asleep(each)]
    return asleep


def is_asleep(process: psutil.Process) -> bool:
    """Whether a process has become `sleep`; a shell that it was started by may end at once."""
    try:
        return process.name() == "sleep"
    except psutil.NoSuchProcess:
        return False


STUBBORN = "trap '' TERM; (setsid sleep 1001 &); (trap '' TERM; sleep 1002 &); sleep 1003 & wait"


@pytest.mark.requirement("terminals.die-with-their-session")
async def test_when_a_session_is_closed_its_commands_are_gone(dial: Dialler, tag: str) -> None:
    client = await dial()
    session_id = await client.open_session("/tmp")
    await said(client, session_id, command(STUBBORN, tag), command("sleep 1004", tag))
    await until_they_sleep(4, tag)
    await client.result("session/close", {"sessionId": session_id})
    assert tagged(tag) == []


@pytest.mark.requirement("terminals.die-with-their-session")
async def test_when_an_agent_ends_by_itself_so_do_its_commands(dial: Dialler, tag: str) -> None:
    client = await dial()
    session_id = await client.open_session("/tmp")
    needs: Needs = [command("sleep 1000", tag), ("$exit", {})]
    answer = await client.prompt(session_id, json.dumps(needs))
    assert answer["error"]["data"]["code"] == "agent_exited"
    async with asyncio.timeout(PATIENCE_S):
        while await asyncio.to_thread(tagged, tag):
            pass


@pytest.mark.requirement("terminals.die-with-their-session")
async def test_when_a_relay_stops_no_command_is_left(tag: str) -> None:
    async with serve(config(tag)) as (_, dial):
        client = await dial()
        session_id = await client.open_session("/tmp")
        await said(client, session_id, command(STUBBORN, tag), command("sleep 1000", tag))
        await until_they_sleep(4, tag)
    assert tagged(tag) == []


@pytest.mark.requirement("terminals.die-with-their-session")
async def test_what_a_relay_leaves_that_is_killed_the_next_one_ends(log: Path, tag: str) -> None:
    agent = raw_agent("needing", tag=tag)
    with RelayProcess(agent, log=log) as relay, Dialler(relay.url) as dial:
        client = await dial()
        session_id = await client.open_session("/tmp")
        await said(client, session_id, command("sleep 1001", tag), command(STUBBORN, tag))
        left = await until_they_sleep(4, tag)
        await relay.kill()
    assert all(process.is_running() for process in left)
    with RelayProcess(agent, log=log):
        await until_gone(left)
    assert tagged(tag) == []


@pytest.mark.requirement("terminals.output-is-bounded")
async def test_a_flood_is_bounded_in_memory_and_holds_nobody_up(log: Path, tag: str) -> None:
    agent = raw_agent("needing", tag=tag)
    with RelayProcess(agent, log=log) as relay, Dialler(relay.url) as dial:
        client = await dial()
        session_id = await client.open_session("/tmp")
        flood = "exec head -c 1000000000 /dev/zero"
        before = relay.process.memory_info().rss
        await said(client, session_id, *[command(flood, tag)] * 2)
        other = await client.new_session("/tmp")
        for _ in range(20):
            assert await said(client, other) == [ABLE]
        got = await said(
            client,
            session_id,
            command(f"{flood} & wait; echo end", tag),
            ("terminal/wait_for_exit", LAST),
            ("terminal/output", LAST),
        )
        assert got[1] == {"exitCode": 0, "signal": None}
        assert got[2]["truncated"]
        assert got[2]["output"].endswith("\0end\n")
        assert len(got[2]["output"]) == Limits().terminal_bytes
        assert relay.process.memory_info().rss - before < 64 << 20
        await client.result("session/close", {"sessionId": session_id})


# --- nobody serves


@pytest.mark.requirement("files.advertised-as-served")
async def test_what_nobody_serves_is_refused(log: Path, tag: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    off = ("--fs", "off", "--terminal", "off")
    agent = raw_agent("needing", tag=tag)
    with RelayProcess(agent, log=log, options=off) as relay, Dialler(relay.url) as dial:
        client = await able(dial)
        session_id = await client.new_session(str(tmp_path))
        got = await said(client, session_id, (READ, {"path": str(tmp_path / "a")}), command("true"))
        assert [error["code"] for error in got] == [-32601, -32601]


# --- clients serve


@pytest.fixture
async def dial_shared(tag: str) -> AsyncIterator[Dialler]:
    """Opens WebSockets to a relay whose clients serve."""
    async with serve(config(tag, services=BY_CLIENTS)) as (_, dialler):
        yield dialler


async def serve_one(client: AcpClient, method: str, result: object) -> Message:
    """Has a client answer what it is asked next; gives the params."""
    ask = await client.until(method)
    await client.send({"id": ask["id"], "result": result})
    params: Message = ask["params"]
    return params


@pytest.mark.requirement("files.one-owner")
async def test_of_two_clients_the_owner_of_the_turn_serves_and_the_other_hears_nothing(
    dial_shared: Dialler,
) -> None:
    owner, other = await able(dial_shared), await able(dial_shared)
    session_id = await owner.new_session("/tmp")
    await other.result("session/load", where(session_id))
    for client, name in ((owner, "a"), (other, "b")):
        client.heard.clear()
        prompt_id = await client.begin_prompt(
            session_id, json.dumps([(READ, {"path": "/far/away"}), command("x"), (WRITE, {})])
        )
        params = await serve_one(client, READ, {"content": "far"})
        assert params["sessionId"] == session_id
        assert params["path"] == "/far/away"
        await serve_one(client, "terminal/create", {"terminalId": name})
        ask = await client.until(WRITE)
        error = {"code": -32000, "message": "read-only"}
        await client.send({"id": ask["id"], "error": error})
        await client.answer_to(prompt_id)
        told = [{"content": "far"}, {"terminalId": name}, error]
        assert answers(client)[-3:] == told
    for client in (owner, other):  # each served its own turn and nothing else
        assert [m for m in client.heard if "id" in m and "method" in m] == []


@pytest.mark.requirement("terminals.stay-with-their-client")
@pytest.mark.requirement("files.one-owner")
async def test_an_owner_that_cannot_leaves_it_to_the_other_and_a_terminal_stays_where_it_is(
    dial_shared: Dialler,
) -> None:
    owner, other = await able(dial_shared, {}), await able(dial_shared)
    session_id = await owner.new_session("/tmp")
    await other.result("session/load", where(session_id))
    needs = [command("x"), ("terminal/output", LAST)]
    prompt_id = await owner.begin_prompt(session_id, json.dumps(needs))
    await serve_one(other, "terminal/create", {"terminalId": "t"})
    params = await serve_one(other, "terminal/output", {"output": "x", "truncated": False})
    assert params["terminalId"] == "t"
    await owner.answer_to(prompt_id)
    assert answers(owner) == [{"terminalId": "t"}, {"output": "x", "truncated": False}]


@pytest.mark.requirement("files.one-owner")
async def test_with_the_client_that_was_asked_the_request_fails(tag: str) -> None:
    settings = {"services": BY_CLIENTS, "limits": Limits(linger_s=0.01)}
    async with serve(config(tag, **settings)) as (_, dial):
        owner, other = await able(dial), await able(dial)
        session_id = await owner.new_session("/tmp")
        await other.result("session/load", where(session_id))
        await owner.begin_prompt(session_id, json.dumps([(WRITE, {"path": "/x"})]))
        await owner.until(WRITE)
        owner.peer.abort()
        await other.until("_acprelay/turn_ended")
        [error] = answers(other)
        assert "the client that serves it has left" in error["message"]
        assert [m for m in other.heard if "id" in m and "method" in m] == []


async def test_without_a_client_that_can_the_agent_is_told_so(dial_shared: Dialler) -> None:
    client = await able(dial_shared, {"fs": {"readTextFile": True}})
    session_id = await client.new_session("/tmp")
    [error] = await said(client, session_id, (WRITE, {"path": "/x"}))
    assert error["code"] == -32601
    assert error["data"]["hint"] == "no client that is attached can serve it"
