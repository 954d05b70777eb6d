"""The control API does what its own description says, whatever it is sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import pytest
import requests
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, assume, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from acprelay.compose import Relay
from acprelay.config import Limits, RelayConfig
from acprelay.routing.access import LOCAL, Principal
from acprelay.routing.group_params import GroupSpec, RoleSpec

pytestmark = [pytest.mark.process, pytest.mark.requirement("api.described")]

TOKEN = "manages-everything"
PATIENCE_S = 30.0
EXAMPLES = 15
MOST_CHARS = 4000
LEAST_OPERATIONS = 15
MORE_THAN_A_SCHEMA_SAYS = (
    "openGroup",  # roles differ, and agents are those that there are
    *("listTokens", "createToken", "revokeToken", "createLoginLink"),  # here are none
)


def knows(request: web.Request) -> Principal | None:
    """Knows one token."""
    shown = request.headers.get("Authorization")
    return replace(LOCAL, id="tester") if shown == f"Bearer {TOKEN}" else None


@dataclass
class Served:
    """A relay that serves in a thread of its own, as schemathesis waits for its answers."""

    base_url: str
    document: dict[str, Any]


async def serve(ready: Future[str], stop: asyncio.Event) -> None:
    config = RelayConfig(limits=Limits(sessions=3, queued_prompts=2))
    async with Relay(config, authenticate=knows) as relay:
        runner = web.AppRunner(relay.app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
            relay.listens_at(origin)
            roles = (RoleSpec(role="auth"), RoleSpec(role="db"))
            await relay.groups.open(GroupSpec(cwd="/tmp", group="login", roles=roles))
            ready.set_result(origin)
            await stop.wait()
        finally:
            await relay.dismiss()
            await runner.cleanup()


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The address of a relay with two sessions."""
    ready: Future[str] = Future()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def run() -> None:
        try:
            loop.run_until_complete(serve(ready, stop))
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)
        finally:
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    yield ready.result(PATIENCE_S)
    loop.call_soon_threadsafe(stop.set)
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def map_path_parameters(_context: Any, given: dict[str, Any] | None) -> dict[str, Any] | None:
    """Lets every other request be about something that is there."""
    there = {"session": "login:auth", "group": "login", "agent": "demo"}
    for name, value in (given or {}).items():
        if name in there and len(str(value)) % 2:
            given = {**(given or {}), name: there[name]}
    return given


def map_query(_context: Any, given: dict[str, Any] | None) -> dict[str, Any] | None:
    """Leaves out what has to be known from an earlier answer."""
    unknown = ("cursor", "after")
    return given and {name: value for name, value in given.items() if name not in unknown}


def described(served: str, mode: GenerationMode) -> Any:
    """What the relay says that its API is, but for the stream that does not end."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    document = requests.get(f"{served}/api/v1/openapi.json", headers=headers, timeout=PATIENCE_S)
    told = document.json()
    del told["security"]  # who is let in is shown elsewhere: every request here has the token
    schema = schemathesis.openapi.from_dict(told)
    schema.config.update(base_url=f"{served}/api/v1")
    if mode is GenerationMode.POSITIVE:
        schema.hook(map_path_parameters)
        schema.hook(map_query)
    return schema.exclude(operation_id="streamEvents")


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_operation_keeps_to_its_description(served: str, mode: GenerationMode) -> None:
    tried = 0
    operations = [found.ok() for found in described(served, mode).get_all_operations()]
    for operation in sorted(operations, key=ends_the_relay):
        if mode is GenerationMode.POSITIVE or can_be_wrong(operation.definition.raw):
            keeps_to_its_description(operation, mode)
            tried += 1
    assert tried > LEAST_OPERATIONS


def ends_the_relay(operation: Any) -> bool:
    """Whether the others have to be tried first."""
    return bool(operation.definition.raw["operationId"] == "drainRelay")


def can_be_wrong(operation: Mapping[str, Any]) -> bool:
    """Whether a request can reach an operation and still be none that it takes."""
    names = {each["name"] for each in operation["parameters"]}
    return bool(names - {"ask", "agent", "turn", "token"}) or "requestBody" in operation


def keeps_to_its_description(operation: Any, mode: GenerationMode) -> None:
    """Tries one operation out."""
    has_rules = operation.definition.raw["operationId"] in MORE_THAN_A_SCHEMA_SAYS
    excluded = [positive_data_acceptance] if has_rules else []

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def holds(case: Any) -> None:
        assume(len(quote(str(case.query))) < MOST_CHARS)  # a longer one is no request for anybody
        case.call_and_validate(
            headers={"Authorization": f"Bearer {TOKEN}"},
            excluded_checks=excluded,
            timeout=PATIENCE_S,
        )

    holds()
