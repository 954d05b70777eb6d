"""The table of settings: what follows from a row."""

from __future__ import annotations

from pathlib import Path

import pytest

from acprelay.cli.parser import build_parser
from acprelay.cli.setting import Kind, Setting
from acprelay.cli.settings import SETTINGS


@pytest.mark.parametrize(
    ("setting", "typed", "value"),
    [
        (Setting(key="a", about="", kind=Kind.PATH, flag="--a"), "b", Path("b")),
        (
            Setting(key="a", about="", kind=Kind.PATHS, flag="--a"),
            ["b", "c"],
            (Path("b"), Path("c")),
        ),
        (Setting(key="a", about="", kind=Kind.TEXTS, flag="--a"), ["b", "c"], ("b", "c")),
        (Setting(key="a", about="", kind=Kind.INTEGER, flag="--a"), 3, 3),
        (Setting(key="a", about="", kind=Kind.FLAG, flag="--a"), True, True),
        (Setting(key="a", about="", kind=Kind.FLAG, flag="--a"), False, None),
        (Setting(key="a", about="", kind=Kind.FLAG, flag="--a", default=True), False, False),
        (Setting(key="a", about="", kind=Kind.FLAG, flag="--a", default=True), None, None),
        (Setting(key="a", about="", kind=Kind.PATHS, flag="--a"), [], None),
        (Setting(key="a", about="", kind=Kind.INTEGER, flag="--a"), 0, 0),
    ],
)
def test_a_value_is_made_of_what_the_parser_makes_of_an_option(
    setting: Setting, typed: object, value: object
) -> None:
    assert setting.of_option(typed) == value


def test_a_setting_is_named_alike_everywhere() -> None:
    setting = Setting(section="limits", key="idle-s", about="", flag="--idle-s")
    assert setting.place == "limits.idle-s"
    assert setting.variable == "ACPRELAY_LIMITS_IDLE_S"
    assert (setting.field, setting.destination) == ("idle_s", "idle_s")


@pytest.mark.parametrize("command", [("serve",), ("config", "show"), ("doctor",)], ids=" ".join)
def test_every_option_of_a_setting_can_be_typed(command: tuple[str, ...]) -> None:
    parsed = vars(build_parser().parse_args(command))
    for setting in SETTINGS:
        if setting.destination is not None:
            assert setting.destination in parsed, setting.flag
