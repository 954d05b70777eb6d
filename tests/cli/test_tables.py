from __future__ import annotations

import pytest

from acprelay.cli.tables import fitted, print_table, table


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


def test_on_a_narrow_terminal_no_column_is_lost_and_the_first_stays_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    print_table(
        ("SESSION", "DIRECTORY", "TITLE"),
        [("group:role", "/home/me/project/login/auth", "Mend it")],
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "SESSION     DIRECTORY            TITLE",
        "group:role  /home/me/…ogin/auth  Mend it",
    ]


def test_cells_are_shortened_no_further_than_their_headers() -> None:
    rows = fitted(("ID", "DIRECTORY"), [("x" * 30, "y" * 30)], width=10)
    assert rows == [["x" * 30, "yyyy…yyyy"]]
