"""What an operation of the control API is: a value that serving, documents and tests read alike.

An operation names what it takes, what it gives, who may use it and what can go wrong. This module
knows no resource, and nothing of how a request is read.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from aiohttp import web

from acprelay.errors import InvalidKey, RelayError, SessionNotFound
from acprelay.routing.access import Grant, Principal
from acprelay.session.models import KEY_PART_PATTERN, SessionKey

PREFIX = "/api/v1"

QueryT = TypeVar("QueryT")
BodyT = TypeVar("BodyT")


class Reach(Enum):
    """Where an operation's grant has to hold, and who sees to that."""

    SESSION = auto()
    """For the session in the path."""
    GROUP = auto()
    """For the whole group in the path."""
    RELAY = auto()
    """For everything."""
    WITHIN = auto()
    """Anywhere; the handler confines what it shows and does to what the principal may."""


class Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The base of what operations give."""


class Taken(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The base of what operations take: a member that nobody knows is refused."""


class Nothing(Taken, frozen=True, kw_only=True):
    """Takes no members."""


def either(body: type[Taken], *members: str) -> Any:
    """Says of a body that it takes exactly one of some members; its handler sees to that.

    Args:
        body: The body.
        members: Their names in JSON.
    """
    choices = [{"required": [member]} for member in members]
    return Annotated[body, msgspec.Meta(extra_json_schema={"oneOf": choices})]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[QueryT, BodyT]):
    """One request for an operation, read and admitted.

    Attributes:
        request: The request itself, for answers that are no JSON.
        principal: Who makes it.
        path: The variables of the path.
        query: The query.
        body: The body.
    """

    request: web.Request
    principal: Principal
    path: Mapping[str, str]
    query: QueryT
    body: BodyT

    @property
    def key(self) -> SessionKey:
        """The session in the path.

        Raises:
            SessionNotFound: It is none that could exist.
        """
        try:
            return SessionKey.parse(self.path["session"])
        except InvalidKey:
            raise SessionNotFound(key=self.path["session"][:200]) from None

    @property
    def group(self) -> str:
        """The group in the path.

        Raises:
            SessionNotFound: It is none that could exist.
        """
        group = self.path["group"]
        if re.fullmatch(KEY_PART_PATTERN, group) is None:
            raise SessionNotFound(key=group[:200], what="group")
        return group


Handler = Callable[[Call[Any, Any]], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation.

    Attributes:
        id: Its `operationId`.
        method: How it is asked for; only `GET` changes nothing.
        path: Below the prefix; variables stand in braces.
        summary: What it does, in one line.
        description: What else a caller has to know: whether it may be repeated, above all.
        tag: The resource that it belongs to.
        query: What it takes in the query.
        body: What it takes in the body; None for a method without.
        result: What it gives, where that is JSON; None for nothing, or for another `media`.
        status: The status of its success.
        media: The content type of its answer.
        errors: What it may be refused for, besides what holds for all.
        grant: What a principal needs.
        reach: Where.
        handler: Does it. It gives an instance of `result`, or a response of its own.
        body_example: A body, as somebody might send it.
        example: An answer, as somebody might get it.
    """

    id: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    summary: str
    description: str = ""
    tag: str
    query: type[Taken] = Nothing
    body: Any = None
    result: Any = None
    status: int = 200
    media: str = "application/json"
    errors: tuple[type[RelayError], ...] = ()
    grant: Grant
    reach: Reach
    handler: Handler
    body_example: Taken | None = None
    example: object = None

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of the path's variables."""
        return tuple(re.findall(r"\{(\w+)\}", self.path))
