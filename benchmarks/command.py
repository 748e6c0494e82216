"""What every benchmark script has in common: its options, and one result shown as a rich table or as JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from ..commands.output import columns, plain
from ..solvers.files import replace


def run(
    doc: str | None, measure: Callable[[bool], dict[str, Any]], show: Callable[[dict[str, Any], Console], None]
) -> int:
    """``measure(quick)`` once, then ``show`` its result, or print it as JSON; the exit code is 1 where a claim failed.

    A result holds ``holds``: one bool per claim. Columns of numbers go to stdout and nothing else does.
    """
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the same with fewer points, in seconds")
    parser.add_argument("--json", action="store_true", help="the numbers as JSON instead of a table")
    options = parser.parse_args()
    return finish(measure(options.quick), show, "-" if options.json else None)


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
