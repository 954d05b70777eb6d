from __future__ import annotations

from typing import get_args

import pytest
from acp import schema
from acp.meta import AGENT_METHODS, CLIENT_METHODS
from pydantic import BaseModel

from acprelay.wire import METHODS, Method, MethodKind, Scope, Sender, Server, describe, lookup

# Sent by real agents or clients, or named by the protocol's text, though the schema's tables of
# methods leave them out.
BESIDE_THE_SCHEMA = {"$/cancel_request", "session/set_model"}

# The params of each method that names a session or a request, and of each that might be taken to.
PARAMS: dict[str, type[BaseModel]] = {
    "initialize": schema.InitializeRequest,
    "authenticate": schema.AuthenticateRequest,
    "logout": schema.LogoutRequest,
    "session/new": schema.NewSessionRequest,
    "session/load": schema.LoadSessionRequest,
    "session/resume": schema.ResumeSessionRequest,
    "session/list": schema.ListSessionsRequest,
    "session/close": schema.CloseSessionRequest,
    "session/delete": schema.DeleteSessionRequest,
    "session/fork": schema.ForkSessionRequest,
    "session/prompt": schema.PromptRequest,
    "session/cancel": schema.CancelNotification,
    "session/set_mode": schema.SetSessionModeRequest,
    "session/set_config_option": schema.SetSessionConfigOptionSelectRequest,
    "session/update": schema.SessionNotification,
    "session/request_permission": schema.RequestPermissionRequest,
    "fs/read_text_file": schema.ReadTextFileRequest,
    "fs/write_text_file": schema.WriteTextFileRequest,
    "terminal/create": schema.CreateTerminalRequest,
    "terminal/output": schema.TerminalOutputRequest,
    "terminal/wait_for_exit": schema.WaitForTerminalExitRequest,
    "terminal/kill": schema.KillTerminalRequest,
    "terminal/release": schema.ReleaseTerminalRequest,
    "$/cancel_request": schema.CancelRequestNotification,
    "providers/list": schema.ListProvidersRequest,
    "providers/set": schema.SetProviderRequest,
    "providers/disable": schema.DisableProviderRequest,
    "nes/start": schema.StartNesRequest,
    "nes/suggest": schema.SuggestNesRequest,
    "nes/accept": schema.AcceptNesNotification,
    "nes/reject": schema.RejectNesNotification,
    "nes/close": schema.CloseNesRequest,
    "document/didOpen": schema.DidOpenDocumentNotification,
    "document/didChange": schema.DidChangeDocumentNotification,
    "document/didClose": schema.DidCloseDocumentNotification,
    "document/didSave": schema.DidSaveDocumentNotification,
    "document/didFocus": schema.DidFocusDocumentNotification,
    "mcp/connect": schema.ConnectMcpRequest,
    "mcp/message": schema.MessageMcpRequest,
    "mcp/disconnect": schema.DisconnectMcpRequest,
    "elicitation/complete": schema.CompleteElicitationNotification,
}

RESULTS: dict[str, type[BaseModel]] = {
    "session/new": schema.NewSessionResponse,
    "session/load": schema.LoadSessionResponse,
    "session/resume": schema.ResumeSessionResponse,
    "session/fork": schema.ForkSessionResponse,
    "session/prompt": schema.PromptResponse,
    "session/set_mode": schema.SetSessionModeResponse,
    "session/set_config_option": schema.SetSessionConfigOptionResponse,
    "nes/start": schema.StartNesResponse,
    "terminal/create": schema.CreateTerminalResponse,
}


