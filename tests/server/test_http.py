"""What plain HTTP gets: health, and refusals that say what to do instead."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Never, cast

import pytest
from aiohttp.test_utils import make_mocked_request
from tests.server.peers import UPGRADE, refused, request_http, request_raw
from tests.server.relays import Complaints, Dialler

from acprelay.compose import RunningRelay
from acprelay.errors import Unavailable
from acprelay.server.app import Health
from acprelay.session.models import SessionState
from acprelay.session.ports import SessionManager

NO_SESSIONS = {"CREATED": 0, "SPAWNING": 0, "ACTIVE": 0, "TERMINATING": 0, "CLEANED": 0}


async def test_a_relay_that_runs_says_so(relay: RunningRelay) -> None:
    answer = await request_http(relay.base_url, "/healthz")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert json.loads(answer.body) == {"status": "ok"}


async def test_a_relay_that_is_ready_counts_its_sessions(
    relay: RunningRelay, dial: Dialler
) -> None:
    before = await request_http(relay.base_url, "/readyz")
    await (await dial()).open_session()
    after = await request_http(relay.base_url, "/readyz")
    assert (before.status, after.status) == (200, 200)
    assert json.loads(before.body) == {"status": "ready", "sessions": NO_SESSIONS}
    assert json.loads(after.body) == {"status": "ready", "sessions": {**NO_SESSIONS, "ACTIVE": 1}}


class FakeManager:
    """A session manager whose store is out of reach."""

    async def state_counts(self) -> dict[SessionState, int]:
        raise Unavailable("cannot reach the store", hint="wait a moment")


async def test_a_relay_whose_sessions_are_out_of_reach_is_alive_and_not_ready() -> None:
    health = Health(manager=cast("SessionManager[Never]", FakeManager()), is_draining=lambda: False)
    alive = await health.alive(make_mocked_request("GET", "/healthz"))
    ready = await health.ready(make_mocked_request("GET", "/readyz"))
    assert (alive.status, ready.status) == (200, 503)
    assert ready.content_type == "application/problem+json"
    assert isinstance(ready.body, bytes)
    assert json.loads(ready.body) == {
        "type": "about:blank",
        "title": "cannot reach the store",
        "status": 503,
        "code": "unavailable",
        "retryable": True,
        "hint": "wait a moment",
    }


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_head_answers_as_get_does_without_a_body(relay: RunningRelay, path: str) -> None:
    get = await request_http(relay.base_url, path)
    head = await request_http(relay.base_url, path, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize("headers", [{}, {"Upgrade": "h2c", "Connection": "Upgrade"}])
async def test_acp_without_an_upgrade_is_for_those_who_accept_events(
    relay: RunningRelay, headers: Mapping[str, str]
) -> None:
    answer = await request_http(relay.base_url, "/acp", headers=headers)
    assert answer.status == 406
    assert answer.problem["code"] == "invalid_request"
    assert "upgrade to a WebSocket" in answer.problem["hint"]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Connection": "close"}, id="no Connection: Upgrade"),
        pytest.param({"Sec-WebSocket-Version": "12"}, id="another version"),
        pytest.param({"Sec-WebSocket-Key": ""}, id="an empty key"),
        pytest.param({"Sec-WebSocket-Key": "c2hvcnQ="}, id="a short key"),
        pytest.param({"Sec-WebSocket-Key": "\xff\xfe"}, id="a key that is no base64"),
    ],
)
async def test_a_malformed_upgrade_is_refused(
    relay: RunningRelay, headers: Mapping[str, str]
) -> None:
    answer = await refused(relay.url, headers=headers)
    assert answer.status == 400
    assert answer.problem["code"] == "invalid_request"


@pytest.mark.parametrize(
    "path", ["/nope", "/acp/", "/acp/more", "/healthz/", "/%ED%A0%80", "/api/v1", "/api/v1/groups/"]
)
async def test_an_unknown_path_is_told_which_there_are(relay: RunningRelay, path: str) -> None:
    answer = await request_http(relay.base_url, path)
    assert answer.status == 404
    assert "/acp" in answer.problem["hint"]
    assert "/api/v1/docs" in answer.problem["hint"]


@pytest.mark.parametrize("method", ["PATCH", "PUT", "OPTIONS"])
@pytest.mark.parametrize(
    ("path", "allowed"), [("/acp", "DELETE,GET,POST"), ("/healthz", "GET,HEAD")]
)
async def test_another_method_is_told_which_there_are(
    relay: RunningRelay, method: str, path: str, allowed: str
) -> None:
    answer = await request_http(
        relay.base_url, path, method=method, headers={"Content-Length": "0"}
    )
    assert (answer.status, answer.headers["allow"]) == (405, allowed)
    assert method in answer.problem["title"]


@pytest.mark.parametrize("headers", [{}, UPGRADE])
async def test_head_does_not_open_a_websocket(
    relay: RunningRelay, headers: Mapping[str, str]
) -> None:
    answer = await request_http(relay.base_url, "/acp", method="HEAD", headers=headers)
    assert (answer.status, answer.headers["allow"]) == (405, "DELETE,GET,POST")


@pytest.mark.requirement(
    "edges.upgrades-check-origin-and-host", "edges.requests-check-origin-and-host"
)
@pytest.mark.parametrize("path", ["/acp", "/healthz", "/readyz", "/nope"])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Host": "evil.example"}, id="a foreign host"),
        pytest.param({"Host": "evil.example:{port}"}, id="a foreign host at this port"),
        pytest.param({"Host": "127.0.0.1:1"}, id="another port"),
        pytest.param({"Host": "\xff\xfe"}, id="a host that is no text"),
        pytest.param({"Origin": "http://evil.example"}, id="a foreign origin"),
        pytest.param({"Origin": "https://127.0.0.1:{port}"}, id="another scheme"),
        pytest.param({"Origin": "null"}, id="an opaque origin"),
    ],
)
async def test_what_was_made_for_another_host_or_by_a_foreign_page_is_forbidden(
    relay: RunningRelay, path: str, headers: Mapping[str, str]
) -> None:
    port = relay.base_url.rpartition(":")[2]
    sent = {name: value.replace("{port}", port) for name, value in headers.items()}
    answer = await refused(relay.base_url + path, headers=sent)
    assert (answer.status, answer.problem["code"]) == (403, "forbidden")


async def test_a_second_host_does_not_hide_behind_the_first(
    relay: RunningRelay, complaints: Complaints
) -> None:
    own = relay.base_url.removeprefix("http://")
    head = f"GET /healthz HTTP/1.1\r\nHost: {own}\r\nHost: evil.example\r\n\r\n"
    answer = await request_raw(relay.base_url, head.encode())
    assert answer.status == 400
    assert complaints.records == []


async def test_pages_of_the_relay_itself_are_served(relay: RunningRelay) -> None:
    answer = await request_http(relay.base_url, "/healthz", headers={"Origin": relay.base_url})
    assert answer.status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nno header\r\n\r\n",
        b"GET " + b"/" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\n\r\n",
    ],
)
async def test_what_is_no_proper_request_is_refused_and_the_relay_lives(
    relay: RunningRelay, data: bytes, complaints: Complaints
) -> None:
    answer = await request_raw(relay.base_url, data)
    assert answer.status in (400, 403, 431)
    assert b"Traceback" not in answer.body
    assert (await request_http(relay.base_url, "/healthz")).status == 200
    assert complaints.records == []
