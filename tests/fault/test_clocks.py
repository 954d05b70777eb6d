"""A wall clock that jumps, and a relay that stands still for a while."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.end_to_end.relays import RelayProcess, pass_time
from tests.fault.clients import ENDED, WHERE, greeted, load
from tests.server.clients import AcpClient
from tests.server.peers import PATIENCE_S, Message, refused, request_http
from tests.server.relays import Dialler, serve

from acprelay.compose import RunningRelay, open_relay
from acprelay.config import Limits, RelayConfig
from acprelay.runtime import system

pytestmark = pytest.mark.process

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
YEAR_S = 365 * DAY_S
JUMPS_S = [HOUR_S, -HOUR_S, YEAR_S, -YEAR_S]
HASTY = Limits(heartbeat_s=0.005)
YES: Message = {"outcome": {"outcome": "selected", "optionId": "allow"}}


def jump(monkeypatch: pytest.MonkeyPatch, by_s: float) -> None:
    """Sets the relay's wall clock, and nobody else's."""
    clock = SimpleNamespace(time=lambda: time.time() + by_s, monotonic=time.monotonic)
    monkeypatch.setattr(system, "time", clock)


async def keep_house(client: AcpClient, session_id: str) -> None:
    """Lets time enough pass for a relay in haste to look after everything several times."""
    loop = asyncio.get_running_loop()
    until = loop.time() + 20 * HASTY.heartbeat_s
    while loop.time() < until:
        await client.result("_acprelay/turns", {"sessionId": session_id})


@pytest.mark.parametrize("by_s", JUMPS_S)
async def test_a_jump_of_the_wall_clock_ends_no_session_and_no_ask(
    by_s: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = RelayConfig(port=0, state_dir=tmp_path / "state", limits=HASTY)
    async with serve(config) as (_, dial):
        client, absent = await dial(), await dial()
        session_id = await client.open_session()
        await load(await greeted(absent), session_id)
        run = await client.result("_acprelay/run", {"sessionId": session_id})
        prompt = await client.begin_prompt(session_id, "/tool Ask whoever is there")
        ask = await client.until("session/request_permission")
        absent.peer.abort()
        jump(monkeypatch, by_s)
        await keep_house(client, session_id)
        now = await client.result("_acprelay/run", {"sessionId": session_id})
        assert (now["pid"], now["run"], now["asks"]) == (run["pid"], run["run"], 1)
        await client.send({"id": ask["id"], "result": YES})
        assert (await client.answer_to(prompt))["result"] == ENDED
        assert (await client.prompt(session_id, "hello"))["result"] == ENDED
        other = await client.new_session()
        assert other != session_id
        entries = await load(client, session_id)
    async with serve(config) as (_, dial):
        client = await greeted(await dial())
        listed = (await client.result("session/list", {}))["sessions"]
        assert {each["sessionId"] for each in listed} == {session_id, other}
        assert (await load(client, session_id))[: len(entries)] == entries


@pytest.mark.parametrize("by_s", JUMPS_S)
async def test_tokens_logins_and_invitations_are_good_until_the_wall_clock_says_that_they_are_not(
    by_s: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = RelayConfig(port=0, state_dir=tmp_path / "state", limits=HASTY)
    is_over = by_s > DAY_S
    async with open_relay(config) as relay:
        assert relay.owner_token is not None
        owners = bearer(relay.owner_token)
        async with relay.client() as owner:
            made = await owner.create_token("a day", grants=["observe"], expires_in_s=DAY_S)
            invited = await owner.invite("g:main", ttl_s=DAY_S)
        token, login, invitation = bearer(made.token), await cookie(relay), bearer(invited.token)
        assert await status(relay, token) == 200
        assert await status(relay, login) == 200
        assert await status_of_a_joiner(relay, invitation) == 403
        jump(monkeypatch, by_s)
        assert await status(relay, token) == (401 if is_over else 200)
        assert await status(relay, login) == (401 if is_over else 200)
        assert await status_of_a_joiner(relay, invitation) == (401 if is_over else 403)
        assert await status(relay, owners) == 200
        jump(monkeypatch, 0.0)
    async with open_relay(config) as relay:
        assert await status(relay, owners) == 200


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def cookie(relay: RunningRelay) -> dict[str, str]:
    """What a browser sends that is logged in; a login is good for a week."""
    path = (relay.login_url() or "").removeprefix(relay.base_url)
    origin = {"Origin": relay.base_url}
    answer = await request_http(relay.base_url, path, method="POST", headers=origin)
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


async def status(relay: RunningRelay, shown: dict[str, str]) -> int:
    return (await request_http(relay.base_url, "/api/v1/sessions", headers=shown)).status


async def status_of_a_joiner(relay: RunningRelay, shown: dict[str, str]) -> int:
    """What comes of an invitation where it is for another role: 403 as long as it is good."""
    return (await refused(f"{relay.base_url}/agents/g/another", headers=shown)).status


async def test_a_relay_that_is_stopped_and_continued_loses_and_repeats_nothing(log: Path) -> None:
    with RelayProcess(log=log) as relay, Dialler(relay.url) as dial:
        client, watcher = await dial(), await dial()
        session_id = await client.open_session()
        await load(await greeted(watcher), session_id)
        prompt = await client.begin_prompt(session_id, "/stream 3000 100")
        await client.until("session/update")
        for _ in range(3):
            async with relay.standing_still():
                request = await watcher.begin("session/list", {})  # it waits for an answer
            assert "result" in await watcher.answer_to(request)
        assert (await client.answer_to(prompt))["result"] == ENDED
        if all(entry.get("method") != "_acprelay/turn_ended" for entry in watcher.heard):
            await watcher.until("_acprelay/turn_ended")
        stamps = [
            entry["params"]["_meta"]["acprelay"] for entry in watcher.heard if "params" in entry
        ]
        seqs = [stamp["seq"] for stamp in stamps if "seq" in stamp]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        assert len(seqs) >= 3000


async def test_what_came_due_while_the_machine_slept_is_done_once_when_it_wakes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serve(RelayConfig(port=0)) as (_, dial):
        client, absent = await dial(), await dial()
        session_id = await client.open_session()
        await greeted(absent)
        where = {"sessionId": session_id, **WHERE}
        added = (await absent.result("session/load", where))["_meta"]["acprelay"]
        prompt = await client.begin_prompt(session_id, "/tool Ask whoever is there")
        ask = await client.until("session/request_permission")
        absent.peer.abort()
        async with asyncio.timeout(PATIENCE_S):
            while (await client.result("_acprelay/run", {"sessionId": session_id}))["clients"] > 1:
                pass

        pass_time(monkeypatch, 2 * HOUR_S)
        settled = (await client.until("_acprelay/permission_settled"))["params"]
        assert (settled["ask"], settled["by"]) == (ask["id"], "deadline")
        assert (await client.answer_to(prompt))["result"] == ENDED
        assert (await client.prompt(session_id, "hello"))["result"] == ENDED

        back = await greeted(await dial())
        attach = {"sessionId": session_id, "attachment": added["attachment"]}
        refused = await back.error("_acprelay/attach", {**attach, "secret": added["secret"]})
        assert refused["data"]["code"] == "forbidden"
        attach = {"sessionId": session_id, "after": added["position"]}
        await back.result("_acprelay/attach", attach)
        outcomes = [(await back.until("_acprelay/turn_ended"))["params"] for _ in range(2)]
        assert [each["outcome"] for each in outcomes] == ["ended", "ended"]
