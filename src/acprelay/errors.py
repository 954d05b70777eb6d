"""Every error that acprelay raises for a caller to catch.

```
RelayError
├── ConfigError               the relay cannot start as it was told to
├── SessionError
│   ├── SessionNotFound
│   ├── SessionExists
│   ├── SessionEnded
│   ├── InvalidTransition
│   ├── NotRestorable         the agent cannot take up an earlier run
│   ├── RoleTaken             an agent has dialled in to the role already
│   └── InvalidKey            also a ValueError
├── AgentError
│   ├── SpawnFailed
│   ├── AgentExited
│   ├── AgentUnresponsive
│   ├── AgentBackedUp
│   ├── AgentRefused          the agent answered a request of the relay with an error
│   ├── AgentAbsent           no agent has dialled in
│   └── LinkGone              the link that an agent wants to take up is no longer there
├── ProtocolError
│   ├── LocalProtocolError    the relay itself broke the protocol
│   └── RemoteProtocolError   the peer did
│       ├── ParseFailed
│       ├── InvalidRequest
│       ├── MethodNotFound
│       ├── InvalidParams
│       ├── RequestCancelled
│       ├── UnsupportedMediaType  what is sent over HTTP is no JSON
│       └── FrameTooLarge
├── ClientError
│   ├── Unauthorized          nobody is known by what was shown
│   ├── NotFound              something that is no session
│   ├── Forbidden
│   ├── ConnectionNotFound    it has ended, or is another's
│   ├── CursorExpired
│   ├── LimitReached
│   ├── RelayUnreachable
│   └── RequestRefused
├── ServiceError              a file or a terminal cannot be served to an agent
│   └── FileMissing
├── WorkspaceError            git or a worktree cannot do what is asked
└── StoreError
    ├── Conflict
    └── Unavailable
        └── RelayDraining     it is about to stop
```

An error names its cause in its message, which reads "cannot …", and its remedy in `hint`. `code` is
stable: programs branch on it, never on the message. This module knows nothing of JSON-RPC or HTTP;
`acprelay.error_mapping` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

FieldValue = str | int | float | bool | None

_NO_FIELDS = {"code", "retryable", "hint", "message"}


class RelayError(Exception):
    """The root of the tree.

    Args:
        message: What cannot be done, and why: one sentence, without a trailing period.
        hint: What to do next.
        fields: Facts for programs; they appear beside `code` in JSON-RPC's `error.data`.
    """

    code: ClassVar[str] = "relay_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "", **fields: FieldValue) -> None:
        super().__init__(message)
        self.hint = hint
        self.fields = fields

    @property
    def message(self) -> str:
        """What cannot be done, and why."""
        return str(self.args[0])

    @property
    def data(self) -> dict[str, FieldValue]:
        """What a program needs to branch on: `code`, `retryable`, `hint` and the fields."""
        return {**self.fields, "code": self.code, "retryable": self.retryable, "hint": self.hint}


def class_of(code: object) -> type[RelayError] | None:
    """Gives the class whose code that is; None where none has it."""
    return next((each for each in _tree(RelayError) if each.code == code), None)


def told(
    cls: type[RelayError], message: str, data: Mapping[str, object], **more: FieldValue
) -> RelayError:
    """Gives an error that was told as its message and its `data`, whatever carried them.

    Args:
        cls: Its class, which may make messages of its own: this one was made where it was raised.
        message: What cannot be done, and why.
        data: Its `data`; what is no field of an error is passed over.
        more: Further fields.
    """
    fields = {
        name: value
        for name, value in data.items()
        if name not in _NO_FIELDS and (value is None or isinstance(value, str | int | float))
    }
    error = cls.__new__(cls)
    RelayError.__init__(error, message, hint=str(data.get("hint", "")), **{**fields, **more})
    return error


def _tree(cls: type[RelayError]) -> Iterator[type[RelayError]]:
    yield cls
    for each in cls.__subclasses__():
        yield from _tree(each)


class ConfigError(RelayError):
    """The relay cannot start as it was told to."""

    code = "config_error"


class SessionError(RelayError):
    """A session cannot do what was asked."""

    code = "session_error"


class SessionNotFound(SessionError):
    """No session lives under the key, or none in the group."""

    code = "session_not_found"

    def __init__(self, *, key: str, what: str = "session") -> None:
        super().__init__(
            f"cannot find {what} {key!r}",
            hint="see session/list or acprelay sessions list; take part in one with "
            "session/load or session/resume, or open one with session/new",
            key=key,
        )


class SessionExists(SessionError):
    """A session already lives under the key."""

    code = "session_exists"

    def __init__(self, *, key: str) -> None:
        super().__init__(
            f"cannot create session {key!r}: it is there already",
            hint="load it with session/load, or choose another session or role",
            key=key,
        )


class SessionEnded(SessionError):
    """The session ended while something was asked of it.

    Args:
        key: The session's key.
        reason: Why it ended, in words.
    """

    code = "session_ended"

    def __init__(self, *, key: str, reason: str) -> None:
        super().__init__(
            f"cannot go on with session {key!r}: its run ended ({reason})",
            hint="prompt again to begin another run, where the agent can restore the session",
            key=key,
            reason=reason,
        )


class InvalidTransition(SessionError):
    """The lifecycle has no such step.

    Args:
        state: The session's state.
        event: What was asked of it.
        key: The session's key, where it is known.
    """

    code = "invalid_transition"

    def __init__(self, *, state: str, event: str, key: str | None = None) -> None:
        whose = f"session {key!r}" if key is not None else "a session"
        super().__init__(
            f"cannot apply {event} to {whose} in state {state}",
            hint="read the session's state again; sessions only move forward",
            state=state,
            event=event,
            key=key,
        )

    @property
    def state(self) -> str:
        """The session's state."""
        return str(self.fields["state"])

    @property
    def event(self) -> str:
        """What was asked of it."""
        return str(self.fields["event"])


