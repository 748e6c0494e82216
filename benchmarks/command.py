"""What every benchmark script has in common: its options, and one result shown as a rich table or as JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..solvers.files import parse_json, read_text, replace
from ..terminal.output import columns, plain

LONGEST = 400  # characters of a line about a row


def run(
    doc: str | None, measure: Callable[[bool], dict[str, Any]], show: Callable[[dict[str, Any], Console], None]
) -> int:
    """``measure(quick)`` once, then ``show`` its result, or print it as JSON; the exit code is 1 where a claim failed.

    A result holds ``holds``: one bool per claim. Columns of numbers go to stdout and nothing else does.
    """
    options = parser(doc).parse_args()
    return finish(measure(options.quick), show, "-" if options.json else None)


def parser(doc: str | None, **folders: str) -> argparse.ArgumentParser:
    """The options of every script, and those that name a folder, with what is said of each."""
    made = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    made.add_argument("--quick", action="store_true", help="the same with fewer points, in seconds")
    made.add_argument("--json", action="store_true", help="the numbers as JSON instead of a table")
    for name, about in folders.items():
        made.add_argument(f"--{name}", metavar="FOLDER", help=about)
    return made


def finish(result: dict[str, Any], show: Callable[[dict[str, Any], Console], None], file: str | None) -> int:
    """Show a result, or print it as JSON for the file "-"; any other file gets JSON besides. Returns the exit code.

    The machine's load is put beside the numbers. Numbers that JSON does not have are strings ("inf", "nan").
    """
    result = {**result, "load_average": round(os.getloadavg()[0], 2)}
    if file is not None and file != "-":
        replace(file, json.dumps(plain(result)))
    if file == "-":
        print(json.dumps(plain(result)))
    else:
        console = Console(width=columns(sys.stdout))
        show(result, console)
        for claim, holds in result["holds"].items():
            console.print(f"{'[green]holds' if holds else '[red]misses'}[/]  {claim}", highlight=False)
        console.print(f"load average {result['load_average']}", style="dim", highlight=False)
    sys.stdout.flush()
    return 0 if all(result["holds"].values()) else 1


class Kept:
    """Measured rows by name, in a file that the same command goes on from; without a file they are only held."""

    def __init__(self, file: str | None, about: object) -> None:
        """
        Args:
            about: the settings that rows were measured with, as JSON.

        Raises:
            SystemExit: the file holds rows of other settings.
        """
        self._file, self._about = None if file is None else Path(file), about
        self.rows: dict[str, Any] = {}
        if self._file is not None and self._file.exists():
            found = parse_json(read_text(self._file, 1 << 26), nan=True)
            if found["about"] != about:
                raise SystemExit(f"{file} holds rows of other settings: name another --keep")
            self.rows = found["rows"]

    def row(self, key: str, measure: Callable[[], Any]) -> Any:
        """The row of that name, measured if it is not there."""
        if key not in self.rows:
            self.rows[key] = measure()
            line = f"{key}: {self.rows[key]}"
            progress(line if len(line) <= LONGEST else f"{line[:LONGEST]} ...")
            if self._file is not None:
                replace(self._file, json.dumps({"about": self._about, "rows": self.rows}))
        return self.rows[key]


def kept_parser(doc: str | None) -> argparse.ArgumentParser:
    """The options of ``run``, and --keep."""
    made = parser(doc)
    made.add_argument("--keep", default=None, metavar="FILE", help="rows that were measured, to go on from")
    return made


def progress(line: object) -> None:
    """One line to stderr, at once: what a long measurement has found so far."""
    print(line, file=sys.stderr, flush=True)


def table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """A rich table of equal dictionaries; floats at four digits."""
    out = Table(title=title, title_justify="left")
    for i, name in enumerate(rows[0]):
        out.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        out.add_row(*(number(x) for x in row.values()))
    return out


def number(x: Any) -> str:
    """Four significant digits, whole numbers as they are."""
    return f"{x:.4g}" if isinstance(x, float) else str(x)
