"""What is to be made of facts about a machine: facts in, findings out.

Pure: it looks at nothing itself, and the time is an argument.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

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
from acprelay.cli.diagnosis.findings import Finding, fail, fine, warn
from acprelay.cli.layers import Problem
from acprelay.config import Limits

OLDEST_PYTHON = (3, 11)
EARLIEST = 1_767_225_600
"""The start of 2026, in seconds since the epoch: no clock that is right shows an earlier time."""

FILES_FOR_RUN = 8
"""How many files a run has open, roughly: its agent's pipes, its process, its log."""
FILES_BESIDES = 100
PROCESSES_FOR_AGENT = 4
"""How many processes and threads an agent has at least, roughly."""

_MIB = 1024 * 1024
_LITTLE_SPACE = 1024 * _MIB
_NO_SPACE = 50 * _MIB
_FEW_INODES = 10_000
_NO_INODES = 100
_DAY_S = 86_400
_SOON_DAYS = 21
_CLOCK_SLACK_S = 60


def judge_python(facts: PythonFacts) -> Finding:
    """Judges the interpreter: its version, and how it was built."""
    said = f"Python {'.'.join(map(str, facts.version))}"
    if facts.version[:2] < OLDEST_PYTHON:
        needed = ".".join(map(str, OLDEST_PYTHON))
        return fail("python", f"{said} is too old", f"install Python {needed} or newer")
    if not facts.is_optimised:
        message = f"{said} (built without optimisation: the relay is slower)"
        remedy = "use a system's own Python, or one built with --enable-optimizations --with-lto"
        return warn("python", message, remedy)
    return fine("python", f"{said} (optimised build)")


def judge_configuration(path: Path | None, problems: Sequence[Problem]) -> list[Finding]:
    """Judges what was configured: a finding for every problem."""
    if not problems:
        return [fine("configuration", "no file is read" if path is None else str(path))]
    return [fail("configuration", problem.reason, problem.hint) for problem in problems]


def judge_configuration_mode(path: Path, mode: int, *, has_secrets: bool) -> list[Finding]:
    """Judges who can read the configuration file."""
    if has_secrets and mode & 0o077:
        message = f"{path} has agents' variables, and others can read it"
        return [warn("configuration", message, f"chmod 600 {path}")]
    return []


def judge_git(git: GitFacts, oldest: tuple[int, int]) -> Finding:
    """Judges git, which worktrees need."""
    needed = f"git {oldest[0]}.{oldest[1]} or newer"
    if git.version is None:
        return warn("git", "there is none: sessions cannot have worktrees", f"install {needed}")
    said = f"git {git.version[0]}.{git.version[1]}"
    if git.version < oldest:
        return warn("git", f"{said} is too old for worktrees", f"install {needed}")
    if git.worktree_trouble:
        message = f"{said} cannot make a worktree: {git.worktree_trouble}"
        return warn("git", message, "run git worktree add by hand, and see what it says")
    if not git.identity:
        return warn(
            "git",
            f"{said} does not know who commits: agents' commits fail",
            "git config --global user.name NAME; git config --global user.email ADDRESS",
        )
    return fine("git", f"{said}, with worktrees")


def judge_directory(  # noqa: PLR0911 - one return for each verdict
    check: str, option: str, facts: DirectoryFacts
) -> Finding:
    """Judges a directory that is written to.

    Args:
        check: What it is called.
        option: The option that names another one.
        facts: What is known of it.
    """
    path = facts.path
    other = f"or name another directory with {option}"
    if not facts.is_directory:
        return fail(check, f"{path} is no directory, or lies in none", f"move it away, {other}")
    if not facts.is_usable:
        verb = "read and written" if facts.exists else "made"
        return fail(check, f"{path} cannot be {verb}", f"make it this user's own, {other}")
    if facts.exists and facts.mode & stat.S_IWOTH:
        return fail(check, f"everybody may write to {path}", f"chmod 700 {path}")
    if (trouble := _space(check, facts, other)) is not None:
        return trouble
    if facts.exists and not facts.is_own:
        return warn(check, f"{path} belongs to another user", f"chown it, {other}")
    if facts.exists and facts.mode & 0o077:
        return warn(check, f"others can look into {path}", f"chmod 700 {path}")
    there = "" if facts.exists else " (will be made)"
    return fine(check, f"{path}{there}, {_size(facts.free_bytes)} free")


def _space(check: str, facts: DirectoryFacts, other: str) -> Finding | None:
    said = f"{_size(facts.free_bytes)} free on the file system of {facts.path}"
    if facts.free_bytes < _NO_SPACE:
        return fail(check, f"only {said}", f"make room, {other}")
    inodes = facts.free_inodes
    if inodes is not None and inodes < _NO_INODES:
        message = f"only {inodes} more files can be made on the file system of {facts.path}"
        return fail(check, message, f"remove files there, {other}")
    if facts.free_bytes < _LITTLE_SPACE:
        return warn(check, f"only {said}", f"make room, {other}")
    if inodes is not None and inodes < _FEW_INODES:
        message = f"only {inodes} more files can be made on the file system of {facts.path}"
        return warn(check, message, f"remove files there, {other}")
    return None


def _size(count: int) -> str:
    gib = count / (1024 * _MIB)
    return f"{gib:.0f} GiB" if gib >= 1 else f"{count // _MIB} MiB"


def judge_roots(roots: Sequence[DirectoryFacts]) -> list[Finding]:
    """Judges the directories that clients may have agents work below."""
    findings = []
    for facts in roots:
        if facts.exists and facts.is_directory:
            findings.append(fine("roots", str(facts.path)))
        else:
            message = f"{facts.path} is no directory: no session can be opened below it"
            findings.append(warn("roots", message, "make it, or mend roots"))
    return findings