class NotRestorable(SessionError):
    """The agent cannot take up what an earlier run of the conversation left.

    Args:
        key: The conversation's key.
        reason: Why, in words.
    """

    code = "not_restorable"

    def __init__(self, *, key: str, reason: str) -> None:
        super().__init__(
            f"cannot take conversation {key!r} up again: {reason}",
            hint="load it to read it, and open a new session to go on",
            key=key,
            reason=reason,
        )


class RoleTaken(SessionError):
    """An agent has dialled in to the role already."""

    code = "role_taken"

    def __init__(self, *, key: str) -> None:
        super().__init__(
            f"cannot join {key!r}: an agent has joined it already",
            hint="end that agent first, or join another role",
            key=key,
        )


class InvalidKey(SessionError, ValueError):
    """A session id or a role does not match its pattern."""

    code = "invalid_key"

    def __init__(self, *, part: str, value: str, pattern: str) -> None:
        super().__init__(
            f"cannot use {value[:80]!r} as a {part}",
            hint=f"a {part} matches {pattern}",
            part=part,
            value=value[:80],
        )


class AgentError(RelayError):
    """An agent cannot do its part."""

    code = "agent_error"


class SpawnFailed(AgentError):
    """The agent's program could not be started."""

    code = "spawn_failed"
    retryable = True


class AgentExited(AgentError):
    """The agent's program ended while something was asked of it.

    Args:
        agent: The agent's name in the catalog.
        status: How it ended, in words (`exit status 3`, `signal SIGKILL`).
        stderr: The last lines it wrote to its standard error.
    """

    code = "agent_exited"
    retryable = True

    def __init__(self, *, agent: str, status: str, stderr: str = "") -> None:
        see = "see its last words, in stderr" if stderr else "run its command by hand"
        super().__init__(
            f"cannot reach agent {agent!r}: it ended with {status}",
            hint=f"{see}; a session that is open goes on with the next prompt, where the agent can "
            "restore it",
            agent=agent,
            status=status,
            stderr=stderr,
        )


class AgentUnresponsive(AgentError):
    """The agent did not answer within its deadline.

    Args:
        agent: The agent's name in the catalog.
        method: What it was asked.
        after_s: How long it had.
        stderr: The last lines of its standard error.
        noise: The first line that it wrote instead and that was no message, or its beginning.
    """

    code = "agent_unresponsive"
    retryable = True

    def __init__(
        self, *, agent: str, method: str, after_s: float, stderr: str = "", noise: str = ""
    ) -> None:
        wrote = f"it wrote {noise[:80]!r}; ACP has one JSON message in UTF-8 on each line"
        super().__init__(
            f"cannot get an answer to {method} from agent {agent!r} within {after_s:g} s",
            hint=wrote
            if noise
            else "check that the agent's command speaks ACP on its standard input and output",
            agent=agent,
            method=method,
            after_s=after_s,
            stderr=stderr,
        )


