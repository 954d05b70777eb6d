"""Fields of log records: on whose behalf something is done, and what one record says of itself.

What is bound holds for the task that binds it, and for what that task calls; it costs nothing per
message. The library only keeps fields: a handler that knows them shows them, as `acprelay serve`
has one, and any other leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

FIELDS = "acprelay"
"""The attribute of a log record that holds the record's own fields."""

_bound: ContextVar[Mapping[str, object]] = ContextVar("acprelay_log_fields")


@contextmanager
def bound(**fields: object) -> Iterator[None]:
    """Adds fields to what is logged by this task, for as long as the context lasts.

    Args:
        fields: Never a secret.
    """
    token = _bound.set({**current(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def current() -> Mapping[str, object]:
    """The fields that are bound here."""
    return _bound.get({})


def also(**fields: object) -> dict[str, object]:
    """Gives fields for one record, as its `extra`.

    Args:
        fields: Never a secret.
    """
    return {FIELDS: fields}
