"""The client of one relay: everything that its API offers, and conversations over WebSocket."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

import aiohttp

from acprelay import __version__
from acprelay.client.acp_client import OnPermission
from acprelay.client.addresses import base_url, endpoint
from acprelay.client.agents import AgentCalls
from acprelay.client.api_connection import ApiConnection
from acprelay.client.conversation import Answer, Conversation, attached
from acprelay.client.events import EventCalls
from acprelay.client.groups import GroupCalls
from acprelay.client.invitations import InvitationCalls
from acprelay.client.permissions import PermissionCalls
from acprelay.client.policy import PolicyCalls
from acprelay.client.relay import RelayCalls
from acprelay.client.sessions import SessionCalls
from acprelay.client.stopping import DrainCalls
from acprelay.client.tokens import TokenCalls
from acprelay.client.transcripts import TranscriptCalls
from acprelay.client.turns import TurnCalls
from acprelay.client.websocket import open_socket
from acprelay.client.worktrees import WorktreeCalls

NO_AGENT = "none"
"""What an address names as its agent that is the relay's own."""


class RelayClient(
    GroupCalls,
    SessionCalls,
    TurnCalls,
    TranscriptCalls,
    EventCalls,
    PermissionCalls,
    PolicyCalls,
    AgentCalls,
    InvitationCalls,
    WorktreeCalls,
    TokenCalls,
    RelayCalls,
    DrainCalls,
):
    """Talks to one relay; to be entered before anything is asked.

    Each operation of the API is a method of the same name. Cancelling a call is safe, but whether a
    change that was asked for is made is open then. What the relay refuses is raised as the class of
    `acprelay.errors` that has its code:

    - `RelayUnreachable`: the relay cannot be reached, does not answer, or the connection is lost.
    - `Unauthorized`: nobody is known by the token. `Forbidden`: it does not have the grant.
    - `RemoteProtocolError`: the answer cannot be read.
    - any other `RelayError`, as each method says.

    Args:
        url: The relay's address: `http://127.0.0.1:8137`, or as its clients have it,
            `ws://127.0.0.1:8137/acp`.
        token: Says who asks; None where the relay does without.
        tls: Which certificates are trusted; None for those of the system.
        patience_s: How long an answer is waited for.

    Raises:
        ConfigError: The address cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        patience_s: float = 120.0,
    ) -> None:
        self.url = url
        self.base_url = base_url(url)
        self._token = token
        self._tls = tls
        self._patience_s = patience_s
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        http = aiohttp.ClientSession(
            headers={"User-Agent": f"acprelay/{__version__}", **self._credentials()},
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(ssl=self._tls or True),
        )
        await self._stack.enter_async_context(http)
        self._api = ApiConnection(http=http, base_url=self.base_url, patience_s=self._patience_s)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def attach(
        self,
        session_id: str,
        *,
        after: str | None = None,
        on_permission: OnPermission | None = None,
    ) -> AsyncIterator[Conversation]:
        """Takes part in a conversation, over a WebSocket of its own; leaving changes nothing there.

        Args:
            session_id: The session's public id.
            after: The position of the last entry that is known, as `Entry.position` tells it;
                `START` for all there is, None for what is said from now on.
            on_permission: Answers what the agent asks permission for, by one of the options, or by
                none; None, in place of this, leaves the answer to others.

        Raises:
            SessionNotFound: There is no such session.
            CursorExpired: The log no longer reaches the position.
        """
        url = endpoint(self.base_url, agent=NO_AGENT)
        async with (
            open_socket(url, token=self._token, tls=self._tls) as socket,
            attached(socket, session_id, after=after, on_permission=on_permission) as conversation,
        ):
            yield conversation

    async def ask(
        self, session_id: str, prompt: str, *, on_permission: OnPermission | None = None
    ) -> Answer:
        """Prompts a session, and waits for the end of the turn.

        Cancelling the call does not cancel the turn.

        Raises:
            SessionNotFound: There is no such session.
            RelayError: The prompt is refused, or fails.
        """
        async with self.attach(session_id, on_permission=on_permission) as conversation:
            return await conversation.prompt(prompt)

    def _credentials(self) -> dict[str, str]:
        return {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
