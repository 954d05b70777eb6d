"""What a client that joins late has to be told of a conversation besides its messages.

The latest of what an agent tells once and clients remember: commands, mode, config options, plan,
usage, title. Updates are kept as the agent wrote them. What lacks the member that gives it its
meaning is not kept; whether the rest is right is between the agent and the clients. This module
knows nothing of turns, logs or clients.
"""

from __future__ import annotations

import json
from typing import Self

import msgspec

from acprelay.errors import RemoteProtocolError, StoreError
from acprelay.wire import json_name
from acprelay.wire.objects import read_members

NOTHING = b"{}"
"""What is stored of a conversation whose agent has not told anything yet."""

_COMMANDS = "available_commands_update"
_MODE = "current_mode_update"
_CONFIG = "config_option_update"
_PLAN = "plan"
_USAGE = "usage_update"
_INFO = "session_info_update"

# By kind, in the order in which clients get them: the member that an update is kept for, and how
# its JSON begins.
_ESSENTIAL = {
    _COMMANDS: ("availableCommands", b"["),
    _MODE: ("currentModeId", b'"'),
    _CONFIG: ("configOptions", b"["),
    _PLAN: ("entries", b"["),
    _USAGE: ("used", b"-0123456789"),
}
_ORDER = (*_ESSENTIAL, _INFO)
_KINDS = frozenset(_ORDER)
_INFO_MEMBERS = ("title", "updatedAt")

# How deep JSON may nest depends on the caller's stack, and what is kept is read again elsewhere,
# inside of other values.
_MARGIN = 200

# Most updates of these kinds are void before anybody asks: they are read some at a time.
_MOST_UNREAD = 64
_MOST_UNREAD_BYTES = 256 * 1024


class Snapshot:
    """The latest commands, mode, config options, plan, usage and info; at first none.

    No method but `load` raises, whatever an agent wrote: what makes no sense changes nothing.
    """

    def __init__(self) -> None:
        self._latest_updates: dict[str, bytes] = {}
        self._unread: list[tuple[str, bytes]] = []
        self._unread_bytes = 0
        self._modes: bytes | None = None
        self._models: bytes | None = None

    @classmethod
    def load(cls, raw: bytes) -> Self:
        """Reads what `dump` gave.

        Raises:
            StoreError: It is something else.
        """
        snapshot = cls()
        if raw == NOTHING:
            return snapshot
        try:
            saved = _open(raw)
            updates = _open(saved.get("updates", b"{}"))
        except RemoteProtocolError as error:
            raise StoreError(
                "cannot read what was stored of a conversation's state",
                hint="delete the conversation, or restore its record from a backup",
            ) from error
        snapshot._take(saved)
        for kind, update in updates.items():
            snapshot.observe(kind, update)
        return snapshot

    def dump(self) -> bytes:
        """Writes everything as one JSON object."""
        updates = _object(self._in_order())
        parts = {"modes": self._modes, "models": self._models, "updates": updates}
        return _object({name: part for name, part in parts.items() if part is not None})

    @property
    def title(self) -> str | None:
        """What the agent calls the conversation, if it does; text that UTF-8 can write."""
        title = _text(_members(self._kept.get(_INFO)).get("title"))
        return None if title is None else title.encode(errors="replace").decode()

    def open(self, result: bytes) -> None:
        """Takes note of an agent's result of `session/new`, `session/load` or `session/resume`.

        Args:
            result: The raw JSON value. What it leaves out, or gives as null, stays as it was.
        """
        if _can_be_kept(result):
            self._take(_members(result))

    def observe(self, kind: str, update: bytes) -> bool:
        """Takes note of an update that an agent sent.

        Args:
            kind: Its `sessionUpdate`.
            update: The raw JSON value of `params.update`.

        Returns:
            Whether it is of a kind that is kept here.
        """
        if kind not in _KINDS:
            return False
        self._unread.append((kind, update))
        self._unread_bytes += len(update)
        if len(self._unread) >= _MOST_UNREAD or self._unread_bytes > _MOST_UNREAD_BYTES:
            self._read()
        return True

    def updates(self) -> list[bytes]:
        """Gives what a client needs that has seen nothing yet, as raw values of `update`."""
        return [*self._in_order().values()]

    def result_members(self) -> dict[str, msgspec.Raw]:
        """Gives the members of a result of `session/load` or `session/resume`, as things stand."""
        modes, mode = self._modes, self._latest(_MODE)
        if modes is not None and mode is not None:
            modes = _with(modes, "currentModeId", mode)
        members = {"modes": modes, "models": self._models, "configOptions": self._latest(_CONFIG)}
        return {name: msgspec.Raw(raw) for name, raw in members.items() if raw is not None}

    def mode_was_set(self, params: bytes) -> bytes | None:
        """Takes note of a client's `session/set_mode` that has succeeded.

        Args:
            params: Its raw params.

        Returns:
            The raw update for the other clients; None where they know already, from the agent.
        """
        mode = _text(_members(params).get("modeId"))
        if mode is None or mode == _text(self._latest(_MODE)):
            return None
        self._kept[_MODE] = _mode_update(mode)
        return self._kept[_MODE]

    def config_was_set(self, params: bytes, result: bytes) -> bytes | None:
        """Takes note of a client's `session/set_config_option` that has succeeded.

        Args:
            params: Its raw params.
            result: The agent's raw result. Where it does not list the options, as the protocol
                wants it to, the one that was set is changed in the list that is known.

        Returns:
            The raw update for the other clients; None where they know already, from the agent.
        """
        if not (_can_be_kept(params) and _can_be_kept(result)):
            return None
        known = self._latest(_CONFIG) or b"[]"
        options = _members(result).get("configOptions", b"null")
        if not options.startswith(b"["):
            options = _with_option(known, params)
        if _is_same(options, known):
            return None
        self._kept[_CONFIG] = _config_update(options)
        return self._kept[_CONFIG]

    def model_was_set(self, params: bytes) -> None:
        """Takes note of a client's `session/set_model` that has succeeded.

        ACP has no update for it, so there is nothing to tell the other clients.

        Args:
            params: Its raw params.
        """
        model = _text(_members(params).get("modelId"))
        if model is not None and self._models is not None:
            self._models = _with(self._models, "currentModelId", _json(model))

    def _latest(self, kind: str) -> bytes | None:
        """Gives the member that an update is kept for, raw."""
        return _members(self._kept.get(kind)).get(_ESSENTIAL[kind][0])

    @property
    def _kept(self) -> dict[str, bytes]:
        """The latest updates by kind."""
        if self._unread:
            self._read()
        return self._latest_updates

    def _in_order(self) -> dict[str, bytes]:
        kept = self._kept
        return {kind: kept[kind] for kind in _ORDER if kind in kept}

    def _read(self) -> None:
        """Reads what was observed, as far as nothing later makes it void."""
        unread, self._unread, self._unread_bytes = self._unread, [], 0
        void: set[str] = set()
        info: dict[str, bytes] = {}
        for kind, update in reversed(unread):
            if kind in void or not _can_be_kept(update):
                continue
            if kind == _INFO:
                info = {**_info(_members(update)), **info}
                is_all = len(info) == len(_INFO_MEMBERS)
            else:
                is_all = self._note(kind, update)
            if is_all:
                void.add(kind)
        self._merge_info(info)

    def _take(self, members: dict[str, bytes]) -> None:
        modes, models = members.get("modes"), members.get("models")
        mode = _text(_members(modes).get("currentModeId"))
        if modes is not None and mode is not None:
            self._modes = modes
            self._kept[_MODE] = _mode_update(mode)
        if models is not None and _text(_members(models).get("currentModelId")) is not None:
            self._models = models
        if members.get("configOptions", b"null").startswith(b"["):
            self._kept[_CONFIG] = _config_update(members["configOptions"])

    def _note(self, kind: str, update: bytes) -> bool:
        """Keeps an update that has the member it is kept for; tells whether it has."""
        name, beginnings = _ESSENTIAL[kind]
        is_whole = _members(update).get(name, b"null")[0] in beginnings
        if is_whole:
            self._kept[kind] = update
        return is_whole

    def _merge_info(self, news: dict[str, bytes]) -> None:
        """What is absent stays; null says that there is none any more, and is kept to say so."""
        if news:
            info = _info({**_members(self._latest_updates.get(_INFO)), **news})
            self._latest_updates[_INFO] = _object({"sessionUpdate": _json(_INFO), **info})


