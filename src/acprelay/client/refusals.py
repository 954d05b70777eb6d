"""Errors that a relay tells of, as the classes that they were there.

Pure: it knows neither HTTP nor JSON-RPC, which carry the same members.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from acprelay.errors import FieldValue, RelayError, RequestRefused

_OWN = {"code", "retryable", "hint", "message"}


def restored(message: str, data: Mapping[str, object]) -> RelayError:
    """Gives the error that a relay tells of.

    Args:
        message: What cannot be done, and why.
        data: What stands beside it: `code`, `retryable`, `hint`, and the error's fields.

    Returns:
        An error of the class with that code. Where this version knows none, a `RequestRefused`
        whose fields `refusal` and `is_temporary` hold the code, and whether another try can help.
    """
    code = str(data.get("code") or "")
    fields = dict(_fields(data))
    cls = _by_code().get(code)
    if cls is None:
        cls = RequestRefused
        fields |= {"refusal": code, "is_temporary": data.get("retryable") is True}
    # A class may make its message of its fields; this message was made where the error was raised.
    error = cls.__new__(cls)
    RelayError.__init__(error, message, hint=str(data.get("hint", "")), **fields)
    return error


def is_temporary(error: RelayError) -> bool:
    """Tells whether another try can help, also of an error whose code is not known here."""
    return error.retryable or error.fields.get("is_temporary") is True


def _fields(data: Mapping[str, object]) -> Iterator[tuple[str, FieldValue]]:
    for name, value in data.items():
        if name not in _OWN and (value is None or isinstance(value, str | int | float)):
            yield name, value


def _by_code() -> Mapping[str, type[RelayError]]:
    return {cls.code: cls for cls in _tree(RelayError)}


def _tree(cls: type[RelayError]) -> Iterator[type[RelayError]]:
    yield cls
    for each in cls.__subclasses__():
        yield from _tree(each)
