"""Who is let in: tokens, browsers that log in, and pages of others, which get nowhere."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.server.api_client import Answer as ApiAnswer
from tests.server.api_client import ApiClient, api_client
from tests.server.clients import AcpClient
from tests.server.http_clients import HttpClient
from tests.server.peers import PATIENCE_S, UPGRADE, Answer, connect, request_http
from tests.server.relays import Complaints

from acprelay.agents.models import AgentSpec
from acprelay.compose import RunningRelay, open_relay
from acprelay.config import Limits, RelayConfig
from acprelay.runtime.conversation_host import ConversationHost
from acprelay.runtime.token_desk import TokenDesk

COOKIE = re.compile(r"(acprelay-\d+)=([^;]*); HttpOnly; (?:Max-Age=\d+; )?Path=/; SameSite=Strict")


@pytest.fixture
async def relay() -> AsyncIterator[RunningRelay]:
    """A relay that asks for tokens."""
    async with open_relay(RelayConfig(port=0)) as running:
        yield running


@pytest.fixture
async def owner(relay: RunningRelay) -> AsyncIterator[ApiClient]:
    """The control API, for the owner."""
    async with api_client(relay.base_url, bearer(relay.owner_token)) as client:
        yield client


def bearer(token: str | None) -> dict[str, str]:
    assert token is not None
    return {"Authorization": f"Bearer {token}"}


async def created(owner: ApiClient, **more: object) -> Mapping[str, str]:
    """A token that somebody was given."""
    answer = await owner("POST", "/tokens", {"name": "phone", "grants": ["observe"], **more})
    assert answer.status == 201, answer
    body: Mapping[str, str] = answer.body
    return body


async def logged_in(relay: RunningRelay) -> str:
    """A browser's cookie."""
    answer = await redeemed(relay, path_of(relay.login_url()))
    found = COOKIE.match(answer.headers["set-cookie"])
    assert found, answer.headers
    return f"{found[1]}={found[2]}"


async def redeemed(relay: RunningRelay, path: str, **headers: str) -> Answer:
    """What comes of the button on the page that logs in."""
    return await request_http(
        relay.base_url,
        path,
        method="POST",
        headers={"Origin": relay.base_url, "Content-Length": "0", **headers},
    )


def path_of(url: str | None) -> str:
    assert url is not None
    return "/login/" + url.rpartition("/")[2]


async def api(relay: RunningRelay, path: str, headers: Mapping[str, str]) -> Answer:
    return await request_http(relay.base_url, f"/api/v1{path}", headers=headers)


