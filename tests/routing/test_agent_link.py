"""What is to be written to an agent: gathered, given once, told apart when it could not be."""

from __future__ import annotations

import pytest

from acprelay.errors import AgentBackedUp
from acprelay.routing.agent_link import AgentLink
from acprelay.wire import peek

BACKED_UP = AgentBackedUp(agent="coder", waiting=9, limit=8)
ASKED = peek(b'{"id":"a","method":"_x","params":{"sessionId":"s:main","_meta":{"acprelay":1}}}')


@pytest.fixture
def link() -> AgentLink:
    """One that a run has."""
    link = AgentLink()
    link.session_id = "own"
    return link


def test_messages_are_given_line_by_line_in_order_and_once(link: AgentLink) -> None:
    link.send(b'{"a":\n1}')
    link.forward(ASKED, b"7")
    link.forward(ASKED)
    link.send(b'{"b":2}')
    asked = b'{"id":%b,"method":"_x","params":{"sessionId":"own","_meta":{}}}\n'
    assert link.take() == (b'{"a": 1}\n', True, (), ())
    assert link.take() == (asked % b"7" + asked % b'"a"', False, (b"7",), ())
    assert link.take() == (b'{"b":2}\n', True, (), ())
    assert link.take() is None


def test_a_notification_has_no_id_of_the_relays(link: AgentLink) -> None:
    link.forward(peek(b'{"method":"_x","params":{"sessionId":"s:main"}}'))
    assert link.take() == (b'{"method":"_x","params":{"sessionId":"own"}}\n', False, (), ())
    assert link.refuse(BACKED_UP) == ()


def test_what_was_taken_last_can_be_refused_once(link: AgentLink) -> None:
    link.forward(ASKED, b"1")
    link.take()
    link.forward(ASKED, b"2")
    link.forward(ASKED, b"3")
    link.take()
    link.forward(ASKED, b"4")
    assert link.refuse(BACKED_UP) == (b"2", b"3")
    assert link.refuse(BACKED_UP) == ()
    link.take()
    assert link.refuse(BACKED_UP) == (b"4",)


def test_without_a_run_nothing_is_gathered() -> None:
    link = AgentLink()
    link.send(b"{}")
    link.forward(ASKED)
    assert link.take() is None


def test_with_its_run_everything_is_gone(link: AgentLink) -> None:
    link.forward(ASKED, b"1")
    link.take()
    link.forward(ASKED, b"2")
    link.close()
    assert link.session_id is None
    assert link.refuse(BACKED_UP) == ()
    link.session_id = "other"
    assert link.take() is None
    assert link.refuse(BACKED_UP) == ()
