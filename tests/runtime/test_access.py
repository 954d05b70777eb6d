"""Grants over a whole relay, method by method: what is out of scope does not exist."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.runtime.conftest import a_storage

from acprelay.config import Limits
from acprelay.errors import Forbidden, SessionNotFound
from acprelay.routing.access import Grant, Principal, Scope, including
from acprelay.routing.access_rules import RULES, Reach, Rule, rule_for
from acprelay.routing.group_params import GroupSpec, RoleSpec
from acprelay.routing.opening_rules import McpAllowlist
from acprelay.runtime.groups import Groups
from acprelay.runtime.opening_checks import OpeningChecks
from acprelay.session.models import SessionKey
from acprelay.testing.session import FakeIds
from acprelay.wire.methods import METHODS, MethodKind

if TYPE_CHECKING:
    from tests.runtime.conftest import Client, World

OpenWorld = Callable[..., AbstractAsyncContextManager["World"]]

AFTERWARDS = 60
"""Rounds of the event loop in which everything that may come has come."""

TASK, ELSEWHERE = Scope(group="task"), Scope(group="elsewhere")
OPTIONS = [
    {"optionId": "once", "name": "Once", "kind": "allow_once"},
    {"optionId": "always", "name": "Always", "kind": "allow_always"},
]

EXTENSIONS: dict[str, Rule] = {name: rule_for(name) for name in ("_x/ask", "no/such")}
EVERY_METHOD = {**RULES, **EXTENSIONS}

PARAMS: dict[str, dict[str, object]] = {
    "session/new": {"cwd": "/repo", "mcpServers": []},
    "session/prompt": {"prompt": [{"type": "text", "text": "go"}]},
    "_acprelay/cancel_turn": {"turn": "none"},
    "_acprelay/open_group": {"cwd": "/repo", "roles": [{"role": "more"}]},
    "authenticate": {"methodId": "key"},
}
"""What methods take besides the name of a session."""

NAMED: dict[Reach, Callable[[str], dict[str, object]]] = {
    Reach.NOTHING: lambda _name: {},
    Reach.ANYTHING: lambda _name: {},
    Reach.SESSION: lambda name: {"sessionId": name},
    Reach.TURN: lambda name: {"sessionId": name},
    Reach.OPENING: lambda name: {"_meta": {"acprelay": {"group": name.partition(":")[0]}}},
    Reach.ROLE: lambda name: {"group": name.partition(":")[0]},
    Reach.GROUP: lambda name: {"group": name.partition(":")[0]},
}


def holder(*grants: Grant, scope: Scope = TASK, id: str = "t-1") -> Principal:  # noqa: A002
    return Principal(id=id, name="T", grants=including(grants), scope=scope)


def params_for(method: str, name: str) -> dict[str, object]:
    """What a method is sent with by somebody who means a session."""
    named = NAMED[EVERY_METHOD[method].reach](name)
    if method == "_acprelay/open_group":
        named = {"group": name.partition(":")[0]}
    return {**PARAMS.get(method, {}), **named}


def is_notification(method: str) -> bool:
    known = METHODS.get(method)
    return known is not None and known.kind is MethodKind.NOTIFICATION


async def say(world: World, client: Client, method: str, name: str) -> Any:
    """Sends what means a session; gives the answer, None where there can be none."""
    params = params_for(method, name)
    if is_notification(method):
        client.notify(method, **params)
        await world.steps(AFTERWARDS)
        return None
    return await client.call(method, params)


def code(answer: Any) -> object:
    data = answer.get("error", {}).get("data") or {}
    return data.get("code")


@pytest.fixture
async def owner(client: Client, session: str) -> Client:
    """A client that may do everything, and is in `task:main`."""
    assert session == "task:main"
    return client


# --- out of scope


@pytest.mark.requirement("access.grants-have-a-scope", "access.hidden-sessions-do-not-exist")
@pytest.mark.parametrize("method", EVERY_METHOD)
async def test_with_a_token_for_one_session_another_one_does_not_exist(
    world: World, owner: Client, method: str
) -> None:
    reach = EVERY_METHOD[method].reach
    stranger = holder(*Grant, scope=Scope(group="elsewhere", role="main"))
    client = await world.greeted(session_id=None, principal=stranger)
    assert await client.open_session() == "elsewhere:main"
    agent = world.launcher.launched[0]
    sent, seen, launched = len(agent.sent), len(owner.messages), len(world.launcher.launched)
    if method == "initialize":
        return  # it names nothing, and the connection has said it
    there = await say(world, client, method, "task:main")
    nowhere = await say(world, client, method, "nope:main")
    await world.steps(AFTERWARDS)
    assert (len(agent.sent), len(owner.messages)) == (sent, seen)
    if reach in (Reach.NOTHING, Reach.ANYTHING):
        assert "task" not in json.dumps(there)
        return
    assert len(world.launcher.launched) == launched
    if there is None:
        return
    there["id"] = nowhere["id"]
    assert json.dumps(there).replace("task", "nope") == json.dumps(nowhere)
    expected = "forbidden" if reach in (Reach.OPENING, Reach.ROLE) else "session_not_found"
    assert code(there) == ("method_not_found" if method == "session/fork" else expected)


async def test_nor_does_what_it_asks(world: World, owner: Client) -> None:
    agent = world.launcher.launched[0]
    agent.ask(7, "session/request_permission", sessionId="agent-session", options=OPTIONS)
    ask = await owner.called("session/request_permission")
    client = await world.greeted(principal=holder(*Grant, scope=ELSEWHERE))
    outcome = {"outcome": {"outcome": "selected", "optionId": "once"}}
    client.send({"jsonrpc": "2.0", "id": ask["id"], "result": outcome})
    await world.steps(AFTERWARDS)
    assert agent.replies == []


async def test_a_list_names_what_may_be_observed(world: World, owner: Client) -> None:
    assert (await owner.call("session/list"))["result"]["sessions"] != []
    for scope, expected in [
        (TASK, ["task:main"]),
        (Scope(group="task", role="main"), ["task:main"]),
        (Scope(group="task", role="other"), []),
        (ELSEWHERE, []),
    ]:
        client = await world.greeted(principal=holder(Grant.OBSERVE, scope=scope))
        listed = (await client.call("session/list"))["result"]["sessions"]
        assert [each["sessionId"] for each in listed] == expected


# --- within scope, grant by grant


@pytest.mark.parametrize("grant", Grant)
@pytest.mark.parametrize("method", EVERY_METHOD)
@pytest.mark.usefixtures("owner")
async def test_what_may_be_observed_is_forbidden_to_who_lacks_another_grant(
    world: World, method: str, grant: Grant
) -> None:
    if method == "initialize":
        return  # it takes nothing, and the connection has said it
    rule = EVERY_METHOD[method]
    client = await world.greeted(principal=holder(grant))
    await client.call("session/load", {"sessionId": "task:main"})
    before = len(world.launcher.launched[0].sent)
    answer = await say(world, client, method, "task:main")
    if rule.grant in including([grant]):
        assert answer is None or code(answer) != "forbidden"
        return
    assert len(world.launcher.launched[0].sent) == before
    if answer is None or (METHODS.get(method) and answer["error"]["code"] == -32601):
        return  # nobody serves it
    assert code(answer) == "forbidden"
    assert answer["error"]["data"]["grant"] == rule.grant
    assert f"the grant to {rule.grant}" in answer["error"]["message"]


@pytest.mark.requirement("access.approval-is-a-grant", "access.permissions-go-to-approvers")
@pytest.mark.usefixtures("owner")
async def test_an_option_that_holds_for_always_is_chosen_by_who_may_approve(world: World) -> None:
    prompter = await world.greeted(principal=holder(Grant.PROMPT))
    approver = await world.greeted(principal=holder(Grant.APPROVE))
    for client in (prompter, approver):
        await client.call("session/load", {"sessionId": "task:main"})
    agent = world.launcher.launched[0]
    agent.ask(7, "session/request_permission", sessionId="agent-session", options=OPTIONS)
    ask = await approver.called("session/request_permission")
    outcome = {"outcome": {"outcome": "selected", "optionId": "always"}}
    answer = {"jsonrpc": "2.0", "id": ask["id"], "result": outcome}
    prompter.send(answer)
    await world.steps(AFTERWARDS)
    assert agent.replies == []
    approver.send(answer)
    await world.steps(AFTERWARDS)
    assert [reply["result"] for reply in agent.replies] == [outcome]
    assert "session/request_permission" not in prompter.kinds()


@pytest.mark.requirement("access.cancelling-for-others-needs-a-grant")
async def test_a_turn_is_stopped_by_its_owner_and_by_who_may_approve(
    world: World, owner: Client
) -> None:
    agent = world.launcher.launched[0]
    agent.ignore("session/prompt")
    others = {
        grant: await world.greeted(principal=holder(grant, id=f"t-{grant}"))
        for grant in (Grant.OBSERVE, Grant.PROMPT, Grant.APPROVE)
    }
    for client in others.values():
        await client.call("session/load", {"sessionId": "task:main"})
    owner.prompt("task:main")
    turn = (await owner.called("_acprelay/turn_started"))["params"]
    asked = {"sessionId": "task:main", "turn": turn["turn"]}
    for grant in (Grant.OBSERVE, Grant.PROMPT):
        others[grant].notify("session/cancel", sessionId="task:main")
        refusal = await others[grant].call("_acprelay/cancel_turn", asked)
        assert refusal["error"]["data"]["grant"] == "approve"
    assert agent.requests("session/cancel") == []
    answer = await others[Grant.APPROVE].call("_acprelay/cancel_turn", asked)
    assert answer["result"] == {"cancelled": True}
    assert len(agent.requests("session/cancel")) == 1


# --- who starts nothing


@pytest.mark.requirement("access.observers-start-nothing")
@pytest.mark.parametrize("grant", [Grant.OBSERVE, Grant.APPROVE])
async def test_whoever_may_neither_prompt_nor_manage_starts_nothing(
    open_world: OpenWorld, grant: Grant
) -> None:
    storage = a_storage()
    async with open_world(storage=storage) as world:
        founder = await world.greeted()
        await founder.open_session()
    async with open_world(storage=storage) as world:  # as after a restart of the relay
        client = await world.connect(principal=holder(grant))
        result = (await client.initialize())["result"]
        assert result["agentCapabilities"]["loadSession"] is True
        named = {"sessionId": "task:main"}
        for method in ("session/load", "session/resume", "_acprelay/turns", "_acprelay/run"):
            assert "result" in await client.call(method, named)
        assert "result" in await client.call("session/list")
        again = await world.greeted(principal=holder(grant))
        assert "result" in await again.call("_acprelay/attach", {**named, "after": "start"})
        for refused in ("session/prompt", "session/set_mode", "_x/ask"):
            answer = await client.call(refused, {**PARAMS.get(refused, {}), **named})
            assert code(answer) == "forbidden"
        await world.steps(AFTERWARDS)
        assert world.launcher.launched == []
        assert world.pool._holds == {}


async def test_what_is_known_of_an_agent_is_told_to_whoever_starts_nothing(world: World) -> None:
    await world.greeted()
    observer = await world.connect(principal=holder(Grant.OBSERVE))
    asked = await world.connect()
    assert (await observer.initialize())["result"] == (await asked.initialize())["result"]
    assert len(world.launcher.launched) == 1


async def test_an_agent_that_has_joined_elsewhere_is_not_described(world: World) -> None:
    stranger = holder(*Grant, scope=ELSEWHERE)
    client = await world.connect(agent="joined", session_id="task", principal=stranger)
    answer = await client.initialize()
    assert answer["error"]["data"]["code"] == "invalid_params"
    observer = holder(Grant.OBSERVE)
    client = await world.connect(agent="joined", session_id="task", principal=observer)
    assert "result" in await client.initialize()


async def test_a_crash_in_front_of_observers_alone_is_not_repaired_unasked(
    world: World, owner: Client
) -> None:
    world.agent.promise("session/resume")
    observer = await world.greeted(principal=holder(Grant.OBSERVE))
    await observer.call("session/load", {"sessionId": "task:main"})
    await owner.leave()
    launched = len(world.launcher.launched)
    world.agent.die()
    await world.gone()
    await world.steps(AFTERWARDS)
    assert world.driver().supervisor.standing().restart_in_s is None
    assert len(world.launcher.launched) == launched


# --- names of one's own


@pytest.mark.parametrize(
    ("scope", "opened"),
    [(TASK, "task:main"), (Scope(group="task", role="auth"), "task:auth")],
)
async def test_a_session_is_opened_where_the_token_holds(
    world: World, scope: Scope, opened: str
) -> None:
    client = await world.greeted(session_id=None, principal=holder(Grant.MANAGE, scope=scope))
    assert await client.open_session() == opened


async def test_groups_are_opened_and_ended_by_who_manages_them(world: World) -> None:
    groups = Groups(host=world.host, ids=FakeIds(), agents=world.pool.names)
    asked = GroupSpec(cwd="/repo", roles=(RoleSpec(role="a"), RoleSpec(role="b")))
    manager = holder(Grant.MANAGE)
    outcome = await groups.open(asked, principal=manager)
    assert [role.session_id for role in outcome.roles] == ["task:a", "task:b"]
    launched = len(world.launcher.launched)
    for principal, named in [
        (holder(Grant.MANAGE, scope=Scope(group="task", role="a")), None),
        (holder(Grant.APPROVE, scope=Scope()), None),
        (manager, "elsewhere"),
    ]:
        spec = GroupSpec(cwd="/repo", roles=asked.roles, group=named)
        with pytest.raises(Forbidden):
            await groups.open(spec, principal=principal)
    assert len(world.launcher.launched) == launched
    with pytest.raises(SessionNotFound) as hidden:
        await groups.close("task", principal=holder(Grant.MANAGE, scope=ELSEWHERE))
    with pytest.raises(SessionNotFound) as missing:
        await groups.close("task2")
    assert hidden.value.message == missing.value.message.replace("task2", "task")
    with pytest.raises(Forbidden):
        await groups.close("task", principal=holder(Grant.PROMPT))
    assert await groups.close("task", principal=manager) == ["task:a", "task:b"]


# --- what lets commands run


@pytest.mark.requirement("access.commands-come-from-managers")
@pytest.mark.usefixtures("owner")
async def test_directory_and_servers_of_a_load_and_of_a_resume_are_ignored(world: World) -> None:
    world.launcher.launched[0].promise("session/load")
    client = await world.greeted(principal=holder(Grant.PROMPT))
    evil = [{"name": "x", "command": "rm", "args": [], "env": []}]
    asked = {"sessionId": "task:main", "cwd": "/etc", "mcpServers": evil, "_meta": {"v": 1}}
    for method in ("session/load", "session/resume"):
        assert "result" in await client.call(method, asked)
    assert (world.record().cwd, b"rm" in world.record().params) == ("/repo", False)
    sent = b"".join(world.launcher.launched[0].sent)
    assert b"/etc" not in sent
    assert b'"rm"' not in sent


@pytest.mark.requirement("access.commands-are-checked")
async def test_directories_lie_under_the_roots_whatever_links_say(
    open_world: OpenWorld, tmp_path: Path
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for directory in (root / "in", outside):
        directory.mkdir(parents=True)
    (root / "link").symlink_to(outside)
    (tmp_path / "way in").symlink_to(root / "in")
    checks = OpeningChecks(roots=[root], allowed=McpAllowlist())
    async with open_world(checks=checks) as world:
        client = await world.greeted(session_id=None)
        for cwd, more, allowed in [
            (root / "in", [], True),
            (tmp_path / "way in", [], True),
            (root, [str(root / "in")], True),
            (root, [str(outside)], False),
            (root / "link", [], False),
            (root / "in" / ".." / ".." / "outside", [], False),
            (outside, [], False),
            (root / "new", [], True),
        ]:
            params = {"cwd": str(cwd), "mcpServers": [], "additionalDirectories": more}
            answer = await client.call("session/new", params)
            assert code(answer) == (None if allowed else "forbidden"), cwd
            group = await client.call(
                "_acprelay/open_group", {"cwd": str(cwd), "roles": [{"role": "a"}]}
            )
            [role] = group["result"]["roles"]
            assert ("error" in role) is not (allowed or bool(more))


@pytest.mark.parametrize("cwd", ["", ".", "repo", "~/repo", "/a\0b"])
async def test_a_directory_that_is_no_absolute_path_is_refused_without_roots_too(
    world: World, cwd: str
) -> None:
    client = await world.greeted()
    answer = await client.call("session/new", {"cwd": cwd, "mcpServers": []})
    assert code(answer) == "invalid_params"
    group = await client.call("_acprelay/open_group", {"cwd": cwd, "roles": [{"role": "a"}]})
    assert group["result"]["roles"][0]["error"]["data"]["code"] == "invalid_params"


@pytest.mark.requirement("access.commands-are-checked")
async def test_mcp_servers_stand_on_the_allowlist(open_world: OpenWorld, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "alias").symlink_to(program)
    allowed = McpAllowlist(commands=("tool", str(program.resolve())), urls=("https://t.example/",))
    checks = OpeningChecks(roots=(), allowed=allowed)
    async with open_world(checks=checks) as world:
        client = await world.greeted(session_id=None)
        for server, passes in [
            ({"name": "a", "command": "tool"}, True),
            ({"name": "a", "command": str(tmp_path / "alias")}, True),
            ({"name": "a", "command": "sh"}, False),
            ({"name": "a", "command": "./tool"}, False),
            ({"name": "a", "command": "a\0b"}, False),
            ({"name": "a", "type": "http", "url": "https://t.example/mcp"}, True),
            ({"name": "a", "type": "http", "url": "https://evil.example/mcp"}, False),
            ({"name": "a", "type": "acp", "id": "x"}, False),
        ]:
            launched = len(world.launcher.launched)
            params = {"cwd": "/repo", "mcpServers": [{**server, "args": [], "env": []}]}
            answer = await client.call("session/new", params)
            assert code(answer) == (None if passes else "forbidden"), server
            if not passes:
                assert "allowlist" in answer["error"]["message"]
                assert len(world.launcher.launched) == launched
            roles = {"roles": [{"role": "a"}]}
            group = await client.call("_acprelay/open_group", {**params, **roles})
            assert ("error" in group["result"]["roles"][0]) is not passes


@pytest.mark.requirement("access.commands-are-checked")
@pytest.mark.parametrize(
    ("roots", "allowed", "passes"),
    [
        (["/"], McpAllowlist(), False),
        ([], McpAllowlist(commands=()), False),
        ([], McpAllowlist(), True),
    ],
)
async def test_no_meta_gets_around_roots_and_allowlist(
    open_world: OpenWorld, roots: list[str], allowed: McpAllowlist, passes: bool
) -> None:
    checks = OpeningChecks(roots=list(map(Path, roots)), allowed=allowed)
    async with open_world(checks=checks) as world:
        client = await world.greeted(session_id=None)
        meta = {"vendor": {"cwd": "/etc"}, "traceparent": "00-1-2-01"}
        params = {"cwd": "/repo", "mcpServers": [], "_meta": meta}
        assert "result" in await client.call("session/new", params)
        sent = b"".join(world.launcher.launched[0].sent)
        assert (b"/etc" in sent) is passes
        assert b"00-1-2-01" in sent


# --- limits


@pytest.mark.requirement("limits.sessions-per-principal")
async def test_a_principal_has_so_many_runs_at_once_and_others_have_theirs(
    open_world: OpenWorld,
) -> None:
    async with open_world(limits=Limits(sessions_per_principal=2)) as world:
        world.program = lambda agent: agent.promise("session/resume")
        ann, bob = (holder(*Grant, scope=Scope(), id=name) for name in ("ann", "bob"))
        clients = [await world.greeted(session_id=None, principal=ann) for _ in range(2)]
        sessions = [await client.open_session() for client in clients]
        launched = len(world.launcher.launched)
        error = (await clients[0].answer(clients[0].begin_session()))["error"]
        assert error["data"]["code"] == "limit_reached"
        assert error["data"]["limit"] == "sessions of one principal that run"
        assert error["data"]["most"] == 2
        assert len(world.launcher.launched) == launched
        other = await world.greeted(session_id=None, principal=bob)
        await other.open_session()
        # What ends makes room, and whoever begins a later run is who has it.
        await clients[0].call("session/close", {"sessionId": sessions[0]})
        await other.call("session/load", {"sessionId": sessions[0]})
        assert "result" in await other.answer(other.prompt(sessions[0]))
        assert await clients[0].open_session()
        error = (await other.answer(other.begin_session()))["error"]
        assert error["data"]["limit"] == "sessions of one principal that run"


@pytest.mark.requirement("limits.message-rate")
async def test_messages_over_the_rate_are_refused_and_the_limit_named(
    open_world: OpenWorld, caplog: pytest.LogCaptureFixture
) -> None:
    limits = Limits(client_message_rate=0.001, client_message_burst=5)
    async with open_world(limits=limits) as world:
        ann, bob = (holder(*Grant, scope=Scope(), id=name) for name in ("ann", "bob"))
        client = await world.greeted(principal=ann)
        await client.open_session()
        second = await world.greeted(session_id="two", principal=ann)
        second.notify("_x/fourth")
        assert "error" not in await client.call("session/list")
        error = (await client.call("session/list"))["error"]
        assert (error["data"]["code"], error["data"]["retryable"]) == ("limit_reached", True)
        assert error["data"]["limit"] == "a principal's messages in a second"
        assert error["data"]["setting"] == "client-message-rate"
        for _ in range(3):
            client.notify("_x/note", sessionId="task:main")
        await world.steps(AFTERWARDS)
        assert world.launcher.launched[0].requests("_x/note") == []
        other = await world.greeted(principal=bob)
        assert "result" in await other.call("session/list")
        # An answer is one that was asked for.
        agent = world.launcher.launched[0]
        agent.ask(7, "session/request_permission", sessionId="agent-session", options=OPTIONS)
        ask = await client.called("session/request_permission")
        outcome = {"outcome": {"outcome": "selected", "optionId": "once"}}
        client.send({"jsonrpc": "2.0", "id": ask["id"], "result": outcome})
        await world.steps(AFTERWARDS)
        assert [reply["result"] for reply in agent.replies] == [outcome]
        await client.leave()
    assert "dropped 3 notifications over its rate" in caplog.text


async def test_what_cancels_is_heard_over_the_rate(open_world: OpenWorld) -> None:
    limits = Limits(client_message_rate=0.001, client_message_burst=3)
    async with open_world(limits=limits) as world:
        client = await world.greeted(principal=holder(*Grant, scope=Scope(), id="ann"))
        session = await client.open_session()
        client.prompt(session)
        client.notify("_x/over", sessionId=session)
        client.notify("session/cancel", sessionId=session)
        await world.steps(AFTERWARDS)
        agent = world.launcher.launched[0]
        assert agent.requests("_x/over") == []
        assert len(agent.requests("session/cancel")) == 1
        await client.leave()


# --- the end of a principal


@pytest.mark.requirement("access.attachments-belong-to-principals")
@pytest.mark.usefixtures("owner")
async def test_what_clients_of_a_principal_have_left_is_not_taken_up_again(world: World) -> None:
    client = await world.greeted(principal=holder(Grant.OBSERVE))
    loaded = await client.call("session/load", {"sessionId": "task:main"})
    left = loaded["result"]["_meta"]["acprelay"]
    asked = {"attachment": left["attachment"], "secret": left["secret"], "sessionId": "task:main"}
    await client.leave()
    other = await world.greeted(principal=holder(Grant.OBSERVE, id="t-2"))
    assert code(await other.call("_acprelay/attach", asked)) == "forbidden"
    world.host.forsake("t-1")
    again = await world.greeted(principal=holder(Grant.OBSERVE))
    assert code(await again.call("_acprelay/attach", asked)) == "forbidden"
    assert SessionKey("task", "main") in world.registry