@pytest.mark.requirement("access.everybody-shows-who-they-are")
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer acpr_unknown_secret"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "acpr_unknown_secret"},
        {"Cookie": "acprelay-1=a"},
    ],
)
@pytest.mark.parametrize("path", ["/acp", "/api/v1/sessions", "/api/v1/openapi.json", "/nowhere"])
async def test_whoever_is_not_known_is_told_how_to_be(
    relay: RunningRelay, path: str, headers: dict[str, str]
) -> None:
    answer = await request_http(relay.base_url, path, headers={**UPGRADE, **headers})
    assert (answer.status, answer.problem["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "secret" not in answer.body.decode()


async def test_a_cookie_that_is_good_no_more_is_told_so(relay: RunningRelay) -> None:
    port = relay.base_url.rpartition(":")[2]
    answer = await api(relay, "/sessions", {"Cookie": f"acprelay-{port}=a"})
    assert answer.status == 401
    assert "logged in no longer" in answer.problem["title"]


async def test_the_owners_token_opens_everything(relay: RunningRelay) -> None:
    client = AcpClient(await connect(relay.url, headers=bearer(relay.owner_token)))
    await client.open_session()
    client.peer.abort()
    assert (await api(relay, "/sessions", bearer(relay.owner_token))).status == 200


async def test_health_is_for_everybody_and_numbers_are_for_who_may_see_everything(
    relay: RunningRelay, owner: ApiClient
) -> None:
    async def ready(headers: Mapping[str, str]) -> list[str]:
        answer = await request_http(relay.base_url, "/readyz", headers=headers)
        assert answer.status == 200
        return sorted(json.loads(answer.body))

    alive = await request_http(relay.base_url, "/healthz")
    assert (alive.status, alive.body) == (200, b'{"status":"ok"}')
    everything = await created(owner)
    group = await created(owner, group="login")
    assert await ready({}) == ["status"]
    assert await ready(bearer(group["token"])) == ["status"]
    assert await ready(bearer(everything["token"])) == ["sessions", "status"]


# -- pages of others


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
]


@pytest.mark.requirement(
    "edges.upgrades-check-origin-and-host", "edges.foreign-pages-change-nothing"
)
@pytest.mark.parametrize("foreign", FOREIGN)
async def test_a_page_of_another_origin_opens_no_socket_whatever_it_shows(
    relay: RunningRelay, foreign: dict[str, str]
) -> None:
    for shown in (bearer(relay.owner_token), {"Cookie": await logged_in(relay)}):
        answer = await request_http(relay.base_url, "/acp", headers={**UPGRADE, **shown, **foreign})
        assert (answer.status, answer.problem["code"]) == (403, "forbidden")


@pytest.mark.requirement(
    "edges.requests-check-origin-and-host", "edges.foreign-pages-change-nothing"
)
@pytest.mark.parametrize(
    "foreign",
    [*FOREIGN, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {}],
)
async def test_a_page_of_another_origin_changes_nothing_with_a_browsers_cookie(
    relay: RunningRelay, foreign: dict[str, str]
) -> None:
    headers = {"Cookie": await logged_in(relay), **foreign}
    async with api_client(relay.base_url, headers) as browser:
        answer: ApiAnswer = await browser("POST", "/tokens", {"name": "a", "grants": ["manage"]})
    assert (answer.status, answer.body["code"]) == (403, "forbidden")
    assert len((await tokens_of(relay))["tokens"]) == 1


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_page_of_another_origin_opens_no_stream_with_a_browsers_cookie(
    relay: RunningRelay, site: str
) -> None:
    cookie = {"Cookie": await logged_in(relay)}
    embedded = {**cookie, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
    assert (await api(relay, "/events", embedded)).status == 403
    followed = {**cookie, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}
    assert (await api(relay, "/docs", followed)).status == 200


async def tokens_of(relay: RunningRelay) -> Mapping[str, list[object]]:
    async with api_client(relay.base_url, bearer(relay.owner_token)) as owner:
        found: Mapping[str, list[object]] = await owner.get("/tokens")
        return found


@pytest.mark.parametrize("evidence", ["Origin", "Sec-Fetch-Site"])
async def test_a_page_of_the_relay_changes_things_with_the_cookie(
    relay: RunningRelay, evidence: str
) -> None:
    value = relay.base_url if evidence == "Origin" else "same-origin"
    headers = {"Cookie": await logged_in(relay), evidence: value}
    async with api_client(relay.base_url, headers) as browser:
        await created(browser)


async def test_a_program_with_a_token_needs_no_origin(owner: ApiClient) -> None:
    await created(owner)


async def test_a_page_of_the_relay_opens_a_socket_with_the_cookie(relay: RunningRelay) -> None:
    cookie = await logged_in(relay)
    peer = await connect(relay.url, headers={"Cookie": cookie, "Origin": relay.base_url})
    await AcpClient(peer).open_session()
    peer.abort()
    answer = await request_http(relay.base_url, "/acp", headers={**UPGRADE, "Cookie": cookie})
    assert answer.status == 403, "without an Origin nothing shows whose page it is"


# -- logging in


async def test_looking_at_the_address_uses_nothing_up_and_the_button_does(
    relay: RunningRelay,
) -> None:
    path = path_of(relay.login_url())
    for _ in range(2):
        page = await request_http(relay.base_url, path)
        assert page.status == 200
        assert b'<form method="post"' in page.body
        assert "set-cookie" not in page.headers
    first = await redeemed(relay, path)
    assert (first.status, first.headers["location"]) == (303, "../login")
    assert COOKIE.match(first.headers["set-cookie"])
    again = await redeemed(relay, path)
    assert (again.status, again.problem["code"]) == (401, "unauthorized")
    assert path not in again.body.decode()
    assert (await request_http(relay.base_url, path)).status == 410


async def test_pages_hold_nothing_that_runs_and_are_kept_nowhere(relay: RunningRelay) -> None:
    page = await request_http(relay.base_url, path_of(relay.login_url()))
    assert "script" not in page.body.decode()
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.requirement("edges.foreign-pages-change-nothing")
@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_a_page_of_another_origin_logs_nobody_in(relay: RunningRelay, origin: str) -> None:
    path = path_of(relay.login_url())
    assert (await redeemed(relay, path, Origin=origin)).status == 403
    silent = await request_http(relay.base_url, path, method="POST")
    assert silent.status == 403
    assert (await redeemed(relay, path)).status == 303


async def test_a_browser_may_do_what_the_token_may_that_got_the_address(
    relay: RunningRelay, owner: ApiClient
) -> None:
    token = await created(owner, group="login")
    async with api_client(relay.base_url, bearer(token["token"])) as phone:
        link = (await phone("POST", "/login-links", {})).body
    assert link["url"].startswith(f"{relay.base_url}/login/")
    answer = await redeemed(relay, path_of(link["url"]))
    headers = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
    assert b"<b>phone</b>" in (await request_http(relay.base_url, "/login", headers=headers)).body
    assert (await api(relay, "/sessions", headers)).status == 200
    assert (await api(relay, "/tokens", headers)).status == 403


async def test_a_browser_that_logs_out_is_let_in_no_more(relay: RunningRelay) -> None:
    cookie = {"Cookie": await logged_in(relay)}
    assert (await api(relay, "/sessions", cookie)).status == 200
    refused = await request_http(relay.base_url, "/logout", method="POST", headers=cookie)
    assert refused.status == 403
    own = {**cookie, "Origin": relay.base_url}
    for _ in range(2):
        left = await request_http(relay.base_url, "/logout", method="POST", headers=own)
        assert (left.status, left.headers["location"]) == (303, "login")
    assert (await api(relay, "/sessions", cookie)).status == 401
    assert b"Nobody is logged in" in (await request_http(relay.base_url, "/login")).body


@pytest.mark.requirement("access.logins-end-with-their-connections")
async def test_logging_out_ends_what_the_browser_is_connected_with(relay: RunningRelay) -> None:
    leaving = {"Cookie": await logged_in(relay), "Origin": relay.base_url}
    staying = {"Cookie": await logged_in(relay), "Origin": relay.base_url}
    victim = await connect(relay.url, headers=leaving)
    bystander = AcpClient(await connect(relay.url, headers=staying))
    await AcpClient(victim).open_session()
    left = await request_http(relay.base_url, "/logout", method="POST", headers=leaving)
    assert left.status == 303
    async with asyncio.timeout(PATIENCE_S):
        assert (await victim.expect_end()).code == 1008
    await bystander.open_session()
    bystander.peer.abort()
    victim.abort()


async def test_a_browser_that_is_not_logged_in_gets_a_page_and_a_program_a_problem_document(
    relay: RunningRelay,
) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    page = await request_http(relay.base_url, "/api/v1/docs", headers=browser)
    assert page.status == 401
    assert b"<code>acprelay login</code>" in page.body
    assert page.headers["www-authenticate"].startswith("Bearer")
    wrong = {**browser, **bearer("acpr_a_wrongwrong")}
    for headers in ({}, wrong):
        answer = await request_http(relay.base_url, "/api/v1/docs", headers=headers)
        assert (answer.status, answer.problem["code"]) == (401, "unauthorized")


async def test_a_button_that_is_pressed_twice_leads_to_a_page(relay: RunningRelay) -> None:
    path = path_of(relay.login_url())
    assert (await redeemed(relay, path)).status == 303
    again = await redeemed(relay, path, Accept="text/html")
    assert again.status == 410
    assert b"used already" in again.body


async def test_the_bare_address_leads_to_the_page_where_people_begin(relay: RunningRelay) -> None:
    front = await request_http(relay.base_url, "/")
    assert (front.status, front.headers["location"]) == (303, "login")
    cookie = {"Cookie": await logged_in(relay)}
    page = await request_http(relay.base_url, "/login", headers=cookie)
    assert b'<a href="api/v1/docs">' in page.body
    docs = await request_http(relay.base_url, "/api/v1/docs", headers=cookie)
    assert docs.status == 200
    async with open_relay(RelayConfig(port=0, auth=False)) as without_tokens:
        front = await request_http(without_tokens.base_url, "/")
        assert (front.status, front.headers["location"]) == (303, "api/v1/docs")


# -- tokens


async def test_a_token_is_told_once_and_listed_without_its_secret(
    relay: RunningRelay, owner: ApiClient
) -> None:
    token = await created(owner, session="login:auth", expiresInS=60)
    listing = (await owner("GET", "/tokens")).body["tokens"]
    assert [each["name"] for each in listing] == ["owner", "phone"]
    assert listing[1]["session"] == "login:auth"
    assert listing[1]["grants"] == ["observe"]
    assert "expiresAt" in listing[1]
    assert "lastUsedAt" not in listing[1]
    assert token["token"] not in json.dumps(listing)
    assert (await api(relay, "/sessions", bearer(token["token"]))).status == 200
    listing = (await owner("GET", "/tokens")).body["tokens"]
    assert "lastUsedAt" in listing[1]


async def test_tokens_are_listed_page_by_page(owner: ApiClient) -> None:
    await created(owner)
    first = await owner.get("/tokens?limit=1")
    second = await owner.get(f"/tokens?limit=1&cursor={first['nextCursor']}")
    names = [each["name"] for each in (*first["tokens"], *second["tokens"])]
    assert names == ["owner", "phone"]
    assert "nextCursor" not in second


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "", "grants": ["observe"]}, "invalid_params"),
        ({"name": "a\nb", "grants": ["observe"]}, "invalid_params"),
        ({"name": "a", "grants": []}, "invalid_params"),
        ({"name": "a", "grants": ["everything"]}, "invalid_params"),
        ({"name": "a", "grants": ["observe"], "expiresInS": 0}, "invalid_params"),
        ({"name": "a", "grants": ["observe"], "session": "x"}, "invalid_key"),
        ({"name": "a", "grants": ["observe"], "session": "x:y", "group": "z"}, "invalid_params"),
        ({"name": "a", "grants": ["observe"], "scope": "all"}, "invalid_params"),
    ],
)
async def test_what_no_token_can_be_is_refused(
    owner: ApiClient, body: dict[str, object], code: str
) -> None:
    answer = await owner("POST", "/tokens", body)
    assert (answer.status, answer.body["code"]) == (400, code)


