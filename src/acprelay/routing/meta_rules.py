"""What of a client's `_meta` passes where a client may not give orders to an agent.

Agents take orders from `_meta`, also about directories and about which commands run. Who may give
them is decided elsewhere.
"""

from __future__ import annotations

from acprelay.wire import Envelope, keep_meta, peek

_TRACE_MEMBERS = frozenset({"traceparent", "tracestate", "baggage"})
"""What ACP, "Extensibility", sets aside in `_meta` for W3C trace context: no agent acts by it."""


def without_orders(envelope: Envelope) -> Envelope:
    """Gives a message with no more in its outermost `_meta` than what stands there for tracing."""
    if "_meta" not in envelope.body:
        return envelope
    frame = keep_meta(envelope, _TRACE_MEMBERS)
    return envelope if frame is envelope.raw else peek(frame)
