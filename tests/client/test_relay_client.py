"""A program that talks to a relay: every operation, against a relay in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from acprelay.client import (
    START,
    Entry,
    PermissionOption,
    PermissionRequest,
    RelayClient,
    Role,
    Session,
)
from acprelay.client.api_connection import ApiConnection
from acprelay.compose import RunningRelay
from acprelay.errors import (
    ConfigError,
    CursorExpired,
    NotFound,
    RelayError,
    RelayUnreachable,
    RemoteProtocolError,
    RequestRefused,
    SessionExists,
    SessionNotFound,
    Unauthorized,
)

pytestmark = pytest.mark.process

PATIENCE_S = 30.0
ASKING = "/tool"


@pytest.fixture(autouse=True)
async def patience() -> AsyncIterator[None]:
    async with asyncio.timeout(PATIENCE_S):
        yield


@pytest.fixture
async def crew(client: RelayClient) -> tuple[str, str]:
    """Two sessions of one group."""
    opened = await client.open_group(
        cwd="/tmp", group="login", roles=[Role(role="auth"), Role(role="db")]
    )
    assert [role.error for role in opened.roles] == [None, None]
    return "login:auth", "login:db"


async def test_sessions_are_opened_listed_and_shown(
    client: RelayClient, crew: tuple[str, str]
) -> None:
    listed = [each async for each in client.list_sessions(group="login")]
    assert {each.session_id for each in listed} == set(crew)
    shown = await client.get_session("login:auth")
    assert isinstance(shown, Session)
    assert (shown.agent, shown.state, shown.live) == ("demo", "active", True)
    assert shown.run.run == 1
    assert shown.run.usage is not None
    assert shown.run.usage.processes >= 1


async def test_a_list_of_many_pages_is_one_iterator(
    client: RelayClient, crew: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    get = ApiConnection.get

    async def get_by_one(self, path, result, *, query=None):  # type: ignore[no-untyped-def] # as it is
        asked.append(query)
        return await get(self, path, result, query={**(query or {}), "limit": 1})

    monkeypatch.setattr(ApiConnection, "get", get_by_one)
    listed = [each.session_id async for each in client.list_sessions()]
    assert sorted(listed) == sorted(crew)
    assert len(asked) == len(crew)


async def test_groups_are_listed_shown_and_closed(
    client: RelayClient, crew: tuple[str, str]
) -> None:
    assert [each.group async for each in client.list_groups()] == ["login"]
    assert len((await client.get_group("login")).sessions) == len(crew)
    assert await client.close_group("login") == crew
    assert [each.state async for each in client.list_sessions()] == ["dormant", "dormant"]


async def test_a_session_is_closed_and_removed(client: RelayClient, crew: tuple[str, str]) -> None:
    await client.close_session("login:auth")
    assert (await client.get_session("login:auth")).state == "dormant"
    await client.delete_session("login:auth")
    with pytest.raises(SessionNotFound):
        await client.get_session("login:auth")
    assert len(crew) == 2


async def test_a_role_that_fails_leaves_the_others_alone(client: RelayClient) -> None:
    opened = await client.open_group(
        cwd="/tmp", group="g", roles=[Role(role="a"), Role(role="b", worktree=True)]
    )
    assert opened.roles[0].error is None
    assert opened.roles[1].error is not None
    assert opened.roles[1].error.code == "workspace_error"
    with pytest.raises(SessionExists):
        await client.open_group(cwd="/tmp", group="g", roles=[Role(role="a")])


async def test_a_prompt_over_the_api_is_seen_in_the_transcript(
    client: RelayClient, crew: tuple[str, str]
) -> None:
    session_id = crew[0]
    async with client.attach(session_id) as conversation:
        prompted = await client.prompt(session_id, "hello")
        async for entry in conversation:
            if entry.method == "_acprelay/turn_ended":
                break
    assert prompted.session_id == session_id
    turns = [
        entry.message["params"]["turn"]
        async for entry in client.read_transcript(session_id)
        if entry.message["method"] == "_acprelay/turn_started"
    ]
    assert turns == [prompted.turn]


async def test_a_transcript_is_read_on_from_a_position(
    client: RelayClient, crew: tuple[str, str]
) -> None:
    await client.ask(crew[0], "hello")
    whole = [entry async for entry in client.read_transcript(crew[0])]
    rest = [entry async for entry in client.read_transcript(crew[0], after=whole[2].position)]
    assert rest == whole[3:]
    with pytest.raises(CursorExpired):
        await anext(client.read_transcript(crew[0], after="elsewhere:1"))


async def test_turns_are_listed_and_cancelled(client: RelayClient, crew: tuple[str, str]) -> None:
    running = await client.prompt(crew[0], "/think\n/slow 60000")
    waiting = await client.prompt(crew[0], [{"type": "text", "text": "then this"}])
    turns = await client.list_turns(crew[0])
    assert turns.running is not None
    assert turns.running.turn == running.turn
    assert [each.turn for each in turns.queued] == [waiting.turn]
    await client.cancel_turn(crew[0], waiting.turn)
    await client.cancel_turn(crew[0], running.turn)
    with pytest.raises(NotFound):
        await client.cancel_turn(crew[0], waiting.turn)


# -- conversations


@pytest.mark.requirement("embedding.client-has-conversations")
async def test_a_prompt_is_answered_with_what_the_agent_said(
    client: RelayClient, crew: tuple[str, str]
) -> None:
    answer = await client.ask(crew[0], "hello")
    assert answer.stop_reason == "end_turn"
    assert "hello" in answer.text


@pytest.mark.requirement("embedding.client-has-conversations")
async def test_whoever_is_attached_sees_what_is_said_and_can_come_back_for_the_rest(
    client: RelayClient, crew: tuple[str, str]
) -> None:
    seen: list[Entry] = []
    async with client.attach(crew[0]) as conversation:
        await conversation.prompt("hello", on_entry=seen.append)
    positions = [entry.position for entry in seen if entry.position is not None]
    assert len(positions) > 3
    rest: list[str | None] = []
    async with client.attach(crew[0], after=positions[1]) as conversation:
        async for entry in conversation:
            rest.append(entry.position)
            if entry.position == positions[-1]:
                break
    assert rest == positions[2:]


async def test_the_whole_conversation_is_read_from_its_start(
    client: RelayClient, crew: tuple[str, str]
) -> None:
    await client.ask(crew[0], "hello")
    async with client.attach(crew[0], after=START) as conversation:
        first = await anext(aiter(conversation))
    assert first.position == (await anext(client.read_transcript(crew[0]))).position


async def test_a_turn_is_cancelled(client: RelayClient, crew: tuple[str, str]) -> None:
    async with client.attach(crew[0]) as conversation, asyncio.TaskGroup() as tasks:
        began = asyncio.Event()
        turn = tasks.create_task(
            conversation.prompt("/think\n/slow 60000", on_entry=lambda _: began.set())
        )
        await began.wait()
        await conversation.cancel()
        assert (await turn).stop_reason == "cancelled"


async def test_a_permission_is_answered_by_the_program_that_prompts(
    client: RelayClient, crew: tuple[str, str]
) -> None:
    asked: list[str] = []

    async def allow(request: PermissionRequest) -> PermissionOption | None:
        asked.append(request.title)
        return next(option for option in request.options if option.kind == "allow_once")

    answer = await client.ask(crew[0], ASKING, on_permission=allow)
    assert answer.stop_reason == "end_turn"
    assert len(asked) == 1


async def test_a_permission_is_listed_and_answered_over_the_api(
    client: RelayClient, crew: tuple[str, str]
) -> None:
    asked = asyncio.Event()

    async def leave_it(_request: PermissionRequest) -> None:
        asked.set()
        await asyncio.Event().wait()  # until somebody else has answered

    async with asyncio.TaskGroup() as tasks:
        turn = tasks.create_task(client.ask(crew[0], ASKING, on_permission=leave_it))
        await asked.wait()
        [permission] = [each async for each in client.list_permissions(session=crew[0])]
        assert permission.session_id == crew[0]
        chosen = next(each for each in permission.options if each["kind"] == "allow_once")
        assert (await client.answer_permission(permission.ask, chosen["optionId"])).settled
        assert (await turn).stop_reason == "end_turn"
        with pytest.raises(NotFound):
            await client.answer_permission(permission.ask, None)


async def test_nobody_can_attach_to_what_is_not_there(client: RelayClient) -> None:
    with pytest.raises(SessionNotFound):
        async with client.attach("no:body"):
            pass


async def test_a_relay_that_goes_ends_a_conversation_with_what_is_wrong(
    relay: RunningRelay, client: RelayClient, crew: tuple[str, str]
) -> None:
    async with client.attach(crew[0]) as conversation:
        await relay.dismiss()
        with pytest.raises(RelayUnreachable, match="stopping"):
            async for _ in conversation:
                pass


# -- failures

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(
    handler: Answering, patience_s: float = PATIENCE_S
) -> AsyncIterator[RelayClient]:
    """A client of something that answers everything in one way."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/below/acp"
        async with RelayClient(url, token="secret", patience_s=patience_s) as client:
            yield client
    finally:
        await runner.cleanup()


