"""Keys, specs, sessions and filters are values."""

from dataclasses import FrozenInstanceError, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acprelay.errors import InvalidKey
from acprelay.session import (
    KEY_PART_PATTERN,
    Handle,
    Session,
    SessionFilter,
    SessionKey,
    SessionSpec,
    SessionState,
)

PARTS = st.from_regex(KEY_PART_PATTERN, fullmatch=True)
SPEC = SessionSpec(session_id="task", role="db", agent="coder", cwd="/repo")
SESSION = Session(
    key=SessionKey("task", "db"),
    run=1,
    state=SessionState.ACTIVE,
    spec=SPEC,
    created_at=1.0,
)


def test_a_state_is_written_as_its_name() -> None:
    assert [str(state) for state in SessionState] == [
        "CREATED",
        "SPAWNING",
        "ACTIVE",
        "TERMINATING",
        "CLEANED",
    ]


def test_only_cleaned_is_terminal() -> None:
    assert [state for state in SessionState if state.is_terminal] == [SessionState.CLEANED]


def test_terminating_and_cleaned_sessions_are_ending() -> None:
    ending = [state for state in SessionState if state.is_ending]
    assert ending == [SessionState.TERMINATING, SessionState.CLEANED]


@given(session_id=PARTS, role=PARTS)
def test_a_key_reads_back_from_its_text(session_id: str, role: str) -> None:
    key = SessionKey(session_id, role)
    assert str(key) == f"{session_id}:{role}"
    assert SessionKey.parse(str(key)) == key


@pytest.mark.parametrize(
    "part", ["", "-a", "_a", "a b", "a/b", "a.b", "é", "a\n", "a" * 65, "a:b", "../a", "a\x00"]
)
def test_a_part_that_does_not_match_the_pattern_is_refused(part: str) -> None:
    with pytest.raises(InvalidKey, match="as a session id"):
        SessionKey(part, "main")
    with pytest.raises(InvalidKey, match="as a role"):
        SessionKey("task", part)


@pytest.mark.parametrize("part", ["a", "0", "A-_9", "a" * 64])
def test_a_part_that_matches_the_pattern_is_taken(part: str) -> None:
    assert SessionKey(part, part).session_id == part


@pytest.mark.parametrize("text", ["", "task", ":", "task:", ":main", "a:b:c", " a:b", "a:b\n"])
def test_text_that_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidKey):
        SessionKey.parse(text)


@given(text=st.text(max_size=12))
def test_parsing_any_text_gives_a_key_of_that_text_or_is_refused(text: str) -> None:
    try:
        key = SessionKey.parse(text)
    except InvalidKey:
        return
    assert str(key) == text


def test_a_session_tells_the_parts_of_its_key() -> None:
    assert (SESSION.session_id, SESSION.role) == ("task", "db")


@pytest.mark.parametrize("name", [field.name for field in fields(Session)])
def test_no_field_of_a_session_can_be_set(name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(SESSION, name, getattr(SESSION, name))


@pytest.mark.parametrize("name", [field.name for field in fields(SessionSpec)])
def test_no_field_of_a_spec_can_be_set(name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(SPEC, name, getattr(SPEC, name))


def test_no_part_of_a_key_can_be_set() -> None:
    key = SessionKey("task", "db")
    with pytest.raises(FrozenInstanceError):
        setattr(key, "role", "main")  # noqa: B010 - mypy refuses the plain assignment


def test_a_session_has_no_room_for_other_attributes() -> None:
    assert not hasattr(SESSION, "__dict__")


def test_the_metadata_of_a_spec_is_a_copy_that_cannot_be_changed() -> None:
    given_metadata = {"branch": "main"}
    spec = replace(SPEC, metadata=given_metadata)
    given_metadata["branch"] = "other"
    assert spec.metadata == {"branch": "main"}
    with pytest.raises(TypeError):
        spec.metadata["branch"] = "other"  # type: ignore[index]


def test_sessions_with_equal_fields_are_equal_and_hash_alike() -> None:
    twin = replace(SESSION, spec=replace(SPEC, metadata={}))
    assert twin == SESSION
    assert hash(twin) == hash(SESSION)


def test_a_filter_without_conditions_matches() -> None:
    assert SessionFilter().matches(SESSION)


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        (SessionFilter(session_id="task"), True),
        (SessionFilter(session_id="other"), False),
        (SessionFilter(role="db"), True),
        (SessionFilter(role="main"), False),
        (SessionFilter(agent="coder"), True),
        (SessionFilter(agent="tester"), False),
        (SessionFilter(states=frozenset({SessionState.ACTIVE, SessionState.CREATED})), True),
        (SessionFilter(states=frozenset({SessionState.CREATED})), False),
        (SessionFilter(states=frozenset()), False),
        (SessionFilter(session_id="task", role="db", agent="coder"), True),
        (SessionFilter(session_id="task", role="db", agent="tester"), False),
    ],
)
def test_a_filter_matches_what_satisfies_every_condition(
    wanted: SessionFilter, matches: bool
) -> None:
    assert wanted.matches(SESSION) is matches


def test_a_handle_starts_with_nothing_and_is_equal_to_itself_alone() -> None:
    first, second = Handle[str, str](), Handle[str, str]()
    assert (first.agent, first.process, first.spawn_task, first.attachments) == (
        None,
        None,
        None,
        {},
    )
    assert first != second
    first.attachments["a"] = "client"
    assert second.attachments == {}