class AgentBackedUp(AgentError):
    """The agent does not read what it is sent, and as much as may wait for it waits.

    Args:
        agent: The agent's name in the catalog.
        waiting: How many bytes wait for it.
        limit: How many may.
    """

    code = "agent_backed_up"
    retryable = True

    def __init__(self, *, agent: str, waiting: int, limit: int) -> None:
        super().__init__(
            f"cannot send to agent {agent!r}: {waiting} bytes wait for it to read",
            hint="try again later, or cancel the turn",
            agent=agent,
            waiting=waiting,
            limit=limit,
        )


class AgentRefused(AgentError):
    """The agent answered a request that the relay made for itself with an error."""

    code = "agent_refused"

    def __init__(self, *, agent: str, method: str, reason: str) -> None:
        super().__init__(
            f"cannot use agent {agent!r}: it answered {method} with {reason}",
            hint="run the agent's command by hand to see what it lacks",
            agent=agent,
            method=method,
        )


class AgentAbsent(AgentError):
    """No agent has dialled in to the role, and a client cannot wait any longer."""

    code = "agent_absent"
    retryable = True

    def __init__(self, *, session_id: str, role: str, after_s: float) -> None:
        super().__init__(
            f"cannot reach an agent: none has joined {session_id}:{role} within {after_s:g} s",
            hint=f"start one with: acprelay join --session {session_id} --role {role} -- COMMAND; "
            "acprelay invite gives it a token",
            key=f"{session_id}:{role}",
            after_s=after_s,
        )


class LinkGone(AgentError):
    """The link that an agent wants to take up is no longer there: its agent is to be ended."""

    code = "link_gone"

    def __init__(self) -> None:
        super().__init__(
            "cannot take the link up again: the relay has given it up",
            hint="end the agent, and join with another one",
        )


class ProtocolError(RelayError):
    """JSON-RPC or ACP was broken."""

    code = "protocol_error"


class LocalProtocolError(ProtocolError):
    """The relay itself tried to break the protocol: a defect of ours."""

    code = "local_protocol_error"


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol."""

    code = "remote_protocol_error"


class ParseFailed(RemoteProtocolError):
    """A frame is not JSON in UTF-8."""

    code = "parse_failed"


class InvalidRequest(RemoteProtocolError):
    """A frame is JSON, but no JSON-RPC message, or it comes at the wrong time."""

    code = "invalid_request"


class MethodNotFound(RemoteProtocolError):
    """Nobody here serves the method."""

    code = "method_not_found"

    def __init__(self, *, method: str, hint: str = "") -> None:
        super().__init__(
            f"cannot serve {method[:120]!r}",
            hint=hint or "see agentCapabilities in the answer to initialize",
            method=method[:120],
        )


class InvalidParams(RemoteProtocolError):
    """A request's params lack something, or hold something else than they should."""

    code = "invalid_params"


class RequestCancelled(RemoteProtocolError):
    """The peer that asked no longer wants the answer (ACP, "Cancellation")."""

    code = "request_cancelled"

    def __init__(self, *, method: str) -> None:
        super().__init__(
            f"cannot answer {method[:120]!r}: it was cancelled",
            hint="ask again if the answer is still wanted",
            method=method[:120],
        )


class FrameTooLarge(RemoteProtocolError):
    """One message is longer than the limit.

    Args:
        size: Its length in bytes.
        limit: The most bytes that one message may have.
    """

    code = "frame_too_large"

    def __init__(self, *, size: int, limit: int) -> None:
        super().__init__(
            f"cannot relay a message of {size} bytes: the limit is {limit}",
            hint="send it in smaller messages, or raise the relay's frame limit",
            size=size,
            limit=limit,
        )