def says(body: str, *, status: int = 200, content_type: str = "application/json") -> Answering:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=body, content_type=content_type)

    return answer


PROBLEM = "application/problem+json"


@pytest.mark.parametrize(
    ("handler", "error", "words"),
    [
        (says("{", status=200), RemoteProtocolError, "cannot read what the relay answers"),
        (says("[]", status=200), RemoteProtocolError, "cannot read what the relay answers"),
        (says("nobody", status=404), RelayUnreachable, "HTTP status 404"),
        (says("", status=302), RelayUnreachable, "HTTP status 302"),
        (says("[]", status=500, content_type=PROBLEM), RelayUnreachable, "HTTP status 500"),
        (
            says(
                json.dumps({"title": "cannot tell who asks", "code": "unauthorized"}),
                status=401,
                content_type=PROBLEM,
            ),
            Unauthorized,
            "cannot tell who asks",
        ),
        (
            says(json.dumps({"title": "cannot fly"}), status=418, content_type=PROBLEM),
            RequestRefused,
            "cannot fly",
        ),
    ],
)
async def test_each_way_to_fail_is_an_error_of_its_class(
    handler: Answering, error: type[RelayError], words: str
) -> None:
    async with answering(handler) as client:
        with pytest.raises(error, match=words) as caught:
            await client.get_session("a:b")
        assert "secret" not in str(caught.value.data)