@pytest.mark.parametrize(
    "confined", [{"grants": ["approve"]}, {"grants": ["manage"], "group": "g"}]
)
async def test_only_who_manages_everything_has_to_do_with_tokens(
    relay: RunningRelay, owner: ApiClient, confined: dict[str, object]
) -> None:
    token = await created(owner, **confined)
    async with api_client(relay.base_url, bearer(token["token"])) as other:
        for method, path in (("GET", "/tokens"), ("DELETE", f"/tokens/{token['id']}")):
            assert (await other(method, path)).status == 403
        answer = await other("POST", "/tokens", {"name": "a", "grants": ["observe"]})
        assert (answer.status, answer.body["code"]) == (403, "forbidden")


@pytest.mark.requirement("access.revoking-ends-live-connections")
async def test_revoking_is_answered_once_the_live_connections_of_the_token_are_closed(
    relay: RunningRelay, owner: ApiClient
) -> None:
    token = await created(owner, grants=["manage"])
    other = await created(owner, grants=["manage"])
    victim = await connect(relay.url, headers=bearer(token["token"]))
    bystander = AcpClient(await connect(relay.url, headers=bearer(other["token"])))
    await AcpClient(victim).open_session()
    answer = await owner("DELETE", f"/tokens/{token['id']}")
    assert answer.status == 204
    async with asyncio.timeout(PATIENCE_S):
        closed = await victim.expect_end()
    assert (closed.code, closed.reason) == (1008, "the token was taken back")
    await bystander.open_session()
    bystander.peer.abort()
    victim.abort()
    again = await request_http(
        relay.base_url, "/acp", headers={**UPGRADE, **bearer(token["token"])}
    )
    assert again.status == 401
    assert (await owner("DELETE", f"/tokens/{token['id']}")).status == 404