def judge_state(facts: StateFacts, *, port: PortUse) -> list[Finding]:
    """Judges what is in a state directory, and who has it."""
    findings = [_lock(facts, port)]
    findings += [
        fail("secrets", f"others can read {path}", f"chmod 600 {path}, and make new tokens")
        for path in facts.open_secrets
    ]
    findings += [
        fail("conversations", f"{path} is no directory: no relay starts", "move it away")
        for path in facts.in_the_way
    ]
    if facts.orphans:
        message = f"{facts.orphans} processes of a relay that died still run"
        remedy = "start acprelay serve with this state directory: it ends them first"
        findings.append(warn("orphans", message, remedy))
    return findings


def _lock(facts: StateFacts, port: PortUse) -> Finding:
    if facts.holder is None:
        return fine("lock", "no relay has the state directory")
    who = "a process" if facts.holder == "?" else f"process {facts.holder}"
    if port is PortUse.RELAY:
        return fine("lock", f"{who} has the state directory: the relay that runs")
    return warn(
        "lock",
        f"{who} has the state directory, and no relay answers at the configured address",
        f"a second relay needs another --state-dir; else end {who}",
    )


def judge_agent(agent: AgentFacts) -> Finding:
    """Judges an agent that is offered."""
    check = f"agent {agent.name}"
    if agent.trouble:
        return fail(check, agent.trouble, agent.remedy)
    if agent.unset:
        names = ", ".join(agent.unset)
        return warn(check, f"it is to get {names}, which is not set", f"set {names}")
    if agent.credentials and agent.answered_s is None:
        names = " or ".join(agent.credentials)
        message = f"{agent.program}; without {names} it may ask for a login"
        return fine(check, message)
    tried = "" if agent.answered_s is None else f", answered in {agent.answered_s:.1f} s"
    return fine(check, f"{agent.program}{tried}")


def judge_port(facts: PortFacts) -> Finding:
    """Judges the address to listen on."""
    where = f"port {facts.port} of {facts.host}"
    match facts.use:
        case PortUse.FREE:
            said = "any free port" if facts.port == 0 else f"{where} is free"
            return fine("port", said)
        case PortUse.RELAY:
            return fine("port", f"a relay answers on {where}")
        case PortUse.OTHER:
            return fail(
                "port",
                f"another program has {where}",
                "end it, or choose another port with --port",
            )
        case PortUse.DENIED:
            return fail(
                "port",
                f"cannot listen on {where}: {facts.reason}",
                "choose another address with --host and --port",
            )


def judge_room(facts: RoomFacts, limits: Limits) -> list[Finding]:
    """Judges how many files and processes there may be, by how many runs there may be."""
    files = FILES_BESIDES + FILES_FOR_RUN * limits.sessions
    processes = PROCESSES_FOR_AGENT * limits.processes
    return [
        _room(
            "open files",
            facts.open_files,
            files,
            f"ulimit -n {files} (LimitNOFILE= in a unit), or lower limits.sessions",
        ),
        _room(
            "processes",
            facts.processes,
            processes,
            f"ulimit -u {processes} (TasksMax= in a unit), or lower limits.processes",
        ),
    ]


def _room(check: str, most: int | None, needed: int, remedy: str) -> Finding:
    if most is None:
        return fine(check, "no bound")
    if most < FILES_BESIDES:
        return fail(check, f"at most {most}: no relay can work so", remedy)
    if most < needed:
        return warn(check, f"at most {most}; the configured limits may need {needed}", remedy)
    return fine(check, f"at most {most}")


def judge_temporary(directory: DirectoryFacts | None) -> Finding:
    """Judges the directory for temporary files; None where there is none that can be used."""
    if directory is None:
        return fail("temporary files", "no directory for them can be written", "set TMPDIR")
    trouble = _space("temporary files", directory, "or set TMPDIR")
    return trouble or fine("temporary files", str(directory.path))


def judge_clock(now: float, ahead_s: float) -> Finding:
    """Judges the clock, in seconds since the epoch, by what was last written."""
    remedy = "set the clock, or let the system do so: tokens and certificates end by it"
    if now < EARLIEST:
        return fail("clock", "it shows a time before this version was made", remedy)
    if ahead_s > _CLOCK_SLACK_S:
        message = f"the state directory was written {ahead_s:.0f} s later than it shows"
        return warn("clock", message, remedy)
    return fine("clock", "it shows a time that can be")


def judge_shell(shell: str, *, is_there: bool, is_needed: bool) -> list[Finding]:
    """Judges the shell of the terminals that a relay serves."""
    if not is_needed:
        return []
    if is_there:
        return [fine("shell", shell)]
    message = f"there is no {shell}: agents' terminals cannot run command lines"
    return [fail("shell", message, "install it, or serve no terminals: --terminal off")]


def judge_tls(facts: TlsFacts, *, now: float) -> Finding:
    """Judges a certificate and its key."""
    if facts.trouble:
        return fail("tls", facts.trouble, "name a certificate and its key, both in PEM")
    if facts.is_key_open:
        return fail("tls", f"others can read the key {facts.key}", f"chmod 600 {facts.key}")
    if facts.expires_at is None:
        return warn("tls", f"cannot tell when {facts.certificate} ends", "look at it with openssl")
    days = int((facts.expires_at - now) // _DAY_S)
    if facts.expires_at <= now:
        return fail("tls", f"{facts.certificate} has expired", "renew it, and restart the relay")
    if days < _SOON_DAYS:
        return warn("tls", f"{facts.certificate} expires in {days} days", "renew it")
    return fine("tls", f"{facts.certificate} holds for {days} days")
