"""What a client names for a session that is to be opened, as far as commands come to run by it.

A directory, further ones, and MCP servers: where agents work, and what they start. This module
reads them and knows what is allowed. It looks at no file system: whoever does says what paths stand
for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import SplitResult, urlsplit

import msgspec

from acprelay.errors import Forbidden, InvalidParams
from acprelay.wire.objects import read_members

# White space and other controls, what stands before a host, and paths that climb.
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\@]|%2e|/\.\.?(?:/|$|[?#])", re.IGNORECASE)

# By what systems, shells and interpreters are told of further programs and libraries.
_MEDDLING = re.compile(
    r"PATH|(?:LD|DYLD|BASH|CORECLR)_.*|GCONV_PATH|IFS|ENV|SHELLOPTS|BASHOPTS|ZDOTDIR"
    r"|PYTHON(?:PATH|HOME|STARTUP|USERBASE|EXECUTABLE|BREAKPOINT|PYCACHEPREFIX|PLATLIBDIR|WARNINGS)"
    r"|NODE_(?:OPTIONS|PATH)|NPM_CONFIG_.*|PERL.*|RUBY(?:OPT|LIB)|GEM_(?:HOME|PATH)|BUNDLE_GEMFILE"
    r"|CLASSPATH|_JAVA_OPTIONS|(?:JAVA_TOOL|JDK_JAVA)_OPTIONS|PHPRC|PHP_INI_SCAN_DIR|LUA_.*"
    r"|DOTNET_(?:STARTUP_HOOKS|ADDITIONAL_DEPS|ROOT.*)|GIT_(?:CONFIG|EXEC|EXTERNAL|SSH|ASKPASS).*",
    re.IGNORECASE | re.DOTALL,
)

_NEEDS = "session/new needs params.cwd, an absolute path, and params.mcpServers, an array"


class NewSession(msgspec.Struct, rename="camel", frozen=True):
    """The params of `session/new` that the relay itself looks at.

    Attributes:
        cwd: The directory that the agent is to work in.
        additional_directories: Further ones that count as the session's own.
        mcp_servers: The MCP servers that it is to start, or to connect to.
    """

    cwd: str
    additional_directories: list[str] | None = None
    mcp_servers: list[msgspec.Raw] | None = None

    @property
    def directories(self) -> tuple[str, ...]:
        """Every directory that is named."""
        return (self.cwd, *(self.additional_directories or ()))


class Variable(msgspec.Struct, frozen=True):
    """A variable of an MCP server's environment.

    Attributes:
        name: Its name.
    """

    name: str


class McpServer(msgspec.Struct, frozen=True):
    """An MCP server that a client names.

    Attributes:
        name: What the client calls it.
        command: The program that the agent starts; None where it connects to one.
        url: Where it connects to.
        env: What the program's environment has besides.
    """

    name: str = ""
    command: str | None = None
    url: str | None = None
    env: list[Variable] | None = None

    @property
    def meddling(self) -> str | None:
        """A variable by which other programs may come to run than its command, if it has one."""
        return next((each.name for each in self.env or () if _MEDDLING.fullmatch(each.name)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class McpAllowlist:
    """Which MCP servers agents may be told of.

    Attributes:
        commands: The programs that they may start; None for any.
        urls: What the addresses that they may connect to begin with; None for any.
    """

    commands: tuple[str, ...] | None = None
    urls: tuple[str, ...] | None = None

    @property
    def allows_all(self) -> bool:
        """Whether it refuses nothing."""
        return self.commands is None and self.urls is None


def read_new_session(params: bytes | None) -> NewSession:
    """Reads the params of `session/new`.

    Args:
        params: The raw JSON value; None where there is none.

    Raises:
        InvalidParams: They are no object, have no `cwd`, or name a directory that is no absolute
            path: it would depend on where the relay was started.
    """
    try:
        read = msgspec.json.decode(params or b"null", type=NewSession)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParams(f"cannot open a session: {error}", hint=_NEEDS) from error
    for directory in read.directories:
        check_absolute(directory)
    return read


def check_absolute(directory: str) -> None:
    """Refuses a directory that is no absolute path.

    Raises:
        InvalidParams: It is none.
    """
    if not directory.startswith("/") or "\0" in directory:
        raise InvalidParams(
            f"cannot work in {directory[:200]!r}: it is no absolute path",
            hint="name the directory by its whole path, from / on",
        )


def check_roots(directory: str, resolved: str, roots: Sequence[str]) -> None:
    """Refuses a directory that lies outside of where clients may work.

    Args:
        directory: As the client names it.
        resolved: The same without symbolic links.
        roots: Where they may, likewise without; none for anywhere.

    Raises:
        Forbidden: It lies under none of them.
    """
    place = PurePosixPath(resolved)
    if roots and not any(place.is_relative_to(root) for root in roots):
        raise Forbidden(
            f"cannot work in {directory[:200]!r}: it lies under none of the relay's roots",
            hint=f"choose a directory under {', '.join(roots)}; serve --root DIR, or roots in the "
            "configuration, adds another root",
        )


def read_servers(servers: Sequence[msgspec.Raw]) -> list[McpServer]:
    """Reads what is known of MCP servers.

    Raises:
        InvalidParams: One is no object, or its members are of the wrong type.
        InvalidRequest: Two members of one have the same name.
    """
    try:
        read = [msgspec.json.decode(server, type=McpServer) for server in servers]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParams(
            f"cannot read params.mcpServers: {error}",
            hint="each server is an object with a name, and a command or a url, strings; env is an "
            "array of objects with a name and a value",
        ) from error
    for server in servers:
        _check_unambiguous(bytes(server))
    return read


def _check_unambiguous(server: bytes) -> None:
    """Sees to it that no second command or variable hides behind the one that is looked at."""
    members = read_members(server)
    if "env" in members:
        variables = msgspec.json.decode(
            server[slice(*members["env"])], type=list[msgspec.Raw] | None
        )
        for variable in variables or ():
            read_members(bytes(variable))


def check_server(server: McpServer, resolved: str | None, allowed: McpAllowlist) -> None:
    """Refuses an MCP server that agents may not be told of.

    Args:
        server: The server.
        resolved: The file that its command is, without symbolic links, if that could be found out.
        allowed: Which they may be told of.

    Raises:
        Forbidden: This one is not among them, or is of a kind that nobody here knows.
    """
    if server.command is None and server.url is None and not allowed.allows_all:
        raise _refused(server, "is of an unknown kind", "a command or a url")
    if not _has_command(server, resolved, allowed.commands):
        what = f"would run {str(server.command)[:200]!r}"
        raise _refused(server, what, f"one of the commands {_listing(allowed.commands)}")
    if allowed.commands is not None and server.command is not None and server.meddling is not None:
        what = f"would run with {server.meddling[:80]!r}, by which other programs may come to run"
        raise _refused(server, what, "an environment without that")
    if not _has_address(server, allowed.urls):
        wanted = f"an address that begins with {_listing(allowed.urls)}"
        raise _refused(server, "is elsewhere", wanted)


def _has_command(server: McpServer, resolved: str | None, commands: tuple[str, ...] | None) -> bool:
    command = server.command
    return command is None or commands is None or command in commands or resolved in commands


def _has_address(server: McpServer, urls: tuple[str, ...] | None) -> bool:
    address = server.url
    return address is None or urls is None or any(_begins(address, url) for url in urls)


def _refused(server: McpServer, what: str, wanted: str) -> Forbidden:
    return Forbidden(
        f"cannot use the MCP server {server.name[:80]!r}: it {what}, and the relay's allowlist "
        "does not have it",
        hint=f"name a server with {wanted}, or add it to mcp-commands or mcp-urls in the relay's "
        "configuration",
    )


def _listing(entries: Sequence[str] | None) -> str:
    return ", ".join(entries or ()) or "(none is allowed)"


def _begins(address: str, prefix: str) -> bool:
    """Whether an address lies under another one: the same place, and a path that goes on from it.

    What programs do not agree how to read lies under none.
    """
    if _AMBIGUOUS.search(address):
        return False
    try:
        place, root = urlsplit(address), urlsplit(prefix)
        is_same_place = _place(place) == _place(root)
    except ValueError:
        return False
    path = root.path.rstrip("/")
    return is_same_place and (place.path == path or place.path.startswith(path + "/"))


def _place(url: SplitResult) -> tuple[str, str | None, int | None]:
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.hostname, port
