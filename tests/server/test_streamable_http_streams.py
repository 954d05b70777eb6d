"""Streamable HTTP on `/acp`: which stream carries what, in which order, and how it goes on."""

from __future__ import annotations

import asyncio

import pytest
from tests.server.http_clients import EVENTS, HttpClient, until_answer, until_method
from tests.server.peers import Event, request_http
from tests.server.relays import Dialler

from acprelay.compose import RunningRelay

# -- which stream carries what


@pytest.mark.requirement("http.session-is-found-without-header")
@pytest.mark.parametrize("is_named", [True, False], ids=["with header", "without"])
async def test_a_turn_with_a_permission_is_carried_by_its_sessions_stream(
    client: HttpClient, is_named: bool
) -> None:
    await client.initialize()
    connection = await client.stream()
    session = await client.open_session(connection)
    stream = await client.stream(session)
    named = session if is_named else None
    params = {"sessionId": session, "prompt": [{"type": "text", "text": "/write never.txt x"}]}
    prompt = await client.begin("session/prompt", params, session_id=named)
    ask = (await until_method(stream, "session/request_permission"))[-1].message
    answer = {"id": ask["id"], "result": {"outcome": {"outcome": "selected", "optionId": "reject"}}}
    assert (await client.post(answer, session_id=named)).status == 202
    events = await until_answer(stream, prompt)
    assert events[-1].message["result"]["stopReason"] == "end_turn"
    assert {event.message.get("params", {}).get("sessionId") for event in events[:-1]} == {session}
    # Nothing of it came over the connection's stream: the next there answers the next.
    [listed] = await until_answer(connection, await client.begin("session/list", {}))
    assert listed.message["result"]["sessions"][0]["sessionId"] == session


async def test_a_request_of_a_session_that_is_refused_is_answered_on_its_stream(
    client: HttpClient,
) -> None:
    await client.initialize()
    connection = await client.stream()
    session = await client.open_session(connection)
    stream = await client.stream(session)
    request = await client.begin("session/fork", {"sessionId": session}, session_id=session)
    [refused] = (await until_answer(connection, request))[-1:]
    assert refused.message["error"]["code"] == -32601
    request = await client.begin(
        "_acprelay/cancel_turn", {"sessionId": session}, session_id=session
    )
    [refused] = (await until_answer(stream, request))[-1:]
    assert refused.message["error"]["data"]["code"] == "invalid_params"


async def test_a_session_that_the_client_is_not_in_is_told_on_the_connections_stream(
    client: HttpClient,
) -> None:
    await client.initialize()
    connection = await client.stream()
    for request in (
        await client.begin_prompt("x:main", "hello"),
        await client.begin_load("x:main"),
    ):
        [event] = await until_answer(connection, request)
        assert event.message["error"]["data"]["code"] == "session_not_found"


async def test_a_turn_over_http_is_seen_over_a_websocket_and_the_other_way_round(
    client: HttpClient, dial: Dialler
) -> None:
    await client.initialize()
    session = await client.open_session(await client.stream())
    stream = await client.stream(session)
    watcher = await dial()
    await watcher.initialize()
    await watcher.result("session/load", {"sessionId": session, "cwd": "/", "mcpServers": []})
    prompt = await client.begin_prompt(session, "hello")
    own = await until_answer(stream, prompt)
    await watcher.until("_acprelay/turn_ended")
    assert watcher.text.startswith("You wrote 1 word")
    await watcher.prompt(session, "once more")
    seen = await until_method(stream, "_acprelay/turn_ended")
    assert [e.id for e in own + seen] == sorted({e.id for e in own + seen}, key=_place)


def seqs_of(events: list[Event]) -> list[int]:
    """The numbers of those that are entries of a log."""
    params = [event.message.get("params", {}) for event in events]
    stamps = [each.get("_meta", {}).get("acprelay", {}) for each in params]
    return [stamp["seq"] for stamp in stamps if "seq" in stamp]


def _place(event_id: str) -> tuple[int, int]:
    position, _, given = event_id.partition(".")
    return int(given), int(position.partition(":")[2])


# -- load


@pytest.mark.requirement("http.streams-may-come-before-load", "http.load-answers-after-its-stream")
async def test_a_stream_that_came_before_the_load_has_the_replay_before_the_load_is_answered(
    client: HttpClient, other: HttpClient
) -> None:
    await client.initialize()
    session = await client.open_session(await client.stream())
    own = await client.stream(session)
    events = await until_answer(own, await client.begin_prompt(session, "/stream 50 100"))
    await other.initialize()
    connection, stream = await other.stream(), await other.stream(session)
    load = await other.begin_load(session)
    [answer] = await until_answer(connection, load)
    position = answer.message["result"]["_meta"]["acprelay"]["position"]
    replay = [await stream.receive()]
    while not replay[-1].id.startswith(f"{position}."):
        replay.append(await stream.receive())
    said = [e.data for e in events[:-1]]
    assert [e.data for e in replay if "user_message_chunk" not in e.data] == said
    assert len(replay) == len(said) + 1


