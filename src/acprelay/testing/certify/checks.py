"""The checks, by name. Each is a client of an agent of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from acprelay.testing.certify.client import Client, Message, Trial, client_of
from acprelay.testing.certify.findings import CheckFailed, CheckSkipped, Finding, Outcome
from acprelay.testing.certify.through_a_relay import compare_bytes
from acprelay.testing.soak.relay import RelayFailed

_STOP_REASONS = ("end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled")
_OPTION_KINDS = ("allow_once", "allow_always", "reject_once", "reject_always")
_METHOD_NOT_FOUND = -32601

Check = Callable[[Trial], Awaitable[None]]


async def check_initialize(trial: Trial) -> None:
    """ACP, "Initialization"."""
    async with client_of(trial) as client:
        result = await client.initialize()
    version = result.get("protocolVersion")
    if type(version) is not int or version != 1:
        raise CheckFailed(f"protocolVersion is {version!r}, where 1 was asked for")
    if not isinstance(result.get("agentCapabilities", {}), dict | None):
        raise CheckFailed("agentCapabilities is no object")


async def check_ids(trial: Trial) -> None:
    """JSON-RPC 2.0, section 5: the id of an answer is the same as that of its request."""
    async with client_of(trial) as client:
        params: Message = {"protocolVersion": 1, "clientCapabilities": {}}
        await client.result("initialize", params, request_id="an id")
        where: Message = {"cwd": trial.cwd, "mcpServers": []}
        await client.result("session/new", where, request_id=0)


async def check_unknown_method(trial: Trial) -> None:
    """JSON-RPC 2.0, section 5.1: -32601, the method does not exist."""
    async with client_of(trial) as client:
        await client.initialize()
        answer = await client.ask("session/unheard_of", {})
    error = answer.get("error")
    if not isinstance(error, dict):
        raise CheckFailed("a method that nobody knows was answered with a result")
    if error.get("code") != _METHOD_NOT_FOUND:
        raise CheckFailed(f"it was refused with code {error.get('code')!r}, not -32601")


async def check_turn(trial: Trial) -> None:
    """ACP, "Prompt Turn": updates, then the reason why the turn has ended."""
    async with client_of(trial) as client:
        session_id = await client.open_session()
        await _have_a_turn(client, session_id)
        if not client.updates:
            raise CheckFailed("a turn brought no session/update")
        for params in client.updates:
            _look_at_update(params, session_id)


async def check_two_turns(trial: Trial) -> None:
    """A session goes on after its first turn."""
    async with client_of(trial) as client:
        session_id = await client.open_session()
        await _have_a_turn(client, session_id)
        await _have_a_turn(client, session_id)


async def check_permission(trial: Trial) -> None:
    """ACP, "Tool Calls", "Requesting Permission"."""
    async with client_of(trial) as client:
        await client.prompt(await client.open_session())
    asks = [each for each in client.asked if each["method"] == "session/request_permission"]
    if not asks:
        raise CheckSkipped("it asked for none; --prompt may name what it asks for")
    for ask in asks:
        params = ask.get("params") or {}
        options = params.get("options") or []
        if "toolCallId" not in (params.get("toolCall") or {}):
            raise CheckFailed("a permission was asked for without a toolCall that has a toolCallId")
        ids = [option.get("optionId") for option in options]
        if not ids or len(set(ids)) < len(ids) or not all(isinstance(each, str) for each in ids):
            raise CheckFailed(f"a permission's options have the ids {ids!r}")
        kinds = [option.get("kind") for option in options]
        if not set(kinds) <= set(_OPTION_KINDS):
            raise CheckFailed(f"a permission's options are of the kinds {kinds!r}")


async def check_cancel(trial: Trial) -> None:
    """ACP, "Prompt Turn", "Cancellation": the turn's answer is `cancelled`."""
    async with client_of(trial) as client:
        session_id = await client.open_session()
        told = asyncio.Event()
        client.on_update = told.set
        async with asyncio.TaskGroup() as tasks:
            turn = tasks.create_task(_turn_or_failure(client, session_id))
            first = tasks.create_task(told.wait())
            await asyncio.wait((turn, first), return_when=asyncio.FIRST_COMPLETED)
            first.cancel()
            is_over = turn.done()
            with suppress(CheckFailed):
                params = {"sessionId": session_id}
                await client.send({"method": "session/cancel", "params": params})
    ended = turn.result()
    if isinstance(ended, CheckFailed):
        raise ended
    if is_over:
        raise CheckSkipped("the turn was over at once; --prompt may name a longer one")
    if ended.get("stopReason") not in ("cancelled", "end_turn"):  # it may have been over just then
        raise CheckFailed(f"a cancelled turn ended with {ended.get('stopReason')!r}")


