"""`acprelay sessions`: what people see of a relay's sessions, what scripts get, what is ended."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.repositories import a_repository, git

from acprelay.agents.models import AgentSpec
from acprelay.cli.exits import ExitCode
from acprelay.compose import RunningRelay, open_relay
from acprelay.config import RelayConfig
from acprelay.errors import StoreError
from acprelay.routing.group_params import GroupSpec, RoleSpec
from acprelay.runtime.conversation_host import ConversationHost
from acprelay.session.models import SessionKey

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

pytestmark = pytest.mark.process


@asynccontextmanager
async def relay_in(directory: Path) -> AsyncIterator[RunningRelay]:
    config = RelayConfig(auth=False, port=0, worktree_dir=directory / "trees")
    async with open_relay(config) as relay:
        yield relay


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[RunningRelay]:
    async with relay_in(tmp_path) as relay:
        yield relay


async def a_group(relay: RunningRelay, cwd: Path, *roles: str, group: str = "task") -> None:
    specs = tuple(RoleSpec(role=role) for role in roles)
    await relay.groups.open(GroupSpec(cwd=str(cwd), group=group, roles=specs))


async def sessions(cli: Cli, relay: RunningRelay, *arguments: str) -> tuple[int, str, str]:
    """Runs the command; gives the exit code and both streams."""
    verb, *rest = arguments
    code, output, errors = await cli.run("sessions", verb, "--url", relay.url, *rest)
    return code, output.decode(), errors


async def listed(cli: Cli, relay: RunningRelay, *arguments: str) -> list[dict[str, object]]:
    code, output, errors = await sessions(cli, relay, "list", "--json", *arguments)
    assert (code, errors) == (ExitCode.OK, "")
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.requirement("groups.sessions-are-looked-after")
async def test_people_see_a_table_of_sessions(
    cli: Cli, relay: RunningRelay, tmp_path: Path
) -> None:
    await a_group(relay, tmp_path, "auth", "db")
    code, output, errors = await sessions(cli, relay, "list")
    assert (code, errors) == (ExitCode.OK, "")
    headers, *rows = output.splitlines()
    assert headers.split() == ["SESSION", "AGENT", "STATE", "CHANGED", "DIRECTORY", "TITLE"]
    assert sorted(row.split()[:3] for row in rows) == [
        ["task:auth", "demo", "live"],
        ["task:db", "demo", "live"],
    ]
    assert all(str(tmp_path) in row for row in rows)


async def test_a_relay_without_sessions_lists_none(cli: Cli, relay: RunningRelay) -> None:
    code, output, _ = await sessions(cli, relay, "list")
    assert (code, len(output.splitlines())) == (ExitCode.OK, 1)


async def test_listing_starts_no_agent(cli: Cli) -> None:
    missing = AgentSpec(name="missing", argv=("/nowhere/agent",))
    async with open_relay(RelayConfig(auth=False, port=0, agents=(missing,))) as relay:
        assert await listed(cli, relay) == []


async def test_scripts_get_one_object_a_line_of_the_group_or_directory_they_name(
    cli: Cli, relay: RunningRelay, tmp_path: Path
) -> None:
    await a_group(relay, tmp_path, "auth")
    await a_group(relay, Path("/"), "auth", group="other")
    assert {entry["sessionId"] for entry in await listed(cli, relay)} == {"task:auth", "other:auth"}
    [entry] = await listed(cli, relay, "--group", "task")
    assert entry == {
        "sessionId": "task:auth",
        "group": "task",
        "role": "auth",
        "agent": "demo",
        "state": "live",
        "title": None,
        "cwd": str(tmp_path),
        "worktree": None,
        "updatedAt": entry["updatedAt"],
    }
    [entry] = await listed(cli, relay, "--cwd", "/")
    assert entry["group"] == "other"


async def test_more_sessions_than_a_page_has_are_all_listed(
    cli: Cli, relay: RunningRelay, tmp_path: Path
) -> None:
    for number in range(3):
        roles = [f"r{each}" for each in range(40)]
        await a_group(relay, tmp_path, *roles, group=f"g{number}")
        await relay.groups.close(f"g{number}")
    assert len({entry["sessionId"] for entry in await listed(cli, relay)}) == 120


@pytest.mark.requirement("groups.sessions-are-looked-after")
async def test_a_session_is_shown_with_its_run(
    cli: Cli, relay: RunningRelay, tmp_path: Path
) -> None:
    await a_group(relay, tmp_path, "auth", "db")
    code, output, _ = await sessions(cli, relay, "show", "task:auth")
    shown = dict(line.split(maxsplit=1) for line in output.splitlines() if " " in line.strip())
    assert code == ExitCode.OK
    assert shown["sessionId"] == "task:auth"
    assert shown["state"] == "active"
    assert int(shown["pid"]) > 0
    code, output, _ = await sessions(cli, relay, "show", "--json", "task")
    assert {json.loads(line)["role"] for line in output.splitlines()} == {"db", "auth"}


@pytest.mark.requirement("groups.many-roles-at-once")
async def test_sessions_are_opened_in_worktrees_with_agents_of_their_own(
    cli: Cli, relay: RunningRelay, tmp_path: Path
) -> None:
    repository = a_repository(tmp_path / "repo")
    (repository / "unsaved").touch()
    options = ("--cwd", str(repository), "--worktree", "--role", "auth=demo", "--role", "db")
    code, output, errors = await sessions(cli, relay, "new", "login", *options)
    assert code == ExitCode.OK
    # What both should know is said once.
    assert errors.count("1 uncommitted change is not in the worktree") == 1
    headers, *rows = (line.split() for line in output.splitlines())
    assert headers == ["SESSION", "BRANCH", "DIRECTORY"]
    assert [row[:2] for row in rows] == [
        ["login:auth", "acprelay/login/auth"],
        ["login:db", "acprelay/login/db"],
    ]
    for _, branch, directory in rows:
        assert git(directory, "branch", "--show-current") == branch


async def test_a_role_that_cannot_be_opened_is_told_and_the_others_are_open(
    cli: Cli, relay: RunningRelay, tmp_path: Path
) -> None:
    await a_group(relay, tmp_path, "auth")
    code, output, errors = await sessions(
        cli, relay, "new", "task", "--role", "auth", "--role", "db"
    )
    assert code == ExitCode.ERROR
    assert "task:db" in output
    assert "task:auth" not in output
    assert errors.startswith("acprelay: cannot open role 'auth': cannot create session")
    assert "hint: " in errors


@pytest.mark.parametrize("role", ["=demo", "auth="])
async def test_a_role_that_cannot_be_read_is_refused(
    cli: Cli, relay: RunningRelay, role: str
) -> None:
    code, _, errors = await sessions(cli, relay, "new", "--role", role)
    assert code == ExitCode.USAGE
    assert "write --role ROLE or --role ROLE=AGENT" in errors


@pytest.mark.parametrize(
    ("argv", "said"),
    [(("a b", "--role", "x"), "'a b' as a session id"), (("--role", "a b"), "'a b' as a role")],
)
async def test_what_cannot_name_a_session_is_told_with_what_can(
    cli: Cli, relay: RunningRelay, argv: tuple[str, ...], said: str
) -> None:
    code, output, errors = await sessions(cli, relay, "new", *argv)
    assert (code, output) == (ExitCode.ERROR, "")
    assert errors.startswith(f"acprelay: cannot use {said}\n  hint: a ")


@pytest.mark.parametrize("group", [(), ("task",)])
async def test_a_directory_that_there_is_not_is_told_where_the_agent_does_not_take_it(
    cli: Cli, relay: RunningRelay, group: tuple[str, ...]
) -> None:
    code, output, errors = await sessions(cli, relay, "new", *group, "--role", "x", "--cwd", "no")
    assert (code, output) == (ExitCode.ERROR, "")
    assert errors.endswith(f"\n  hint: see --cwd: here is no directory '{cli.cwd}/no'\n")


@pytest.mark.requirement("groups.end-together")
async def test_a_group_is_stopped_whole_and_a_session_alone(
    cli: Cli, relay: RunningRelay, tmp_path: Path
) -> None:
    await a_group(relay, tmp_path, "auth", "db")
    await a_group(relay, tmp_path, "auth", "db", group="other")
    code, output, _ = await sessions(cli, relay, "stop", "task", "other:db")
    assert code == ExitCode.OK
    assert output == "stopped task:auth\nstopped task:db\nstopped other:db\n"
    states = {entry["sessionId"]: entry["state"] for entry in await listed(cli, relay)}
    assert states == {
        "task:auth": "dormant",
        "task:db": "dormant",
        "other:auth": "live",
        "other:db": "dormant",
    }


async def test_removed_sessions_are_listed_no_more(
    cli: Cli, relay: RunningRelay, tmp_path: Path
) -> None:
    await a_group(relay, tmp_path, "auth", "db")
    code, output, _ = await sessions(cli, relay, "remove", "--json", "task")
    assert code == ExitCode.OK
    assert {json.loads(line)["outcome"] for line in output.splitlines()} == {"removed"}
    assert await listed(cli, relay) == []


async def test_one_session_of_a_group_that_cannot_be_removed_does_not_keep_the_others(
    cli: Cli, relay: RunningRelay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a_group(relay, tmp_path, "auth", "db", "docs")
    remove = ConversationHost.remove

    async def refuse_db(host: ConversationHost, key: SessionKey) -> None:
        if key.role == "db":
            raise StoreError("cannot write", hint="make room")
        await remove(host, key)

    monkeypatch.setattr(ConversationHost, "remove", refuse_db)
    code, output, errors = await sessions(cli, relay, "remove", "task", "task:auth")
    assert code == ExitCode.ERROR
    assert sorted(output.splitlines()) == ["removed task:auth", "removed task:docs"]
    assert errors.endswith("cannot write\n  hint: make room\n")


async def test_sessions_are_found_by_any_way_to_their_directory(
    cli: Cli, relay: RunningRelay, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    roundabout = f"{tmp_path}/sub/.."
    options = ("--role", "auth", "--cwd", roundabout)
    _, output, _ = await sessions(cli, relay, "new", "task", *options)
    assert output.split()[-3:] == ["task:auth", "-", str(tmp_path)]
    assert len(await listed(cli, relay, "--cwd", roundabout)) == 1
    assert len(await listed(cli, relay, "--cwd", str(tmp_path))) == 1


@pytest.mark.parametrize("verb", ["stop", "remove"])
async def test_a_name_that_nothing_has_is_told_and_the_others_are_dealt_with(
    cli: Cli, relay: RunningRelay, tmp_path: Path, verb: str
) -> None:
    await a_group(relay, tmp_path, "auth")
    code, output, errors = await sessions(cli, relay, verb, "nothing", "no:body", "task:auth")
    assert code == ExitCode.ERROR
    assert output.endswith(" task:auth\n")
    assert errors.count("acprelay: cannot ") == 2


async def test_a_session_that_is_not_there_cannot_be_shown(cli: Cli, relay: RunningRelay) -> None:
    code, _, errors = await sessions(cli, relay, "show", "no:body")
    assert code == ExitCode.ERROR
    assert errors.startswith("acprelay: cannot find session 'no:body'\n")


@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_one_that_is_not_there_does_not_keep_the_others_from_being_shown(
    cli: Cli, relay: RunningRelay, tmp_path: Path, form: tuple[str, ...]
) -> None:
    await a_group(relay, tmp_path, "auth", "db")
    names = ("task:auth", "no:body", "task:db")
    code, output, errors = await sessions(cli, relay, "show", *form, *names)
    assert code == ExitCode.ERROR
    assert "task:auth" in output
    assert "task:db" in output
    assert errors.count("acprelay: cannot find session 'no:body'\n") == 1


async def test_a_relay_that_is_not_there_is_told(cli: Cli, free_port: int) -> None:
    url = f"ws://127.0.0.1:{free_port}/acp"
    code, _, errors = await cli.run("sessions", "list", "--url", url)
    assert code == ExitCode.UNREACHABLE
    assert "acprelay serve" in errors