async def test_a_load_is_not_answered_while_its_stream_is_not_read(
    client: HttpClient, other: HttpClient
) -> None:
    await client.initialize()
    session = await client.open_session(await client.stream())
    own = await client.stream(session)
    await until_answer(own, await client.begin_prompt(session, "/stream 4000 4000"))
    await other.initialize()
    connection = await other.stream()
    stream = await other.stream(session, receive_buffer=4096)
    load = await other.begin_load(session)
    # The connection answers other requests meanwhile.
    for _ in range(5):
        listing = await other.begin("session/list", {})
        [event] = await until_answer(connection, listing)
        assert event.message["id"] == listing
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(stream.expect_end())
        [event] = await until_answer(connection, load)
        assert "result" in event.message
        reading.cancel()


@pytest.mark.requirement("http.load-waits-for-its-stream")
async def test_a_load_without_a_stream_is_announced_and_waits_for_it(
    client: HttpClient, other: HttpClient
) -> None:
    await client.initialize()
    session = await client.open_session(await client.stream())
    own = await client.stream(session)
    await until_answer(own, await client.begin_prompt(session, "hello"))
    await other.initialize()
    connection = await other.stream()
    load = await other.begin_load(session)
    announced = (await connection.receive()).message
    assert announced["method"] == "_acprelay/attached"
    assert announced["params"]["sessionId"] == session
    stream = await other.stream(session)
    replay = await until_method(stream, "_acprelay/turn_ended")
    assert len(replay) > 5
    [answer] = await until_answer(connection, load)
    assert "result" in answer.message


@pytest.mark.requirement("http.load-waits-for-its-stream")
async def test_a_load_whose_stream_never_comes_is_replayed_on_the_connections_stream(
    client: HttpClient, other: HttpClient
) -> None:
    await client.initialize()
    session = await client.open_session(await client.stream())
    own = await client.stream(session)
    await until_answer(own, await client.begin_prompt(session, "/stream 2000 1000"))
    await other.initialize()
    connection = await other.stream(receive_buffer=4096)
    load = await other.begin_load(session)
    await connection.receive()
    replay = [await connection.receive()]
    # It comes too late for the replay, which goes on the way that it has begun.
    stream = await other.stream(session)
    replay += await until_answer(connection, load)
    seqs = seqs_of(replay)
    assert seqs == list(range(1, len(replay)))
    prompt = await other.begin_prompt(session, "hello")
    live = await until_answer(stream, prompt)
    assert live[0].message["params"]["_meta"]["acprelay"]["seq"] == len(replay)


async def test_a_resume_is_answered_before_its_session_goes_on(
    client: HttpClient, other: HttpClient
) -> None:
    await client.initialize()
    session = await client.open_session(await client.stream())
    await other.initialize()
    connection = await other.stream()
    params = {"sessionId": session, "cwd": "/", "mcpServers": []}
    events = await until_answer(connection, await other.begin("session/resume", params))
    assert len(events) == 1
    assert (await connection.receive()).message["method"] == "_acprelay/attached"
    stream = await other.stream(session)
    prompt = await other.begin_prompt(session, "hello")
    assert "result" in (await until_answer(stream, prompt))[-1].message


# -- streams that break


@pytest.mark.requirement("http.events-resume")
async def test_a_stream_goes_on_wherever_its_last_event_was(client: HttpClient) -> None:
    await client.initialize()
    session = await client.open_session(await client.stream())
    first = await client.stream(session)
    prompt = await client.begin_prompt(session, "hello there")
    whole = await until_answer(first, prompt)
    first.abort()
    for index, event in enumerate(whole):
        again = await client.stream(session, last_event_id=event.id)
        rest = [await again.receive() for _ in whole[index + 1 :]]
        assert rest == whole[index + 1 :]
        again.abort()


async def test_the_connections_stream_goes_on_wherever_its_last_event_was(
    client: HttpClient,
) -> None:
    await client.initialize()
    first = await client.stream()
    for _ in range(5):
        await client.begin("session/list", {})
    whole = [await first.receive() for _ in range(5)]
    assert [event.id for event in whole] == ["1", "2", "3", "4", "5"]
    for index, event in enumerate(whole):
        again = await client.stream(last_event_id=event.id)
        assert [await again.receive() for _ in whole[index + 1 :]] == whole[index + 1 :]


