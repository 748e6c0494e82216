"""What commands and benchmarks print: nothing is cut in a file or a pipe, JSON has only numbers that JSON knows."""

import io
import json

import numpy as np
import pytest

from assay.benchmarks import command
from assay.terminal.output import columns, emit, plain, progress_bar, table

LONG = "a-surrogate-of-somebody-else:" + "with_a_long_name_" * 12  # more than 200 characters, without a space


class Terminal(io.StringIO):
    def isatty(self):
        return True


def names_and_numbers():
    rows = table("name", *(f"number {i}" for i in range(12)))
    rows.add_row(LONG, *(["0.123456"] * 12))
    return rows


def test_a_table_in_a_pipe_is_one_line_a_row(capsys):
    emit(False, {}, lambda console: console.print(names_and_numbers()))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[1].split() == [LONG, *(["0.123456"] * 12)]


def test_a_narrow_terminal_folds_names_and_cuts_none(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("COLUMNS", "60")
    rows = table("name", "number")
    rows.add_row(LONG, "0.5")
    emit(False, {}, lambda console: console.print(rows))
    shown = stream.getvalue()
    assert columns(stream) is None and "…" not in shown
    assert "".join(line.split()[0] for line in shown.splitlines()[1:]) == LONG


def test_benchmarks_print_whole_tables_and_json_without_infinity(capsys):
    result = {"rows": [{"name": LONG, "bound": np.inf, "n": np.int64(3)}], "holds": {"a claim": True}}
    show = lambda r, console: console.print(command.table("Title", r["rows"]))  # noqa: E731
    assert command.finish(result, show, None) == 0
    assert LONG in capsys.readouterr().out
    assert command.finish(result, show, "-") == 0
    printed = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert printed["rows"] == [{"name": LONG, "bound": "inf", "n": 3}] and printed["load_average"] >= 0


@pytest.mark.parametrize("moved", [True, False])
def test_a_bar_that_never_moved_is_taken_away(capsys, moved):
    with progress_bar("climbing") as bar:
        if moved:
            bar(1, 3)
    assert ("climbing" in capsys.readouterr().err) is moved


def test_long_work_says_where_it_is_where_no_bar_is_seen(capsys, monkeypatch):
    """At 10 s, and then once a minute."""
    clock = iter([0.0, 5.0, 11.0, 20.0, 72.0, 80.0])
    monkeypatch.setattr("assay.terminal.output.time.monotonic", lambda: next(clock, 80.0))
    with progress_bar("preparing") as bar:
        for done in range(1, 6):
            bar(done, 90, "", "cells")
    said = [line for line in capsys.readouterr().err.splitlines() if " after " in line]
    assert said == ["preparing cells: 2 of 90 after 11 s", "preparing cells: 4 of 90 after 72 s"]


def test_values_as_json():
    value = {1: (np.float64(0.5), np.arange(2)), "x": float("nan"), "y": None, "z": np.True_}
    assert plain(value) == {"1": [0.5, [0, 1]], "x": "nan", "y": None, "z": True}
