"""Puts together the control API: what its operations need, and which ones there are."""

from __future__ import annotations

from acprelay.compose.runtime import Runtime
from acprelay.runtime.inspection import Inspection
from acprelay.server.api.catalog import all_operations
from acprelay.server.api.operations import Operation
from acprelay.server.api.sessions import SessionResource


def api_operations(runtime: Runtime) -> tuple[Operation, ...]:
    """Gives every operation of a relay's control API."""
    inspection = Inspection(host=runtime.host, manager=runtime.manager)
    return all_operations([SessionResource(inspection=inspection)])
