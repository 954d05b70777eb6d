"""Serves operations: reads a request, lets in who may, and writes what comes of it.

It knows no resource. Who makes a request was found before (`server.principals`); that a request
comes from a page of another origin is refused before it gets here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler as WebHandler

from acprelay.config import Limits
from acprelay.errors import InvalidParams, RelayError, SessionNotFound, UnsupportedMediaType
from acprelay.routing.access import Grant, lacking
from acprelay.server.api.operations import PREFIX, Call, Operation, Reach
from acprelay.server.bodies import read_body
from acprelay.server.principals import check_still_admitted, principal_of
from acprelay.server.problems import problem

logger = logging.getLogger(__name__)


OPERATIONS = web.AppKey("operations", tuple[Operation, ...])
"""What an application serves below the prefix."""


def add_operations(
    app: web.Application, operations: Sequence[Operation], *, limits: Limits
) -> None:
    """Adds a route for each operation; bodies are read within limits."""
    app[OPERATIONS] = tuple(operations)
    for operation in operations:
        app.router.add_route(
            operation.method,
            PREFIX + operation.path,
            _handler(operation, limits),
            name=operation.id,
        )


def _handler(operation: Operation, limits: Limits) -> WebHandler:
    decode = None if operation.body is None else msgspec.json.Decoder(operation.body).decode

    async def serve(request: web.Request) -> web.StreamResponse:
        try:
            call: Call[None, None] = Call(
                request=request,
                principal=principal_of(request),
                path=dict(request.match_info),
                query=None,
                body=None,
            )
            # First: who may not do something learns nothing of what it takes.
            _admit(operation, call)
            read = await _read(operation, decode, call, limits)
            return _answer(operation, await operation.handler(read))
        except RelayError as error:
            return problem(error)
        except (asyncio.CancelledError, web.HTTPException, ConnectionError):
            raise
        except Exception:
            logger.exception("cannot serve %s %s", operation.method, operation.path)
            return problem(RelayError("cannot serve this request", hint="see the relay's log"))

    return serve


# -- reading


async def _read(
    operation: Operation,
    decode: Callable[[bytes], object] | None,
    call: Call[None, None],
    limits: Limits,
) -> Call[object, object]:
    request = call.request
    body: object = None
    if decode is not None:
        _check_type(request)
        raw = await read_body(request, most=limits.body_bytes, within_s=limits.body_s)
        check_still_admitted(request)  # a token may have been taken back while the body came
        body = _decode(decode, raw)
    elif request.body_exists and operation.method != "GET":
        _check_type(request)
    return Call(
        request=request,
        principal=call.principal,
        path=call.path,
        query=_query(operation, request),
        body=body,
    )


def _check_type(request: web.Request) -> None:
    if request.content_type != "application/json" or "Content-Type" not in request.headers:
        raise UnsupportedMediaType(media=request.headers.get("Content-Type", ""))


def _decode(decode: Callable[[bytes], object], raw: bytes) -> object:
    try:
        return decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParams(
            f"cannot read the body: {error}", hint=f"see {PREFIX}/docs for what it may hold"
        ) from error


def _query(operation: Operation, request: web.Request) -> object:
    given = dict(request.query)
    try:
        if len(given) != len(request.query):
            raise InvalidParams(
                "cannot read the query: a name comes twice", hint="give each parameter once"
            )
        return msgspec.convert(given, type=operation.query, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidParams(
            f"cannot read the query: {error}", hint=f"see {PREFIX}/docs for what it may hold"
        ) from error


# -- admitting


def _admit(operation: Operation, call: Call[None, None]) -> None:
    """Lets in who has the grant; what somebody may not observe does not exist for them.

    Raises:
        SessionNotFound: The principal may not observe what the path names.
        Forbidden: It may, and lacks the grant.
    """
    principal, grant = call.principal, operation.grant
    match operation.reach:
        case Reach.SESSION:
            if not principal.may(Grant.OBSERVE, call.key):
                raise SessionNotFound(key=str(call.key))
            principal.require(grant, call.key)
        case Reach.GROUP:
            if not principal.may_in_group(Grant.OBSERVE, call.group):
                raise SessionNotFound(key=call.group, what="group")
            if not principal.may_in_group(grant, call.group):
                raise lacking(grant, call.group)
        case Reach.RELAY:
            if not (principal.may_anywhere(grant) and principal.scope.is_everything):
                raise lacking(grant, "everything")
        case Reach.WITHIN:
            if not principal.may_anywhere(grant):
                raise lacking(grant, "anything")


# -- answering


def _answer(operation: Operation, result: object) -> web.StreamResponse:
    if isinstance(result, web.StreamResponse):
        return result
    if operation.result is None:
        return web.Response(status=204)
    return web.Response(
        status=operation.status,
        body=msgspec.json.encode(result) + b"\n",  # for people, in terminals
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
