"""What clients are sent of an ask: the agent's request, and that an answer does not count.

Neither stands in a log, so their stamps have no number.
"""

from __future__ import annotations

from acprelay.errors import InvalidParams
from acprelay.routing.frames import NOTICE, error_fields, marker
from acprelay.wire import Envelope, json_name, json_string, rewrite
from acprelay.wire.envelope import OBJECT


def lane_stamp(generation: str, agent_session_id: str | None = None) -> bytes:
    """Builds the raw value of `params._meta.acprelay` for what is in no log.

    Args:
        generation: That of the conversation's log.
        agent_session_id: What the agent called the session, where that is not its own session's id.
    """
    stamp = b'{"generation":' + json_name(generation)
    if agent_session_id is not None:
        stamp += b',"agentSessionId":' + json_string(agent_session_id)
    return stamp + b"}"


def ask_frame(
    envelope: Envelope,
    *,
    ask_id: bytes,
    public_id: str,
    own_session_id: str,
    request_id: bytes | None,
    generation: str,
) -> bytes:
    """Writes an agent's request as clients get it.

    Args:
        envelope: The request.
        ask_id: The relay's raw id for it.
        public_id: The session's id as clients know it.
        own_session_id: The agent's id of its session; any other id that it names (a sub-agent's) is
            kept in the relay's `_meta`.
        request_id: The client's own raw id of the request that it is about, `null` where that is
            none of its; None where it is about none.
        generation: That of the conversation's log.
    """
    is_foreign = envelope.session_id not in (None, own_session_id)
    stamp = lane_stamp(generation, envelope.session_id if is_foreign else None)
    # A request without params stays one, and those of an array have no room.
    params = envelope.top.get("params")
    has_room = params is not None and envelope.raw[params[0]] == OBJECT
    return rewrite(
        envelope,
        id=ask_id,
        session_id=public_id,
        request_id=request_id,
        stamp=stamp if has_room else None,
    )


def answer_refused(error: InvalidParams, *, ask_id: str, public_id: str, generation: str) -> bytes:
    """Tells a client that its answer to an ask does not count.

    Args:
        error: Why.
        ask_id: The relay's id of the ask.
        public_id: The session's id as clients know it.
        generation: That of the conversation's log.
    """
    fields = {**error_fields(error), "ask": ask_id}
    return marker(NOTICE, public_id, fields, stamp=lane_stamp(generation))
