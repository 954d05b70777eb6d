"""Writes the OpenAPI document of the control API, from the operations and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from inspect import cleandoc
from typing import Any

import msgspec

from acprelay.error_mapping import outside
from acprelay.errors import (
    Forbidden,
    FrameTooLarge,
    InvalidParams,
    LimitReached,
    RelayError,
    SessionNotFound,
    Unauthorized,
    UnsupportedMediaType,
)
from acprelay.server.api.operations import Operation, Reach
from acprelay.session.models import KEY_PART_PATTERN

_REF = "#/components/schemas/{name}"
_PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}

_VARIABLES = {
    "session": ("A session's public id.", f"^{KEY_PART_PATTERN}:{KEY_PART_PATTERN}$"),
    "group": ("A group's id.", f"^{KEY_PART_PATTERN}$"),
}


class Problem(msgspec.Struct, kw_only=True):
    """A problem document (RFC 9457), with the members that all errors of the relay have.

    Attributes:
        type: `about:blank`: programs branch on `code`.
        title: What cannot be done, and why.
        status: The HTTP status.
        code: What programs branch on.
        retryable: Whether the same request may succeed later.
        hint: What to do next.
    """

    type: str
    title: str
    status: int
    code: str
    retryable: bool
    hint: str


def document(operations: Sequence[Operation], *, version: str, base: str) -> dict[str, Any]:
    """Writes the document.

    Args:
        operations: The operations.
        version: The relay's version.
        base: The path that they are below.
    """
    named = {Problem, *_types(operations)}
    types = sorted(named, key=lambda each: getattr(each, "__name__", str(each)))
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    references = dict(zip(types, schemas, strict=True))
    classes = {each.__name__: each for each in _structs(msgspec.Struct)}
    for name in components.keys() & classes.keys():  # the others are enumerations
        _tidy(components[name], classes[name])
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        described = _operation(operation, references, components)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "acprelay",
            "version": version,
            "description": "The control API of a relay for agents that speak ACP.",
        },
        "servers": [{"url": base}],
        "security": [{"bearer": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(each.tag for each in operations)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of the relay; `acprelay token create` makes one.",
                }
            },
        },
    }


def refusals(operation: Operation) -> dict[int, list[str]]:
    """Gives the codes that an operation may be refused with, by their HTTP status."""
    classes: list[type[RelayError]] = [InvalidParams, Unauthorized, Forbidden, LimitReached]
    if operation.reach in (Reach.SESSION, Reach.GROUP):
        classes.append(SessionNotFound)
    if operation.method != "GET":
        classes += [UnsupportedMediaType, FrameTooLarge]
    classes += [*operation.errors, RelayError]
    codes: dict[int, list[str]] = {}
    for cls in dict.fromkeys(classes):
        for each in (cls, *_subclasses(cls)) if cls is not RelayError else (cls,):
            told = codes.setdefault(outside(each).http_status, [])
            if each.code not in told:
                told.append(each.code)
    return codes


def _types(operations: Iterable[Operation]) -> set[Any]:
    return {
        taken
        for each in operations
        for taken in (each.query, each.body, each.result)
        if taken is not None
    }


def _operation(
    operation: Operation, references: dict[Any, Any], components: dict[str, Any]
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "description": _description(operation),
        "tags": [operation.tag],
        "parameters": [
            *map(_variable, operation.variables),
            *_query(operation, components),
        ],
        "responses": _responses(operation, references),
    }
    if operation.body is not None:
        content: dict[str, Any] = {"schema": references[operation.body]}
        if operation.body_example is not None:
            content["example"] = msgspec.to_builtins(operation.body_example)
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": content},
        }
    return described


def _description(operation: Operation) -> str:
    where = {
        Reach.SESSION: "for the session",
        Reach.GROUP: "for the group",
        Reach.RELAY: "for everything",
        Reach.WITHIN: "and covers what the token's scope does",
    }[operation.reach]
    needed = f"Takes the grant `{operation.grant}` {where}."
    return f"{cleandoc(operation.description)}\n\n{needed}".strip()


def _variable(name: str) -> dict[str, Any]:
    description, pattern = _VARIABLES.get(name, (f"Names the {name}.", "^[^/]{1,200}$"))
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", "pattern": pattern},
    }


def _query(operation: Operation, components: dict[str, Any]) -> list[dict[str, Any]]:
    schema = components[operation.query.__name__]
    required = schema.get("required", ())
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "schema": {key: value for key, value in _given(member).items() if key != "description"},
            "description": _given(member).get("description", ""),
        }
        for name, member in schema["properties"].items()
    ]


def _given(member: dict[str, Any]) -> dict[str, Any]:
    """A query has no null: what may be left out is what it is when it is given."""
    choices = [each for each in member.get("anyOf", ()) if each.get("type") != "null"]
    if len(choices) == 1:
        words = {"description": member["description"]} if "description" in member else {}
        return {**words, **choices[0]}
    plain = {key: value for key, value in member.items() if value is not None}
    if None in plain.get("enum", ()):
        plain["enum"] = [each for each in plain["enum"] if each is not None]
    return plain


def _responses(operation: Operation, references: dict[Any, Any]) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    if operation.result is not None:
        content: dict[str, Any] = {"schema": references[operation.result]}
        if operation.example is not None:
            content["example"] = msgspec.to_builtins(operation.example)
        answers[str(operation.status)] = {
            "description": HTTPStatus(operation.status).phrase,
            "content": {operation.media: content},
        }
    elif operation.media != "application/json":
        schema = {"schema": {"type": "string"}}
        answers["200"] = {"description": "OK", "content": {operation.media: schema}}
    else:
        answers["204"] = {"description": "Done; there is nothing to say"}
    for status, codes in sorted(refusals(operation).items()):
        answers[str(status)] = {
            "description": "`" + "`, `".join(codes) + "`",
            "content": {"application/problem+json": {"schema": _PROBLEM_REF}},
        }
    return answers


def _tidy(schema: dict[str, Any], cls: type) -> None:
    """Turns a docstring's `Attributes:` into what OpenAPI has for it: members' descriptions."""
    schema["description"] = " ".join(_doc(cls).partition("Attributes:")[0].split())
    members: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        tail = _doc(base).partition("Attributes:")[2]
        members |= {_camel(name): words for name, words in _attributes(tail)}
    for name, member in schema.get("properties", {}).items():
        if name in members:
            member.setdefault("description", members[name])


def _doc(cls: type) -> str:
    return cleandoc(cls.__doc__ or "")


def _structs(base: type[msgspec.Struct]) -> Iterable[type[msgspec.Struct]]:
    for each in base.__subclasses__():
        if each.__module__.startswith(__package__):
            yield each
        yield from _structs(each)


def _attributes(text: str) -> Iterable[tuple[str, str]]:
    name, words = "", ""
    for line in text.splitlines():
        if line.startswith("    ") and not line.startswith("     "):
            if name:
                yield name, words
            name, _, words = line.strip().partition(": ")
        elif line.strip():
            words = f"{words} {line.strip()}"
    if name:
        yield name, words


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _subclasses(cls: type[RelayError]) -> Iterable[type[RelayError]]:
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)
