"""The wire: frames, their envelopes, and ACP's methods. Pure: bytes in, bytes out."""

from acprelay.wire.envelope import Envelope, MessageKind, peek
from acprelay.wire.framing import LineSplitter, OversizedFrame, bare, to_line
from acprelay.wire.messages import (
    error_response,
    json_name,
    json_string,
    notification,
    request,
    response,
    session_notification,
    stamp,
    stamp_around_seq,
    to_json,
)
from acprelay.wire.methods import (
    METHODS,
    Method,
    MethodKind,
    Scope,
    Sender,
    Server,
    describe,
    lookup,
)
from acprelay.wire.salvage import (
    TruncatedEnvelope,
    peek_refused,
    peek_refused_of_agent,
    peek_truncated,
)
from acprelay.wire.splice import keep_meta, rewrite
from acprelay.wire.stream import Buffer, Rewritten, UpdateStream
from acprelay.wire.updates import update_kind
from acprelay.wire.websocket import frames_size, skip, text_frame, text_header, walk

__all__ = [
    "METHODS",
    "Buffer",
    "Envelope",
    "LineSplitter",
    "MessageKind",
    "Method",
    "MethodKind",
    "OversizedFrame",
    "Rewritten",
    "Scope",
    "Sender",
    "Server",
    "TruncatedEnvelope",
    "UpdateStream",
    "bare",
    "describe",
    "error_response",
    "frames_size",
    "json_name",
    "json_string",
    "keep_meta",
    "lookup",
    "notification",
    "peek",
    "peek_refused",
    "peek_refused_of_agent",
    "peek_truncated",
    "request",
    "response",
    "rewrite",
    "session_notification",
    "skip",
    "stamp",
    "stamp_around_seq",
    "text_frame",
    "text_header",
    "to_json",
    "to_line",
    "update_kind",
    "walk",
]
