"""`acprelay doctor` on machines with something broken."""

from __future__ import annotations

import fcntl
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from acprelay.cli.diagnosis.certificates import look_at_tls
from acprelay.cli.diagnosis.directories import look_at_directory, look_at_state
from acprelay.cli.diagnosis.facts import PortUse
from acprelay.cli.diagnosis.machine import look_at_git, look_at_port, look_at_python
from acprelay.cli.exits import ExitCode
from acprelay.cli.main import main

Findings = Mapping[str, tuple[str, str, str]]
Doctor = Callable[..., tuple[int, Findings]]
RELAY_ID = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory of its own, with git set up."""
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "ACPRELAY_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".gitconfig").write_text("[user]\nname = a\nemail = a@example.org\n")
    return tmp_path


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Runs the command; gives its exit code and the last finding of each check."""

    def run(*options: str) -> tuple[int, Findings]:
        code = main(["doctor", "--json", "--port", "0", *options])
        streams = capsys.readouterr()
        assert streams.err == ""
        found = [json.loads(line) for line in streams.out.splitlines()]
        return code, {one["check"]: (one["status"], one["message"], one["remedy"]) for one in found}

    return run


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.process
def test_a_machine_that_is_ready_has_nothing_that_fails(doctor: Doctor) -> None:
    code, found = doctor()
    assert code == ExitCode.OK
    assert "fail" not in {status for status, _, _ in found.values()}
    assert {
        *("python", "configuration", "git", "port", "state directory", "lock", "worktrees"),
        *("clock", "temporary files", "open files", "processes", "shell", "agent demo"),
    } <= found.keys()


@pytest.mark.requirement("configuration.doctor-says-what-to-do")
@pytest.mark.process
def test_everything_that_fails_is_told_with_its_remedy(doctor: Doctor, home: Path) -> None:
    (home / "state").write_text("a file")
    config = home / "config.toml"
    config.write_text(
        "[agents.gone]\ncommand = ['/nowhere/agent']\n"
        "[agents.poor]\ncommand = ['sh']\npass-env = ['NO_SUCH_VARIABLE']\nenv = { K = 'v' }\n"
    )
    config.chmod(0o644)
    (home / "plain").write_text("no program")
    code, found = doctor(
        *("--config", str(config), "--state-dir", str(home / "state")),
        *("--agent", f"plain={home}/plain", "--agent", "nobody", "--policy", str(home / "none")),
    )
    assert code == ExitCode.ERROR
    assert found["state directory"][0] == "fail"
    assert found["configuration"][:1] == ("fail",)
    assert "cannot read the policy" in found["configuration"][1]
    assert found["agent gone"][:2] == ("fail", "there is no /nowhere/agent")
    assert found["agent plain"] == (
        *("fail", f"{home}/plain cannot be executed", f"chmod +x {home}/plain"),
    )
    assert found["agent nobody"][:2] == ("fail", "cannot find an agent named 'nobody'")
    assert found["agent poor"][0] == "warn"
    assert all(remedy for status, _, remedy in found.values() if status != "ok")


@pytest.mark.process
def test_a_broken_configuration_does_not_keep_the_rest_from_being_looked_at(
    doctor: Doctor, home: Path
) -> None:
    (home / "config.toml").write_text("prot = 1\n")
    code, found = doctor("--config", str(home / "config.toml"))
    assert code == ExitCode.ERROR
    assert found["configuration"][:2] == ("fail", "the key 'prot' is not known")
    assert found["agent demo"][0] == "ok"


