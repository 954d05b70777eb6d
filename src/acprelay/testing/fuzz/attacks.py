"""All attacks, and how a relay may take each of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from acprelay.testing.fuzz import crowds, frame_attacks, http_attacks, message_attacks
from acprelay.testing.fuzz.line import HUNG_UP, NO_UPGRADE, Site
from acprelay.testing.fuzz.message_attacks import ALIVE


class Attack(NamedTuple):
    """One kind of abuse.

    Attributes:
        run: Does it, once, and gives how the relay took each part of it.
        allowed: How it may: HTTP statuses, the codes of closes, `HUNG_UP`, `ALIVE`.
    """

    run: Callable[[Site], Awaitable[Sequence[str]]]
    allowed: frozenset[str]

    @property
    def name(self) -> str:
        """What it is called."""
        return getattr(self.run, "__name__", "attack")


_REFUSED = frozenset({"400", "403", "404", "405", "413", "414", "426", "431", HUNG_UP})
_LATE = frozenset({"408", "429", HUNG_UP})
_CUT = frozenset({"1002", "1007", "1009", HUNG_UP})
_UNGREETED = frozenset({"1008"})
"""None of these says `initialize`, which a relay waits for no longer than it is told to."""

ATTACKS = (
    Attack(http_attacks.huge_headers, frozenset({"431", HUNG_UP})),
    Attack(http_attacks.smuggling, _REFUSED),
    Attack(http_attacks.bad_chunks, _REFUSED | _LATE),
    Attack(http_attacks.no_http, _REFUSED),
    Attack(http_attacks.bad_upgrades, _REFUSED),
    Attack(http_attacks.slow_heads, _LATE | _REFUSED),
    Attack(http_attacks.slow_bodies, _LATE | _REFUSED),
    Attack(http_attacks.random_posts, _REFUSED | {"200", "201", "202", "409", "415", "501"}),
    Attack(http_attacks.unread_streams, frozenset({"200", "429"})),
    Attack(http_attacks.half_open, _LATE | _REFUSED),
    Attack(http_attacks.pipelining, frozenset({"200", HUNG_UP})),
    Attack(frame_attacks.bad_frames, _CUT | _UNGREETED),
    Attack(frame_attacks.truncated_frames, _CUT | _UNGREETED | {"1000", "1006"}),
    Attack(frame_attacks.fragments, _CUT | _UNGREETED | {"1000"}),
    Attack(frame_attacks.too_large, _UNGREETED | {"1009", HUNG_UP}),
    Attack(frame_attacks.control_floods, _UNGREETED | {"1000", HUNG_UP}),
    Attack(frame_attacks.slow_frames, _UNGREETED | {HUNG_UP}),
    Attack(frame_attacks.frame_noise, _CUT | _UNGREETED | {"1000"}),
    Attack(message_attacks.crafted_messages, frozenset({ALIVE})),
    Attack(message_attacks.random_messages, frozenset({ALIVE})),
    Attack(message_attacks.random_bytes, frozenset({ALIVE})),
    Attack(crowds.silent_crowd, frozenset({"408", "503", HUNG_UP})),
    Attack(crowds.unfinished_crowd, frozenset({"408", "503", HUNG_UP})),
    Attack(crowds.ungreeted_crowd, _UNGREETED | {NO_UPGRADE, HUNG_UP}),
    Attack(crowds.churn, frozenset()),
)
