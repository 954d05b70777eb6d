"""Who may do what over the control API: all operations, tried by those who may not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiohttp import web
from tests.server.api_client import Answer, ApiClient, api_client, crew

from acprelay.compose import Relay, RunningRelay
from acprelay.config import RelayConfig
from acprelay.routing.access import LOCAL, Grant, Principal, Scope, including
from acprelay.server.api.operations import PREFIX, Operation, Reach
from acprelay.server.api.serving import OPERATIONS

pytestmark = pytest.mark.process

ALL = frozenset(Grant)
PRINCIPALS = {
    "all": LOCAL,
    "mine": Principal(id="mine", name="mine", grants=ALL, scope=Scope(group="mine", role="main")),
    "group": Principal(id="group", name="group", grants=ALL, scope=Scope(group="mine")),
    "observer": Principal(id="o", name="o", grants=including([Grant.OBSERVE])),
    "prompter": Principal(id="p", name="p", grants=including([Grant.PROMPT])),
    "approver": Principal(id="a", name="a", grants=including([Grant.APPROVE])),
    "nothing": Principal(id="n", name="n", grants=frozenset()),
}

BODIES: dict[str, object] = {
    "prompt": {"text": "hello"},
    "answerPermission": {"optionId": "allow"},
    "openGroup": {"cwd": "/tmp", "group": "theirs", "roles": [{"role": "another"}]},
    "explainPolicy": {"toolCall": {}},
}
"""What each operation is sent that takes more than an empty body."""

OF_TOKENS = ("createLoginLink",)
"""What a relay cannot do whose tokens are somebody else's."""


def knows(request: web.Request) -> Principal | None:
    return PRINCIPALS.get(request.headers.get("Authorization", "").removeprefix("Bearer "))


