"""The speed/accuracy table, measured anew: ``make table`` prints it and replaces it between the two marks of
docs/table.md, and four rows of it in the README.

    python -m assay.benchmarks.tables.readme_table [--quick] [--write FILE] [--write-short FILE] [--plot PICTURE]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ...solvers.files import read_text, replace
from ...solvers.problems.thermal_block import ThermalBlock
from .. import command
from . import table_output, table_picture
from .effort import Effort
from .table import Table, run_table

ROWS = ("pod-mlp", "reduced-basis", "kernel-ridge", "guarded pod-mlp")
COLUMNS = ("", "error, mean", "error, worst", "us in batch", "speedup, discrete", "training s", "discrete")
BEGIN, END = "<!-- table: begin (make table) -->", "<!-- table: end -->"


def readme_table(quick: bool = False) -> Table:
    """2 x 2 blocks, contrast 10, at 128 x 128."""
    problem = ThermalBlock((2, 2), 32 if quick else 128, low=10**-0.5, high=10**0.5)
    if quick:
        effort = Effort(seeds=(0,), snapshots=128, seconds=5.0, batch=64, draws=16)
        return run_table(problem, effort=effort, progress=_progress)
    return run_table(problem, progress=_progress)


def _progress(stage: str, done: int, total: int) -> None:
    command.progress(f"{stage} {done}/{total}")


def shortened(markdown: str) -> str:
    """The title, and of the first table some rows and columns.

    Raises:
        ValueError: one of them is not there.
    """
    title, head, _, *rows = [line for line in markdown.splitlines() if line.startswith(("|", "**"))]
    headings = _cells(head)
    places = [headings.index(name) for name in COLUMNS]
    by_name = {_cells(row)[0]: _cells(row) for row in rows[::-1]}  # the first of a name
    if missing := [name for name in ROWS if name not in by_name]:
        raise ValueError(f"the table has no rows {', '.join(missing)}")
    lines = [list(COLUMNS), ["---", *["---:"] * (len(COLUMNS) - 1)]]
    lines += [[by_name[name][place] for place in places] for name in ROWS]
    return "\n".join([title, "", *("| " + " | ".join(line) + " |" for line in lines)]) + "\n"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def replace_between(text: str, new: str) -> str:
    """``text`` with what stands between the marks replaced.

    Raises:
        ValueError: the marks are missing.
    """
    if BEGIN not in text or END not in text:
        raise ValueError(f"the text has no marks {BEGIN!r} and {END!r} to put the table between")
    head, rest = text.split(BEGIN, 1)
    return f"{head}{BEGIN}\n\n{new}\n{END}{rest.split(END, 1)[1]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", type=Path, help="a Markdown file with the two marks")
    parser.add_argument("--write-short", type=Path, help="the same, for some rows")
    parser.add_argument("--plot", type=Path, help="a picture of error against time")
    options = parser.parse_args()
    table = readme_table(options.quick)
    markdown = table_output.to_markdown(table)
    print(markdown)
    for path, text in ((options.write, markdown), (options.write_short, shortened(markdown))):
        if path is not None:
            replace(path, replace_between(read_text(path), text))
    if options.plot is not None:
        table_picture.plot(table, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
