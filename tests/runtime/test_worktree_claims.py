"""Sessions with a worktree of their own: when it is made, who keeps it, and when it is undone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from acprelay.errors import WorkspaceError
from acprelay.session.models import SessionKey

if TYPE_CHECKING:
    from tests.runtime.conftest import Client, World

    from acprelay.testing.agents import Message

KEY = SessionKey("task", "main")
RESTORED = {"cwd": "/", "mcpServers": []}


def new_session(client: Client) -> object:
    own = {"acprelay": {"worktree": True}}
    return client.request("session/new", {"cwd": "/repo", "mcpServers": [], "_meta": own})


def asked(world: World, method: str) -> Message:
    [request] = [m for m in world.agent.messages if m.get("method") == method]
    return request


async def test_a_worktree_is_made_once_the_start_is_registered_and_before_the_agent_is(
    world: World, client: Client
) -> None:
    await client.answer(new_session(client))
    steps = ["create", "spawn task registered", "begin_spawn", "worktree", "attach_agent"]
    assert [step for step in world.trace if step in steps] == steps


async def test_the_agent_works_in_the_worktree_and_clients_find_the_session_by_its_project(
    world: World, client: Client
) -> None:
    answer = await client.answer(new_session(client))
    assert asked(world, "session/new")["params"] == {
        "cwd": "/trees/task/main/sub",
        "mcpServers": [],
        "_meta": {},
    }
    told = {
        "path": "/trees/task/main",
        "workdir": "/trees/task/main/sub",
        "branch": "b",
        "base": "c",
        "repository": "/repo",
        "dirty": False,
        "notes": ["n"],
    }
    assert answer["result"]["_meta"]["acprelay"]["worktree"] == told
    listed = await client.call("session/list", {"cwd": "/repo"})
    [entry] = listed["result"]["sessions"]
    assert entry["_meta"]["acprelay"]["worktree"] == told
    record = world.record()
    assert (record.cwd, record.workdir) == ("/repo", "/trees/task/main/sub")


async def test_a_session_that_wants_no_worktree_has_none(world: World, client: Client) -> None:
    await client.open_session()
    assert world.worktrees.there == []
    assert world.record().workdir == "/repo"


async def test_a_worktree_that_cannot_be_made_is_told_and_no_process_is_taken_for_it(
    world: World, client: Client
) -> None:
    world.worktrees.failure = WorkspaceError("cannot make it", hint="commit something")
    answer = await client.answer(new_session(client))
    assert answer["error"]["data"]["code"] == "workspace_error"
    await world.gone()
    assert "attach_agent" not in world.trace
    assert list(world.storage.records()) == []


async def test_a_session_that_its_agent_refuses_leaves_no_worktree(
    world: World, client: Client
) -> None:
    world.agent.refuse("session/new")
    await client.answer(new_session(client))
    await world.gone()
    assert world.worktrees.there == []


async def test_a_start_that_is_cancelled_while_its_worktree_is_made_leaves_none(
    world: World, client: Client
) -> None:
    world.worktrees.gate.clear()
    request_id = new_session(client)
    await world.steps_until(lambda: "worktree" in world.trace)
    client.notify("$/cancel_request", requestId=request_id)
    await world.gone()
    assert world.worktrees.there == []


async def test_a_start_that_is_cancelled_behind_its_worktree_has_it_undone_after_the_agent_is_gone(
    world: World, client: Client
) -> None:
    world.agent.ignore("session/new")
    request_id = new_session(client)
    await world.steps_until(lambda: "agent: session/new" in world.trace)
    client.notify("$/cancel_request", requestId=request_id)
    await world.gone()
    assert world.worktrees.there == []
    assert world.trace.index("agent: ended") < world.trace.index("worktree discarded")


async def test_a_worktree_that_cannot_be_undone_is_tried_again(
    world: World, client: Client
) -> None:
    world.agent.refuse("session/new")
    world.worktrees.failure = None
    create = world.worktrees.create

    async def create_and_fail_next(key: SessionKey, cwd: str) -> object:
        made = await create(key, cwd)
        world.worktrees.failure = WorkspaceError("cannot remove it", hint="look there")
        return made

    world.worktrees.create = create_and_fail_next  # type: ignore[assignment, method-assign]
    await client.answer(new_session(client))
    await world.gone()
    assert world.worktrees.there == []
    assert world.trace.count("worktree discarded") == 2


@pytest.mark.requirement("worktrees.in-use-is-not-removed")
async def test_a_worktree_is_occupied_for_as_long_as_a_run_of_its_session_lasts(
    world: World, client: Client, tmp_path: Path
) -> None:
    world.program = lambda agent: agent.promise("session/resume")
    world.worktrees.root = tmp_path
    path = tmp_path / "task" / "main"
    (path / "sub").mkdir(parents=True)
    world.agent.die()  # a later one can restore
    await client.answer(new_session(client))
    assert world.worktrees.occupied == [str(path)]
    await client.call("session/close", {"sessionId": "task:main"})
    assert world.worktrees.occupied == []
    await client.call("session/load", {"sessionId": "task:main", **RESTORED})
    await client.answer(client.prompt("task:main"))
    assert world.worktrees.occupied == [str(path)]
    await client.call("session/delete", {"sessionId": "task:main"})
    assert world.worktrees.occupied == []


@pytest.mark.requirement("worktrees.kept-at-the-end")
@pytest.mark.parametrize("method", ["session/close", "session/delete"])
async def test_a_session_that_ends_leaves_its_worktree_with_its_work(
    world: World, client: Client, method: str
) -> None:
    await client.answer(new_session(client))
    await client.call(method, {"sessionId": "task:main"})
    await world.gone()
    assert len(world.worktrees.there) == 1


async def test_a_later_run_works_in_the_same_worktree(
    world: World, client: Client, tmp_path: Path
) -> None:
    world.program = lambda agent: agent.promise("session/resume")
    world.worktrees.root = tmp_path
    workdir = tmp_path / "task" / "main" / "sub"
    workdir.mkdir(parents=True)
    world.agent.die()  # a later one can restore
    await client.answer(new_session(client))
    await client.call("session/close", {"sessionId": "task:main"})
    await client.call("session/load", {"sessionId": "task:main", **RESTORED})
    prompted = await client.answer(client.prompt("task:main"))
    assert prompted["result"]["stopReason"] == "end_turn"
    assert asked(world, "session/resume")["params"]["cwd"] == str(workdir)
    assert len(world.worktrees.there) == 1


async def test_a_later_run_without_its_worktree_is_refused_and_says_so(client: Client) -> None:
    await client.answer(new_session(client))
    await client.call("session/close", {"sessionId": "task:main"})
    await client.call("session/load", {"sessionId": "task:main", **RESTORED})
    answer = await client.answer(client.prompt("task:main"))
    assert answer["error"]["data"]["code"] == "not_restorable"
    assert "its worktree /trees/task/main/sub is gone" in answer["error"]["message"]
