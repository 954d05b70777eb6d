"""The client of one turn: what it sends, in which order it hands things over, and how it fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from acprelay.client.acp_client import AcpClient
from acprelay.client.acp_messages import JsonObject, PermissionOption, PermissionRequest, as_object
from acprelay.errors import AgentExited, RelayUnreachable, RemoteProtocolError, RequestRefused

PATIENCE_S = 30.0
LOST = RelayUnreachable("cannot go on")

Json = dict[str, object]
ASK: Json = {
    "id": "ask-1",
    "method": "session/request_permission",
    "params": {
        "toolCall": {"title": "Write"},
        "options": [{"optionId": "yes", "name": "Yes", "kind": "allow_once"}],
    },
}


class MemorySocket:
    """A socket whose other end is the test."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes | Exception] = asyncio.Queue(maxsize=1000)
        self.sent: asyncio.Queue[Json] = asyncio.Queue(maxsize=1000)
        self.send_failure: Exception | None = None

    async def send(self, message: bytes) -> None:
        if self.send_failure is not None:
            raise self.send_failure
        self.sent.put_nowait(json.loads(message))

    async def receive(self) -> bytes:
        message = await self.incoming.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def close(self) -> None:
        """Has nothing to close."""

    def says(self, *messages: Json) -> None:
        for message in messages:
            self.incoming.put_nowait(json.dumps(message).encode())

    async def hears(self) -> Json:
        async with asyncio.timeout(PATIENCE_S):
            return await self.sent.get()


