"""Reads a permission policy from a TOML file; strict, since a rule that is misread protects nobody.

```toml
default = "ask"            # or "reject", or "allow"

[[rule]]
name = "reads in the project"
action = "allow"
kind = ["read", "search"]  # a string, or a list of them
path = "**"
```

This module knows how rules are written, and not what becomes of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from acprelay.cli.toml_file import choices, parse_toml, read_text
from acprelay.errors import ConfigError
from acprelay.routing.policy import Action, Policy, Rule
from acprelay.routing.tool_calls import TOOL_KINDS

_ACTIONS = tuple(map(str, Action))
_CONDITIONS = ("agent", "role", "kind", "path", "command")
_POLICY_KEYS = ("default", "rule")
_RULE_KEYS = ("name", "action", *_CONDITIONS)


def read_policy(path: Path) -> Policy:
    """Reads a policy file.

    Raises:
        ConfigError: It cannot be read, or says something that no policy can; `policy` and, where it
            is about one rule, `rule` name where.
    """
    text = read_text(path, what="policy", holds="rules")
    return parse_policy(text, source=str(path))


def parse_policy(text: bytes, *, source: str) -> Policy:
    """Reads a policy.

    Args:
        text: TOML.
        source: What errors call it.

    Raises:
        ConfigError: As `read_policy`.
    """
    document = parse_toml(text, what="policy", source=source)
    return _Reader(source).policy(document)


class _Reader:
    """Makes values of one document; knows where it is, for errors."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._rule: str | None = None

    def policy(self, document: Mapping[str, object]) -> Policy:
        self._check_keys(document, _POLICY_KEYS)
        default = self._action("default", document.get("default", "ask"))
        tables = document.get("rule", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise self._error("'rule' is no list of tables", "begin each rule with [[rule]]")
        rules: dict[str, Rule] = {}
        for number, table in enumerate(tables, start=1):
            self._rule = f"rule {number}"
            rule = self._read_rule(table)
            if self._rule in rules:
                raise self._error("another rule has the same name", "give each a name of its own")
            rules[self._rule] = rule
        return Policy(tuple(rules.values()), default)

    def _read_rule(self, table: Mapping[str, object]) -> Rule:
        name = table.get("name", "")
        if not isinstance(name, str):
            raise self._error("its name is no string", 'write name = "…"')
        self._rule = name or self._rule
        self._check_keys(table, _RULE_KEYS)
        if "action" not in table:
            raise self._error("it has no action", f"write action = one of {_listed(_ACTIONS)}")
        action = self._action("action", table["action"])
        values = {key: self._texts(key, table[key]) for key in _CONDITIONS if key in table}
        for kind in values.get("kind", ()):
            self._check_word("kind", kind, TOOL_KINDS)
        for pattern in values.get("path", ()):
            self._check_path(pattern)
        rule = Rule(action=action, name=name, **values)
        if action is Action.ALLOW and rule.path and not (rule.kind or rule.command):
            raise self._error(
                "it allows by path alone, and so any command that runs in such a directory",
                'add kind, such as kind = ["read", "edit"], or command',
            )
        return rule

    def _action(self, key: str, value: object) -> Action:
        if not isinstance(value, str):
            raise self._error(f"{key!r} is no string", f"choose one of {_listed(_ACTIONS)}")
        self._check_word(key, value, _ACTIONS)
        return Action(value)

    def _texts(self, key: str, value: object) -> tuple[str, ...]:
        texts = value if isinstance(value, list) else [value]
        if not texts or not all(isinstance(text, str) and text for text in texts):
            raise self._error(
                f"{key!r} is neither a string nor a list of strings, or one is empty",
                f"write {key} with a value, or leave it out to let every {key} pass",
            )
        return tuple(texts)

    def _check_path(self, pattern: str) -> None:
        if ".." in pattern.split("/"):
            hint = "write the absolute path"
            raise self._error(f"the path {pattern[:80]!r} leads out of its directory", hint)
        if pattern.startswith(("~", "$")):
            hint = "write the absolute path; neither ~ nor variables are expanded"
            raise self._error(f"the path {pattern[:80]!r} is relative to no directory", hint)

    def _check_keys(self, table: Iterable[str], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                raise self._unknown("key", key, known)

    def _check_word(self, what: str, word: str, known: tuple[str, ...]) -> None:
        if word not in known:
            raise self._unknown(what, word, known)

    def _unknown(self, what: str, word: str, known: tuple[str, ...]) -> ConfigError:
        return self._error(f"the {what} {word[:80]!r} is not known", choices(word, known))

    def _error(self, reason: str, hint: str) -> ConfigError:
        where = f"{self._rule!r} of " if self._rule is not None else ""
        return ConfigError(
            f"cannot use {where}the policy {self._source!r}: {reason}",
            hint=hint,
            policy=self._source,
            rule=self._rule,
        )


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)