@pytest.mark.parametrize("last", ["nonsense", "99", "g:1.99", "other:1.0"])
async def test_a_last_event_that_was_never_given_is_refused_and_leaves_the_stream_there(
    relay: RunningRelay, client: HttpClient, last: str
) -> None:
    await client.initialize()
    connection = await client.stream()
    session = await client.open_session(connection)
    stream = await client.stream(session)
    for session_id in (None, session):
        answer = await request_http(
            relay.base_url,
            "/acp",
            headers={**EVENTS, **client.headers(session_id), "Last-Event-ID": last},
        )
        assert answer.status in (400, 410)
        assert answer.problem["code"] in ("invalid_params", "cursor_expired")
    assert await until_answer(stream, await client.begin_prompt(session, "hello"))
    assert await until_answer(connection, await client.begin("session/list", {}))


async def test_a_session_is_closed_and_entered_again(client: HttpClient) -> None:
    await client.initialize()
    connection = await client.stream()
    session = await client.open_session(connection)
    stream = await client.stream(session)
    close = await client.begin("session/close", {"sessionId": session}, session_id=session)
    assert (await until_answer(stream, close))[-1].message["result"] == {}
    load = await client.begin_load(session)
    assert "result" in (await until_answer(connection, load))[-1].message
    prompt = await client.begin_prompt(session, "hello")
    assert (await until_answer(stream, prompt))[-1].message["result"]["stopReason"] == "end_turn"


async def test_an_attachment_is_adopted_from_a_websocket_with_the_answer_that_it_missed(
    client: HttpClient, dial: Dialler
) -> None:
    gone = await dial()
    await gone.initialize()
    opened = await gone.result("session/new", {"cwd": "/", "mcpServers": []})
    session, known = opened["sessionId"], opened["_meta"]["acprelay"]
    prompt = await gone.begin_prompt(session, "/write never.txt x")
    await gone.until("session/request_permission")
    gone.peer.abort()
    await client.initialize()
    connection, stream = await client.stream(), await client.stream(session)
    adoption = {
        "sessionId": session,
        "attachment": known["attachment"],
        "secret": known["secret"],
        "after": known["position"],
        "pending": [prompt],
    }
    client.skip_ids(prompt)
    attach = await client.begin("_acprelay/attach", adoption)
    assert "result" in (await until_answer(connection, attach))[-1].message
    events = await until_method(stream, "session/request_permission")
    chosen = {"outcome": {"outcome": "selected", "optionId": "reject"}}
    await client.post({"id": events[-1].message["id"], "result": chosen}, session_id=session)
    events += await until_answer(stream, prompt)
    assert events[-1].message["result"]["stopReason"] == "end_turn"
    seqs = seqs_of(events)
    assert seqs == sorted(set(seqs))


@pytest.mark.requirement("http.streams-have-successors")
async def test_a_second_stream_takes_the_place_of_the_first(client: HttpClient) -> None:
    await client.initialize()
    first = await client.stream()
    second = await client.stream()
    await first.expect_end()
    session = await client.open_session(second)
    one = await client.stream(session)
    two = await client.stream(session)
    await one.expect_end()
    assert await until_answer(two, await client.begin_prompt(session, "hello"))


async def test_what_is_said_while_no_stream_is_there_waits_for_the_next(client: HttpClient) -> None:
    await client.initialize()
    connection = await client.stream()
    session = await client.open_session(connection)
    first = await client.stream(session)
    whole = await until_answer(first, await client.begin_prompt(session, "hello"))
    first.abort()
    prompt = await client.begin_prompt(session, "hello again")
    second = await client.stream(session, last_event_id=whole[-1].id)
    events = await until_answer(second, prompt)
    seqs = [
        e.message["params"]["_meta"]["acprelay"]["seq"]
        for e in (whole + events)[:-1]
        if "params" in e.message
    ]
    assert seqs == sorted(set(seqs))


@pytest.mark.requirement("http.slow-streams-hold-up-nobody")
async def test_a_stream_that_is_not_read_holds_up_no_other(client: HttpClient) -> None:
    await client.initialize("/acp?role=a")
    connection = await client.stream()
    slow = await client.open_session(connection)
    params = {"cwd": "/", "mcpServers": [], "_meta": {"acprelay": {"role": "b"}}}
    request = await client.begin("session/new", params)
    quick = (await until_answer(connection, request))[-1].message["result"]["sessionId"]
    unread = await client.stream(slow, receive_buffer=4096)
    read = await client.stream(quick)
    flood = await client.begin_prompt(slow, "/stream 5000 4000")
    for _ in range(3):
        assert await until_answer(read, await client.begin_prompt(quick, "hello"))
    seqs = [
        e.message["params"]["_meta"]["acprelay"]["seq"]
        for e in (await until_answer(unread, flood))[:-1]
    ]
    assert len(seqs) > 5000
    assert seqs == sorted(set(seqs))
