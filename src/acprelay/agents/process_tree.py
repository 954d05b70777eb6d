"""Which processes belong to one run of an agent, or to all runs of one owner.

Pure: it judges a process table that it is given. Four things tell:

- the process group: the agent's program leads one, and its children join it unless they leave;
- the marker in the environment, which finds those that left the group and lost their parent;
- descent from one that belongs, which finds those that left the group and cleared their
  environment;
- having belonged before.

One that leaves the group, clears its environment *and* loses its parent before it was ever seen is
not found.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from acprelay.agents.process_table import ProcessEntry, ProcessHandle, ProcessTable


def belonging(
    table: Sequence[ProcessEntry],
    *,
    group: int,
    leader: ProcessHandle,
    run: str,
    known: Collection[ProcessHandle],
) -> list[ProcessEntry]:
    """Picks the processes of one run, the leader included while it exists.

    Args:
        table: All processes.
        group: The number of the agent's process and of the group it leads.
        leader: The agent's process.
        run: The marker's value.
        known: Processes that belonged before.
    """
    # The number of a group is not given away while the group has members. So somebody else under
    # that number means that ours is gone and this is another group.
    table = _indexed(table)
    ours = all(entry.handle == leader for entry in table.by_pid.get(group, ()))
    found = [*table.by_run.get(run, ())]
    for handle in (leader, *known):
        found += table.by_handle.get(handle, ())
    if ours:
        found += table.by_group.get(group, ())
    return _with_descendants(table, {entry.pid: entry for entry in found})


def owned_by(table: Sequence[ProcessEntry], owner: str, *, asking: int) -> list[ProcessEntry]:
    """Picks the processes of all runs that one owner has begun, with their descendants.

    Zombies are left out: they have no environment, and only wait for their parent. So is whoever
    asks, who may have been started by such a process, with its ancestors and its descendants.

    Args:
        table: All processes.
        owner: The first part of the markers.
        asking: The number of the process that asks.
    """
    parents = {entry.pid: entry.parent for entry in table}
    spared = set()
    while asking in parents and asking not in spared:
        spared.add(asking)
        asking = parents[asking]
    table = [entry for entry in table if entry.pid not in spared]
    found = {
        entry.pid: entry
        for entry in table
        if entry.run is not None and entry.run.startswith(f"{owner}.")
    }
    return _with_descendants(_indexed(table), found)


def _indexed(table: Sequence[ProcessEntry]) -> ProcessTable:
    return table if isinstance(table, ProcessTable) else ProcessTable(table)


def _with_descendants(table: ProcessTable, found: dict[int, ProcessEntry]) -> list[ProcessEntry]:
    unvisited = list(found)
    while unvisited:
        for child in table.by_parent.get(unvisited.pop(), ()):
            if child.pid not in found:
                found[child.pid] = child
                unvisited.append(child.pid)
    return list(found.values())
