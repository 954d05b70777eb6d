"""Errors on the wire, as the classes that they were where they were raised."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from acprelay.client.refusals import is_temporary, restored
from acprelay.errors import (
    InvalidTransition,
    LimitReached,
    RelayError,
    RequestRefused,
    SessionNotFound,
)


def tree(cls: type[RelayError]) -> Iterator[type[RelayError]]:
    yield cls
    for each in cls.__subclasses__():
        yield from tree(each)


@pytest.mark.parametrize("cls", list(tree(RelayError)), ids=lambda cls: cls.__name__)
@pytest.mark.requirement("embedding.errors-keep-their-class")
def test_every_error_of_the_taxonomy_comes_back_as_its_class(cls: type[RelayError]) -> None:
    error = restored("cannot go on", {"code": cls.code, "hint": "wait", "retryable": True})
    assert type(error) is cls
    assert (error.message, error.hint) == ("cannot go on", "wait")


def test_an_error_keeps_its_message_and_its_fields() -> None:
    raised = LimitReached(limit="sessions", most=3)
    error = restored(raised.message, raised.data)
    assert isinstance(error, LimitReached)
    assert (error.message, error.data) == (raised.message, raised.data)


def test_what_a_class_tells_of_its_own_is_there() -> None:
    raised = InvalidTransition(state="active", event="clean")
    error = restored(raised.message, raised.data)
    assert isinstance(error, InvalidTransition)
    assert (error.state, error.event) == ("active", "clean")


@pytest.mark.parametrize("temporary", [True, False])
def test_a_code_of_a_later_version_is_a_refusal_that_names_it(temporary: bool) -> None:
    error = restored("cannot fly", {"code": "grounded", "retryable": temporary, "fog": 3})
    assert type(error) is RequestRefused
    assert error.fields == {"refusal": "grounded", "is_temporary": temporary, "fog": 3}
    assert is_temporary(error) is temporary


@pytest.mark.parametrize("data", [{}, {"code": 7}, {"code": None}, {"code": []}])
def test_an_error_without_a_code_is_a_refusal(data: dict[str, object]) -> None:
    assert type(restored("cannot go on", data)) is RequestRefused


def test_what_only_a_document_has_is_left_out() -> None:
    data = {"code": "session_not_found", "key": "a:b", "message": "x", "nested": {"a": 1}}
    error = restored("cannot find it", data)
    assert isinstance(error, SessionNotFound)
    assert error.fields == {"key": "a:b"}
    assert not is_temporary(error)