def _info(members: dict[str, bytes]) -> dict[str, bytes]:
    """Gives those of an info's members that say something."""
    return {name: members[name] for name in _INFO_MEMBERS if members.get(name, b"-")[0] in b'"n'}


def _open(raw: bytes) -> dict[str, bytes]:
    return {name: raw[start:stop] for name, (start, stop) in read_members(raw).items()}


def _members(raw: bytes | None) -> dict[str, bytes]:
    """Gives an object's members, raw; none where it is no object."""
    try:
        return {} if raw is None else _open(raw)
    except RemoteProtocolError:
        return {}


def _can_be_kept(raw: bytes) -> bool:
    """Whether what a peer wrote does not nest so deeply that it could not be read again."""
    return bool(_members(b'{"":%b%b%b}' % (b"[" * _MARGIN, raw, b"]" * _MARGIN)))


def _object(members: dict[str, bytes]) -> bytes:
    return b"{%b}" % b",".join([json_name(name) + b":" + raw for name, raw in members.items()])


def _with(raw: bytes, name: str, value: bytes) -> bytes:
    """Writes an object with another value for a member that it has."""
    start, stop = read_members(raw)[name]
    return raw[:start] + value + raw[stop:]


def _mode_update(mode: str) -> bytes:
    return _object({"sessionUpdate": _json(_MODE), "currentModeId": _json(mode)})


def _config_update(options: bytes) -> bytes:
    return _object({"sessionUpdate": _json(_CONFIG), "configOptions": options})


def _with_option(options: bytes, params: bytes) -> bytes:
    """Writes a list of config options in which one has the value that `params` set."""
    try:
        setting, decoded = json.loads(params), json.loads(options)
        for option in decoded:
            if option["id"] == setting["configId"]:
                option["currentValue"] = setting["value"]
        return _json(decoded)
    except (ValueError, LookupError, TypeError, RecursionError):  # the list is the agent's
        return options


def _is_same(one: bytes, other: bytes) -> bool:
    """Whether two JSON values mean the same; what cannot be compared does not."""
    try:
        return one == other or _canonical(one) == _canonical(other)
    except (ValueError, RecursionError):
        return False


def _canonical(raw: bytes) -> str:
    return json.dumps(json.loads(raw), sort_keys=True)


def _text(raw: bytes | None) -> str | None:
    return str(json.loads(raw)) if raw is not None and raw.startswith(b'"') else None


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
