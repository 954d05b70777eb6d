"""`/sessions/{session}/prompts` and `/turns`: what a session is told to do, and what it is at."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from acprelay.errors import InvalidParams, NotFound, StoreError
from acprelay.routing.access import Grant, Principal, remote_name
from acprelay.runtime.inspection import Inspection
from acprelay.server.api.operations import Call, Operation, Reach, Struct, Taken, either

Text = Annotated[str, msgspec.Meta(min_length=1)]


class PromptBody(Taken, frozen=True, kw_only=True):
    """A prompt: either its text, or ACP's content blocks.

    Attributes:
        text: The text, as one block.
        prompt: The content blocks.
    """

    text: Text | UnsetType = UNSET
    prompt: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)] | UnsetType = UNSET


class Prompted(Struct, frozen=True, kw_only=True):
    """A prompt that was taken.

    Attributes:
        session_id: The session.
        turn: The id of its turn.
    """

    session_id: str
    turn: str


class Running(Struct, frozen=True, kw_only=True):
    """The turn that runs.

    Attributes:
        turn: Its id.
        mine: Whether it was prompted with the same token over this API.
        cancelling: Whether its agent was told to stop.
    """

    turn: str
    mine: bool
    cancelling: bool


class Queued(Struct, frozen=True, kw_only=True):
    """A turn that waits.

    Attributes:
        turn: Its id.
        mine: Whether it was prompted with the same token over this API.
    """

    turn: str
    mine: bool


class Turns(Struct, frozen=True, kw_only=True):
    """The turns of a session.

    Attributes:
        queued: Those that wait, in the order in which they will run.
        running: The one that runs.
    """

    queued: list[Queued]
    running: Running | None = None


class TurnResource:
    """Serves prompts and turns.

    Args:
        inspection: Finds conversations.
    """

    def __init__(self, *, inspection: Inspection) -> None:
        self._inspection = inspection

    def operations(self) -> list[Operation]:
        """Gives the operations."""
        return [
            Operation(
                id="prompt",
                method="POST",
                path="/sessions/{session}/prompts",
                summary="Prompt a session",
                description="""
                The prompt waits for its turn; a session at rest begins a run. Events and the
                transcript tell how it goes. Not idempotent: each request is a prompt.
                """,
                tag="turns",
                body=either(PromptBody, "text", "prompt"),
                result=Prompted,
                status=202,
                errors=(StoreError,),
                grant=Grant.PROMPT,
                reach=Reach.SESSION,
                handler=self._prompt,
                body_example=PromptBody(text="hello"),
                example=Prompted(session_id="login:auth", turn="6f1c-1"),
            ),
            Operation(
                id="listTurns",
                method="GET",
                path="/sessions/{session}/turns",
                summary="Show the turn that runs and those that wait",
                tag="turns",
                result=Turns,
                errors=(StoreError,),
                grant=Grant.OBSERVE,
                reach=Reach.SESSION,
                handler=self._turns,
            ),
            Operation(
                id="cancelTurn",
                method="DELETE",
                path="/sessions/{session}/turns/{turn}",
                summary="Cancel a turn that runs or waits",
                description="""
                A turn that was prompted with another token takes the grant `approve` as well. The
                agent is told; events tell when the turn has ended. A turn that has ended is not
                found, so a repetition may give 404.
                """,
                tag="turns",
                errors=(NotFound, StoreError),
                grant=Grant.OBSERVE,
                reach=Reach.SESSION,
                handler=self._cancel,
            ),
        ]

    async def _prompt(self, call: Call[Any, PromptBody]) -> Prompted:
        driver = self._inspection.find(call.key)
        driver.sponsor = call.principal.id
        turn = driver.control.prompt(owner_of(call.principal), _blocks(call.body))
        return Prompted(session_id=str(call.key), turn=turn)

    async def _turns(self, call: Call[Any, None]) -> Turns:
        control = self._inspection.find(call.key).control
        return msgspec.convert(control.turns(owner_of(call.principal)), type=Turns)

    async def _cancel(self, call: Call[Any, None]) -> None:
        control, turn = self._inspection.find(call.key).control, call.path["turn"]
        grants = call.principal.grants_for(call.key)
        if not control.cancel_turn(turn, principal=call.principal.id, grants=grants):
            raise NotFound(
                what="turn", name=turn, hint="see the session's turns: it may have ended"
            )


def owner_of(principal: Principal) -> str:
    """Names whoever acts over this API where a client's attachment would be named."""
    return remote_name(principal.id)


def _blocks(body: PromptBody) -> bytes:
    if (body.text is UNSET) == (body.prompt is UNSET):
        raise InvalidParams(
            "cannot prompt with both text and content blocks, nor without either",
            hint='send {"text": "…"}, or {"prompt": [content blocks of ACP]}',
        )
    blocks = [{"type": "text", "text": body.text}] if body.prompt is UNSET else body.prompt
    return msgspec.json.encode(blocks)
