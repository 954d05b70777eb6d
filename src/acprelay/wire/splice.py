"""Replaces ids, session ids and the relay's stamp in a frame, and leaves every other byte alone.

The stamp stands at `params._meta.acprelay`, or in a response at `result._meta.acprelay`: ACP allows
`_meta` on every object, and this member of it belongs to the relay. This module knows where values
stand, and nothing of what they mean.
"""

from __future__ import annotations

from acprelay.wire.envelope import ARRAY, NULL, OBJECT, Envelope, MessageKind
from acprelay.wire.messages import json_name, json_string
from acprelay.wire.objects import Members, Span

_RESPONSE = MessageKind.RESPONSE
_Edit = tuple[int, int, bytes]


def rewrite(
    envelope: Envelope,
    *,
    id: bytes | None = None,  # noqa: A002  # JSON-RPC's name for it
    session_id: str | None = None,
    request_id: bytes | None = None,
    cwd: str | None = None,
    stamp: bytes | None = None,
    strip_stamp: bool = False,
) -> bytes:
    """Writes a frame with other values in it.

    The first four replace a value that is there, and do nothing where there is none.

    Args:
        envelope: The frame.
        id: Raw JSON for the message's `id`.
        session_id: For `params.sessionId`, or a response's `result.sessionId`.
        request_id: Raw JSON for `params.requestId`; a response has none.
        cwd: For `params.cwd`; a response has none.
        stamp: Raw JSON for `params._meta.acprelay`, or a response's `result._meta.acprelay`,
            whatever stands there. Missing or null `params` and `_meta` are made; a `_meta` that is
            no object, which ACP does not allow, is replaced. `params` that are an array, a `result`
            that is no object, and an error have no room, and stay.
        strip_stamp: Leave out `params._meta.acprelay`, with its comma, and nothing else; a `stamp`
            comes before this. A response stays.

    Returns:
        The frame, which is a new one.
    """
    if stamp is not None and session_id is not None and request_id is None and cwd is None:
        rewritten = _rewrite_usual(envelope, id, session_id, stamp)
        if rewritten is not None:
            return rewritten
    edits: list[_Edit] = []
    if id is not None and "id" in envelope.top:
        edits.append((*envelope.top["id"], id))
    body = envelope.body
    if session_id is not None and "sessionId" in body:
        edits.append((*body["sessionId"], json_string(session_id)))
    is_call = envelope.kind is not _RESPONSE
    if request_id is not None and is_call and "requestId" in body:
        edits.append((*body["requestId"], request_id))
    if cwd is not None and is_call and "cwd" in body:
        edits.append((*body["cwd"], json_string(cwd)))
    if stamp is not None:
        edits += _stampings(envelope, stamp)
    elif strip_stamp and is_call and "acprelay" in envelope.meta:
        edits.append(_stripping(envelope))
    return _apply(envelope.raw, edits)


def _rewrite_usual(
    envelope: Envelope, id_: bytes | None, session_id: str, stamp: bytes
) -> bytes | None:
    """Does what nearly all messages need, where it stands in the usual order; else gives None."""
    raw, top, body = envelope.raw, envelope.top, envelope.body
    if "sessionId" not in body:
        return None
    start, stop = body["sessionId"]
    if "_meta" in body:
        meta = envelope.meta
        end = body["_meta"][1] - 1
        if not meta or "acprelay" in meta or end < stop:
            return None
        entry = b',"acprelay":' + stamp
    else:
        end = top["result" if envelope.kind is _RESPONSE else "params"][1] - 1
        entry = b',"_meta":{"acprelay":%b}' % stamp
    quoted = json_name(session_id)
    if id_ is None or "id" not in top:
        return b"".join((raw[:start], quoted, raw[stop:end], entry, raw[end:]))
    begin, at = top["id"]
    if at > start:
        return None
    parts = (raw[:begin], id_, raw[at:start], quoted, raw[stop:end], entry, raw[end:])
    return b"".join(parts)


def _apply(raw: bytes, edits: list[_Edit]) -> bytes:
    edits.sort()
    parts: list[bytes] = []
    at = 0
    for start, stop, value in edits:
        parts += raw[at:start], value
        at = stop
    parts.append(raw[at:])
    return b"".join(parts)


def _stampings(envelope: Envelope, stamp: bytes) -> list[_Edit]:
    raw, top, body, meta = envelope.raw, envelope.top, envelope.body, envelope.meta
    if body and "_meta" not in body:
        end = top[envelope.body_name][1] - 1
        return [(end, end, b',"_meta":{"acprelay":%b}' % stamp)]
    if "acprelay" in meta:
        return [(*meta["acprelay"], stamp)]
    entry = b'"acprelay":' + stamp
    if "_meta" in body:
        return [_putting(raw, body["_meta"], meta, entry)]
    entry = b'"_meta":{' + entry + b"}"
    span = top.get(envelope.body_name)
    if envelope.kind is _RESPONSE and (span is None or raw[span[0]] != OBJECT):
        return []
    if span is None:
        whole = (raw.index(b"{"), raw.rindex(b"}") + 1)
        return [_putting(raw, whole, top, b'"params":{' + entry + b"}")]
    return [] if raw[span[0]] == ARRAY else [_putting(raw, span, body, entry)]


def _putting(raw: bytes, span: Span, members: Members, member: bytes) -> _Edit:
    """Adds a last member to an object; what is no object becomes one."""
    start, stop = span
    if raw[start] != OBJECT:
        return (start, stop, b"{" + member + b"}")
    return (stop - 1, stop - 1, b"," + member if members else member)


def _stripping(envelope: Envelope) -> _Edit:
    raw, meta = envelope.raw, envelope.meta
    names = list(meta)
    place = names.index("acprelay")
    stop = meta["acprelay"][1]
    if place:
        return (meta[names[place - 1]][1], stop, b"")
    if len(names) > 1:
        stop = raw.index(b",", stop) + 1
    return (envelope.body["_meta"][0] + 1, stop, b"")


def keep_meta(envelope: Envelope, names: frozenset[str]) -> bytes:
    """Writes a frame with only some members in the `_meta` of its `params`, or of its `result`.

    Args:
        envelope: The frame.
        names: The members that stay, with the values that they have.

    Returns:
        The frame: the same one where nothing is to be left out. A `_meta` that is no object, which
        ACP does not allow, becomes an empty one, unless it is null.
    """
    raw, meta, span = envelope.raw, envelope.meta, envelope.body.get("_meta")
    if span is None or raw[span[0]] == NULL or (raw[span[0]] == OBJECT and meta.keys() <= names):
        return raw
    kept = (b'"%b":%b' % (name.encode(), raw[slice(*meta[name])]) for name in meta if name in names)
    return _apply(raw, [(*span, b"{" + b",".join(kept) + b"}")])
