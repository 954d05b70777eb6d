"""What processes use: CPU time and memory, as the operating system accounts for them.

Blocks for some 50 µs for each process: to be called in a thread. It knows no agent.
"""

from __future__ import annotations

from collections.abc import Sequence

import psutil

from acprelay.agents.models import Usage
from acprelay.agents.process_table import ProcessEntry


def measure(entries: Sequence[ProcessEntry]) -> Usage:
    """Adds up what processes use; those that have ended meanwhile are left out.

    A zombie counts with the CPU time that it has used alone: nobody has waited for it yet.
    """
    cpu_s, memory_bytes, processes = 0.0, 0, 0
    for entry in entries:
        try:
            process = psutil.Process(entry.pid)
            if process != entry.handle:  # the number is somebody else's by now
                continue
            with process.oneshot():
                cpu = process.cpu_times()
                memory = process.memory_info()
                is_zombie = process.status() == psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        # `children_…` holds what ended children had used, from the moment they were waited for.
        cpu_s += cpu.user + cpu.system
        cpu_s += getattr(cpu, "children_user", 0.0) + getattr(cpu, "children_system", 0.0)
        memory_bytes += memory.rss
        processes += not is_zombie
    return Usage(cpu_s=round(cpu_s, 2), memory_bytes=memory_bytes, processes=processes)
