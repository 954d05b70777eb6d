"""Looks at programs, addresses and bounds of this machine. It judges nothing."""

from __future__ import annotations

import errno
import http.client
import json
import os
import resource
import socket
import ssl
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from acprelay.cli.diagnosis.facts import GitFacts, PortFacts, PortUse, PythonFacts, RoomFacts
from acprelay.workspace.environment import git_environment
from acprelay.workspace.parsing import parse_version

_OPTIMISED = "--enable-optimizations"
_DEBIAN = "deb_system"
_GIT_TIMEOUT_S = 20.0
_ANSWER_S = 2.0
_MOST_BYTES = 64 * 1024
_PIDS_MAX = Path("/sys/fs/cgroup/pids.max")
_WHO = ("-c", "user.name=acprelay", "-c", "user.email=acprelay@localhost")


def look_at_python() -> PythonFacts:
    """Asks the interpreter that runs this what it is."""
    configured = sysconfig.get_config_var("CONFIG_ARGS") or ""
    # Debian builds with a profile by other means, and keeps what it has built with to itself.
    is_optimised = _OPTIMISED in configured or _DEBIAN in sysconfig.get_scheme_names()
    return PythonFacts(version=sys.version_info[:3], is_optimised=is_optimised)


def look_at_git(environ: Mapping[str, str]) -> GitFacts:
    """Runs git: for its version, and to make a worktree of a repository that is thrown away."""
    env = git_environment(environ)
    version = parse_version(_git(["--version"], env).stdout)
    if version is None:
        return GitFacts(version=None)
    identity = _git(["var", "GIT_COMMITTER_IDENT"], env).returncode == 0
    return GitFacts(version=version, identity=identity, worktree_trouble=_try_worktree(env))


def _try_worktree(env: Mapping[str, str]) -> str:
    """Says why no worktree can be made; empty where one can."""
    try:
        with tempfile.TemporaryDirectory(prefix="acprelay-") as folder:
            repository = f"{folder}/repository"
            for argv in (
                ["init", "--quiet", repository],
                ["-C", repository, *_WHO, "commit", "--quiet", "--allow-empty", "--message=one"],
                ["-C", repository, "worktree", "add", "--quiet", "-b", "two", f"{folder}/two"],
            ):
                ended = _git(argv, env)
                if ended.returncode != 0:
                    lines = os.fsdecode(ended.stderr).strip().splitlines()
                    return lines[-1] if lines else f"exit status {ended.returncode}"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _git(argv: Sequence[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Runs git once; one that cannot be started, or does not end, has failed."""
    try:
        return subprocess.run(  # noqa: S603 - its arguments are all from here
            ["git", *argv],  # noqa: S607 - found on PATH, as a relay finds it
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except OSError as error:
        said = (error.strerror or str(error)).encode()
    except subprocess.TimeoutExpired:
        said = f"it did not end within {_GIT_TIMEOUT_S:g} s".encode()
    return subprocess.CompletedProcess(argv, returncode=127, stdout=b"", stderr=said)


def look_at_port(host: str, port: int, *, has_tls: bool) -> PortFacts:
    """Tries to listen for an instant; where somebody else does, asks who."""
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        with closing(socket.socket(family, kind, protocol)) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            reason = error.strerror or str(error)
            return PortFacts(host=host, port=port, use=PortUse.DENIED, reason=reason)
        use = PortUse.RELAY if _is_relay(host, port, has_tls=has_tls) else PortUse.OTHER
        return PortFacts(host=host, port=port, use=use)
    return PortFacts(host=host, port=port, use=PortUse.FREE)


def _is_relay(host: str, port: int, *, has_tls: bool) -> bool:
    """Whether who listens answers as a relay does."""
    connection: http.client.HTTPConnection
    if has_tls:
        # Whom the certificate names is of no matter: nothing is sent but the question.
        context = ssl._create_unverified_context()  # noqa: S323, SLF001
        connection = http.client.HTTPSConnection(host, port, timeout=_ANSWER_S, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_S)
    with closing(connection):
        try:
            connection.request("GET", "/healthz")
            answer = json.loads(connection.getresponse().read(_MOST_BYTES))
        except (OSError, ValueError, http.client.HTTPException):
            return False
    return isinstance(answer, dict) and isinstance(answer.get("status"), str)


def look_at_room() -> RoomFacts:
    """Looks at the bounds of this process, of its user and of its control group."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    bounds = [_pids_max(_PIDS_MAX)]
    if os.geteuid() != 0:  # the superuser is not held to it
        bounds.append(_bound(resource.getrlimit(resource.RLIMIT_NPROC)[0]))
    known = [bound for bound in bounds if bound is not None]
    return RoomFacts(open_files=_bound(files), processes=min(known, default=None))


def _bound(value: int) -> int | None:
    return None if value == resource.RLIM_INFINITY else value


def _pids_max(path: Path) -> int | None:
    try:
        said = path.read_text().strip()
    except OSError:
        return None
    return int(said) if said.isdigit() else None
