"""Sessions: their lifecycle, where they are kept, and the manager that drives them.

See the `README.md` beside this file for how a caller drives a session from start to end.
"""

from acprelay.session.cleanup import NoOpCleaner, NoOpScheduler
from acprelay.session.manager import LifecycleManager
from acprelay.session.models import (
    KEY_PART_PATTERN,
    Handle,
    Process,
    Session,
    SessionFilter,
    SessionKey,
    SessionSpec,
    SessionState,
    SpawnTask,
)
from acprelay.session.ports import (
    Cleaner,
    CleanupScheduler,
    Clock,
    ConnectionRegistry,
    IdGenerator,
    LifecycleHooks,
    SessionLifecycle,
    SessionManager,
    SessionStore,
)
from acprelay.session.registry_memory import MemoryRegistry
from acprelay.session.state_machine import (
    TRANSITIONS,
    Event,
    can_transition,
    legal_events,
    next_state,
)
from acprelay.session.store_memory import MemoryStore

__all__ = [
    "KEY_PART_PATTERN",
    "TRANSITIONS",
    "Cleaner",
    "CleanupScheduler",
    "Clock",
    "ConnectionRegistry",
    "Event",
    "Handle",
    "IdGenerator",
    "LifecycleHooks",
    "LifecycleManager",
    "MemoryRegistry",
    "MemoryStore",
    "NoOpCleaner",
    "NoOpScheduler",
    "Process",
    "Session",
    "SessionFilter",
    "SessionKey",
    "SessionLifecycle",
    "SessionManager",
    "SessionSpec",
    "SessionState",
    "SessionStore",
    "SpawnTask",
    "can_transition",
    "legal_events",
    "next_state",
]
