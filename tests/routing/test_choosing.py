from __future__ import annotations

import pytest

from acprelay.errors import InvalidKey, InvalidParams
from acprelay.routing.choosing import JOINED, NO_AGENT, Choice, choose
from acprelay.session.models import SessionKey
from acprelay.wire import Envelope, peek

ADDRESS = Choice(agent="claude", role="main", group="task", worktree=False)
AGENTS = ("claude", "codex")


def new_session(own: bytes | None) -> Envelope:
    meta = b"" if own is None else b',"_meta":{"acprelay":%b}' % own
    return peek(b'{"id":1,"method":"session/new","params":{"cwd":"/w"%b}}' % meta)


def chosen(own: bytes | None, address: Choice = ADDRESS) -> Choice:
    return choose(address, new_session(own), agents=AGENTS)


@pytest.mark.parametrize("own", [None, b"{}", b"null", b'{"role":null,"worktree":null}'])
def test_a_session_that_chooses_nothing_is_as_the_address_says(own: bytes | None) -> None:
    address = Choice(agent="codex", role="db", group="task", worktree=True)
    assert chosen(own, address) == address


@pytest.mark.requirement("groups.roles-are-chosen-by-each-session")
def test_a_session_chooses_its_group_its_role_its_agent_and_its_worktree() -> None:
    own = b'{"group":"g-1","role":"auth","agent":"codex","worktree":true}'
    assert chosen(own) == Choice(agent="codex", role="auth", group="g-1", worktree=True)


def test_each_choice_stands_by_itself() -> None:
    assert chosen(b'{"role":"auth"}') == Choice(agent="claude", role="auth", group="task")
    assert chosen(b'{"agent":"codex"}') == Choice(agent="codex", role="main", group="task")
    assert chosen(b'{"group":"other"}') == Choice(agent="claude", role="main", group="other")
    address = Choice(agent="claude", worktree=True)
    assert chosen(b'{"worktree":false}', address) == Choice(agent="claude")


@pytest.mark.parametrize(
    "own", [b"[]", b'"auth"', b'{"role":1}', b'{"worktree":"yes"}', b'{"worktre":true}']
)
def test_what_cannot_be_read_is_refused_and_what_can_be_chosen_is_told(own: bytes) -> None:
    with pytest.raises(InvalidParams) as refused:
        chosen(own)
    assert refused.value.message.startswith("cannot read params._meta.acprelay: ")
    assert "worktree, a boolean" in refused.value.hint


def test_an_agent_that_is_not_there_is_refused_and_those_that_are_told() -> None:
    with pytest.raises(InvalidParams) as refused:
        chosen(b'{"agent":"nobody"}')
    assert refused.value.message == "cannot find agent 'nobody'"
    assert refused.value.hint.startswith("choose one of claude, codex; to offer another one, ")


def test_a_connection_to_the_relay_itself_opens_a_session_only_with_an_agent_of_its_own() -> None:
    address = Choice(agent=NO_AGENT)
    assert chosen(b'{"agent":"codex"}', address) == Choice(agent="codex")
    with pytest.raises(InvalidParams, match=r"^cannot find agent 'none'"):
        chosen(None, address)


@pytest.mark.parametrize("own", [b'{"role":""}', b'{"role":"a:b"}', b'{"group":"../up"}'])
def test_names_that_cannot_be_part_of_a_session_id_are_refused(own: bytes) -> None:
    with pytest.raises(InvalidKey):
        chosen(own)


def test_an_agent_from_elsewhere_gets_no_worktree_of_this_machine() -> None:
    assert Choice(agent=JOINED).worktree is False
    with pytest.raises(
        InvalidParams, match=r"^cannot give an agent that has dialled in a worktree"
    ):
        Choice(agent=JOINED, worktree=True)


def test_an_address_names_a_session_where_it_names_a_group() -> None:
    assert Choice(agent="codex").key is None
    assert Choice(agent="codex", group="task", role="db").key == SessionKey("task", "db")
