"""Errors that a relay tells of, as the classes that they were there.

Pure: it knows neither HTTP nor JSON-RPC, which carry the same members.
"""

from __future__ import annotations

from collections.abc import Mapping

from acprelay.errors import RelayError, RequestRefused, class_of, told


def restored(message: str, data: Mapping[str, object]) -> RelayError:
    """Gives the error that a relay tells of.

    Args:
        message: What cannot be done, and why.
        data: What stands beside it: `code`, `retryable`, `hint`, and the error's fields.

    Returns:
        An error of the class with that code. Where this version knows none, a `RequestRefused`
        whose fields `refusal` and `is_temporary` hold the code, and whether another try can help.
    """
    cls = class_of(data.get("code"))
    if cls is not None:
        return told(cls, message, data)
    refusal = str(data.get("code") or "")
    is_worth_a_try = data.get("retryable") is True
    return told(RequestRefused, message, data, refusal=refusal, is_temporary=is_worth_a_try)


def is_temporary(error: RelayError) -> bool:
    """Tells whether another try can help, also of an error whose code is not known here."""
    return error.retryable or error.fields.get("is_temporary") is True
