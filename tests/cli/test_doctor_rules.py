"""What is made of facts about a machine: one table for each check."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from acprelay.cli.diagnosis import rules
from acprelay.cli.diagnosis.facts import (
    AgentFacts,
    DirectoryFacts,
    GitFacts,
    PortFacts,
    PortUse,
    PythonFacts,
    RoomFacts,
    StateFacts,
    TlsFacts,
)
from acprelay.cli.diagnosis.findings import Finding, Status
from acprelay.cli.layers import Problem
from acprelay.config import Limits

GIB = 1024**3
MIB = 1024**2
NOW = 1_800_000_000.0
DAY_S = 86_400
DIRECTORY = DirectoryFacts(
    path=Path("/state"),
    exists=True,
    is_directory=True,
    is_usable=True,
    is_own=True,
    mode=0o700,
    free_bytes=10 * GIB,
    free_inodes=1_000_000,
)
STATE = StateFacts(holder=None, orphans=0, open_secrets=(), in_the_way=(), ahead_s=0.0)
CERTIFICATE = TlsFacts(
    certificate=Path("/c.pem"), key=Path("/k.pem"), expires_at=NOW + 90.5 * DAY_S
)


def expect(finding: Finding, status: Status, message: str, remedy: str = "") -> None:
    assert (finding.status, message in finding.message) == (status, True), finding
    assert remedy in finding.remedy, finding
    assert bool(finding.remedy) == (status is not Status.OK), finding


@pytest.mark.parametrize(
    ("version", "status"),
    [((3, 11, 0), Status.OK), ((3, 14, 1), Status.OK), ((3, 10, 9), Status.FAIL)],
)
def test_python_has_to_be_new_enough(version: tuple[int, int, int], status: Status) -> None:
    facts = PythonFacts(version=version, is_optimised=True)
    expect(rules.judge_python(facts), status, "Python 3.1", "")


def test_a_python_that_was_built_to_be_slow_is_warned_of() -> None:
    slow = PythonFacts(version=(3, 11, 2), is_optimised=False)
    expect(rules.judge_python(slow), Status.WARN, "without optimisation", "--enable-optimizations")


def test_every_problem_of_the_configuration_fails() -> None:
    problems = [Problem(reason="a is wrong", hint="mend a"), Problem(reason="b", hint="mend b")]
    first, second = rules.judge_configuration(Path("/c"), problems)
    expect(first, Status.FAIL, "a is wrong", "mend a")
    expect(second, Status.FAIL, "b", "mend b")
    [fine] = rules.judge_configuration(Path("/c"), [])
    expect(fine, Status.OK, "/c")
    [none] = rules.judge_configuration(None, [])
    expect(none, Status.OK, "no file")


@pytest.mark.parametrize(
    ("mode", "has_secrets", "warns"),
    [(0o600, True, False), (0o644, True, True), (0o640, True, True), (0o644, False, False)],
)
def test_a_file_with_secrets_that_others_can_read_is_warned_of(
    mode: int, has_secrets: bool, warns: bool
) -> None:
    findings = rules.judge_configuration_mode(Path("/c"), mode, has_secrets=has_secrets)
    assert [finding.remedy for finding in findings] == (["chmod 600 /c"] if warns else [])


@pytest.mark.parametrize(
    ("git", "status", "message", "remedy"),
    [
        (GitFacts(version=(2, 39), identity=True), Status.OK, "git 2.39", ""),
        (GitFacts(version=(2, 20), identity=True), Status.OK, "git 2.20", ""),
        (GitFacts(version=None), Status.WARN, "there is none", "install git 2.20"),
        (GitFacts(version=(2, 19)), Status.WARN, "git 2.19 is too old", "install git 2.20"),
        (GitFacts(version=(2, 39)), Status.WARN, "who commits", "user.email"),
        (
            GitFacts(version=(2, 39), identity=True, worktree_trouble="fatal: no"),
            *(Status.WARN, "cannot make a worktree: fatal: no", "by hand"),
        ),
    ],
)
def test_git_is_needed_for_worktrees(
    git: GitFacts, status: Status, message: str, remedy: str
) -> None:
    expect(rules.judge_git(git, (2, 20)), status, message, remedy)


@pytest.mark.parametrize(
    ("change", "status", "message", "remedy"),
    [
        ({}, Status.OK, "/state, 10 GiB free", ""),
        ({"exists": False, "mode": 0o777}, Status.OK, "(will be made)", ""),
        ({"free_inodes": None}, Status.OK, "/state", ""),
        ({"is_directory": False}, Status.FAIL, "no directory", "--state-dir"),
        ({"is_usable": False}, Status.FAIL, "cannot be read and written", "--state-dir"),
        ({"is_usable": False, "exists": False}, Status.FAIL, "cannot be made", "--state-dir"),
        ({"mode": 0o777}, Status.FAIL, "everybody may write", "chmod 700 /state"),
        ({"mode": 0o750}, Status.WARN, "others can look", "chmod 700 /state"),
        ({"is_own": False}, Status.WARN, "another user", "chown"),
        ({"free_bytes": 500 * MIB}, Status.WARN, "only 500 MiB free", "make room"),
        ({"free_bytes": 5 * MIB}, Status.FAIL, "only 5 MiB free", "make room"),
        ({"free_inodes": 5000}, Status.WARN, "only 5000 more files", "remove files"),
        ({"free_inodes": 5}, Status.FAIL, "only 5 more files", "remove files"),
    ],
)
def test_a_directory_has_to_be_ones_own_and_have_room(
    change: dict[str, object], status: Status, message: str, remedy: str
) -> None:
    facts = dataclasses.replace(DIRECTORY, **change)  # type: ignore[arg-type]
    expect(rules.judge_directory("state", "--state-dir", facts), status, message, remedy)


def test_a_root_has_to_be_there() -> None:
    missing = dataclasses.replace(DIRECTORY, exists=False)
    there, gone = rules.judge_roots([DIRECTORY, missing])
    expect(there, Status.OK, "/state")
    expect(gone, Status.WARN, "/state is no directory", "make it")


@pytest.mark.parametrize(
    ("change", "port", "status", "message"),
    [
        ({}, PortUse.FREE, Status.OK, "no relay has"),
        ({"holder": "12"}, PortUse.RELAY, Status.OK, "process 12"),
        ({"holder": "12"}, PortUse.FREE, Status.WARN, "process 12"),
        ({"holder": "?"}, PortUse.OTHER, Status.WARN, "a process"),
    ],
)
def test_a_state_directory_belongs_to_one_relay(
    change: dict[str, str], port: PortUse, status: Status, message: str
) -> None:
    facts = dataclasses.replace(STATE, **change)  # type: ignore[arg-type]
    [finding] = rules.judge_state(facts, port=port)
    expect(finding, status, message)


def test_what_a_dead_relay_has_left_and_what_must_not_be_as_it_is_are_told() -> None:
    facts = dataclasses.replace(
        STATE,
        orphans=2,
        open_secrets=(Path("/state/owner-token"),),
        in_the_way=(Path("/state/conversations"),),
    )
    _, secret, conversations, orphans = rules.judge_state(facts, port=PortUse.FREE)
    expect(secret, Status.FAIL, "/state/owner-token", "chmod 600 /state/owner-token")
    expect(conversations, Status.FAIL, "/state/conversations is no directory", "move it away")
    expect(orphans, Status.WARN, "2 processes", "start acprelay serve")


@pytest.mark.parametrize(
    ("agent", "status", "message", "remedy"),
    [
        (AgentFacts(name="a", program="a --acp"), Status.OK, "a --acp", ""),
        (AgentFacts(name="a", program="a", answered_s=1.25), Status.OK, "answered in 1.2 s", ""),
        (AgentFacts(name="a", program="a", credentials=("K", "L")), Status.OK, "K or L", ""),
        (AgentFacts(name="a", program="a", unset=("K",)), Status.WARN, "K, which", "set K"),
        (
            AgentFacts(name="a", program="", trouble="there is no a", remedy="get it"),
            *(Status.FAIL, "there is no a", "get it"),
        ),
    ],
)
def test_an_agent_that_is_offered_has_to_be_there(
    agent: AgentFacts, status: Status, message: str, remedy: str
) -> None:
    expect(rules.judge_agent(agent), status, message, remedy)


@pytest.mark.parametrize(
    ("use", "status", "message"),
    [
        (PortUse.FREE, Status.OK, "is free"),
        (PortUse.RELAY, Status.OK, "a relay answers"),
        (PortUse.OTHER, Status.FAIL, "another program has port 1"),
        (PortUse.DENIED, Status.FAIL, "cannot listen on port 1 of h: why"),
    ],
)
def test_a_port_has_to_be_free_or_a_relays(use: PortUse, status: Status, message: str) -> None:
    facts = PortFacts(host="h", port=1, use=use, reason="why")
    expect(rules.judge_port(facts), status, message, "--port" if status is Status.FAIL else "")


def test_any_port_is_always_free() -> None:
    expect(
        rules.judge_port(PortFacts(host="h", port=0, use=PortUse.FREE)), Status.OK, "any free port"
    )


@pytest.mark.parametrize(
    ("most", "status"),
    [(None, Status.OK), (100_000, Status.OK), (1024, Status.WARN), (50, Status.FAIL)],
)
def test_the_systems_bounds_have_to_leave_room_for_the_limits(
    most: int | None, status: Status
) -> None:
    facts = RoomFacts(open_files=most, processes=most)
    files, processes = rules.judge_room(facts, Limits())
    expect(files, status, "", "ulimit -n 8100" if status is not Status.OK else "")
    expect(processes, status, "", "ulimit -u 4000" if status is not Status.OK else "")


def test_smaller_limits_need_less_room() -> None:
    facts = RoomFacts(open_files=1024, processes=1024)
    for finding in rules.judge_room(facts, Limits(sessions=20, processes=20)):
        expect(finding, Status.OK, "at most 1024")


def test_temporary_files_need_a_place() -> None:
    expect(rules.judge_temporary(DIRECTORY), Status.OK, "/state")
    expect(rules.judge_temporary(None), Status.FAIL, "no directory", "TMPDIR")
    full = dataclasses.replace(DIRECTORY, free_bytes=0)
    expect(rules.judge_temporary(full), Status.FAIL, "only 0 MiB", "TMPDIR")


@pytest.mark.parametrize(
    ("now", "ahead_s", "status"),
    [(NOW, 0.0, Status.OK), (NOW, 7200.0, Status.WARN), (1_000_000_000.0, 0.0, Status.FAIL)],
)
def test_a_clock_that_cannot_be_right_is_told(now: float, ahead_s: float, status: Status) -> None:
    expect(rules.judge_clock(now, ahead_s), status, "")


def test_a_shell_is_needed_for_terminals_alone() -> None:
    assert rules.judge_shell("/bin/sh", is_there=False, is_needed=False) == []
    [there] = rules.judge_shell("/bin/sh", is_there=True, is_needed=True)
    expect(there, Status.OK, "/bin/sh")
    [missing] = rules.judge_shell("/bin/sh", is_there=False, is_needed=True)
    expect(missing, Status.FAIL, "no /bin/sh", "--terminal off")


@pytest.mark.parametrize(
    ("change", "status", "message", "remedy"),
    [
        ({}, Status.OK, "holds for 90 days", ""),
        ({"expires_at": NOW + 3 * DAY_S}, Status.WARN, "expires in 3 days", "renew"),
        ({"expires_at": NOW}, Status.FAIL, "has expired", "renew"),
        ({"expires_at": None}, Status.WARN, "cannot tell", "openssl"),
        ({"is_key_open": True}, Status.FAIL, "others can read the key", "chmod 600 /k.pem"),
        ({"trouble": "cannot read /c.pem"}, Status.FAIL, "cannot read /c.pem", "PEM"),
    ],
)
def test_a_certificate_has_to_hold_and_its_key_to_be_secret(
    change: dict[str, object], status: Status, message: str, remedy: str
) -> None:
    facts = dataclasses.replace(CERTIFICATE, **change)  # type: ignore[arg-type]
    expect(rules.judge_tls(facts, now=NOW), status, message, remedy)


def test_every_check_stands_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs/doctor.md").read_text()
    source = Path(rules.__file__).read_text()
    checks = set(re.findall(r"\b(?:fine|warn|fail|_room|_space)\(\s*\"([a-z ]+)\"", source))
    assert {"python", "git", "lock", "open files", "tls"} <= checks
    for check in checks:
        assert f"`{check}`" in page
