"""`/permissions`: what agents wait for somebody to allow."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from acprelay.errors import InvalidParams, NotFound
from acprelay.routing.access import Grant
from acprelay.routing.listing import timestamp
from acprelay.routing.paging import page_of
from acprelay.runtime.inspection import Inspection
from acprelay.runtime.remote_control import OpenPermission
from acprelay.server.api.operations import Call, Operation, Reach, Struct, Taken, either
from acprelay.server.api.pages import PageQuery
from acprelay.server.api.raw import raw
from acprelay.server.api.turns import owner_of
from acprelay.session.models import SessionKey

_Filter = Annotated[str, msgspec.Meta(max_length=200)]


class PermissionQuery(PageQuery, frozen=True, kw_only=True):
    """Which permissions to list: those that satisfy all that is given.

    Attributes:
        session: Their session.
        group: Their group.
    """

    session: _Filter | None = None
    group: _Filter | None = None


class PermissionInfo(Struct, frozen=True, kw_only=True):
    """A permission that waits for an answer.

    Attributes:
        ask: Its id.
        session_id: The session whose agent asks.
        asked_at: When it was asked for.
        tool_call: ACP's `toolCall`, as the agent wrote it: its claim.
        options: ACP's `options`, likewise.
        reason: Why no rule has answered it.
        turn: The turn that it belongs to.
        deadline_at: When it is refused at the latest.
    """

    ask: str
    session_id: str
    asked_at: str
    tool_call: Any
    options: Any
    reason: str
    turn: str | None = None
    deadline_at: str | None = None


class Permissions(Struct, frozen=True, kw_only=True):
    """One page of a list of permissions.

    Attributes:
        permissions: The permission that waits longest comes first.
        next_cursor: Where the next page begins; there is none without.
    """

    permissions: list[PermissionInfo]
    next_cursor: str | None = None


class AnswerBody(Taken, frozen=True, kw_only=True):
    """An answer to a permission: either an option, or that none is chosen.

    Attributes:
        option_id: The `optionId` of the option that is chosen.
        outcome: `cancelled`, to choose none.
    """

    option_id: str | UnsetType = UNSET
    outcome: Literal["cancelled"] | UnsetType = UNSET


class Answered(Struct, frozen=True, kw_only=True):
    """What an answer has done.

    Attributes:
        ask: The permission.
        settled: Whether it is settled now. `cancelled` alone settles it once nobody else is asked.
    """

    ask: str
    settled: bool


class PermissionResource:
    """Serves permissions.

    Args:
        inspection: Finds them.
    """

    def __init__(self, *, inspection: Inspection) -> None:
        self._inspection = inspection

    def operations(self) -> list[Operation]:
        """Gives the operations."""
        return [
            Operation(
                id="listPermissions",
                method="GET",
                path="/permissions",
                summary="List the permissions that wait for an answer",
                tag="permissions",
                query=PermissionQuery,
                result=Permissions,
                grant=Grant.OBSERVE,
                reach=Reach.WITHIN,
                handler=self._list,
            ),
            Operation(
                id="answerPermission",
                method="POST",
                path="/permissions/{ask}",
                summary="Answer a permission",
                description="""
                The first valid answer decides, whoever gives it, and stands in the audit log with
                the token's id. One that is settled is not found, so a repetition gives 404.
                """,
                tag="permissions",
                body=either(AnswerBody, "optionId", "outcome"),
                result=Answered,
                errors=(NotFound,),
                grant=Grant.APPROVE,
                reach=Reach.WITHIN,
                handler=self._answer,
                body_example=AnswerBody(option_id="allow"),
                example=Answered(ask="6f1c-1", settled=True),
            ),
        ]

    async def _list(self, call: Call[PermissionQuery, None]) -> Permissions:
        query = call.query
        found = [
            (key, each)
            for key, each in self._inspection.permissions(call.principal)
            if query.session in (None, str(key)) and query.group in (None, key.session_id)
        ]
        page = page_of(
            found,
            place=lambda pair: (str(pair[0]), pair[1].ask),
            shape=tuple[str, str],
            cursor=query.cursor,
            limit=query.limit,
        )
        return Permissions(
            permissions=[_info(key, each) for key, each in page.entries],
            next_cursor=page.next_cursor,
        )

    async def _answer(self, call: Call[Any, AnswerBody]) -> Answered:
        ask, body, principal = call.path["ask"], call.body, call.principal
        if (body.option_id is UNSET) == (body.outcome is UNSET):
            raise InvalidParams(
                "cannot answer a permission with both an option and an outcome, nor without either",
                hint='send {"optionId": "…"}, or {"outcome": "cancelled"}',
            )
        unknown = NotFound(
            what="permission", name=ask, hint="see those that are open: it may be settled already"
        )
        for key, each in self._inspection.permissions(principal):
            if each.ask == ask:
                principal.require(Grant.APPROVE, key)
                control = self._inspection.find(key).control
                option_id = None if body.option_id is UNSET else body.option_id
                settled = control.decide(ask, option_id, by=owner_of(principal))
                if settled is None:
                    break
                return Answered(ask=ask, settled=settled)
        raise unknown


def _info(key: SessionKey, each: OpenPermission) -> PermissionInfo:
    return PermissionInfo(
        ask=each.ask,
        session_id=str(key),
        asked_at=timestamp(each.asked_at),
        tool_call=raw(each.tool_call),
        options=raw(each.options),
        reason=each.reason,
        turn=each.turn,
        deadline_at=None if each.deadline_at is None else timestamp(each.deadline_at),
    )
