"""Several agents on one task: each in its role and its worktree, alone in what becomes of it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest
from tests.end_to_end.relays import RelayProcess, raw_agent, tagged
from tests.repositories import a_repository, branches, git, locks, worktrees
from tests.server.clients import AcpClient
from tests.server.peers import PATIENCE_S, Message, frame
from tests.server.relays import Dialler, count_sessions, serve

from acprelay.config import RelayConfig

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_factories=["asyncio"])]

ROLES = ("auth", "db", "docs")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return a_repository(tmp_path / "project")


async def open_crew(client: AcpClient, repository: Path) -> list[Message]:
    """Opens a group of three roles, each in its worktree."""
    roles = [{"role": role} for role in ROLES]
    asked = {"cwd": str(repository), "group": "crew", "worktree": True, "roles": roles}
    opened: list[Message] = (await client.result("_acprelay/open_group", asked))["roles"]
    return opened


async def attach(dial: Dialler, session_id: str) -> AcpClient:
    client = await dial()
    await client.initialize()
    await client.result("session/resume", {"sessionId": session_id, "cwd": "/", "mcpServers": []})
    return client


def work(role: str) -> str:
    """A prompt that has the demo agent work and commit, twice."""
    lines = ["/mode auto"]
    for step in ("one", "two"):
        lines += [f"/write {role}-{step} {step}", f"/commit {role}: {step}"]
    return "\n".join(lines)


@pytest.mark.requirement("groups.failures-stay-alone", "worktrees.agents-work-apart")
async def test_three_roles_work_at_once_and_one_that_is_killed_leaves_the_others_alone(
    repository: Path, log: Path
) -> None:
    head, before = git(repository, "rev-parse", "HEAD"), git(repository, "status", "--porcelain")
    with RelayProcess(log=log) as relay, Dialler(relay.url) as dial:
        manager = await dial("?agent=none")
        await manager.initialize()
        opened = await open_crew(manager, repository)
        clients = [await attach(dial, each["sessionId"]) for each in opened]
        auth, db, docs = zip(clients, opened, strict=True)

        prompts = [
            await client.begin_prompt(each["sessionId"], work(each["role"]))
            for client, each in (auth, db)
        ]
        docs_client, docs_session = docs
        first = "/mode auto\n/write docs-one one\n/commit docs: one\n/slow 3600"
        killed = await docs_client.begin_prompt(docs_session["sessionId"], first)
        while "Committed" not in docs_client.text:
            docs_client.heard.append(await docs_client.receive())
        run = await manager.result("_acprelay/run", {"sessionId": docs_session["sessionId"]})
        os.kill(run["pid"], signal.SIGKILL)

        error = (await docs_client.answer_to(killed))["error"]
        assert error["data"]["code"] == "agent_exited"
        for (client, _), prompt in zip((auth, db), prompts, strict=True):
            assert (await client.answer_to(prompt))["result"] == {"stopReason": "end_turn"}
        [closed] = [await manager.result("_acprelay/close_group", {"group": "crew"})]
        assert len(closed["sessions"]) == 3
        assert await count_sessions(relay.base_url) == 0

    assert branches(repository) == [f"acprelay/crew/{role}" for role in ROLES]
    for role, steps in (("auth", 2), ("db", 2), ("docs", 1)):
        branch = f"acprelay/crew/{role}"
        assert git(repository, "rev-list", "--count", f"{head}..{branch}") == str(steps)
        assert git(repository, "show", f"{branch}:{role}-one") == "one"
    assert git(repository, "rev-parse", "HEAD") == head
    assert git(repository, "status", "--porcelain") == before == ""
    assert git(repository, "ls-files", "--others", "--cached") == "README"


async def pass_turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def new_session(number: int, repository: Path) -> bytes:
    own = b'{"acprelay":{"group":"g%d","worktree":true}}' % number
    params = b'{"cwd":"%b","mcpServers":[],"_meta":%b}' % (str(repository).encode(), own)
    return b'{"jsonrpc":"2.0","id":%d,"method":"session/new","params":%b}' % (number, params)


async def end_at_random(
    dial: Dialler, number: int, repository: Path, chance: random.Random
) -> bool:
    """Begins a session and breaks it off some time later; tells whether it was open by then."""
    client = await dial()
    try:
        return await end_one(client, number, repository, chance)
    finally:
        client.peer.abort()


async def end_one(client: AcpClient, number: int, repository: Path, chance: random.Random) -> bool:
    await client.initialize()
    await client.peer.write(frame(new_session(number, repository)))
    await pass_turns(chance.choice((0, 5, 20, 50, 100, 300, 1000, 3000)))
    if chance.random() < 0.3:
        return False
    cancel = b'{"jsonrpc":"2.0","method":"$/cancel_request","params":{"requestId":%d}}' % number
    await client.peer.write(frame(cancel))
    answer = await client.answer_to(number)
    if "result" not in answer:
        assert answer["error"]["data"]["code"] in ("request_cancelled", "session_ended")
        return False
    verb = chance.choice(("session/close", "session/delete"))
    await client.result(verb, {"sessionId": answer["result"]["sessionId"]})
    return True


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.requirement(
    "lifecycle.early-cancel-leaves-no-worktree", "lifecycle.early-cancel-leaves-no-process"
)
async def test_fifty_sessions_that_end_at_random_while_they_start_leave_nothing_half_made(
    repository: Path, tmp_path: Path, tag: str, seed: int
) -> None:
    chance = random.Random(seed)
    agent = raw_agent("parent", "child=own-session", tag=tag)
    config = RelayConfig(port=0, agents=(agent,), worktree_dir=tmp_path / "trees")
    async with serve(config) as (relay, dial):
        outcomes = await asyncio.gather(
            *(end_at_random(dial, number, repository, chance) for number in range(50))
        )
        manager = await dial("?agent=none")
        await manager.initialize()
        async with asyncio.timeout(PATIENCE_S):
            while await count_sessions(relay.base_url) or tagged(tag):
                # A client that vanished as its session opened leaves that; everything else ends.
                for each in (await manager.result("session/list", {}))["sessions"]:
                    await manager.ask("session/close", {"sessionId": each["sessionId"]})
        listed = {
            each["sessionId"]: each["_meta"]["acprelay"]["worktree"]
            for each in (await manager.result("session/list", {}))["sessions"]
        }

    kept = worktrees(repository)
    assert locks(repository) == []
    assert {Path(each["path"]) for each in listed.values()} <= set(kept)
    assert len(kept) == len(branches(repository)) <= len(outcomes)
    for path in kept:  # each belongs to a session that was open, and is whole
        assert git(path, "status", "--porcelain") == ""
        assert (path / "README").read_text() == "a project\n"
        assert f"acprelay/{path.parent.name}/{path.name}" in branches(repository)
    made = {path for path in (tmp_path / "trees").glob("*/*/*") if path.is_dir()}
    assert made == set(kept)
