"""All operations of the control API."""

from __future__ import annotations

from dataclasses import dataclass

from acprelay.runtime.inspection import Inspection
from acprelay.server.api.about import AboutResource
from acprelay.server.api.operations import Operation
from acprelay.server.api.sessions import SessionResource


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServices:
    """What operations need of the relay.

    Attributes:
        inspection: Looks at conversations.
    """

    inspection: Inspection


def all_operations(services: ApiServices) -> tuple[Operation, ...]:
    """Gives every operation, in the order in which documents have them."""
    operations: list[Operation] = []
    about = AboutResource(operations=lambda: operations)
    for resource in (
        SessionResource(inspection=services.inspection),
        about,
    ):
        operations += resource.operations()
    return tuple(operations)