class SlowRequest:
    """A POST that was let in, and whose body is yet to come."""

    def __init__(self, relay: RunningRelay) -> None:
        self._address = urlsplit(relay.base_url)

    async def begin(
        self, path: str, body: Mapping[str, object], headers: Mapping[str, str]
    ) -> None:
        self._body = json.dumps(body).encode()
        lines = {
            "Host": self._address.netloc,
            "Content-Type": "application/json",
            "Content-Length": str(len(self._body)),
            "Expect": "100-continue",
            "Connection": "close",
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._reader, self._writer = await asyncio.open_connection(
            self._address.hostname, self._address.port
        )
        self._writer.write(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode())
        async with asyncio.timeout(PATIENCE_S):
            assert b"100" in await self._reader.readuntil(b"\r\n\r\n")

    async def end(self) -> int:
        """Sends the body; gives the status of the answer."""
        self._writer.write(self._body)
        async with asyncio.timeout(PATIENCE_S):
            status = (await self._reader.readline()).split()[1]
        self._writer.close()
        return int(status)


@pytest.mark.requirement("access.revoking-stops-what-is-on-its-way")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/tokens", {"name": "ghost", "grants": ["manage"]}),
        ("/api/v1/groups", {"cwd": "/tmp", "group": "ghost", "roles": [{"role": "main"}]}),
    ],
)
async def test_a_request_whose_body_comes_after_its_token_was_taken_back_does_nothing(
    relay: RunningRelay, owner: ApiClient, path: str, body: dict[str, object]
) -> None:
    token = await created(owner, grants=["manage"])
    slow = SlowRequest(relay)
    await slow.begin(path, body, bearer(token["token"]))
    assert (await owner("DELETE", f"/tokens/{token['id']}")).status == 204
    assert await slow.end() == 401
    assert [each["name"] for each in (await owner.get("/tokens"))["tokens"]] == ["owner"]
    assert (await owner.get("/sessions"))["sessions"] == []


