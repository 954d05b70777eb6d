"""A table of a TOML file whose values are checked as they are taken, and whose errors say where.

It knows no key of any file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from acprelay.cli.toml_file import choices
from acprelay.errors import ConfigError

_KINDS: Mapping[type, str] = {
    bool: "a boolean",
    int: "an integer",
    float: "a float",
    str: "a string",
    list: "an array",
    dict: "a table",
}
_EXAMPLES: Mapping[type, str] = {
    bool: "true or false",
    int: "a number such as 3",
    str: '"text", in quotes',
    list: '["one", "two"]',
    dict: "a table with a header such as [{place}]",
}

_Value = TypeVar("_Value")


class Table:
    """A table, or the whole file.

    Args:
        values: What stands in it.
        place: Its place in the file, such as `agents.claude`; empty for the file itself.
        refuse: Makes an error of a reason and a hint.
    """

    def __init__(
        self,
        values: Mapping[str, object],
        *,
        place: str,
        refuse: Callable[[str, str], ConfigError],
    ) -> None:
        self._values = values
        self._place = place
        self._refuse = refuse

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def place(self, key: str) -> str:
        """Says where in the file a key stands."""
        return f"{self._place}.{key}" if self._place else key

    def error(self, key: str, reason: str, hint: str) -> ConfigError:
        """Makes an error about a key: `limits.idle-s REASON`."""
        return self._refuse(f"{self.place(key)} {reason}", hint)

    def unknown_keys(self, known: Iterable[str]) -> Iterator[ConfigError]:
        """Makes an error for every key that is not known; its hint names the nearest one."""
        known = tuple(known)
        for key in self._values:
            if key not in known:
                yield self._refuse(
                    f"the key {self.place(key)[:160]!r} is not known", choices(key, known)
                )

    def text(self, key: str) -> str | None:
        """Gives a string that is not empty; None where there is none.

        Raises:
            ConfigError: It is something else.
        """
        text = self._value(key, str)
        if text == "":
            raise self.error(key, "is empty", "write something, or leave it out")
        return text

    def word(self, key: str, known: Iterable[str]) -> str | None:
        """Gives one of a few words; None where there is none.

        Raises:
            ConfigError: It is something else.
        """
        word = self._value(key, str)
        if word is not None and word not in (known := tuple(known)):
            raise self.error(key, f"is {word[:80]!r}, which is not known", choices(word, known))
        return word

    def flag(self, key: str) -> bool | None:
        """Gives a boolean; None where there is none.

        Raises:
            ConfigError: It is something else.
        """
        return self._value(key, bool)

    def integer(self, key: str) -> int | None:
        """Gives an integer; None where there is none.

        Raises:
            ConfigError: It is something else.
        """
        return self._value(key, int)

    def number(self, key: str) -> float | None:
        """Gives an integer or a float, as a float; None where there is none.

        Raises:
            ConfigError: It is something else.
        """
        value = self._values.get(key)
        if isinstance(value, float):
            return value
        whole = self._value(key, int, wanted="a number")
        return None if whole is None else float(whole)

    def texts(self, key: str) -> tuple[str, ...] | None:
        """Gives an array of strings; None where there is none.

        Raises:
            ConfigError: It is something else, or one of them is.
        """
        values = self._value(key, list)
        if values is None:
            return None
        return tuple(
            self._checked(f"{key}[{index}]", value, str) for index, value in enumerate(values)
        )

    def mapping(self, key: str) -> dict[str, str]:
        """Gives a table of strings; empty where there is none.

        Raises:
            ConfigError: It is something else, or one of them is.
        """
        values = self._value(key, dict) or {}
        return {name: self._checked(f"{key}.{name}", value, str) for name, value in values.items()}

    def table(self, key: str) -> Table:
        """Gives a table; an empty one where there is none.

        Raises:
            ConfigError: It is something else.
        """
        return Table(self._value(key, dict) or {}, place=self.place(key), refuse=self._refuse)

    def _value(self, key: str, kind: type[_Value], *, wanted: str = "") -> _Value | None:
        if key not in self._values:
            return None
        return self._checked(key, self._values[key], kind, wanted=wanted)

    def _checked(self, key: str, value: object, kind: type[_Value], *, wanted: str = "") -> _Value:
        if type(value) is not kind:  # a boolean is no integer here
            example = _EXAMPLES[kind].format(place=self.place(key))
            raise self.error(
                key,
                f"is {_KINDS.get(type(value), 'a date or a time')}, not {wanted or _KINDS[kind]}",
                f"write {example}",
            )
        return value
