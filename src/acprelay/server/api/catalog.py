"""All operations of the control API, the descriptions of themselves included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from acprelay.server.api.about import AboutResource
from acprelay.server.api.operations import Operation


class Resource(Protocol):
    """Serves some operations that belong together."""

    def operations(self) -> list[Operation]:
        """Gives them, in the order in which documents have them."""
        ...


def all_operations(resources: Sequence[Resource]) -> tuple[Operation, ...]:
    """Gives every operation, in the order in which documents have them."""
    operations: list[Operation] = []
    about = AboutResource(operations=lambda: operations)
    for resource in (*resources, about):
        operations += resource.operations()
    return tuple(operations)