class FakeUser:
    """Records updates and questions; answers when the test says so."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.may_show = asyncio.Event()
        self.may_show.set()
        self.asked = asyncio.Event()
        self.choice: asyncio.Future[PermissionOption | None]
        self.failure: Exception | None = None
        self.withdrawn = False
        self._changed = asyncio.Event()

    async def notified(self, method: str, params: JsonObject) -> None:
        if method == "session/update":
            await self.show(as_object(params["update"]))

    async def show(self, update: JsonObject) -> None:
        await self.may_show.wait()
        if self.failure is not None:
            raise self.failure
        self.events.append(update["n"])
        self._changed.set()

    async def decide(self, request: PermissionRequest) -> PermissionOption | None:
        self.events.append(request.title)
        self.choice = asyncio.get_running_loop().create_future()
        self.asked.set()
        try:
            return await self.choice
        except asyncio.CancelledError:
            self.withdrawn = True
            self._changed.set()
            raise

    async def is_asked(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.asked.wait()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
async def socket() -> MemorySocket:
    return MemorySocket()


@pytest.fixture
async def user() -> FakeUser:
    return FakeUser()


@pytest.fixture
async def client(socket: MemorySocket, user: FakeUser) -> AsyncIterator[AcpClient]:
    async with AcpClient(
        socket=socket, on_notification=user.notified, on_permission=user.decide
    ) as client:
        yield client


@asynccontextmanager
async def started(
    client: AcpClient, method: str = "session/prompt"
) -> AsyncIterator[asyncio.Task[JsonObject]]:
    """Gives a call that waits for its answer."""
    call = asyncio.get_running_loop().create_task(client.call(method, {}))
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield call
    finally:
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)


def update(number: int) -> Json:
    return {"method": "session/update", "params": {"sessionId": "s", "update": {"n": number}}}


async def test_a_turn_is_four_requests_in_the_words_of_the_protocol(
    client: AcpClient, socket: MemorySocket
) -> None:
    async def take_part() -> None:
        capabilities = await client.initialize()
        assert capabilities == {"loadSession": False}
        session_id = str((await client.new_session(cwd="/w"))["sessionId"])
        assert await client.prompt(session_id, "höllo") == "end_turn"
        await client.close_session(session_id)

    turn = asyncio.get_running_loop().create_task(take_part())
    greeting = await socket.hears()
    assert greeting["method"] == "initialize"
    assert isinstance(greeting["params"], dict)
    assert greeting["params"]["protocolVersion"] == 1
    result = {"protocolVersion": 1, "agentCapabilities": {"loadSession": False}}
    socket.says({"id": greeting["id"], "result": result})
    opening = await socket.hears()
    assert (opening["method"], opening["params"]) == (
        "session/new",
        {"cwd": "/w", "mcpServers": []},
    )
    socket.says({"id": opening["id"], "result": {"sessionId": "s"}})
    prompt = await socket.hears()
    assert (prompt["method"], prompt["params"]) == (
        "session/prompt",
        {"sessionId": "s", "prompt": [{"type": "text", "text": "höllo"}]},
    )
    socket.says({"id": prompt["id"], "result": {"stopReason": "end_turn"}})
    closing = await socket.hears()
    assert (closing["method"], closing["params"]) == ("session/close", {"sessionId": "s"})
    socket.says({"id": closing["id"], "result": {}})
    async with asyncio.timeout(PATIENCE_S):
        await turn


async def test_an_answer_waits_until_the_updates_before_it_are_dealt_with(
    client: AcpClient, socket: MemorySocket, user: FakeUser
) -> None:
    user.may_show.clear()
    async with started(client) as call:
        request = await socket.hears()
        socket.says(update(1), update(2), {"id": request["id"], "result": {}})
        await _loop_turns(20)
        assert not call.done()
        user.may_show.set()
        await call
        assert user.events == [1, 2]


async def test_answers_find_their_requests_in_any_order(
    client: AcpClient, socket: MemorySocket
) -> None:
    async with started(client) as one, started(client) as two:
        first, second = await socket.hears(), await socket.hears()
        socket.says(
            {"id": second["id"], "result": {"n": 2}}, {"id": first["id"], "result": {"n": 1}}
        )
        assert (await one, await two) == ({"n": 1}, {"n": 2})


async def test_answers_that_nobody_waits_for_are_passed_over(
    client: AcpClient, socket: MemorySocket
) -> None:
    async with started(client) as call:
        request = await socket.hears()
        socket.says(
            {"id": 999, "result": {}},
            {"id": str(request["id"]), "result": {"n": "text"}},
            {"id": None, "error": {"code": 1, "message": "about nothing"}},
            {"id": request["id"], "result": {"n": 1}},
            {"id": request["id"], "result": {"n": 2}},
        )
        assert await call == {"n": 1}


async def test_an_error_is_raised_with_its_reason_and_its_hint(
    client: AcpClient, socket: MemorySocket
) -> None:
    async with started(client, "session/new") as call:
        request = await socket.hears()
        data = {"code": "agent_exited", "hint": "try again", "stderr": "last words"}
        error = {"code": -32021, "message": "it ended", "data": data}
        socket.says({"id": request["id"], "error": error})
        with pytest.raises(AgentExited) as caught:
            await call
    assert caught.value.message == "cannot open a session: it ended"
    assert caught.value.hint == "try again"
    assert caught.value.fields == {"stderr": "last words"}


@pytest.mark.parametrize("error", [None, 5, {}, {"message": "no", "data": "odd"}])
async def test_an_error_of_any_shape_is_an_error(
    client: AcpClient, socket: MemorySocket, error: object
) -> None:
    async with started(client) as call:
        socket.says({"id": (await socket.hears())["id"], "error": error})
        with pytest.raises(RequestRefused, match="cannot finish the turn"):
            await call


async def test_another_version_of_the_protocol_is_refused(
    client: AcpClient, socket: MemorySocket
) -> None:
    greeting = asyncio.get_running_loop().create_task(client.initialize())
    socket.says({"id": (await socket.hears())["id"], "result": {"protocolVersion": 2}})
    with pytest.raises(RemoteProtocolError, match="version 2"):
        async with asyncio.timeout(PATIENCE_S):
            await greeting


async def test_a_lost_connection_fails_the_calls_that_wait_and_those_that_come(
    client: AcpClient, socket: MemorySocket
) -> None:
    async with started(client) as one, started(client) as two:
        await socket.hears()
        await socket.hears()
        socket.incoming.put_nowait(LOST)
        for call in (one, two):
            with pytest.raises(RelayUnreachable):
                await call
    with pytest.raises(RelayUnreachable):
        await client.call("session/new", {})


@pytest.mark.parametrize("frame", [b"no json", b"{", b"\xff", b"[" * 100_000])
async def test_what_cannot_be_read_fails_the_calls(
    client: AcpClient, socket: MemorySocket, frame: bytes
) -> None:
    async with started(client) as call:
        await socket.hears()
        socket.incoming.put_nowait(frame)
        with pytest.raises(RemoteProtocolError, match="cannot read what the relay sent"):
            await call


@pytest.mark.parametrize("error", [BrokenPipeError(), ZeroDivisionError("a defect")])
async def test_an_update_that_cannot_be_shown_fails_the_calls(
    client: AcpClient, socket: MemorySocket, user: FakeUser, error: Exception
) -> None:
    user.failure = error
    async with started(client) as call:
        await socket.hears()
        socket.says(update(1))
        with pytest.raises(type(error)):
            await call
    await client.notify("session/cancel", {"sessionId": "s"})
    assert (await socket.hears())["method"] == "session/cancel"


async def test_json_that_is_no_message_is_passed_over(
    client: AcpClient, socket: MemorySocket, user: FakeUser
) -> None:
    async with started(client) as call:
        request = await socket.hears()
        socket.incoming.put_nowait(b"[]")
        socket.says({}, {"method": "session/update", "params": {"update": {"n": 1}}})
        socket.says({"method": "unknown/notification"}, {"id": request["id"], "result": []})
        assert await call == {}
    assert user.events == [1]


@pytest.mark.usefixtures("client")
async def test_a_request_that_it_does_not_serve_is_refused(socket: MemorySocket) -> None:
    socket.says({"id": "r", "method": "fs/read_text_file", "params": {}})
    answer = await socket.hears()
    assert answer["id"] == "r"
    assert isinstance(answer["error"], dict)
    assert answer["error"]["code"] == -32601


@pytest.mark.usefixtures("client")
async def test_a_permission_request_is_answered_while_updates_go_on(
    socket: MemorySocket, user: FakeUser
) -> None:
    socket.says(update(1), ASK, update(2))
    await user.is_asked()
    await user.until(lambda: len(user.events) == 3)
    assert user.events.index(1) < user.events.index("Write")
    user.choice.set_result(PermissionOption("yes", "Yes", "allow_once"))
    assert await socket.hears() == {
        "jsonrpc": "2.0",
        "id": "ask-1",
        "result": {"outcome": {"outcome": "selected", "optionId": "yes"}},
    }


@pytest.mark.usefixtures("client")
async def test_a_name_that_has_no_utf8_is_sent_back_as_it_came(
    socket: MemorySocket, user: FakeUser
) -> None:
    socket.says(ASK)
    await user.is_asked()
    user.choice.set_result(PermissionOption("\ud800", "Yes", "allow_once"))
    assert (await socket.hears())["result"] == {
        "outcome": {"outcome": "selected", "optionId": "\ud800"}
    }


@pytest.mark.usefixtures("client")
async def test_no_choice_is_an_outcome_too(socket: MemorySocket, user: FakeUser) -> None:
    socket.says(ASK)
    await user.is_asked()
    user.choice.set_result(None)
    assert (await socket.hears())["result"] == {"outcome": {"outcome": "cancelled"}}


@pytest.mark.usefixtures("client")
async def test_a_question_that_somebody_else_answered_is_withdrawn(
    socket: MemorySocket, user: FakeUser
) -> None:
    socket.says(ASK)
    await user.is_asked()
    socket.says({"method": "$/cancel_request", "params": {"requestId": "another"}})
    socket.says({"method": "$/cancel_request", "params": {"requestId": "ask-1"}})
    assert (await socket.hears())["result"] == {"outcome": {"outcome": "cancelled"}}
    await user.until(lambda: user.withdrawn)


async def test_cancelling_a_turn_answers_its_open_questions_and_those_that_still_come(
    client: AcpClient, socket: MemorySocket, user: FakeUser
) -> None:
    turn = asyncio.get_running_loop().create_task(client.prompt("s", "hello"))
    prompt = await socket.hears()
    socket.says(ASK)
    await user.is_asked()
    await client.cancel("s")
    cancellation = await socket.hears()
    assert (cancellation["method"], cancellation["params"]) == (
        "session/cancel",
        {"sessionId": "s"},
    )
    assert (await socket.hears())["id"] == "ask-1"

    socket.says({**ASK, "id": "ask-2"})
    late = await socket.hears()
    assert late["id"] == "ask-2"
    assert late["result"] == {"outcome": {"outcome": "cancelled"}}

    socket.says({"id": prompt["id"], "result": {"stopReason": "cancelled"}})
    async with asyncio.timeout(PATIENCE_S):
        assert await turn == "cancelled"
    assert user.events == ["Write"]

    user.asked.clear()
    socket.says({**ASK, "id": "ask-3"})
    await user.is_asked()


async def test_an_answer_that_cannot_be_sent_fails_the_calls(
    client: AcpClient, socket: MemorySocket, user: FakeUser
) -> None:
    async with started(client) as call:
        await socket.hears()
        socket.says(ASK)
        await user.is_asked()
        socket.send_failure = LOST
        user.choice.set_result(None)
        with pytest.raises(RelayUnreachable):
            await call


async def test_leaving_withdraws_what_is_open(socket: MemorySocket, user: FakeUser) -> None:
    async with AcpClient(socket=socket, on_notification=user.notified, on_permission=user.decide):
        socket.says(ASK)
        await user.is_asked()
    assert user.withdrawn


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("params", [None, [], {"options": 5}, {"options": [5], "toolCall": None}])
async def test_a_permission_request_of_any_shape_is_asked(
    socket: MemorySocket, user: FakeUser, params: object
) -> None:
    socket.says({**ASK, "params": params})
    await user.is_asked()
    assert user.events == ["a tool call"]


async def _loop_turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
