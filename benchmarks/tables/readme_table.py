"""The speed/accuracy table of the README, measured anew: ``make table`` prints it and replaces it between its two
marks.

    python -m assay.benchmarks.tables.readme_table [--quick] [--write README.md] [--plot table.png]
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
    parser.add_argument("--plot", type=Path, help="a picture of error against time")
    options = parser.parse_args()
    table = readme_table(options.quick)
    markdown = table_output.to_markdown(table)
    print(markdown)
    if options.write is not None:
        replace(options.write, replace_between(read_text(options.write), markdown))
    if options.plot is not None:
        table_picture.plot(table, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
