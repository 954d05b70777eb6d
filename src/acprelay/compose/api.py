"""Puts together the control API: what its operations need, and which ones there are."""

from __future__ import annotations

from acprelay.compose.runtime import Runtime
from acprelay.runtime.inspection import Inspection
from acprelay.runtime.system import SystemClock
from acprelay.server.api.catalog import all_operations
from acprelay.server.api.groups import GroupResource
from acprelay.server.api.operations import Operation
from acprelay.server.api.permissions import PermissionResource
from acprelay.server.api.sessions import SessionResource
from acprelay.server.api.tokens import TokenResource
from acprelay.server.api.transcripts import TranscriptResource
from acprelay.server.api.turns import TurnResource


def api_operations(runtime: Runtime, *, public_origin: str | None) -> tuple[Operation, ...]:
    """Gives every operation of a relay's control API.

    Args:
        runtime: What it tells of and acts on.
        public_origin: Where browsers come in, if not where the relay listens.
    """
    inspection = Inspection(host=runtime.host, manager=runtime.manager)
    return all_operations(
        [
            GroupResource(groups=runtime.groups, inspection=inspection),
            SessionResource(inspection=inspection),
            TranscriptResource(inspection=inspection),
            TurnResource(inspection=inspection),
            PermissionResource(inspection=inspection),
            TokenResource(desk=runtime.tokens, clock=SystemClock(), public_origin=public_origin),
        ]
    )