class UnsupportedMediaType(RemoteProtocolError):
    """What a request sends over HTTP is not said to be JSON."""

    code = "unsupported_media_type"

    def __init__(self, *, media: str) -> None:
        super().__init__(
            f"cannot take a body of type {media[:80]!r}",
            hint="send JSON, with the header Content-Type: application/json",
            media=media[:80],
        )


class ClientError(RelayError):
    """A client does not get what it asked for."""

    code = "client_error"


class NotFound(ClientError):
    """There is nothing of that name, or nothing that this client may see.

    Args:
        what: What is looked for, in words.
        name: Its name.
        hint: Where those that there are can be seen.
    """

    code = "not_found"

    def __init__(self, *, what: str, name: str, hint: str) -> None:
        super().__init__(f"cannot find {what} {name[:200]!r}", hint=hint, name=name[:200])


class Unauthorized(ClientError):
    """The request shows no token, or one that is unknown, has expired or was revoked."""

    code = "unauthorized"


class Forbidden(ClientError):
    """The request comes from where none is taken, is out of bounds, or takes a missing grant."""

    code = "forbidden"


class ConnectionNotFound(ClientError):
    """A request names a connection that is not there, or is another's."""

    code = "connection_not_found"

    def __init__(self) -> None:
        super().__init__(
            "cannot find that connection: it has ended, or there never was one of that id",
            hint="POST initialize without Acp-Connection-Id, then load or resume the session",
        )


class CursorExpired(ClientError):
    """A log does not reach the place that a client wants to read from.

    Args:
        oldest: The oldest position that there is, `generation:seq`.
    """

    code = "cursor_expired"

    def __init__(self, *, oldest: str) -> None:
        super().__init__(
            f"cannot read on from there: the log begins at {oldest}",
            hint="load the session with session/load, or attach after the oldest position",
            oldest=oldest,
        )


class LimitReached(ClientError):
    """As many as may be of something are there already, or something takes longer than it may.

    Args:
        limit: What is limited, in words.
        most: How many may be.
        setting: The key of the configuration's `[limits]` that says so, if one does.
        message: What cannot be done, where that is not to take one more.
    """

    code = "limit_reached"
    retryable = True

    def __init__(
        self, *, limit: str, most: float, setting: str | None = None, message: str | None = None
    ) -> None:
        named = {} if setting is None else {"setting": setting}
        super().__init__(
            message or f"cannot take more: {limit} are limited to {most}",
            hint="try again later" + (f", or raise limits.{setting}" if setting else ""),
            limit=limit,
            most=most,
            **named,
        )


class RelayUnreachable(ClientError):
    """The relay cannot be reached, or the connection to it is lost."""

    code = "relay_unreachable"
    retryable = True


class RequestRefused(ClientError):
    """A request was answered with a JSON-RPC error, or an upgrade with a problem document."""

    code = "request_refused"


class ServiceError(RelayError):
    """A file or a terminal cannot be served to an agent as it asks."""

    code = "service_error"


class FileMissing(ServiceError):
    """There is no file at a path."""

    code = "file_missing"

    def __init__(self, *, path: str) -> None:
        super().__init__(
            f"cannot find {path[:200]!r}: resource not found",
            hint="check the path; fs/write_text_file makes a file that is not there",
            path=path[:200],
        )


class WorkspaceError(RelayError):
    """A worktree cannot be made, compared, merged or removed."""

    code = "workspace_error"


class StoreError(RelayError):
    """A session store cannot keep its promise."""

    code = "store_error"


class Conflict(StoreError):
    """The value changed between the read and the write: read again and retry."""

    code = "conflict"
    retryable = True

    def __init__(self, *, key: str, expected: int, found: int | None) -> None:
        super().__init__(
            f"cannot replace {key!r}: revision {expected} was expected, {found} is stored",
            hint="read it again and repeat the change",
            key=key,
            expected=expected,
            found=found,
        )


class Unavailable(StoreError):
    """The store is out of reach."""

    code = "unavailable"
    retryable = True


class RelayDraining(Unavailable):
    """The relay is about to stop, and begins nothing new."""

    code = "relay_draining"

    def __init__(self) -> None:
        super().__init__(
            "cannot begin anything new: the relay is about to stop",
            hint="connect again once it is back; turns that run may still end",
        )
