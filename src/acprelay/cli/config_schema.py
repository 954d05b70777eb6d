"""A JSON Schema of the configuration file, made from the table of settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from acprelay.cli.setting import Kind, Setting
from acprelay.cli.settings import AGENT_SETTINGS, in_section, sections

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXT = {"type": "string", "minLength": 1}
_TYPES: dict[Kind, dict[str, Any]] = {
    Kind.TEXT: _TEXT,
    Kind.WORD: {"type": "string"},
    Kind.PATH: _TEXT,
    Kind.FLAG: {"type": "boolean"},
    Kind.INTEGER: {"type": "integer"},
    Kind.NUMBER: {"type": "number"},
    Kind.TEXTS: {"type": "array", "items": {"type": "string"}},
    Kind.PATHS: {"type": "array", "items": _TEXT},
    Kind.MAPPING: {"type": "object", "additionalProperties": {"type": "string"}},
}


def json_schema() -> dict[str, Any]:
    """Makes the schema. It bounds no numbers: the relay itself does, with what to write."""
    agent = _table(AGENT_SETTINGS)
    document = _table(in_section(""))
    document["properties"] |= {name: _table(in_section(name)) for name in sections()}
    document["properties"]["agents"] = {"type": "object", "additionalProperties": agent}
    return {"$schema": _DIALECT, "title": "The configuration of acprelay", **document}


def _table(settings: Iterable[Setting]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {setting.key: _property(setting) for setting in settings},
    }


def _property(setting: Setting) -> dict[str, Any]:
    schema = {**_TYPES[setting.kind], "description": setting.about}
    if setting.words:
        schema["enum"] = list(setting.words)
    if setting.default is not None:
        schema["default"] = setting.default
    return schema
