"""What `/metrics` tells, to whom, and in which format."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as plain_families
from tests.server.peers import Answer, request_http
from tests.server.relays import Dialler

from acprelay.compose import Relay, RunningRelay
from acprelay.config import RelayConfig
from acprelay.routing.access import Grant, Principal, Scope, including

DOCS = Path(__file__).parents[2] / "docs"
OPEN_METRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def families_of(answer: Answer) -> list[Metric]:
    text = answer.body.decode()
    return list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]


def read(answer: Answer) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families_of(answer)
        for sample in family.samples
    }


async def scrape(relay: RunningRelay) -> Samples:
    answer = await request_http(relay.base_url, "/metrics", headers=OPEN_METRICS)
    assert answer.status == 200
    return read(answer)


@pytest.mark.requirement("operation.metrics-count-what-happens")
async def test_what_happens_is_counted(relay: RunningRelay, dial: Dialler) -> None:
    before = await scrape(relay)
    assert before["acprelay_sessions", (("state", "active"),)] == 0
    client = await dial()
    session = await client.open_session()
    await client.prompt(session, "hello")
    after = await scrape(relay)
    assert after["acprelay_sessions", (("state", "active"),)] == 1
    assert after["acprelay_conversations", ()] == 1
    assert after["acprelay_connections", ()] == 1
    assert after["acprelay_attachments", ()] == 1
    assert after["acprelay_turns_started_total", ()] == 1
    assert after["acprelay_turns_total", (("outcome", "ended"),)] == 1
    assert after["acprelay_turn_duration_seconds_count", ()] == 1
    assert after["acprelay_agent_starts_total", (("agent", "demo"),)] == 1
    assert after["acprelay_delivery_lag_seconds_count", ()] >= 1
    for side in ("agents", "clients"):
        for direction in ("in", "out"):
            flow = (("direction", direction), ("side", side))
            assert after["acprelay_messages_total", flow] > 0
            assert after["acprelay_message_bytes_total", flow] > 0
    route = (("method", "GET"), ("route", "/acp"), ("status", "101"))
    assert after["acprelay_http_requests_total", route] == 1
    assert after["acprelay_open_files", ()] > 0


async def test_prometheus_without_open_metrics_gets_its_older_text(relay: RunningRelay) -> None:
    answer = await request_http(relay.base_url, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    names = {family.name for family in plain_families(answer.body.decode())}
    assert "acprelay_sessions" in names


async def test_a_path_that_nobody_serves_is_no_label_of_its_own(relay: RunningRelay) -> None:
    for path in ("/nowhere", "/else"):
        await request_http(relay.base_url, path)
    counted = await scrape(relay)
    unknown = (("method", "GET"), ("route", "unknown"), ("status", "404"))
    assert counted["acprelay_http_requests_total", unknown] == 2


@pytest.mark.requirement("operation.metrics-are-for-observers-of-everything")
@pytest.mark.parametrize(
    ("grants", "scope", "status"),
    [
        (Grant.OBSERVE, Scope(), 200),
        (Grant.MANAGE, Scope(), 200),
        (Grant.OBSERVE, Scope(group="a"), 403),
        (None, Scope(), 403),
    ],
)
async def test_they_are_for_who_may_observe_everything(
    grants: Grant | None, scope: Scope, status: int
) -> None:
    principal = Principal(
        id="p", name="p", grants=including([grants] if grants else []), scope=scope
    )
    config = RelayConfig(port=0)
    async with Relay(config, authenticate=lambda _request: principal) as relay:
        runner = web.AppRunner(relay.app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            port = runner.addresses[0][1]
            answer = await request_http(f"http://127.0.0.1:{port}", "/metrics")
        finally:
            await runner.cleanup()
    assert answer.status == status


@pytest.mark.requirement("operation.metrics-are-documented")
async def test_the_page_on_operation_lists_every_metric_with_its_labels(
    relay: RunningRelay, dial: Dialler
) -> None:
    client = await dial()
    await client.open_session()
    page = (DOCS / "operation.md").read_text()
    listed = set(re.findall(r"^\| `(acprelay_\w+)` \|", page, re.MULTILINE))
    answer = await request_http(relay.base_url, "/metrics", headers=OPEN_METRICS)
    families = families_of(answer)
    assert {family.name for family in families} == listed
    for family in families:
        for sample in family.samples:
            for label in set(sample.labels) - {"le"}:
                assert re.search(rf"^\| `{family.name}` \|.*`{label}`", page, re.MULTILINE), label
