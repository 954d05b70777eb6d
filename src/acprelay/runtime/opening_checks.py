"""Looks at what a session that is to be opened would let commands do, before anything is started.

What is allowed, `acprelay.routing.opening_rules` knows; this finds out what paths stand for. What
becomes of a path between this and the agent's own look at it, nobody here can tell.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from acprelay.routing.meta_rules import without_orders
from acprelay.routing.opening_rules import (
    McpAllowlist,
    McpServer,
    NewSession,
    check_roots,
    check_server,
    read_new_session,
    read_servers,
)
from acprelay.wire import Envelope


class OpeningChecks:
    """Checks openings, for every client.

    Args:
        roots: Where clients may have agents work, with what lies below; none for anywhere.
        allowed: Which MCP servers agents may be told of.
    """

    def __init__(self, *, roots: Sequence[Path], allowed: McpAllowlist) -> None:
        self._roots = roots
        self._allowed = allowed

    async def check(self, request: Envelope) -> Envelope:
        """Refuses what may not be opened. Cancelling is safe.

        Args:
            request: A `session/new`.

        Returns:
            The request as far as the agent may have it: where there are roots or an allowlist, no
            `_meta` gets around them.

        Raises:
            InvalidParams: The params are malformed, or a directory is no absolute path.
            Forbidden: A directory lies under no root, or the allowlist lacks an MCP server.
        """
        asked = read_new_session(request.member("params"))
        if not self._roots and self._allowed.allows_all:
            return request
        # A path may lie on a file system that takes its time.
        await asyncio.to_thread(self._look, asked)
        return without_orders(request)

    def _look(self, asked: NewSession) -> None:
        if self._roots:
            roots = [os.path.realpath(root) for root in self._roots]
            for directory in asked.directories:
                check_roots(directory, os.path.realpath(directory), roots)
        if not self._allowed.allows_all:
            for server in read_servers(asked.mcp_servers or ()):
                check_server(server, _program(server), self._allowed)


def _program(server: McpServer) -> str | None:
    """The file that a server's command is; None where that depends on the agent's directory."""
    command = server.command
    if command is None or "\0" in command:
        return None
    found = command if command.startswith("/") else None
    if "/" not in command:
        found = shutil.which(command)
    return None if found is None else os.path.realpath(found)
