"""`acprelay config`: what a relay is configured with, and what is wrong with that."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from acprelay.cli.config_schema import json_schema
from acprelay.cli.config_view import effective
from acprelay.cli.configuration import config_path, config_problems, find_config
from acprelay.cli.exits import ExitCode
from acprelay.cli.layers import Problem
from acprelay.cli.output import columns, put, put_json
from acprelay.cli.terminal import complain, one_line


def command(arguments: argparse.Namespace) -> int:
    """Does what the subcommand says.

    Returns:
        0; 2 where something that is checked cannot be used.

    Raises:
        ConfigError: What is to be shown cannot be used.
    """
    return _COMMANDS[arguments.config_command](arguments)


def _show(arguments: argparse.Namespace) -> int:
    configured = find_config(arguments, os.environ)
    shown = effective(configured, arguments, os.environ)
    if arguments.json:
        for each in shown:
            put_json(each.as_json())
    else:
        rows = [("SETTING", "VALUE", "FROM"), *(each.as_row() for each in shown)]
        put("\n".join(columns([tuple(map(one_line, row)) for row in rows])))
    return ExitCode.OK


def _check(arguments: argparse.Namespace) -> int:
    problems = config_problems(arguments, os.environ)
    subject = _subject(config_path(arguments, os.environ))
    if arguments.json:
        for problem in problems:
            put_json({"reason": problem.reason, "hint": problem.hint})
    else:
        _say(subject, problems)
    return ExitCode.USAGE if problems else ExitCode.OK


def _subject(path: Path | None) -> str:
    return "the environment, and no file" if path is None else str(path)


def _say(subject: str, problems: Sequence[Problem]) -> None:
    if not problems:
        put(f"{one_line(subject)}: a relay can be started with it")
    for problem in problems:
        complain(problem.reason, hint=problem.hint)


def _schema(_: argparse.Namespace) -> int:
    put(json.dumps(json_schema(), indent=2))
    return ExitCode.OK


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "show": _show,
    "check": _check,
    "schema": _schema,
}
