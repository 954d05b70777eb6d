"""The protocol's own schema, as a judge of single messages.

It is stricter than the schema's letter in one thing. ACP, "Extensibility": implementations must not
add members of their own to the protocol's types but in `_meta`; the schema lets them pass, this
does not, on the level of params, of a result, and of an update.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema_rs import Draft202012Validator

Message = Mapping[str, Any]

_FILE = Path(__file__).parents[1] / "acp_schema" / "v1.json"
_PASSED_ON = ("initialize", "session/new", "session/load", "session/resume")
"""What else an agent says in these results, such as its models, a relay gives to its clients."""
_KINDS = ("Request", "Notification", "Response")


@cache
def _definitions() -> dict[str, Any]:
    definitions: dict[str, Any] = json.loads(_FILE.read_text())["$defs"]
    return definitions


@cache
def _named(method: str, *kinds: str) -> str | None:
    """Gives the definition of a method's params, or of its result."""
    for name, definition in _definitions().items():
        if definition.get("x-method") == method and name.endswith(kinds):
            return str(name)
    return None


@cache
def _validator(name: str, *, closed: bool) -> Draft202012Validator:
    schema: dict[str, Any] = {"$ref": f"#/$defs/{name}", "$defs": _definitions()}
    return Draft202012Validator(schema | ({"unevaluatedProperties": False} if closed else {}))


def knows(method: str) -> bool:
    """Whether the protocol names a method."""
    return _named(method, *_KINDS) is not None


def fits(name: str, value: object) -> bool:
    """Whether a value is what a definition of the schema says."""
    return _validator(name, closed=False).is_valid(value)


def faults_of_call(message: Message) -> Iterator[str]:
    """Says what is wrong with a request or a notification."""
    method = message["method"]
    yield from _faults("RequestId", message.get("id", 0), f"the id of {method}")
    name = _named(method, "Request", "Notification")
    if name is None:
        if not method.startswith("_"):
            yield f"{method} is no method of the protocol, and not marked as an extension"
        return
    if ("id" in message) != name.endswith("Request"):
        yield f"{method} is a {name}, and was not sent as one"
    params = message.get("params")
    yield from _faults(name, params, f"the params of {method}")
    if method == "session/update" and isinstance(params, dict):
        yield from _faults("SessionUpdate", params.get("update"), "an update")


def faults_of_result(method: str, result: object) -> Iterator[str]:
    """Says what is wrong with the result of a request."""
    name = _named(method, "Response")
    if name is not None:
        is_closed = method not in _PASSED_ON
        yield from _faults(name, result, f"the result of {method}", closed=is_closed)
    elif not isinstance(result, dict):
        yield f"the result of {method} is no object"


def faults_of_error(error: object) -> Iterator[str]:
    """Says what is wrong with an error."""
    yield from _faults("Error", error, "an error")


def _faults(name: str, value: object, what: str, *, closed: bool = True) -> Iterator[str]:
    try:
        errors = list(_validator(name, closed=closed).iter_errors(value))
    except UnicodeEncodeError:
        yield f"{what} hold half a character"
        return
    for error in errors:
        place = "/".join(map(str, error.instance_path))
        yield f"{what} is no {name}: {error.message[:300]} (at {place or 'its top'})"
