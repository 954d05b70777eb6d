"""The error tree: what programs branch on, what people read, and how it looks from outside."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import acprelay
from acprelay import errors
from acprelay.error_mapping import INTERNAL_ERROR, Outside, outside
from acprelay.errors import RelayError
from acprelay.routing.frames import error_reply

SOURCE = Path(acprelay.__file__).parent

# Programs branch on these: a change here breaks somebody.
STABLE = {
    "AgentAbsent": ("agent_absent", True, -32025, 503),
    "AgentBackedUp": ("agent_backed_up", True, -32024, 503),
    "AgentError": ("agent_error", False, -32603, 500),
    "AgentExited": ("agent_exited", True, -32021, 502),
    "AgentRefused": ("agent_refused", False, -32023, 502),
    "AgentUnresponsive": ("agent_unresponsive", True, -32022, 504),
    "ClientError": ("client_error", False, -32603, 500),
    "ConfigError": ("config_error", False, -32060, 500),
    "Conflict": ("conflict", True, -32050, 409),
    "RelayUnreachable": ("relay_unreachable", True, -32041, 502),
    "RequestRefused": ("request_refused", False, -32042, 502),
    "ConnectionNotFound": ("connection_not_found", False, -32047, 404),
    "CursorExpired": ("cursor_expired", False, -32043, 410),
    "FileMissing": ("file_missing", False, -32002, 404),
    "Forbidden": ("forbidden", False, -32040, 403),
    "FrameTooLarge": ("frame_too_large", False, -32030, 413),
    "InvalidKey": ("invalid_key", False, -32602, 400),
    "InvalidParams": ("invalid_params", False, -32602, 400),
    "InvalidRequest": ("invalid_request", False, -32600, 400),
    "InvalidTransition": ("invalid_transition", False, -32011, 409),
    "LimitReached": ("limit_reached", True, -32044, 429),
    "LinkGone": ("link_gone", False, -32026, 410),
    "LocalProtocolError": ("local_protocol_error", False, -32603, 500),
    "MethodNotFound": ("method_not_found", False, -32601, 404),
    "NotFound": ("not_found", False, -32002, 404),
    "NotRestorable": ("not_restorable", False, -32013, 409),
    "ParseFailed": ("parse_failed", False, -32700, 400),
    "ProtocolError": ("protocol_error", False, -32603, 500),
    "RelayDraining": ("relay_draining", True, -32052, 503),
    "RelayError": ("relay_error", False, -32603, 500),
    "RemoteProtocolError": ("remote_protocol_error", False, -32603, 500),
    "RequestCancelled": ("request_cancelled", False, -32800, 409),
    "RoleTaken": ("role_taken", False, -32014, 409),
    "ServiceError": ("service_error", False, -32080, 409),
    "SessionEnded": ("session_ended", False, -32012, 410),
    "SessionError": ("session_error", False, -32603, 500),
    "SessionExists": ("session_exists", False, -32010, 409),
    "SessionNotFound": ("session_not_found", False, -32002, 404),
    "SpawnFailed": ("spawn_failed", True, -32020, 502),
    "StoreError": ("store_error", False, -32603, 500),
    "Unauthorized": ("unauthorized", False, -32045, 401),
    "Unavailable": ("unavailable", True, -32051, 503),
    "UnsupportedMediaType": ("unsupported_media_type", False, -32600, 415),
    "WorkspaceError": ("workspace_error", False, -32070, 409),
}

# Classes that write their own message.
WORDED: list[RelayError] = [
    errors.AgentAbsent(session_id="a", role="main", after_s=1.5),
    errors.AgentBackedUp(agent="coder", waiting=2, limit=1),
    errors.AgentExited(agent="coder", status="exit status 3", stderr="boom"),
    errors.AgentExited(agent="coder", status="exit status 3"),
    errors.AgentRefused(agent="coder", method="initialize", reason="an error"),
    errors.AgentUnresponsive(agent="coder", method="initialize", after_s=1.5),
    errors.AgentUnresponsive(agent="coder", method="initialize", after_s=1.5, noise="é" * 200),
    errors.ConnectionNotFound(),
    errors.CursorExpired(oldest="g:7"),
    errors.Conflict(key="a:main", expected=1, found=None),
    errors.FileMissing(path="é" * 500),
    errors.FrameTooLarge(size=2, limit=1),
    errors.InvalidKey(part="role", value="é" * 200, pattern="x"),
    errors.InvalidTransition(state="CLEANED", event="SPAWN"),
    errors.InvalidTransition(state="CLEANED", event="SPAWN", key="a:main"),
    errors.LimitReached(limit="prompts that wait", most=16),
    errors.LinkGone(),
    errors.MethodNotFound(method="x" * 500),
    errors.NotFound(what="turn", name="é" * 500, hint="see the turns"),
    errors.NotRestorable(key="a:main", reason="its agent cannot"),
    errors.RelayDraining(),
    errors.RequestCancelled(method="session/request_permission"),
    errors.RoleTaken(key="a:main"),
    errors.SessionEnded(key="a:main", reason="its client left"),
    errors.SessionExists(key="a:main"),
    errors.SessionNotFound(key="a:main"),
    errors.UnsupportedMediaType(media="é" * 200),
]


def import_everything() -> None:
    """Imports every module, so that every subclass is known."""
    for module in pkgutil.walk_packages(acprelay.__path__, "acprelay."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)


def walk(cls: type[RelayError] = RelayError) -> Iterator[type[RelayError]]:
    """Gives the classes of the tree; tests derive some more."""
    yield cls
    for subclass in cls.__subclasses__():
        if subclass.__module__ == errors.__name__:
            yield from walk(subclass)


def worded_calls() -> Iterator[tuple[str, ast.Call]]:
    """Gives every place where an error is made whose message is written there."""
    own_words = {type(error).__name__ for error in WORDED}
    names = {cls.__name__ for cls in walk()} - own_words
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", None))
                if name in names:
                    yield f"{path.relative_to(SOURCE)}:{node.lineno}", node


def test_the_table_has_every_class() -> None:
    assert sorted(STABLE) == sorted(cls.__name__ for cls in walk())


def test_no_other_part_of_the_relay_has_errors_of_its_own() -> None:
    import_everything()
    elsewhere = {
        subclass.__module__
        for cls in walk()
        for subclass in cls.__subclasses__()
        if subclass.__module__.startswith("acprelay.")
    }
    assert elsewhere - {errors.__name__} == set()


@pytest.mark.parametrize("cls", list(walk()), ids=lambda cls: cls.__name__)
def test_codes_do_not_change(cls: type[RelayError]) -> None:
    seen = outside(cls)
    assert STABLE[cls.__name__] == (cls.code, cls.retryable, seen.jsonrpc_code, seen.http_status)


def test_no_two_classes_share_a_code() -> None:
    codes = [cls.code for cls in walk()]
    assert len(set(codes)) == len(codes)


def test_every_class_that_has_no_subclasses_is_mapped() -> None:
    inner = {base for cls in walk() for base in cls.__bases__}
    leaves = [cls for cls in walk() if cls not in inner]
    assert len(leaves) > 10
    # By identity: a class may be mapped to the very codes of an internal error.
    assert [cls for cls in leaves if outside(cls) is INTERNAL_ERROR] == []


def test_the_nearest_mapped_class_decides() -> None:
    class TooLargeByFar(errors.FrameTooLarge):
        pass

    assert outside(TooLargeByFar) == outside(errors.FrameTooLarge)
    assert outside(TooLargeByFar(size=2, limit=1)) == Outside(-32030, 413)


def test_what_is_not_mapped_is_an_internal_error() -> None:
    assert outside(RelayError("cannot go on")) is INTERNAL_ERROR


@pytest.mark.parametrize("cls", list(walk()), ids=lambda cls: cls.__name__)
def test_codes_stay_within_what_json_rpc_sets_aside_and_acp_leaves_free(
    cls: type[RelayError],
) -> None:
    jsonrpc_code, http_status = outside(cls)
    own = -32099 <= jsonrpc_code <= -32010
    assert own or jsonrpc_code in {-32700, -32600, -32601, -32602, -32603, -32002, -32800}
    assert 400 <= http_status < 600


def test_the_tree_is_drawn_as_it_is() -> None:
    drawn = re.findall(r"^([│ ]*[├└]── )?([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)
    names = {name: len(branch) // 4 for branch, name in drawn if name in STABLE}
    assert names == {cls.__name__: len(depth(cls)) for cls in walk()}


def depth(cls: type[RelayError]) -> list[type]:
    return [base for base in cls.__mro__[1:] if issubclass(base, RelayError)]


@pytest.mark.parametrize("error", WORDED, ids=lambda error: type(error).__name__)
def test_a_message_says_what_cannot_be_done_and_the_hint_what_to_do(error: RelayError) -> None:
    assert error.message.startswith("cannot ")
    assert not error.message.endswith(".")
    assert len(error.message) < 300
    assert str(error) == error.message
    assert error.data["code"] == type(error).code
    assert error.data["retryable"] is type(error).retryable
    assert error.data["hint"] == error.hint
    assert error.hint


@pytest.mark.parametrize("error", WORDED, ids=lambda error: type(error).__name__)
def test_every_error_can_be_sent(error: RelayError) -> None:
    sent = json.loads(error_reply(b"1", error))["error"]
    assert sent == {
        "code": outside(error).jsonrpc_code,
        "message": error.message,
        "data": error.data,
    }


def test_wherever_a_message_is_written_it_says_what_cannot_be_done() -> None:
    calls = list(worded_calls())
    assert len(calls) > 10
    wrong = [where for where, call in calls if not first_words(call).startswith("cannot ")]
    assert wrong == []


def test_wherever_a_message_is_written_a_hint_stands_beside_it() -> None:
    wrong = [
        where
        for where, call in worded_calls()
        if not any(keyword.arg == "hint" for keyword in call.keywords)
    ]
    assert wrong == []


def first_words(call: ast.Call) -> str:
    message = call.args[0] if call.args else None
    if isinstance(message, ast.JoinedStr):
        message = message.values[0]
    return str(message.value) if isinstance(message, ast.Constant) else ""


def test_fields_stand_beside_the_code_and_cannot_hide_it() -> None:
    error = RelayError("cannot go on", hint="stop", code="forged", size=3)
    assert error.data == {"code": "relay_error", "retryable": False, "hint": "stop", "size": 3}


def test_an_invalid_key_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match=r"^cannot use ''"):
        raise errors.InvalidKey(part="role", value="", pattern="x")


@pytest.mark.parametrize(
    ("stderr", "said"),
    [("boom", "see its last words, in stderr"), ("", "run its command by hand")],
)
def test_of_an_agent_that_has_ended_only_last_words_that_there_are_are_named(
    stderr: str, said: str
) -> None:
    error = errors.AgentExited(agent="coder", status="exit status 3", stderr=stderr)
    assert error.hint.startswith(f"{said}; a session that is open goes on")
