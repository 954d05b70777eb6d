"""What the log of `acprelay serve` looks like: lines for people, or JSON for programs.

The relay's modules write to the standard library's loggers; here those get a handler. Fields are
what a record says of itself, and what is bound where it was written: see
`acprelay.runtime.log_context`. No secret belongs into a log; should one come all the same, its
known forms are struck out here.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from acprelay.runtime.log_context import FIELDS, current

_STRUCK_OUT = "[struck out]"
_SECRETS = re.compile(
    r"acpr_[A-Za-z0-9_-]{8,}"
    r"|(?i:(?<=bearer )[A-Za-z0-9._~+/=-]{8,})"
    r"|(?i:(?<=basic )[A-Za-z0-9+/=]{8,})"
    r"|(?i:(?<=cookie: )[^\r\n]+)"
    r"|(?i:(?<=[?&]token=)[^&\s\"']+)"
    r"|(?i:(?<=[?&]ticket=)[^&\s\"']+)"
)
_SECRET_FIELDS = frozenset({"authorization", "cookie", "set-cookie", "token", "secret", "password"})

_OF_LINES = frozenset({"exception", "stack"})
_CONTROLS = {
    False: re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"),
    True: re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"),
}
"""What is escaped, by whether a value may have lines and tabs of its own."""

_Event = MutableMapping[str, Any]


def set_up_logs(*, form: str, level: str, stream: TextIO | None = None) -> None:
    """Gives the root logger its one handler; to be called once in a process, before it serves.

    Args:
        form: One of `FORMATS`.
        level: One of `LEVELS`.
        stream: Where lines go; standard error where it is None.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(form=form, colours=stream.isatty()))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level.upper())


def formatter(*, form: str, colours: bool) -> logging.Formatter:
    """Makes what turns records into lines.

    Args:
        form: One of `FORMATS`.
        colours: Whether lines for people may be coloured.
    """
    before: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_fields,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if form == "json":
        last += [
            structlog.processors.dict_tracebacks,
            strike_out,
            structlog.processors.JSONRenderer(default=str),
        ]
    else:
        last += [
            structlog.processors.format_exc_info,
            strike_out,
            keep_to_lines,
            structlog.dev.ConsoleRenderer(colors=colours, sort_keys=False),
        ]
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=before, processors=last)


def strike_out(_logger: object, _method: str, event: _Event) -> _Event:
    """Strikes out what looks like a secret, wherever it stands: the second line, not the first."""
    for name, value in event.items():
        event[name] = _STRUCK_OUT if name.lower() in _SECRET_FIELDS else _without_secrets(value)
    return event


def keep_to_lines(_logger: object, _method: str, event: _Event) -> _Event:
    """Writes controls as escapes, so that what peers have chosen forges no line and no colour.

    Tracebacks keep their lines, and nothing else of the kind.
    """
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = _CONTROLS[name in _OF_LINES].sub(_escape, value)
    return event


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _without_secrets(value: Any) -> Any:
    if isinstance(value, str):
        return _SECRETS.sub(_STRUCK_OUT, value)
    if isinstance(value, Mapping):
        return {
            key: _STRUCK_OUT if str(key).lower() in _SECRET_FIELDS else _without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_without_secrets(item) for item in value]
    return value


def _add_fields(_logger: object, _method: str, event: _Event) -> _Event:
    for name, value in {**current(), **getattr(event["_record"], FIELDS, {})}.items():
        event.setdefault(name, value)
    return event