@pytest.mark.process
def test_a_configuration_with_variables_that_others_can_read_is_warned_of(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = home / "config.toml"
    config.write_text("[agents.a]\ncommand = ['sh']\nenv = { K = 'v' }\n")
    config.chmod(0o644)
    assert main(["doctor", "--port", "0", "--config", str(config)]) == ExitCode.OK
    assert f"chmod 600 {config}" in capsys.readouterr().out


@pytest.mark.process
def test_agents_are_tried_out_on_request(doctor: Doctor) -> None:
    code, found = doctor("--probe", "--agent", "demo", "--agent", "ends=sh -c 'exit 3'")
    assert code == ExitCode.ERROR
    assert found["agent demo"][0] == "ok"
    assert "answered in" in found["agent demo"][1]
    assert found["agent ends"][0] == "fail"
    assert "exit status 3" in found["agent ends"][1]
    assert "acprelay agents probe ends" in found["agent ends"][2]


@pytest.mark.process
def test_without_a_home_it_says_what_to_name(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME")
    code, found = doctor()
    assert code == ExitCode.ERROR
    assert "HOME is not set" in found["directories"][1]


@pytest.mark.process
def test_people_see_a_line_for_each_finding_and_its_remedy_below(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["doctor", "--port", "0", "--ephemeral", "--agent", "x=/nowhere"])
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("fail    agent x: there is no /nowhere")
    assert lines[at + 1] == "        install it, or mend the command of x"
    assert not any("state directory" in line for line in lines)


@pytest.mark.process
@pytest.mark.parametrize(
    ("script", "version", "trouble"),
    [
        ("exit 1", None, ""),
        ("echo git version 2.10.1", (2, 10), ""),
        (
            'test "$1" = --version && echo git version 2.40.0 || { echo no such >&2; exit 1; }',
            *((2, 40), "no such"),
        ),
        ('test "$1" = --version && echo git version 2.40.0', (2, 40), "exit status 1"),
    ],
)
def test_git_is_run_to_see_what_it_can_do(
    tmp_path: Path, script: str, version: tuple[int, int] | None, trouble: str
) -> None:
    program(tmp_path / "bin", "git", script)
    facts = look_at_git({"PATH": f"{tmp_path}/bin:{os.defpath}"})
    assert (facts.version, facts.worktree_trouble) == (version, trouble)


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "schemes", "is_optimised"),
    [
        ("'--enable-optimizations' '--with-lto'", ("posix_prefix",), True),
        ("'--enable-shared'", ("posix_prefix",), False),
        ("'--enable-shared'", ("deb_system", "posix_prefix"), True),
        (None, ("posix_prefix",), False),
    ],
)
def test_how_python_was_built_is_seen(
    monkeypatch: pytest.MonkeyPatch,
    arguments: str | None,
    schemes: tuple[str, ...],
    is_optimised: bool,
) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: arguments)
    monkeypatch.setattr(sysconfig, "get_scheme_names", lambda: schemes)
    assert look_at_python().is_optimised == is_optimised


def test_a_git_that_is_missing_or_knows_nobody_is_noticed(home: Path) -> None:
    assert look_at_git({"PATH": str(home)}).version is None
    strict = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "user.useConfigOnly",
        "GIT_CONFIG_VALUE_0": "true",
    }
    facts = look_at_git(strict)
    assert (facts.identity, facts.worktree_trouble) == (False, "")


