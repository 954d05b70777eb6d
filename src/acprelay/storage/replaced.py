"""Which of the writer's commands need not be carried out, as others follow them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from acprelay.session.models import SessionKey
from acprelay.storage.commands import Barrier, Command, Save, Sync


def without_replaced(commands: Sequence[Command]) -> list[Command]:
    """Leaves out each record that another one of the same conversation follows.

    What had the one left out made durable comes behind the other, so as not to be too early for it.
    None is left out where somebody is told in between that all before is done.
    """
    kept: list[Command] = []
    followed: dict[SessionKey, int] = {}
    hastened: dict[int, Sync] = {}
    for command in reversed(commands):
        if type(command) is Save:
            if command.record.key in followed:
                continue
            followed[command.record.key] = len(kept)
        elif type(command) is Sync and command.target in followed:
            hastened[followed[command.target]] = command
            continue
        elif type(command) is Barrier:
            followed.clear()
        kept.append(command)
    for place in sorted(hastened, reverse=True):
        kept.insert(place, hastened[place])
    kept.reverse()
    return kept
