"""`acprelay token` and `acprelay login`, against relays that run, and what they may not tell."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import NamedTuple

import aiohttp
import psutil
import pytest
from tests.cli.conftest import PATIENCE_S, Cli, Command

from acprelay.cli.exits import ExitCode
from acprelay.cli.token import read_duration
from acprelay.errors import ConfigError

pytestmark = pytest.mark.process


class Serving(NamedTuple):
    """A relay of the same user."""

    command: Command
    base_url: str
    url: str
    login: str


@pytest.fixture
async def serving(cli: Cli) -> AsyncIterator[Serving]:
    command = await cli.start("serve", "--port", "0", PYTHONASYNCIODEBUG="1")
    greeting = (await command.until(b"Ctrl-C\n")).decode()
    url = re.search(r"ws://\S+/acp", greeting)
    login = re.search(r"(http://\S+)/login/\S+", greeting)
    assert url, greeting
    assert login, greeting
    yield Serving(command, login[1], url[0], login[0])
    if command.process.returncode is None:
        command.process.send_signal(signal.SIGTERM)
        assert (await command.ended())[0] == ExitCode.OK


@pytest.mark.requirement("access.commands-find-the-token")
async def test_commands_find_the_relay_and_may_do_everything(cli: Cli, serving: Serving) -> None:
    code, output, errors = await cli.run("sessions", "new", "crew", "--role", "main")
    assert (code, errors) == (ExitCode.OK, "")
    assert b"crew:main" in output
    code, output, _ = await cli.run("invite", "--session", "crew", "--role", "db")
    assert code == ExitCode.OK
    assert f"--url {serving.base_url}".encode() in output
    (cli.cwd / "state/acprelay/relays").rename(cli.cwd / "moved")
    code, _, errors = await cli.run("sessions", "list", "--url", serving.url)
    assert code == ExitCode.ERROR
    assert "there is no token" in errors
    create = ("token", "create", "mine", "--grant", "observe", "--url", serving.url)
    code, _, errors = await cli.run(*create)
    assert code == ExitCode.ERROR
    assert "start it again" in errors
    assert "token create" not in errors


async def test_a_token_that_cannot_be_kept_as_the_state_directory_is_gone_says_what_to_do(
    cli: Cli, serving: Serving
) -> None:
    state = cli.cwd / "state/acprelay"
    found = json.loads(next((state / "relays").glob("*.json")).read_bytes())
    state.rename(cli.cwd / "moved")
    create = ("token", "create", "mine", "--grant", "observe", "--url", serving.url)
    command = await cli.start(*create, ACPRELAY_TOKEN=found["token"])
    code, output, errors = await command.ended()
    assert (code, output) == (ExitCode.ERROR, b"")
    assert "cannot keep the tokens: the state directory was removed" in errors
    assert "put the state directory back, or start the relay again" in errors
    (cli.cwd / "moved").rename(state)


@pytest.mark.usefixtures("serving")
async def test_a_token_is_made_shown_in_use_and_taken_back(cli: Cli) -> None:
    code, output, errors = await cli.run(
        *("token", "create", "visitor", "--grant", "observe", "--group", "crew"),
        *("--expires", "30d", "--json"),
    )
    assert (code, errors) == (ExitCode.OK, "")
    made = json.loads(output)
    assert (made["name"], made["grants"], made["group"]) == ("visitor", ["observe"], "crew")
    (cli.cwd / "token").write_text(made["token"])
    watching = await cli.start("connect", "--token-file", "token", stdin=asyncio.subprocess.PIPE)
    watching.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"session/list","params":{}}\n')
    assert b'"id":1' in await watching.line()
    code, output, _ = await cli.run("token", "list")
    assert code == ExitCode.OK
    rows = [line.split() for line in output.decode().splitlines()]
    assert [(row[1], row[2], row[3]) for row in rows[1:]] == [
        ("owner", "manage", "everything"),
        ("visitor", "observe", "crew"),
    ]
    assert made["token"] not in output.decode()
    refused = await cli.run("token", "list", "--token-file", "token")
    assert refused[0] == ExitCode.ERROR
    code, output, errors = await cli.run("token", "revoke", made["token"], "unknown")
    assert code == ExitCode.ERROR
    assert made["token"] not in errors
    assert output.decode() == f"{made['id']} is good no more\n"
    code, _, errors = await watching.ended()
    assert code == ExitCode.UNREACHABLE
    assert "the token was taken back" in errors
    code, _, errors = await cli.run("sessions", "list", "--token-file", "token")
    assert code == ExitCode.ERROR
    assert "unknown, has expired or was revoked" in errors


async def test_a_browser_logs_in_by_the_address_of_the_greeting_or_of_the_command(
    cli: Cli, serving: Serving
) -> None:
    code, output, errors = await cli.run("login")
    assert (code, errors) == (ExitCode.OK, "")
    for address in (serving.login, output.decode().strip()):
        assert address.startswith(f"{serving.base_url}/login/")
        async with (
            asyncio.timeout(PATIENCE_S),
            aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser,
        ):
            headers = {"Origin": serving.base_url}
            async with browser.post(address, headers=headers) as answer:
                assert "logged in as <b>owner</b>" in await answer.text()


@pytest.mark.requirement("access.secrets-are-not-told")
async def test_no_secret_is_logged_shown_in_the_list_of_processes_or_repeated(
    cli: Cli, serving: Serving
) -> None:
    owner = (cli.cwd / "state/acprelay/owner-token").read_text().strip()
    made = json.loads((await cli.run("token", "create", "a", "--grant", "manage", "--json"))[1])
    (cli.cwd / "token").write_text(made["token"])
    code = serving.login.rpartition("/")[2]
    wrong = "acpr_0123456789_" + "wrong" * 8
    answers: list[str] = []
    cookie = ""
    running = await cli.start("connect", "--token-file", "token", stdin=asyncio.subprocess.PIPE)
    running.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"session/list","params":{}}\n')
    await running.line()
    titles = list(command_lines())
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as http:
        for method, path, headers in (
            ("GET", "/acp", {"Authorization": f"Bearer {wrong}"}),
            ("GET", "/acp", {"Authorization": f"Basic {wrong}"}),
            ("GET", f"/api/v1/tokens/{made['id']}/{owner}", {}),
            ("DELETE", f"/login/{code}", {}),
            ("POST", f"/login/{code}", {"Origin": "https://evil.example"}),
            ("POST", f"/login/{code}", {"Origin": serving.base_url}),
            ("POST", f"/login/{code}", {"Origin": serving.base_url}),
            ("GET", f"/login/{code}", {}),
            ("GET", "/api/v1/tokens", {"Authorization": f"Bearer {owner}"}),
        ):
            async with http.request(
                method, serving.base_url + path, headers=headers, allow_redirects=False
            ) as answer:
                answers.append(await answer.text())
                if "Set-Cookie" in answer.headers:
                    cookie = answer.headers["Set-Cookie"].partition(";")[0]
                    titles += command_lines()
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as http:
        headers = {"Cookie": cookie}
        async with http.get(f"{serving.base_url}/api/v1/sessions", headers=headers) as answer:
            assert answer.status == 200
            answers.append(await answer.text())
    serving.command.process.send_signal(signal.SIGTERM)
    _, output, logged = await serving.command.ended()
    _, _, complaints = await running.ended()
    secrets = [owner, made["token"], code, wrong, cookie.partition("=")[2]]
    for secret in (*secrets, *(each.split("_", 2)[2] for each in secrets[:2])):
        for told in (*answers, output.decode(), logged, complaints, *titles):
            assert secret not in told


def command_lines() -> Iterable[str]:
    """The command lines of all processes."""
    for process in psutil.process_iter():
        try:
            yield " ".join(process.cmdline())
        except psutil.Error:
            continue


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("45m", 2700), ("1.5h", 5400), ("30d", 2_592_000), ("2w", 1_209_600)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "0d", "-1d", "1y", "1 d", "1e9d", "99999999999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="as a duration"):
        read_duration(text)


async def test_a_token_that_no_relay_can_be_asked_for_is_told(cli: Cli, free_port: int) -> None:
    code, output, errors = await cli.run(
        "token", "list", "--url", f"ws://127.0.0.1:{free_port}/acp"
    )
    assert (code, output) == (ExitCode.UNREACHABLE, b"")
    assert "cannot reach a relay" in errors


async def test_a_relay_that_lets_everybody_in_has_no_tokens(cli: Cli, tmp_path: Path) -> None:
    command = await cli.start("serve", "--port", "0", "--no-auth")
    greeting = (await command.until(b"Ctrl-C\n")).decode()
    assert "let in:     everybody who reaches it" in greeting
    assert "/login/" not in greeting
    assert (await cli.run("sessions", "list"))[0] == ExitCode.OK
    code, _, errors = await cli.run("token", "list")
    assert code == ExitCode.ERROR
    assert "this relay does without tokens" in errors
    assert not (tmp_path / "state/acprelay/owner-token").exists()
    command.process.send_signal(signal.SIGTERM)
    assert (await command.ended())[0] == ExitCode.OK


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 5000])
async def test_a_name_that_no_token_can_have_is_told_with_what_can(
    cli: Cli, serving: Serving, name: str
) -> None:
    argv = ("--grant", "observe", "--url", serving.url)
    code, output, errors = await cli.run("token", "create", *argv, name)
    assert (code, output) == (ExitCode.ERROR, b"")
    assert errors == (
        f"acprelay: cannot name a token {name[:100]!r}\n"
        "  hint: give a name of 1 to 100 characters that can be printed\n"
    )