@pytest.mark.requirement("access.revoking-stops-what-is-on-its-way")
@pytest.mark.process
async def test_sessions_that_are_being_opened_end_with_the_token() -> None:
    mute = AgentSpec(name="mute", argv=(sys.executable, "-c", "import sys; sys.stdin.read()"))
    async with (
        open_relay(RelayConfig(port=0, agents=(mute,))) as relay,
        api_client(relay.base_url, bearer(relay.owner_token)) as owner,
    ):
        token = await created(owner, grants=["manage"])
        async with (
            asyncio.timeout(PATIENCE_S),
            api_client(relay.base_url, bearer(token["token"])) as guest,
            asyncio.TaskGroup() as tasks,
        ):
            body = {"cwd": "/tmp", "group": "g", "roles": [{"role": "main"}]}
            opening = tasks.create_task(guest("POST", "/groups", body))
            while not await count_runs(relay):
                pass
            assert (await owner("DELETE", f"/tokens/{token['id']}")).status == 204
            answer = await opening
            assert (answer.status, answer.body["code"]) == (401, "unauthorized")
            while await count_runs(relay):
                pass


async def count_runs(relay: RunningRelay) -> int:
    answer = await request_http(relay.base_url, "/readyz", headers=bearer(relay.owner_token))
    return sum(json.loads(answer.body)["sessions"].values())


@pytest.mark.requirement("access.revoking-stops-what-is-on-its-way")
async def test_a_message_over_http_whose_body_comes_after_its_connection_ended_is_not_heard(
    relay: RunningRelay, owner: ApiClient
) -> None:
    token = await created(owner, grants=["manage"])
    with HttpClient(relay.base_url, bearer(token["token"])) as client:
        await client.initialize()
        slow = SlowRequest(relay)
        params = {"group": "ghost", "cwd": "/tmp", "roles": [{"role": "main"}]}
        message = {"jsonrpc": "2.0", "id": 1, "method": "_acprelay/open_group", "params": params}
        await slow.begin("/acp", message, client.headers())
        assert (await owner("DELETE", f"/tokens/{token['id']}")).status == 204
        assert await slow.end() == 404
    assert (await owner.get("/sessions"))["sessions"] == []


