"""Several sessions on one task: opened together, ended together, and otherwise alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from acprelay.errors import InvalidKey, InvalidParams, SessionNotFound
from acprelay.routing.group_params import GroupSpec, RoleSpec
from acprelay.runtime.groups import Groups
from acprelay.session.models import SessionKey
from acprelay.testing.agents import FakeAgent
from acprelay.testing.session import FakeIds

if TYPE_CHECKING:
    from tests.runtime.conftest import Client, World

AUTH, DB = SessionKey("task", "auth"), SessionKey("task", "db")


@pytest.fixture
def groups(world: World) -> Groups:
    return Groups(host=world.host, ids=FakeIds(), agents=world.pool.names)


def a_group(*roles: str | RoleSpec, group: str | None = "task") -> GroupSpec:
    specs = [role if isinstance(role, RoleSpec) else RoleSpec(role=role) for role in roles]
    return GroupSpec(cwd="/repo", group=group, roles=tuple(specs))


def new_session(client: Client, **own: object) -> object:
    params = {"cwd": "/repo", "mcpServers": [], "_meta": {"acprelay": own, "kept": 1}}
    return client.request("session/new", params)


def refuse_new_sessions(world: World, agent_name: str) -> None:
    def program(agent: FakeAgent) -> None:
        if agent.name == agent_name:
            agent.refuse("session/new", code=-32000, message="no quota")

    world.program = program


# --- by session/new


@pytest.mark.requirement("groups.roles-are-chosen-by-each-session")
async def test_one_connection_opens_sessions_in_several_roles_with_several_agents(
    world: World, client: Client
) -> None:
    first = await client.answer(new_session(client, role="auth", group="task"))
    second = await client.answer(new_session(client, role="db", group="task", agent="other"))
    assert first["result"]["sessionId"] == "task:auth"
    assert second["result"]["sessionId"] == "task:db"
    assert world.record(AUTH).agent == "fake"
    assert world.record(DB).agent == "other"


async def test_what_a_session_chooses_is_not_passed_on_to_its_agent(
    world: World, client: Client
) -> None:
    await client.answer(new_session(client, role="auth"))
    [asked] = [m for m in world.agent.messages if m.get("method") == "session/new"]
    assert asked["params"]["_meta"] == {"kept": 1}


async def test_a_role_that_is_taken_is_refused_and_the_session_that_has_it_goes_on(
    client: Client,
) -> None:
    await client.answer(new_session(client, role="auth"))
    answer = await client.answer(new_session(client, role="auth"))
    assert answer["error"]["data"]["code"] == "session_exists"
    prompted = await client.answer(client.prompt("task:auth"))
    assert prompted["result"]["stopReason"] == "end_turn"


async def test_what_a_client_showed_one_agent_is_not_shown_to_another(
    world: World, client: Client
) -> None:
    await client.call("authenticate", {"methodId": "key"})
    await client.answer(new_session(client, role="db", agent="other"))
    assert [m["method"] for m in world.agent.messages] == ["initialize", "session/new"]


# --- by one request


@pytest.mark.requirement("groups.many-roles-at-once")
async def test_a_group_is_opened_with_many_roles_at_once(world: World, client: Client) -> None:
    answer = await client.call(
        "_acprelay/open_group",
        {"cwd": "/repo", "group": "task", "roles": [{"role": "auth"}, {"role": "db"}]},
    )
    assert answer["result"] == {
        "group": "task",
        "roles": [
            {"role": "auth", "sessionId": "task:auth"},
            {"role": "db", "sessionId": "task:db"},
        ],
    }
    assert world.record(AUTH).params == b'{"cwd":"/repo","mcpServers":[]}'


async def test_nobody_is_attached_to_what_a_group_opens_and_anybody_may_come(
    world: World, client: Client, groups: Groups
) -> None:
    await groups.open(a_group("auth"))
    assert not world.driver(AUTH).attendance.has_clients
    await client.call("session/resume", {"sessionId": "task:auth", "cwd": "/", "mcpServers": []})
    prompted = await client.answer(client.prompt("task:auth"))
    assert prompted["result"]["stopReason"] == "end_turn"


async def test_a_group_without_a_name_gets_one(groups: Groups) -> None:
    outcome = await groups.open(a_group("auth", "db", group=None))
    assert [role.session_id for role in outcome.roles] == [
        f"{outcome.group}:auth",
        f"{outcome.group}:db",
    ]


@pytest.mark.requirement("groups.roles-come-and-go-alone")
async def test_a_role_is_added_to_a_group_and_ended_without_the_others(
    world: World, client: Client, groups: Groups
) -> None:
    await groups.open(a_group("auth"))
    await groups.open(a_group("db"))
    await client.call("session/close", {"sessionId": "task:auth"})
    assert world.is_gone(AUTH)
    assert not world.is_gone(DB)


@pytest.mark.requirement("groups.failures-stay-alone")
async def test_an_agent_that_fails_leaves_the_other_roles_alone(
    world: World, client: Client
) -> None:
    refuse_new_sessions(world, "other")
    roles = [{"role": "auth"}, {"role": "db", "agent": "other"}]
    answer = await client.call("_acprelay/open_group", {"cwd": "/repo", "roles": roles})
    auth, db = answer["result"]["roles"]
    assert auth["sessionId"].endswith(":auth")
    assert db == {"role": "db", "error": {"code": -32000, "message": "no quota"}}


@pytest.mark.requirement("groups.duplicate-roles-are-refused")
async def test_a_role_that_the_group_has_is_refused_and_the_others_are_opened(
    groups: Groups,
) -> None:
    await groups.open(a_group("auth"))
    outcome = await groups.open(a_group("auth", "db"))
    auth, db = outcome.roles
    assert auth.session_id is None
    assert b"session_exists" in (auth.error or b"")
    assert db.session_id == "task:db"


@pytest.mark.parametrize(
    ("roles", "error"),
    [
        (("auth", "auth"), InvalidParams),
        ((RoleSpec(role="auth", agent="nobody"),), InvalidParams),
        (("auth", "a:b"), InvalidKey),
        ((), InvalidParams),
    ],
)
async def test_a_group_that_cannot_be_is_refused_before_anything_begins(
    world: World, groups: Groups, roles: tuple[Any, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await groups.open(a_group(*roles))
    assert world.launcher.launched == []


async def test_a_client_that_leaves_while_its_group_opens_leaves_nothing_half_open(
    world: World,
) -> None:
    world.program = lambda agent: agent.ignore("session/new")
    client = await world.greeted()
    client.request(
        "_acprelay/open_group", {"cwd": "/w", "group": "task", "roles": [{"role": "auth"}]}
    )
    await world.steps_until(lambda: "agent: session/new" in world.trace)
    await client.leave()
    await world.gone(AUTH)
    assert list(world.storage.records()) == []


async def test_whoever_stops_waiting_for_a_group_keeps_what_was_open_by_then(
    world: World, groups: Groups
) -> None:
    world.program = lambda agent: agent.ignore("session/new") if agent.name == "other" else None
    opening = asyncio.get_running_loop().create_task(
        groups.open(a_group("auth", RoleSpec(role="db", agent="other")))
    )
    await world.steps_until(lambda: world.trace.count("agent: session/new") == 2)
    await world.steps_until(lambda: "activate" in world.trace)
    opening.cancel()
    await asyncio.wait([opening])
    await world.gone(DB)
    assert not world.is_gone(AUTH)


# --- the end of all


@pytest.mark.requirement("groups.end-together")
async def test_the_end_of_a_group_ends_every_role_and_keeps_every_conversation(
    world: World, client: Client, groups: Groups
) -> None:
    await groups.open(a_group("auth", "db"))
    await groups.open(a_group("auth", group="another"))
    answer = await client.call("_acprelay/close_group", {"group": "task"})
    assert answer["result"] == {"sessions": ["task:auth", "task:db"]}
    assert world.is_gone(AUTH)
    assert world.is_gone(DB)
    assert not world.is_gone(SessionKey("another", "auth"))
    listed = await client.call("session/list")
    assert len(listed["result"]["sessions"]) == 3


async def test_a_group_may_be_ended_again(groups: Groups) -> None:
    await groups.open(a_group("auth"))
    assert await groups.close("task") == ["task:auth"]
    assert await groups.close("task") == ["task:auth"]


async def test_a_turn_that_runs_when_its_group_ends_is_cancelled(
    world: World, client: Client, groups: Groups
) -> None:
    world.program = lambda agent: agent.ignore("session/prompt")
    await groups.open(a_group("auth"))
    await client.call("session/resume", {"sessionId": "task:auth", "cwd": "/", "mcpServers": []})
    prompt = client.prompt("task:auth")
    await groups.close("task")
    assert (await client.answer(prompt))["result"]["stopReason"] == "cancelled"


async def test_a_role_on_its_way_is_ended_with_its_group(world: World, groups: Groups) -> None:
    world.program = lambda agent: agent.ignore("session/new")
    opening = asyncio.get_running_loop().create_task(groups.open(a_group("auth")))
    await world.steps_until(lambda: "agent: session/new" in world.trace)
    assert await groups.close("task") == ["task:auth"]
    [auth] = (await opening).roles
    assert b"session_ended" in (auth.error or b"")
    assert list(world.storage.records()) == []


@pytest.mark.requirement("groups.end-together")
async def test_the_end_of_a_group_reaches_what_was_asked_for_right_before_it(
    world: World, client: Client
) -> None:
    roles = [{"role": "auth"}, {"role": "db"}]
    opening = client.request(
        "_acprelay/open_group", {"cwd": "/repo", "group": "task", "roles": roles}
    )
    alone = new_session(client, role="docs", group="task")
    closed = await client.call("_acprelay/close_group", {"group": "task"})
    assert closed["result"] == {"sessions": ["task:auth", "task:db", "task:docs"]}
    for role in (await client.answer(opening))["result"]["roles"]:
        assert role["error"]["data"]["code"] == "session_ended"
    assert (await client.answer(alone))["error"]["data"]["code"] == "session_ended"
    await world.gone(AUTH)
    assert list(world.storage.records()) == []


async def test_a_group_that_is_not_there_cannot_be_ended(client: Client, groups: Groups) -> None:
    with pytest.raises(SessionNotFound):
        await groups.close("nothing")
    answer = await client.call("_acprelay/close_group", {"group": "nothing"})
    assert answer["error"]["data"]["code"] == "session_not_found"
    assert answer["error"]["message"] == "cannot find group 'nothing'"