def test_a_directory_is_looked_at_where_it_will_be_made(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    missing = look_at_directory(tmp_path / "a/b")
    assert (missing.exists, missing.is_directory, missing.is_usable) == (False, True, True)
    there = look_at_directory(tmp_path)
    assert (there.exists, there.mode, there.is_own) == (True, 0o750, True)
    (tmp_path / "file").write_text("")
    assert not look_at_directory(tmp_path / "file").is_directory
    assert not look_at_directory(tmp_path / "file/below").is_directory
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert not look_at_directory(tmp_path / "broken").is_directory


def test_who_has_a_state_directory_is_seen_and_nobody_is_disturbed(tmp_path: Path) -> None:
    assert look_at_state(tmp_path).holder is None
    lock = tmp_path / "lock"
    lock.write_text("4711\n")
    assert look_at_state(tmp_path).holder is None
    with lock.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert look_at_state(tmp_path).holder == "4711"
        file.truncate()
        file.seek(0)
        file.truncate()
        assert look_at_state(tmp_path).holder == "?"
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_secrets_that_others_can_read_are_found(tmp_path: Path) -> None:
    for name, mode in (("owner-token", 0o640), ("tokens.json", 0o600)):
        (tmp_path / name).write_text("secret")
        (tmp_path / name).chmod(mode)
    assert look_at_state(tmp_path).open_secrets == (tmp_path / "owner-token",)


def test_a_file_where_conversations_are_to_be_is_found(tmp_path: Path) -> None:
    conversations = tmp_path / "conversations"
    assert look_at_state(tmp_path).in_the_way == ()
    conversations.touch()
    assert look_at_state(tmp_path).in_the_way == (conversations,)
    conversations.unlink()
    conversations.mkdir()
    assert look_at_state(tmp_path).in_the_way == ()


def test_a_clock_behind_what_was_written_is_noticed(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("")
    os.utime(lock, (4_000_000_000, 4_000_000_000))
    assert look_at_state(tmp_path).ahead_s > 0


@pytest.mark.process
def test_what_a_dead_relay_has_left_is_counted(tmp_path: Path) -> None:
    (tmp_path / "relay-id").write_text(f"{RELAY_ID}\n")
    assert look_at_state(tmp_path).orphans == 0
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"ACPRELAY_RUN": f"{RELAY_ID}.1"},
    ) as left:
        assert left.stdout is not None
        left.stdout.readline()
        assert look_at_state(tmp_path).orphans == 1
        left.communicate(b"\n", timeout=10)


class _Answering(http.server.BaseHTTPRequestHandler):
    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(body: bytes) -> Iterator[int]:
    """Something that answers every request so; gives its port."""
    handler = type("_Handler", (_Answering,), {"body": body})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(timeout=10)


@pytest.mark.parametrize(
    ("body", "use"),
    [
        (b'{"status": "ok"}', PortUse.RELAY),
        (b'{"status": 1}', PortUse.OTHER),
        (b"[]", PortUse.OTHER),
        (b"<html>", PortUse.OTHER),
    ],
)
def test_who_has_a_port_is_asked(body: bytes, use: PortUse) -> None:
    with answering(body) as port:
        assert look_at_port("127.0.0.1", port, has_tls=False).use is use
        assert look_at_port("127.0.0.1", port, has_tls=True).use is PortUse.OTHER


def test_a_port_is_free_or_cannot_be_had() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    assert look_at_port("127.0.0.1", port, has_tls=False).use is PortUse.FREE
    assert look_at_port("192.0.2.1", 0, has_tls=False).use is PortUse.DENIED
    unknown = look_at_port("nowhere.invalid", 0, has_tls=False)
    assert unknown.use is PortUse.DENIED
    assert unknown.reason


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two certificates with their keys, made by openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    for name, days in (("near", "30"), ("far", "20000")):
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-nodes", "-days", days, "-subj", "/CN=localhost"),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                *("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"),
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )
        (folder / f"{name}.key").chmod(0o600)
    return folder


@pytest.mark.process
@pytest.mark.parametrize(("name", "days"), [("near", 30), ("far", 20000)])
def test_the_end_of_a_certificate_is_read(certificates: Path, name: str, days: int) -> None:
    pem = certificates / f"{name}.pem"
    facts = look_at_tls(pem, certificates / f"{name}.key")
    assert (facts.trouble, facts.is_key_open) == ("", False)
    assert facts.expires_at is not None
    assert facts.expires_at - pem.stat().st_mtime == pytest.approx(days * 86_400, abs=120)


@pytest.mark.process
def test_a_certificate_that_cannot_be_used_is_noticed(certificates: Path, tmp_path: Path) -> None:
    near, key = certificates / "near.pem", certificates / "near.key"
    assert "far.key" in look_at_tls(near, certificates / "far.key").trouble
    assert "cannot read" in look_at_tls(tmp_path / "none.pem", key).trouble
    (tmp_path / "text.pem").write_text("no certificate")
    assert look_at_tls(tmp_path / "text.pem", key).trouble
    shutil.copy(key, tmp_path / "open.key")
    (tmp_path / "open.key").chmod(0o644)
    assert look_at_tls(near, tmp_path / "open.key").is_key_open