def names(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def test_every_method_that_clients_send_has_a_row() -> None:
    for name in AGENT_METHODS.values():
        assert METHODS[name].sender in (Sender.CLIENT, Sender.BOTH)


def test_every_method_that_agents_send_has_a_row() -> None:
    for name in CLIENT_METHODS.values():
        assert METHODS[name].sender in (Sender.AGENT, Sender.BOTH)


def test_every_row_is_a_method_of_the_schema_or_known_otherwise() -> None:
    assert set(METHODS) - BESIDE_THE_SCHEMA == set(AGENT_METHODS.values()) | set(
        CLIENT_METHODS.values()
    )


def test_both_sides_send_what_both_tables_of_the_schema_have() -> None:
    both = set(AGENT_METHODS.values()) & set(CLIENT_METHODS.values())
    rows = {name for name, method in METHODS.items() if method.sender is Sender.BOTH}
    assert rows == both | {"$/cancel_request"}


@pytest.mark.requirement("identity.session-ids-are-rewritten")
@pytest.mark.parametrize("name", sorted(PARAMS))
def test_the_table_says_where_params_name_sessions_and_requests(name: str) -> None:
    method, members = METHODS[name], names(PARAMS[name])
    assert ("params.sessionId" in method.session_ids) == ("sessionId" in members)
    assert ("params.requestId" in method.request_ids) == ("requestId" in members)


def test_only_methods_without_params_of_one_shape_are_not_compared() -> None:
    assert set(METHODS) - set(PARAMS) == {"elicitation/create", "session/set_model"}


def test_an_elicitation_names_a_session_or_a_request() -> None:
    method = METHODS["elicitation/create"]
    assert "sessionId" in names(schema.CreateFormSessionElicitationRequest)
    assert "requestId" in names(schema.CreateFormRequestElicitationRequest)
    assert method.session_ids == ("params.sessionId",)
    assert method.request_ids == ("params.requestId",)
    assert method.scope is Scope.EITHER


@pytest.mark.requirement("identity.session-ids-are-rewritten")
@pytest.mark.parametrize("name", sorted(RESULTS))
def test_the_table_knows_every_result_that_names_a_session(name: str) -> None:
    seen_in_use = name in ("session/load", "session/resume")
    has_session = "sessionId" in names(RESULTS[name])
    assert ("result.sessionId" in METHODS[name].session_ids) == (has_session or seen_in_use)


def test_a_list_of_sessions_names_each() -> None:
    sessions = schema.ListSessionsResponse.model_fields["sessions"]
    assert schema.SessionInfo in get_args(sessions.annotation)
    assert METHODS["session/list"].session_ids == ("result.sessions[].sessionId",)


@pytest.mark.parametrize("name", sorted(PARAMS))
def test_the_kind_of_a_method_is_that_of_its_schema(name: str) -> None:
    if METHODS[name].kind is MethodKind.EITHER:
        assert hasattr(schema, "MessageMcpRequest")
        assert hasattr(schema, "MessageMcpNotification")
        assert name == "mcp/message"
        return
    is_notification = PARAMS[name].__name__.endswith("Notification")
    assert (METHODS[name].kind is MethodKind.NOTIFICATION) == is_notification


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_a_session_is_named_by_what_is_about_one(method: Method) -> None:
    assert ("params.sessionId" in method.session_ids) == (method.scope is not Scope.CONNECTION)


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_what_clients_send_is_served_by_someone(method: Method) -> None:
    assert (method.served_by is None) == (method.sender is Sender.AGENT)


def test_the_relay_serves_what_is_about_the_sessions_it_keeps() -> None:
    served = {name for name, method in METHODS.items() if method.served_by is Server.RELAY}
    assert served == {
        "initialize",
        "session/new",
        "session/load",
        "session/resume",
        "session/list",
        "session/close",
        "session/delete",
        "$/cancel_request",
    }


def test_a_fork_is_refused() -> None:
    refused = [name for name, method in METHODS.items() if method.served_by is Server.REFUSED]
    assert refused == ["session/fork"]


def test_what_is_no_method_of_acp_has_no_row() -> None:
    assert lookup("session/prompt") is METHODS["session/prompt"]
    assert lookup("_x/y") is None
    assert lookup("craft/drainMidTurnQueue") is None


@pytest.mark.parametrize("name", ["_x/y", "craft/drainMidTurnQueue", ""])
def test_what_is_no_method_of_acp_passes_through(name: str) -> None:
    method = describe(name)
    assert method.name == name
    assert (method.sender, method.kind, method.scope) == (
        Sender.BOTH,
        MethodKind.EITHER,
        Scope.EITHER,
    )
    assert method.served_by is Server.AGENT
    assert method.session_ids == ("params.sessionId", "result.sessionId")
    assert not method.is_stable


def test_a_method_of_acp_is_described_by_its_row() -> None:
    assert describe("initialize") is METHODS["initialize"]
    assert METHODS["initialize"].is_stable
    assert not METHODS["session/set_model"].is_stable


def test_an_extension_is_told_by_its_underscore() -> None:
    assert describe("_x/y").is_extension
    assert not describe("x/y").is_extension
    assert not any(method.is_extension for method in METHODS.values())
