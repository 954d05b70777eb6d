"""Streamable HTTP on `/acp`: what each request is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.server.http_clients import (
    CONNECTION,
    EVENTS,
    INITIALIZE,
    JSON,
    SESSION,
    HttpClient,
    until_answer,
)
from tests.server.peers import request_http, request_raw
from tests.server.relays import serve

from acprelay.compose import RunningRelay
from acprelay.config import Limits, RelayConfig

LIST = b'{"jsonrpc":"2.0","id":1,"method":"session/list","params":{}}'


# -- what each request is answered


async def test_initialize_is_answered_at_once_and_tells_the_connection(client: HttpClient) -> None:
    answer = await client.initialize()
    assert answer["id"] == 0
    assert answer["result"]["agentInfo"]["name"] == "acprelay-demo"
    assert client.connection_id


async def test_an_initialize_that_is_refused_says_why_and_can_be_tried_again(
    client: HttpClient,
) -> None:
    answer = await client.initialize(protocolVersion="one")
    assert answer["error"]["data"]["code"] == "invalid_params"
    stream = await client.stream()
    again = await client.begin("initialize", {"protocolVersion": 1})
    [event] = await until_answer(stream, again)
    assert "result" in event.message


async def test_an_address_chooses_as_it_does_for_a_websocket(client: HttpClient) -> None:
    await client.initialize("/acp?role=db&session=crew&agent=demo")
    assert await client.open_session(await client.stream()) == "crew:db"


@pytest.mark.parametrize("query", ["role=-x", "session=a:b", "agent=nobody", "worktree=maybe"])
async def test_an_address_that_chooses_what_cannot_be_is_refused(
    relay: RunningRelay, query: str
) -> None:
    answer = await request_http(
        relay.base_url, f"/acp?{query}", method="POST", headers=JSON, body=INITIALIZE
    )
    assert answer.status == 400
    assert answer.problem["code"].startswith("invalid_")


TYPES = [
    pytest.param({}, id="none"),
    pytest.param({"Content-Type": "text/plain"}, id="text"),
    pytest.param({"Content-Type": "application/json-seq"}, id="alike"),
]


@pytest.mark.requirement("http.wrong-content-types-get-415")
@pytest.mark.parametrize("headers", TYPES)
async def test_a_body_of_another_type_is_answered_with_415(
    relay: RunningRelay, client: HttpClient, headers: Mapping[str, str]
) -> None:
    await client.initialize()
    for known in ({}, client.headers()):
        answer = await request_http(
            relay.base_url, "/acp", method="POST", headers={**headers, **known}, body=INITIALIZE
        )
        assert answer.status == 415
        assert answer.problem["code"] == "invalid_request"


async def test_json_may_say_its_charset(relay: RunningRelay) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    answer = await request_http(
        relay.base_url, "/acp", method="POST", headers=headers, body=INITIALIZE
    )
    assert answer.status == 200


@pytest.mark.requirement("http.wrong-accepts-get-406")
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"Accept": "application/json"}, id="JSON"),
        pytest.param({"Accept": "text/event-streams, text/html;q=0.1"}, id="alike"),
    ],
)
async def test_who_accepts_no_events_is_answered_with_406(
    relay: RunningRelay, client: HttpClient, headers: Mapping[str, str]
) -> None:
    await client.initialize()
    answer = await request_http(relay.base_url, "/acp", headers={**client.headers(), **headers})
    assert answer.status == 406
    assert "text/event-stream" in answer.problem["hint"]


@pytest.mark.parametrize("accept", ["*/*", "text/*", "application/json, Text/Event-Stream;q=0.5"])
async def test_events_may_be_accepted_among_others(relay: RunningRelay, accept: str) -> None:
    answer = await request_http(relay.base_url, "/acp", headers={"Accept": accept})
    assert answer.status == 400  # it names no connection, but that comes second


@pytest.mark.requirement("http.batches-get-501")
@pytest.mark.parametrize("batch", [b"[]", b" \r\n[" + INITIALIZE + b"]"])
async def test_a_batch_is_answered_with_501(
    relay: RunningRelay, client: HttpClient, batch: bytes
) -> None:
    await client.initialize()
    for known in ({}, client.headers()):
        answer = await request_http(
            relay.base_url, "/acp", method="POST", headers={**JSON, **known}, body=batch
        )
        assert answer.status == 501
        assert "batch" in answer.problem["title"]


REQUESTS: list[Any] = [
    pytest.param("POST", JSON, LIST, id="POST"),
    pytest.param("GET", EVENTS, None, id="GET"),
    pytest.param("GET", {**EVENTS, SESSION: "x:main"}, None, id="GET of a session"),
    pytest.param("DELETE", {}, None, id="DELETE"),
]


@pytest.mark.parametrize(("method", "headers", "body"), REQUESTS)
async def test_a_request_that_names_no_connection_is_answered_with_400(
    relay: RunningRelay, method: str, headers: Mapping[str, str], body: bytes | None
) -> None:
    answer = await request_http(relay.base_url, "/acp", method=method, headers=headers, body=body)
    assert answer.status == 400
    assert CONNECTION in answer.problem["title"]


@pytest.mark.requirement("http.unknown-connections-get-404")
@pytest.mark.parametrize(("method", "headers", "body"), REQUESTS)
async def test_an_unknown_connection_is_answered_with_404(
    relay: RunningRelay,
    client: HttpClient,
    method: str,
    headers: Mapping[str, str],
    body: bytes | None,
) -> None:
    await client.initialize()
    assert (await client.leave()).status == 202
    for unknown in ("x", client.connection_id):
        answer = await request_http(
            relay.base_url,
            "/acp",
            method=method,
            headers={**headers, CONNECTION: unknown},
            body=body,
        )
        assert answer.status == 404
        assert answer.problem["code"] == "connection_not_found"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "parse_failed"),
        (b"{", "parse_failed"),
        (b'{"id":1}', "invalid_request"),
        (b'{"id":1,"id":2,"method":"x"}', "invalid_request"),
        (b'"text"', "invalid_request"),
        (b'{"id":1,"method":"session/prompt","params":{}}', "invalid_request"),
        (b'{"id":1,"method":"session/prompt"}', "invalid_request"),
    ],
)
async def test_what_is_no_message_or_names_no_session_is_answered_with_400(
    relay: RunningRelay, client: HttpClient, body: bytes, code: str
) -> None:
    await client.initialize()
    answer = await request_http(
        relay.base_url, "/acp", method="POST", headers={**JSON, **client.headers()}, body=body
    )
    assert answer.status == 400
    assert answer.problem["code"] == code


async def test_a_header_that_names_another_session_than_the_body_is_answered_with_400(
    client: HttpClient,
) -> None:
    await client.initialize()
    session = await client.open_session(await client.stream())
    params = {"sessionId": session, "prompt": []}
    answer = await client.post(
        {"id": 9, "method": "session/prompt", "params": params}, session_id="x:main"
    )
    assert (answer.status, answer.problem["code"]) == (400, "invalid_request")


async def test_a_message_over_the_limit_is_answered_with_413_and_the_connection_stays() -> None:
    config = RelayConfig(port=0, limits=Limits(max_frame=1000))
    async with serve(config) as (relay, _):
        with HttpClient(relay.base_url) as client:
            await client.initialize()
            answer = await client.post({"method": "x", "params": {"text": "x" * 1000}})
            assert (answer.status, answer.problem["code"]) == (413, "frame_too_large")
            head = (
                f"POST /acp HTTP/1.1\r\nHost: {relay.base_url[7:]}\r\n{CONNECTION}: "
                f"{client.connection_id}\r\nContent-Type: application/json\r\n"
                "Transfer-Encoding: chunked\r\n\r\n"
            )
            answer = await request_raw(
                relay.base_url, head.encode() + (b"400\r\n" + b" " * 1024 + b"\r\n") * 2
            )
            assert (answer.status, answer.problem["code"]) == (413, "frame_too_large")
            assert (await client.post({"method": "x"})).status == 202
