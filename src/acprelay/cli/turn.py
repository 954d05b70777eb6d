"""One turn of a client: a session opened, a prompt sent, its end awaited, the session closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from acprelay.cli.signals import Interrupts
from acprelay.client.acp_client import AcpClient
from acprelay.client.acp_messages import JsonObject, as_object
from acprelay.errors import RelayError

OnOpened = Callable[[JsonObject], Awaitable[None]]

CANCEL_S = 10.0
"""How long an agent may take to end a turn that is cancelled."""


class Turn:
    """One turn, in a session of its own.

    Args:
        client: The connection, entered.
        interrupts: The first signal cancels the turn, whose end is then awaited.
        on_opened: Called with the result of `session/new`.
    """

    def __init__(self, *, client: AcpClient, interrupts: Interrupts, on_opened: OnOpened) -> None:
        self._client = client
        self._on_opened = on_opened
        self._interrupts = interrupts
        self._cancellation: asyncio.Task[None] | None = None

    async def run(self, *, cwd: str, prompt: str) -> str:
        """Runs the turn, once.

        Args:
            cwd: The session's directory, absolute.
            prompt: What to say.

        Returns:
            The stop reason; `cancelled` if the agent did not end a cancelled turn in time.

        Raises:
            RequestRefused: The relay or the agent answered with an error.
            RelayUnreachable: The relay went away.
            OSError: The answer cannot be shown; the turn is cancelled.
        """
        capabilities = await self._client.initialize()
        opened = await self._client.new_session(cwd=cwd)
        session_id = str(opened.get("sessionId"))
        await self._on_opened(opened)
        try:
            return await self._prompt(session_id, prompt)
        except OSError:
            await self._client.cancel(session_id)
            raise
        finally:
            if _can_close(capabilities):
                with suppress(RelayError):  # it has ended by itself, or the relay went away
                    await self._client.close_session(session_id)

    async def _prompt(self, session_id: str, prompt: str) -> str:
        try:
            async with asyncio.timeout(None) as deadline:
                self._interrupts.appeal_to(partial(self._cancel, session_id, deadline))
                return await self._client.prompt(session_id, prompt)
        except TimeoutError:
            return "cancelled"
        finally:
            self._interrupts.appeal_to(None)
            if self._cancellation is not None:
                await asyncio.gather(self._cancellation, return_exceptions=True)

    def _cancel(self, session_id: str, deadline: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        deadline.reschedule(loop.time() + CANCEL_S)
        self._cancellation = loop.create_task(self._client.cancel(session_id))


def _can_close(capabilities: JsonObject) -> bool:
    return as_object(capabilities.get("sessionCapabilities")).get("close") is not None
