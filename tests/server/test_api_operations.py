"""The control API: what its operations do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tests.repositories import a_repository, branches, git
from tests.server.api_client import ApiClient, api_client, crew
from tests.server.relays import serve

from acprelay.compose import RunningRelay
from acprelay.config import Limits, RelayConfig
from acprelay.routing.policy import Action, Policy, Rule

pytestmark = pytest.mark.process


@pytest.fixture
async def api(relay: RunningRelay) -> AsyncIterator[ApiClient]:
    async with api_client(relay.base_url) as client:
        yield client


# -- groups


async def test_a_group_is_opened_shown_and_closed(api: ApiClient) -> None:
    roles = [{"role": "auth", "agent": "demo"}, {"role": "db"}]
    opened = await api("POST", "/groups", {"cwd": "/tmp", "group": "login", "roles": roles})
    shown = await api.get("/groups/login")
    listed = await api.get("/groups")
    closed = await api("POST", "/groups/login/close", {})
    again = await api("POST", "/groups/login/close", {})

    ids = ["login:auth", "login:db"]
    assert opened.status == 201
    assert [each["sessionId"] for each in opened.body["roles"]] == ids
    assert [each["sessionId"] for each in shown["sessions"]] == ids
    assert [each["state"] for each in shown["sessions"]] == ["active", "active"]
    assert [each["group"] for each in listed["groups"]] == ["login"]
    assert closed.body == again.body == {"sessions": ids}
    assert [each["state"] for each in (await api.get("/groups/login"))["sessions"]] == [
        "dormant",
        "dormant",
    ]


async def test_a_session_that_is_there_already_is_a_conflict_and_nothing_is_begun(
    api: ApiClient,
) -> None:
    first = {"cwd": "/tmp", "group": "login", "roles": [{"role": "auth"}]}
    second = {"cwd": "/tmp", "group": "login", "roles": [{"role": "db"}, {"role": "auth"}]}
    assert (await api("POST", "/groups", first)).status == 201

    answer = await api("POST", "/groups", second)

    assert (answer.status, answer.body["code"]) == (409, "session_exists")
    assert len((await api.get("/groups/login"))["sessions"]) == 1


async def test_an_mcp_server_that_is_none_is_refused_before_anything_is_begun(
    api: ApiClient,
) -> None:
    body = {"cwd": "/tmp", "group": "login", "roles": [{"role": "auth"}], "mcpServers": [{}]}

    answer = await api("POST", "/groups", body)

    assert (answer.status, answer.body["code"]) == (400, "invalid_params")
    assert answer.body["title"].startswith("cannot use mcpServers[0]: ")
    assert (await api("GET", "/groups/login")).status == 404


async def test_a_role_that_cannot_be_opened_says_why_and_leaves_the_others_alone(
    api: ApiClient,
) -> None:
    roles = [{"role": "here"}, {"role": "there", "worktree": True}]
    opened = await api("POST", "/groups", {"cwd": "/", "group": "login", "roles": roles})

    here, there = opened.body["roles"]
    assert (opened.status, here["sessionId"]) == (201, "login:here")
    assert there["error"]["code"] == "workspace_error"
    assert there["error"]["message"].startswith("cannot ")


async def test_a_group_of_which_nothing_can_be_opened_is_that_error(api: ApiClient) -> None:
    roles = [{"role": "there", "worktree": True}]
    answer = await api("POST", "/groups", {"cwd": "/", "group": "login", "roles": roles})

    assert (answer.status, answer.body["code"]) == (409, "workspace_error")
    assert (await api("GET", "/groups/login")).status == 404


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"roles": [{}]}, "cwd"),
        ({"cwd": "here", "roles": [{}]}, "$.cwd"),
        ({"cwd": "/tmp", "roles": []}, "$.roles"),
        ({"cwd": "/tmp", "roles": [{"colour": "red"}]}, "$.roles[0]"),
        ({"cwd": "/tmp", "roles": [{}], "group": "a b"}, "$.group"),
        ({"cwd": "/tmp", "roles": [{}, {}]}, "main"),
        ({"cwd": "/tmp", "roles": [{"agent": "nobody"}]}, "nobody"),
    ],
)
async def test_a_body_that_cannot_be_used_is_refused_with_where(
    api: ApiClient, body: object, where: str
) -> None:
    answer = await api("POST", "/groups", body)

    assert (answer.status, answer.body["code"]) == (400, "invalid_params")
    assert where in answer.body["title"]
    assert (await api.get("/groups"))["groups"] == []


@pytest.mark.requirement("api.changes-are-json")
@pytest.mark.parametrize("media", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_what_changes_something_has_to_be_sent_as_json(
    relay: RunningRelay, media: str | None
) -> None:
    await crew(relay, "login", "auth")
    headers = {} if media is None else {"Content-Type": media}
    url = f"{relay.base_url}/api/v1/sessions/login:auth/close"
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, data=b"{}", headers=headers, skip_auto_headers=["Content-Type"]) as answer,
    ):
        refused = await answer.json(content_type=None)

    assert (answer.status, refused["code"]) == (415, "unsupported_media_type")
    async with api_client(relay.base_url) as api:
        assert (await api.get("/sessions/login:auth"))["state"] == "active"


async def test_a_method_that_is_not_there_says_which_are(relay: RunningRelay) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.delete(f"{relay.base_url}/api/v1/groups") as answer,
    ):
        assert (answer.status, answer.headers["Allow"]) == (405, "GET,POST")
        assert answer.content_type == "application/problem+json"


# -- turns and transcripts


@pytest.mark.requirement("api.transcripts-are-complete")
async def test_what_was_prompted_and_said_can_be_read_page_by_page(
    relay: RunningRelay, api: ApiClient
) -> None:
    await crew(relay, "login", "auth")
    async with api.events() as events:
        await api("POST", "/sessions/login:auth/prompts", {"text": "hello"})
        await events.until("turn_ended")
    path = "/sessions/login:auth/transcript"
    whole = await api.get(path)
    paged, after = [], ""
    while True:
        page = await api.get(f"{path}?limit=2{after}")
        paged += page["entries"]
        if "nextCursor" not in page:
            break
        after = f"&after={page['nextCursor']}"

    assert paged == whole["entries"]
    kinds = [each["message"]["method"] for each in paged]
    assert "_acprelay/turn_started" in kinds
    assert kinds[-1] == "_acprelay/turn_ended"
    stamps = [each["message"]["params"]["_meta"]["acprelay"] for each in paged]
    assert [each["position"] for each in paged] == [
        f"{stamp['generation']}:{stamp['seq']}" for stamp in stamps
    ]
    assert (await api.get(f"{path}?after={whole['position']}"))["entries"] == []


@pytest.mark.requirement("api.errors-are-problem-documents")
async def test_a_group_beyond_a_limit_is_refused_with_the_name_of_the_limit() -> None:
    config = RelayConfig(port=0, limits=Limits(sessions=1))
    async with serve(config) as (relay, _), api_client(relay.base_url) as api:
        await crew(relay, "login", "auth")
        refused = await api("POST", "/groups", {"cwd": "/tmp", "roles": [{"role": "db"}]})

    assert (refused.status, refused.body.get("setting")) == (429, "sessions"), refused.body


@pytest.mark.requirement("api.transcripts-are-complete")
async def test_a_transcript_whose_start_is_forgotten_says_where_it_begins() -> None:
    config = RelayConfig(port=0, limits=Limits(history_bytes=1000))
    async with serve(config) as (relay, _), api_client(relay.base_url) as api:
        await crew(relay, "login", "auth")
        async with api.events() as events:
            await api("POST", "/sessions/login:auth/prompts", {"text": "/stream 100 100"})
            await events.until("turn_ended")
        refused = await api("GET", "/sessions/login:auth/transcript")
        oldest = refused.body["oldest"]
        read = await api("GET", f"/sessions/login:auth/transcript?after={oldest}")

    assert (refused.status, refused.body["code"]) == (410, "cursor_expired")
    assert read.status == 200
    assert read.body["entries"]


async def test_a_turn_is_listed_and_cancelled(relay: RunningRelay, api: ApiClient) -> None:
    await crew(relay, "login", "auth")
    path = "/sessions/login:auth"
    async with api.events() as events:
        running = await api("POST", f"{path}/prompts", {"text": "/slow 60"})
        waiting = await api("POST", f"{path}/prompts", {"prompt": [{"type": "text", "text": "x"}]})
        turns = await api.get(f"{path}/turns")
        dropped = await api("DELETE", f"{path}/turns/{waiting.body['turn']}")
        stopped = await api("DELETE", f"{path}/turns/{running.body['turn']}")
        ended = await events.until("turn_ended")
    again = await api("DELETE", f"{path}/turns/{running.body['turn']}")

    assert (running.status, waiting.status) == (202, 202)
    assert turns["running"]["turn"] == running.body["turn"]
    assert turns["queued"] == [{"turn": waiting.body["turn"], "mine": True}]
    assert (dropped.status, stopped.status, again.status) == (204, 204, 404)
    assert (ended["turn"], ended["stopReason"]) == (running.body["turn"], "cancelled")


@pytest.mark.parametrize("body", [{}, {"text": "a", "prompt": [{}]}, {"prompt": []}, {"text": 1}])
async def test_a_prompt_is_text_or_content_blocks(
    relay: RunningRelay, api: ApiClient, body: object
) -> None:
    await crew(relay, "login", "auth")

    assert (await api("POST", "/sessions/login:auth/prompts", body)).status == 400


async def test_a_session_at_rest_begins_a_run_for_a_prompt(
    relay: RunningRelay, api: ApiClient
) -> None:
    await crew(relay, "login", "auth")
    closed = await api("POST", "/sessions/login:auth/close", {})
    resting = await api.get("/sessions/login:auth")
    async with api.events() as events:
        await api("POST", "/sessions/login:auth/prompts", {"text": "hello"})
        ended = await events.until("turn_ended")

    assert (closed.status, resting["state"]) == (204, "dormant")
    assert ended["outcome"] == "ended"
    assert (await api.get("/sessions/login:auth"))["run"]["run"] == 2


async def test_a_session_that_was_deleted_is_gone(relay: RunningRelay, api: ApiClient) -> None:
    await crew(relay, "login", "auth")

    assert (await api("DELETE", "/sessions/login:auth")).status == 204
    assert (await api("DELETE", "/sessions/login:auth")).status == 404
    assert (await api.get("/sessions"))["sessions"] == []


# -- permissions


@pytest.mark.requirement("api.permissions-are-decided-once")
async def test_a_permission_is_listed_and_answered_once(
    relay: RunningRelay, api: ApiClient
) -> None:
    await crew(relay, "login", "auth")
    async with api.events() as events:
        await api("POST", "/sessions/login:auth/prompts", {"text": "/tool edit"})
        asked = await events.until("permission_asked")
        [shown] = (await api.get("/permissions?group=login"))["permissions"]
        path = f"/permissions/{shown['ask']}"
        unoffered = await api("POST", path, {"optionId": "nothing"})
        neither = await api("POST", path, {})
        first = await api("POST", path, {"optionId": shown["options"][0]["optionId"]})
        second = await api("POST", path, {"outcome": "cancelled"})
        ended = await events.until("turn_ended")

    assert (shown["ask"], shown["toolCall"]["title"]) == (asked["ask"], "edit")
    assert (unoffered.status, neither.status) == (400, 400)
    assert (first.status, first.body["settled"]) == (200, True)
    assert second.status == 404
    assert ended["stopReason"] == "end_turn"
    assert (await api.get("/permissions"))["permissions"] == []


# -- worktrees


async def test_a_worktree_is_shown_merged_and_removed(tmp_path: Path) -> None:
    project = a_repository(tmp_path / "project")
    git(project, "config", "user.name", "somebody")
    git(project, "config", "user.email", "somebody@localhost")
    config = RelayConfig(port=0, worktree_dir=tmp_path / "trees")
    async with serve(config) as (relay, _), api_client(relay.base_url) as api:
        body = {"cwd": str(project), "group": "login", "roles": [{}], "worktree": True}
        opened = await api("POST", "/groups", body)
        workdir = opened.body["roles"][0]["worktree"]["workdir"]
        (Path(workdir) / "NEW").write_text("new\n")
        git(workdir, "add", "NEW")
        git(workdir, "commit", "--quiet", "--message=Work")
        (Path(workdir) / "loose").write_text("loose\n")
        [listed] = (await api.get("/worktrees"))["worktrees"]
        shown = await api.get("/worktrees/login:main")
        busy = await api("DELETE", "/worktrees/login:main?force=true")
        await api("POST", "/groups/login/close", {})
        unsaved = await api("DELETE", "/worktrees/login:main")
        merged = await api("POST", "/worktrees/login:main/merge", {})
        removed = await api("DELETE", "/worktrees/login:main?force=true")
        gone = await api("GET", "/worktrees/login:main")
        named = await api.get(f"/worktrees?repository={project}")

    assert (listed["sessionId"], listed["commits"]) == ("login:main", 1)
    assert shown["files"] == [{"path": "NEW", "added": 1, "deleted": 0}]
    assert shown["untracked"] == ["loose"]
    assert (busy.status, unsaved.status) == (409, 409)
    assert "in use" in busy.body["title"]
    assert "uncommitted" in unsaved.body["title"]
    assert merged.body == {"sessionId": "login:main", "into": "trunk", "commits": 1, "left": 1}
    assert (project / "NEW").read_text() == "new\n"
    assert (removed.status, gone.status, branches(project)) == (204, 404, [])
    assert named == {"worktrees": []}


async def test_a_repository_that_is_gone_has_no_worktrees(api: ApiClient, tmp_path: Path) -> None:
    listed = await api.get(f"/worktrees?repository={tmp_path / 'nowhere'}")
    shown = await api("GET", f"/worktrees/login:main?repository={a_repository(tmp_path / 'p')}")

    assert listed == {"worktrees": []}
    assert (shown.status, shown.body["code"]) == (404, "not_found")


# -- the rest


async def test_an_agent_is_shown_and_tried_out(api: ApiClient) -> None:
    probed = await api("POST", "/agents/demo/probe", {})
    listed = await api.get("/agents")
    shown = await api.get("/agents/demo")
    nobody = await api("POST", "/agents/nobody/probe", {})

    assert probed.body["initialize"]["protocolVersion"] == 1
    assert [each["name"] for each in listed["agents"]] == ["demo"]
    assert (shown["default"], shown["ready"]) == (True, 0)
    assert (nobody.status, nobody.body["code"]) == (404, "not_found")


async def test_an_agent_is_invited_and_the_invitation_taken_back(api: ApiClient) -> None:
    invited = await api("POST", "/sessions/login:auth/invitations", {"ttlS": 60})
    revoked = await api("DELETE", "/sessions/login:auth/invitations")
    again = await api("DELETE", "/sessions/login:auth/invitations")
    for_ever = await api("POST", "/sessions/login:auth/invitations", {"ttlS": 1e12})

    assert (invited.status, invited.body["path"]) == (201, "/agents/login/auth")
    assert len(invited.body["token"]) > 20
    assert (revoked.body, again.body) == ({"revoked": 1}, {"revoked": 0})
    assert for_ever.status == 400


async def test_the_policy_is_shown_and_explained() -> None:
    rule = Rule(action=Action.REJECT, name="no push", command=("git push*",))
    config = RelayConfig(port=0, policy=Policy(rules=(rule,)))
    call = {"toolCallId": "c", "kind": "execute", "rawInput": {"command": "git push"}}
    options = [{"optionId": "no", "kind": "reject_once"}]
    async with serve(config) as (relay, _), api_client(relay.base_url) as api:
        shown = await api.get("/policy")
        told = await api("POST", "/policy/explain", {"toolCall": call, "options": options})
        asked = await api("POST", "/policy/explain", {"toolCall": {}})

    assert shown["rules"] == [{"action": "reject", "name": "no push", "command": ["git push*"]}]
    assert (told.body["action"], told.body["rule"], told.body["optionId"]) == (
        "reject",
        "no push",
        "no",
    )
    assert told.body["claimed"]["commands"] == ["git push"]
    assert asked.body["action"] == "ask"


async def test_the_relay_tells_what_it_is(relay: RunningRelay, api: ApiClient) -> None:
    await crew(relay, "login", "auth")

    shown = await api.get("/relay")

    assert shown["sessions"] == {"active": 1}
    assert shown["limits"]["queuedPrompts"] == Limits().queued_prompts


# -- what tells of it


async def test_the_page_shows_every_operation_and_loads_nothing(relay: RunningRelay) -> None:
    base = f"{relay.base_url}/api/v1"
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{base}/docs") as answer:
            page = await answer.text()
        async with http.get(f"{base}/openapi.json") as described:
            document = await described.json()

    assert answer.content_type == "text/html"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 's")
    assert "<script" not in page
    assert "://" not in page
    for methods in document["paths"].values():
        for operation in methods.values():
            assert f'id="{operation["operationId"]}"' in page


async def test_everything_that_the_document_names_is_in_it(api: ApiClient) -> None:
    document = await api.get("/openapi.json")
    text = json.dumps(document)

    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= set(document["components"]["schemas"])
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for methods in document["paths"].values():
        for operation in methods.values():
            assert {"400", "401", "403"} <= set(operation["responses"])
            for parameter in operation["parameters"]:
                assert parameter["description"], parameter