@dataclass
class World:
    """A relay with the sessions `mine:main` and `theirs:main`, which has a turn and an ask."""

    relay: RunningRelay
    base_url: str
    ask: str = ""
    turn: str = ""

    @property
    def operations(self) -> tuple[Operation, ...]:
        return self.relay.app[OPERATIONS]

    @asynccontextmanager
    async def as_(self, name: str) -> AsyncIterator[ApiClient]:
        async with api_client(self.base_url, {"Authorization": f"Bearer {name}"}) as client:
            yield client

    def path(self, operation: Operation) -> str:
        """Where an operation is about what is theirs."""
        there = {
            "session": "theirs:main",
            "group": "theirs",
            "ask": self.ask,
            "turn": self.turn,
            "agent": "demo",
            "token": "all",
        }
        return operation.path.format(**{name: there[name] for name in operation.variables})


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with Relay(RelayConfig(), authenticate=knows) as relay:
        runner = web.AppRunner(relay.app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
            relay.listens_at(origin)
            await crew(relay, "mine", "main")
            await crew(relay, "theirs", "main")
            world = World(relay, relay.base_url)
            async with world.as_("all") as api, api.events("?session=theirs:main") as events:
                prompted = await api("POST", "/sessions/theirs:main/prompts", {"text": "/tool x"})
                asked = await events.until("permission_asked")
            world.turn, world.ask = prompted.body["turn"], asked["ask"]
            yield world
        finally:
            await relay.dismiss()
            await runner.cleanup()


async def ask_for(world: World, api: ApiClient, operation: Operation) -> Answer:
    body = BODIES.get(operation.id, {}) if operation.body is not None else None
    async with asyncio.timeout(30):
        return await api(operation.method, world.path(operation), body)


async def still_as_it_was(world: World) -> None:
    """Fails if something has become of what is theirs."""
    async with world.as_("all") as api:
        turns = await api.get("/sessions/theirs:main/turns")
        asks = await api.get("/permissions")
        group = await api.get("/groups/theirs")
    assert turns["running"] == {"turn": world.turn, "mine": True, "cancelling": False}
    assert [each["ask"] for each in asks["permissions"]] == [world.ask]
    assert [each["state"] for each in group["sessions"]] == ["active"]


def is_stream(operation: Operation) -> bool:
    return operation.media == "text/event-stream"


async def test_every_operation_names_its_grant_and_where_it_has_to_hold(world: World) -> None:
    assert len({each.id for each in world.operations}) == len(world.operations)
    for operation in world.operations:
        assert operation.grant in Grant, operation.id
        if operation.method == "GET":
            assert operation.grant is Grant.OBSERVE or operation.reach is Reach.RELAY, operation.id
            assert operation.body is None, operation.id
        if operation.method == "POST":
            assert operation.body is not None, operation.id
        if "session" in operation.variables:
            assert operation.reach is Reach.SESSION, operation.id
        if "group" in operation.variables and operation.method != "GET":
            assert operation.reach is Reach.GROUP, operation.id


async def test_nothing_but_operations_is_served_below_the_prefix(world: World) -> None:
    served = {
        (route.method, route.resource.canonical)
        for route in world.relay.app.router.routes()
        if route.resource is not None and route.resource.canonical.startswith(PREFIX)
    }
    assert served == {(each.method, PREFIX + each.path) for each in world.operations}


@pytest.mark.requirement("api.scope")
async def test_a_token_for_one_session_reaches_nothing_of_another(world: World) -> None:
    async with world.as_("mine") as api:
        for operation in world.operations:
            if is_stream(operation):
                continue
            answer = await ask_for(world, api, operation)
            if operation.reach is Reach.RELAY or operation.id == "openGroup":
                assert answer.status == 403, operation.id
            elif operation.variables and operation.variables != ("agent",):
                assert answer.status == 404, operation.id
            else:
                assert answer.status < 300 or operation.id in OF_TOKENS, operation.id
                assert "theirs" not in json.dumps(answer.body), operation.id
    await still_as_it_was(world)


@pytest.mark.requirement("api.scope")
async def test_what_may_not_be_observed_looks_like_what_is_not_there(world: World) -> None:
    async with world.as_("mine") as api:
        hidden = await api("GET", "/sessions/theirs:main")
        absent = await api("GET", "/sessions/nobody:main")

    assert json.dumps(hidden.body).replace("theirs", "nobody") == json.dumps(absent.body)


@pytest.mark.requirement("api.grants")
@pytest.mark.parametrize("name", ["observer", "prompter", "approver", "nothing"])
async def test_an_operation_is_refused_without_its_grant(world: World, name: str) -> None:
    grants = PRINCIPALS[name].grants
    async with world.as_(name) as api:
        for operation in world.operations:
            if operation.grant in grants or is_stream(operation):
                continue
            answer = await ask_for(world, api, operation)
            assert answer.status == 403 or (answer.status == 404 and not grants), operation.id
            assert answer.body["code"] in ("forbidden", "session_not_found", "not_found")
    await still_as_it_was(world)


@pytest.mark.requirement("api.grants")
async def test_another_one_s_turn_is_cancelled_only_with_the_grant_to_approve(
    world: World,
) -> None:
    path = f"/sessions/theirs:main/turns/{world.turn}"
    async with world.as_("prompter") as api:
        refused = await api("DELETE", path)
    async with world.as_("approver") as api:
        done = await api("DELETE", path)

    assert (refused.status, refused.body["grant"]) == (403, "approve")
    assert done.status == 204


@pytest.mark.requirement("api.scope")
async def test_events_tell_nothing_of_what_may_not_be_observed(world: World) -> None:
    async with (
        world.as_("mine") as api,
        world.as_("all") as other,
        api.events() as events,
    ):
        await other("POST", "/sessions/theirs:main/close", {})
        await other("POST", "/sessions/mine:main/prompts", {"text": "hello"})
        seen = [await events.next()]
        while seen[-1].kind != "turn_ended":
            seen.append(await events.next())

    assert {each.data["sessionId"] for each in seen} == {"mine:main"}


async def test_a_group_is_opened_only_within_the_token_s_scope(world: World) -> None:
    async with world.as_("group") as api:
        other = {"cwd": "/tmp", "group": "another", "roles": [{}]}
        refused = await api("POST", "/groups", other)
        unnamed = await api("POST", "/groups", {"cwd": "/tmp", "roles": [{"role": "second"}]})
        again = await api("POST", "/groups", {"cwd": "/tmp", "roles": [{"role": "second"}]})
        shown = await api.get("/groups")

    assert (refused.status, unnamed.status, again.status) == (403, 201, 409)
    assert unnamed.body["group"] == "mine"
    assert [each["group"] for each in shown["groups"]] == ["mine"]


async def test_nobody_is_let_in_who_is_not_known(world: World) -> None:
    async with world.as_("somebody") as api:
        statuses = {each.id: (await ask_for(world, api, each)).status for each in world.operations}

    assert set(statuses.values()) == {401}, statuses
