"""The control API: what there is, and how requests are read and refused."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.server.api_client import ApiClient, api_client, crew

from acprelay.compose import RunningRelay

pytestmark = pytest.mark.process


@pytest.fixture
async def api(relay: RunningRelay) -> AsyncIterator[ApiClient]:
    async with api_client(relay.base_url) as client:
        yield client


async def test_sessions_are_listed_page_by_page(relay: RunningRelay, api: ApiClient) -> None:
    await crew(relay, "login", "auth", "db")

    first = await api.get("/sessions?limit=1")
    last = await api.get(f"/sessions?limit=1&cursor={first['nextCursor']}")

    seen = [*first["sessions"], *last["sessions"]]
    assert sorted(each["sessionId"] for each in seen) == ["login:auth", "login:db"]
    assert "nextCursor" not in last


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("group=login", 1),
        ("group=nobody", 0),
        ("agent=demo", 1),
        ("agent=other", 0),
        ("state=active", 1),
        ("state=dormant", 0),
    ],
)
async def test_a_list_of_sessions_is_filtered(
    relay: RunningRelay, api: ApiClient, query: str, found: int
) -> None:
    await crew(relay, "login", "auth")

    page = await api.get(f"/sessions?{query}")

    assert len(page["sessions"]) == found


async def test_a_session_is_shown_with_how_its_run_does(
    relay: RunningRelay, api: ApiClient
) -> None:
    await crew(relay, "login", "auth")

    shown = await api.get("/sessions/login:auth")

    assert (shown["state"], shown["run"]["run"], shown["run"]["queued"]) == ("active", 1, 0)


@pytest.mark.requirement("api.errors-are-problem-documents")
@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/sessions/nobody:main", 404, "session_not_found"),
        ("/sessions/nobody", 404, "session_not_found"),
        ("/sessions?colour=red", 400, "invalid_params"),
        ("/sessions?limit=0", 400, "invalid_params"),
        ("/sessions?limit=1&limit=2", 400, "invalid_params"),
        ("/sessions?state=happy", 400, "invalid_params"),
        ("/sessions?cursor=mine", 400, "invalid_params"),
        ("/nothing", 404, "invalid_request"),
    ],
)
async def test_what_cannot_be_served_is_a_problem_document(
    api: ApiClient, path: str, status: int, code: str
) -> None:
    answer = await api("GET", path)

    assert (answer.status, answer.media) == (status, "application/problem+json")
    assert (answer.body["code"], answer.body["status"]) == (code, status)
    assert answer.body["title"].startswith("cannot ")
    assert answer.body["hint"]


async def test_the_api_describes_itself(api: ApiClient) -> None:
    described = await api.get("/openapi.json")

    assert described["openapi"] == "3.1.0"
    assert described["paths"]["/sessions"]["get"]["operationId"] == "listSessions"