async def test_an_answer_that_breaks_off_is_a_lost_connection() -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.abort()
        return response

    async with answering(break_off) as client:
        with pytest.raises(RelayUnreachable):
            await client.get_session("a:b")


async def test_a_relay_that_does_not_answer_is_not_waited_for_forever() -> None:
    async def wait(_request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with answering(wait, patience_s=0.05) as client:
        with pytest.raises(RelayUnreachable, match="did not answer within"):
            await client.get_session("a:b")


async def test_nobody_listens() -> None:
    async with RelayClient("http://127.0.0.1:1") as client:
        with pytest.raises(RelayUnreachable, match="Connection refused"):
            await client.get_session("a:b")


async def test_requests_carry_the_token_and_odd_names_stay_in_their_place() -> None:
    seen: list[tuple[str, str | None]] = []

    async def note(request: web.Request) -> web.Response:
        seen.append((request.raw_path, request.headers.get("Authorization")))
        return web.Response(status=204)

    async with answering(note) as client:
        await client.delete_session("../a?b#c/d:e f")
    assert seen == [
        ("/below/api/v1/sessions/..%2Fa%3Fb%23c%2Fd:e%20f", "Bearer secret"),
    ]


def test_an_address_that_cannot_be_used_is_refused() -> None:
    with pytest.raises(ConfigError):
        RelayClient("ftp://relay")