@pytest.mark.requirement("access.tokens-end")
async def test_a_token_ends_in_time_whatever_happens_to_the_house(
    monkeypatch: pytest.MonkeyPatch, complaints: Complaints
) -> None:
    failures = iter([OSError("planned")])
    keep_tokens = TokenDesk.keep_house

    async def wait(_host: ConversationHost) -> None:
        await asyncio.Event().wait()

    async def fail_once(desk: TokenDesk) -> None:
        for failure in failures:
            raise failure
        await keep_tokens(desk)

    monkeypatch.setattr(ConversationHost, "keep_house", wait)
    monkeypatch.setattr(TokenDesk, "keep_house", fail_once)
    config = RelayConfig(port=0, limits=Limits(heartbeat_s=0.01))
    async with (
        open_relay(config) as relay,
        api_client(relay.base_url, bearer(relay.owner_token)) as owner,
    ):
        token = await created(owner, expiresInS=1)
        victim = await connect(relay.url, headers=bearer(token["token"]))
        async with asyncio.timeout(PATIENCE_S):
            assert (await victim.expect_end()).code == 1008
        victim.abort()
    assert [record.getMessage() for record in complaints.records] == ["cannot keep house"]
    complaints.records.clear()


async def test_revoking_a_token_logs_its_browsers_out(
    relay: RunningRelay, owner: ApiClient
) -> None:
    token = await created(owner)
    async with api_client(relay.base_url, bearer(token["token"])) as phone:
        link = (await phone("POST", "/login-links", {})).body["url"]
        unused = (await phone("POST", "/login-links", {})).body["url"]
    answer = await redeemed(relay, path_of(link))
    headers = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
    assert (await api(relay, "/sessions", headers)).status == 200
    await owner("DELETE", f"/tokens/{token['id']}")
    assert (await api(relay, "/sessions", headers)).status == 401
    assert (await redeemed(relay, path_of(unused))).status == 401


async def test_a_relay_without_tokens_has_none_and_says_so() -> None:
    async with (
        open_relay(RelayConfig(port=0, auth=False)) as relay,
        api_client(relay.base_url) as anybody,
    ):
        assert relay.owner_token is None
        assert relay.login_url() is None
        for method, path, body in (
            ("GET", "/tokens", None),
            ("POST", "/tokens", {"name": "a", "grants": ["observe"]}),
            ("POST", "/login-links", {}),
        ):
            answer = await anybody(method, path, body)
            assert (answer.status, answer.body["code"]) == (400, "invalid_request")
        assert (await request_http(relay.base_url, "/login")).status == 404


async def test_tokens_outlive_the_relay_and_so_does_the_owners(tmp_path: Path) -> None:
    config = RelayConfig(port=0, state_dir=tmp_path / "state")
    async with open_relay(config) as first:
        async with api_client(first.base_url, bearer(first.owner_token)) as owner:
            token = await created(owner)
        owners = first.owner_token
    file = tmp_path / "state/owner-token"
    assert file.read_text().strip() == owners
    assert file.stat().st_mode & 0o777 == 0o600
    async with open_relay(config) as second:
        assert second.owner_token == owners
        assert (await api(second, "/sessions", bearer(token["token"]))).status == 200
    file.unlink()
    async with open_relay(config) as third:
        assert third.owner_token != owners
        assert (await api(third, "/sessions", bearer(owners))).status == 401
        assert (await api(third, "/sessions", bearer(token["token"]))).status == 200


@pytest.mark.requirement("access.secrets-are-not-told")
async def test_no_secret_is_logged_however_much_is_logged(
    relay: RunningRelay, owner: ApiClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = await created(owner, grants=["manage"])
    code = path_of(relay.login_url()).rpartition("/")[2]
    cookie = (await redeemed(relay, f"/login/{code}")).headers["set-cookie"].partition(";")[0]
    for headers in (bearer(token["token"]), bearer("acpr_a_wrongwrong"), {"Cookie": cookie}):
        await api(relay, "/sessions", headers)
    answers = [
        await redeemed(relay, f"/login/{code}"),
        await request_http(relay.base_url, f"/login/{code}", method="DELETE"),
        await request_http(
            relay.base_url, f"/login/{code}", method="PUT", headers=bearer(token["token"])
        ),
    ]
    peer = await connect(relay.url, headers=bearer(token["token"]))
    await AcpClient(peer).open_session()
    assert (await owner("DELETE", f"/tokens/{token['id']}")).status == 204
    peer.abort()
    told = caplog.text + "".join(answer.body.decode() for answer in answers)
    assert relay.owner_token is not None
    for secret in (token["token"], relay.owner_token, code, "wrongwrong", cookie.partition("=")[2]):
        assert secret not in told
    assert relay.owner_token not in repr(relay)
