"""Prompts and turns: what a session is told to do, and what it is at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from acprelay.client.calls import Calls, Value, path


class Prompted(Value, frozen=True, kw_only=True):
    """A prompt that was taken.

    Attributes:
        session_id: The session.
        turn: The id of its turn.
    """

    session_id: str
    turn: str


class Running(Value, frozen=True, kw_only=True):
    """The turn that runs.

    Attributes:
        turn: Its id.
        mine: Whether it was prompted with the same token over the API.
        cancelling: Whether its agent was told to stop.
    """

    turn: str
    mine: bool
    cancelling: bool


class Queued(Value, frozen=True, kw_only=True):
    """A turn that waits.

    Attributes:
        turn: Its id.
        mine: Whether it was prompted with the same token over the API.
    """

    turn: str
    mine: bool


class Turns(Value, frozen=True, kw_only=True):
    """The turns of a session.

    Attributes:
        queued: Those that wait, in the order in which they will run.
        running: The one that runs.
    """

    queued: tuple[Queued, ...]
    running: Running | None = None


class TurnCalls(Calls):
    """What can be asked about turns. All raise as `RelayClient` says."""

    async def prompt(
        self, session_id: str, prompt: str | Sequence[Mapping[str, object]]
    ) -> Prompted:
        """Prompts a session, and waits for nothing: events and the transcript tell how it goes.

        A session at rest begins a run. Not idempotent: each call is a prompt.

        Args:
            session_id: The session.
            prompt: Text, or content blocks of ACP.

        Raises:
            SessionNotFound: There is no such session.
        """
        body = {"text": prompt} if isinstance(prompt, str) else {"prompt": list(prompt)}
        return await self._api.post(path("sessions", session_id, "prompts"), body, Prompted)

    async def list_turns(self, session_id: str) -> Turns:
        """Gives the turn that runs and those that wait.

        Raises:
            SessionNotFound: There is no such session.
        """
        return await self._api.get(path("sessions", session_id, "turns"), Turns)

    async def cancel_turn(self, session_id: str, turn: str) -> None:
        """Cancels a turn that runs or waits; events tell when it has ended.

        Raises:
            NotFound: There is no such turn, any more.
            SessionNotFound: There is no such session.
        """
        await self._api.delete(path("sessions", session_id, "turns", turn), type(None))
