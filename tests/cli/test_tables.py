from __future__ import annotations

import pytest

from acprelay.cli.tables import print_table, table


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    lines = table(("NAME", "STATE"), [("a", "live"), ("a-long-one", "dormant")])
    assert lines == ["NAME        STATE", "a           live", "a-long-one  dormant"]


def test_a_table_without_rows_is_its_headers() -> None:
    assert table(("NAME", "STATE"), []) == ["NAME  STATE"]


def test_what_a_cell_holds_cannot_break_its_line_nor_move_the_terminal() -> None:
    assert table(("A", "B"), [("x\ny", "\x1b[31m")]) == ["A    B", "x y  ^[[31m"]


def test_a_pipe_gets_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("A",), [("x" * 500,)])
    assert capsys.readouterr().out == f"A\n{'x' * 500}\n"


def test_on_a_terminal_lines_are_cut_at_its_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "10")
    print_table(("A",), [("x" * 500,)])
    assert capsys.readouterr().out == f"A\n{'x' * 9}…\n"
