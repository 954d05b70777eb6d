"""Serves a client's requests about groups: `_acprelay/open_group` and `_acprelay/close_group`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec

from acprelay.routing.access import Principal
from acprelay.routing.frames import result_reply
from acprelay.routing.group_params import read_close_group, read_open_group
from acprelay.runtime.groups import Groups, RoleOutcome
from acprelay.wire import Envelope


class GroupRequests:
    """Serves one client.

    Args:
        groups: Opens and ends groups.
        principal: Who the client is.
    """

    def __init__(self, *, groups: Groups, principal: Principal) -> None:
        self._groups = groups
        self._principal = principal

    async def open(self, envelope: Envelope) -> bytes:
        """Serves `_acprelay/open_group`; cancelling it ends what is still on its way.

        Raises:
            RelayError: Nothing was begun.
        """
        outcome = await self._groups.open(
            read_open_group(envelope.member("params")), principal=self._principal
        )
        result = {"group": outcome.group, "roles": [_role(role) for role in outcome.roles]}
        return result_reply(envelope.id or b"null", result)

    async def close(self, envelope: Envelope) -> bytes:
        """Serves `_acprelay/close_group`.

        Raises:
            RelayError: There is no such group, or an agent survives.
        """
        closed = await self._groups.close(
            read_close_group(envelope.member("params")), principal=self._principal
        )
        return result_reply(envelope.id or b"null", {"sessions": closed})


def _role(outcome: RoleOutcome) -> dict[str, Any]:
    if outcome.error is not None:
        return {"role": outcome.role, "error": msgspec.Raw(outcome.error)}
    worktree = {} if outcome.worktree is None else {"worktree": asdict(outcome.worktree)}
    return {"role": outcome.role, "sessionId": outcome.session_id, **worktree}
