"""Events as an iterator: what happens, also across connections that are lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import pytest
from aiohttp import web

from acprelay.client import LOST, RelayClient, RelayEvent
from acprelay.errors import RelayUnreachable, RemoteProtocolError, Unauthorized

PATIENCE_S = 30.0


@pytest.fixture(autouse=True)
async def patience() -> AsyncIterator[None]:
    async with asyncio.timeout(PATIENCE_S):
        yield


async def read(
    client: RelayClient, until: str, *, after: str | None = None, group: str | None = None
) -> list[RelayEvent]:
    seen = []
    async with aclosing(client.stream_events(after=after, group=group)) as events:
        async for event in events:
            seen.append(event)
            if event.kind == until:
                break
    return seen


@pytest.mark.process
async def test_what_happens_is_told_in_order(client: RelayClient) -> None:
    [start] = await read(client, LOST, after="elsewhere:7")
    await client.open_group(cwd="/tmp", group="other")
    await client.open_group(cwd="/tmp", group="g")
    await client.ask("g:main", "hello")
    seen = await read(client, "turn_ended", after=start.id, group="g")
    assert {event.session_id for event in seen} == {"g:main"}
    assert [event.kind for event in seen][-2:] == ["turn_started", "turn_ended"]
    assert seen[-1].facts["outcome"] == "ended"
    assert all(event.at is not None for event in seen)
    rest = await read(client, "turn_ended", after=seen[0].id, group="g")
    assert rest == seen[1:]


@pytest.mark.process
async def test_an_id_of_another_life_of_the_relay_begins_with_what_is_lost(
    client: RelayClient,
) -> None:
    await client.open_group(cwd="/tmp", group="g")
    seen = await read(client, "session_opened", after="elsewhere:7")
    assert seen[0].kind == LOST
    assert seen[0].session_id is None


class Script:
    """Answers each connection as it is told; the next to the last for ever."""

    def __init__(self, answers: Sequence[tuple[int, str]]) -> None:
        self._answers = list(answers)
        self.places: list[str | None] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.places.append(request.headers.get("Last-Event-ID"))
        status, body = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        kind = "text/event-stream" if status == 200 else "application/problem+json"
        return web.Response(status=status, text=body, content_type=kind)


@asynccontextmanager
async def scripted(*answers: tuple[int, str]) -> AsyncIterator[tuple[RelayClient, Script]]:
    script = Script(answers)
    app = web.Application()
    app.router.add_get("/api/v1/events", script.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with RelayClient(url) as client:
            yield client, script
    finally:
        await runner.cleanup()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acprelay.client.events._FIRST_WAIT_S", 0.001)
    monkeypatch.setattr("acprelay.client.events._LONGEST_WAIT_S", 0.001)


def event(number: int, kind: str = "notice") -> str:
    return f'id: e:{number}\nevent: {kind}\ndata: {{"sessionId": "a:b", "at": "t"}}\n\n'


@pytest.mark.usefixtures("hasty")
@pytest.mark.requirement("embedding.events-go-on")
async def test_a_stream_that_breaks_off_goes_on_where_it_was() -> None:
    refused = json.dumps({"title": "cannot go on", "code": "unavailable"})
    answers = [
        (200, "id: e:0\n: hello\n\n"),
        (200, event(1)),
        (503, refused),
        (200, ": nothing\n\n"),
        (
            200,
            event(2) + 'event: ended\ndata: {"reason": "cannot wait", "code": "unavailable"}\n\n',
        ),
        (200, event(3, "last")),
    ]
    async with scripted(*answers) as (client, script):
        seen = await read(client, "last")
    assert [event.id for event in seen] == ["e:1", "e:2", "e:3"]
    assert script.places == [None, "e:0", "e:1", "e:1", "e:1", "e:2"]


@pytest.mark.usefixtures("hasty")
async def test_a_relay_that_is_away_for_too_long_is_an_error() -> None:
    refused = json.dumps({"title": "cannot go on", "code": "unavailable"})
    async with scripted((200, event(1)), (503, refused)) as (client, _):
        events = client.stream_events(patience_s=0.0)
        assert (await anext(events)).id == "e:1"
        with pytest.raises(RelayUnreachable, match="ended the stream"):
            await anext(events)


@pytest.mark.usefixtures("hasty")
async def test_what_is_refused_is_not_tried_again() -> None:
    refused = json.dumps({"title": "cannot tell who asks", "code": "unauthorized"})
    async with scripted((200, event(1)), (401, refused)) as (client, script):
        events = client.stream_events()
        await anext(events)
        with pytest.raises(Unauthorized):
            await anext(events)
    assert len(script.places) == 2


@pytest.mark.usefixtures("hasty")
async def test_a_relay_that_was_never_there_is_not_waited_for() -> None:
    async with RelayClient("http://127.0.0.1:1") as client:
        with pytest.raises(RelayUnreachable):
            await anext(client.stream_events())


async def test_an_event_that_is_no_json_is_an_error() -> None:
    async with scripted((200, "data: {\n\n")) as (client, _):
        with pytest.raises(RemoteProtocolError, match="cannot read an event"):
            await anext(client.stream_events())
