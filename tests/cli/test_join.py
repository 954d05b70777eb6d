"""`acprelay join` and `acprelay invite`, as far as what is typed goes.

Agents that work over links, and links that are cut: tests/end_to_end/test_joining.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from acprelay.cli.exits import ExitCode
from acprelay.cli.join import read_token
from acprelay.errors import ConfigError

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

    from acprelay.compose import RunningRelay

pytestmark = pytest.mark.process


def test_a_token_comes_from_the_file_that_is_named_or_else_from_the_environment(
    tmp_path: Path,
) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    environ = {"ACPRELAY_TOKEN": " from-environment "}
    assert read_token(str(file), environ) == "from-file"
    assert read_token(None, environ) == "from-environment"


@pytest.mark.parametrize("content", [b"", b"\n", b"a b\tc", b"\xc3\xa9", b"\xff", None])
def test_a_token_that_cannot_be_one_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match="token") as caught:
        read_token(str(file), {})
    assert "--token-file FILE" in caught.value.hint


def test_no_token_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot join without a token"):
        read_token(None, {})


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--session", "a b"), "session id"),
        (("--session", "a/b"), "session id"),
        (("--session", "a", "--role", "b c"), "role"),
        (("--session", "a", "--url", "nonsense"), "address"),
    ],
)
async def test_what_cannot_be_joined_is_refused_before_anything_is_started(
    cli: Cli, argv: tuple[str, ...], says: str
) -> None:
    command = await cli.start("join", *argv, "--", "true", ACPRELAY_TOKEN="t")
    status, output, errors = await command.ended()
    assert status in {1, 2}
    assert output == b""
    assert says in errors


async def test_the_relay_that_the_environment_names_is_joined(cli: Cli, free_port: int) -> None:
    url = f"ws://127.0.0.1:{free_port}"
    argv = ("--session", "a", "--wait", "0", "--", "true")
    command = await cli.start("join", *argv, ACPRELAY_TOKEN="t", ACPRELAY_URL=url)
    status, _output, errors = await command.ended()
    assert status == ExitCode.UNREACHABLE
    assert url in errors


async def test_an_invitation_is_a_token_and_what_to_type(cli: Cli, relay: RunningRelay) -> None:
    argv = ("invite", "--url", relay.url, "--session", "task", "--role", "db")
    status, output, errors = await cli.run(*argv)
    assert (status, errors) == (0, "")
    token, *rest = output.decode().splitlines()
    assert f"ACPRELAY_TOKEN={token} acprelay join" in rest[-1]
    assert rest[-1].endswith(f"join --url {relay.url} --session task --role db -- COMMAND")


async def test_an_invitation_for_programs_is_json_and_can_be_taken_back(
    cli: Cli, relay: RunningRelay
) -> None:
    argv = ("invite", "--url", relay.url, "--session", "task")
    status, output, _ = await cli.run(*argv, "--ttl", "60", "--json")
    assert status == 0
    assert json.loads(output)["path"] == "/agents/task/main"
    status, output, _ = await cli.run(*argv, "--revoke")
    assert (status, output) == (0, b"tokens that were revoked: 1\n")


@pytest.mark.parametrize(
    ("ttl", "status", "says"),
    [
        ("-5", 2, "cannot invite for -5 s"),
        ("nan", 2, "cannot invite for nan s"),
        ("1e12", 2, "cannot invite for 1e+12 s"),
    ],
)
async def test_an_invitation_for_an_odd_time_is_an_error(
    cli: Cli, relay: RunningRelay, ttl: str, status: int, says: str
) -> None:
    argv = ("invite", "--url", relay.url, "--session", "task", "--ttl", ttl)
    ended, output, errors = await cli.run(*argv)
    assert (ended, output) == (status, b"")
    assert says in errors
