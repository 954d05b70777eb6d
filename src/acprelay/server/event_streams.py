"""What the answers have in common that are streams of server-sent events.

What an event says is not known here.
"""

from __future__ import annotations

EVENT_STREAM = "text/event-stream"

HEADERS = {
    "Content-Type": EVENT_STREAM,
    "Cache-Control": "no-store, no-transform",  # what compresses would keep events back
    "X-Accel-Buffering": "no",  # and so would nginx
}