async def check_load(trial: Trial) -> None:
    """ACP, "Session Setup", "Loading Sessions": a later process takes a session up."""
    async with client_of(trial) as client:
        capabilities = (await client.initialize()).get("agentCapabilities") or {}
        if not capabilities.get("loadSession"):
            raise CheckSkipped("it does not say that it can")
        session = await client.result("session/new", {"cwd": trial.cwd, "mcpServers": []})
        session_id = str(session.get("sessionId"))
        await client.prompt(session_id)
    async with client_of(trial) as client:
        await client.initialize()
        where = {"sessionId": session_id, "cwd": trial.cwd, "mcpServers": []}
        answer = await client.ask("session/load", where)
        if "error" in answer:
            raise CheckFailed(f"session/load was refused: {answer['error']!r}"[:300])
        await client.prompt(session_id)


async def check_end_of_input(trial: Trial) -> None:
    """ACP, "Transports", stdio: a client ends an agent by closing its standard input."""
    async with client_of(trial) as client:
        await client.open_session()
        client.channel.close_input()
        await _expect_end(client, "its standard input was closed")


async def check_termination(trial: Trial) -> None:
    """What ends every agent: SIGTERM to its process group; nothing it has started stays."""
    async with client_of(trial) as client:
        await client.open_session()
        client.channel.close_input()
        client.channel.signal_group(signal.SIGTERM)
        await _expect_end(client, "SIGTERM")
        with suppress(ProcessLookupError):
            os.killpg(client.channel.process.pid, 0)
            raise CheckFailed("it has ended, but something that it has started has not")


CHECKS: Mapping[str, Check] = {
    "initialize": check_initialize,
    "ids": check_ids,
    "unknown-method": check_unknown_method,
    "turn": check_turn,
    "two-turns": check_two_turns,
    "permission": check_permission,
    "cancel": check_cancel,
    "load": check_load,
    "end-of-input": check_end_of_input,
    "termination": check_termination,
    "through-a-relay": compare_bytes,
}
"""Every check, by its name."""


async def carry_out(name: str, trial: Trial) -> Finding:
    """Carries one check out.

    Raises:
        ConfigError: The agent cannot be started.
    """
    try:
        await CHECKS[name](trial)
    except (CheckFailed, RelayFailed) as failure:
        return Finding(name, Outcome.FAILED, str(failure))
    except CheckSkipped as reason:
        return Finding(name, Outcome.SKIPPED, str(reason))
    return Finding(name, Outcome.PASSED)


async def _have_a_turn(client: Client, session_id: str) -> None:
    reason = (await client.prompt(session_id)).get("stopReason")
    if reason not in _STOP_REASONS:
        raise CheckFailed(f"a turn ended with the stopReason {reason!r}")


async def _turn_or_failure(client: Client, session_id: str) -> Message | CheckFailed:
    try:
        return await client.prompt(session_id)
    except CheckFailed as failure:
        return failure


def _look_at_update(params: Message, session_id: str) -> None:
    if params.get("sessionId") != session_id:
        raise CheckFailed(f"an update names the session {params.get('sessionId')!r}")
    update = params.get("update")
    if not isinstance(update, dict) or not isinstance(update.get("sessionUpdate"), str):
        raise CheckFailed("an update does not say of which kind it is, in sessionUpdate")


async def _expect_end(client: Client, what: str) -> None:
    try:
        async with asyncio.timeout(client.trial.end_s):
            await client.channel.process.wait()
    except TimeoutError:
        raise CheckFailed(f"{client.trial.end_s:g} s after {what} it still runs") from None
