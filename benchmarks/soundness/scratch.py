"""What the benchmarks that interrupt and kill commands share: where these run, and a solver of a user's own."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ... import __file__ as package_file
from ...solvers.box import Box
from ...solvers.problems.black_box import BlackBox, black_box

OWN = """
import time
import numpy as np
from assay import Box, black_box

x = np.linspace(0, 1, 5)

def solver(p):
    time.sleep({pause})
    u = np.sin(3 * p[0] * x) + p[1]
    with open("solved", "a") as log:
        log.write(f"{{p[0]!r}} {{p[1]!r}}\\n")
    return u

problem = black_box(solver, Box(("a", "b"), lower=(0.5, 1.0), upper=(2.0, 2.0)), size={size})
"""


def write_own_module(folder: Path, pause: float, size: int | None) -> None:
    """``mine.py``: the word mine:problem names a black box there.

    Args:
        pause: seconds of one solve. Every solve that ends leaves a line in the file ``solved``.
        size: numbers in a field, 5; None: the problem has to find that out by a solve.
    """
    (folder / "mine.py").write_text(OWN.format(pause=pause, size=size), encoding="utf-8")


def own_problem() -> BlackBox:
    """The same problem in this process, without pause and log."""
    x = np.linspace(0, 1, 5)
    return black_box(lambda p: np.sin(3 * p[0] * x) + p[1], Box(("a", "b"), np.array([0.5, 1.0]), np.array([2.0, 2.0])))


def environment() -> dict[str, str]:
    """Of a process that runs this very package, installed or not, with one thread of linear algebra."""
    root = str(Path(package_file).resolve().parent.parent)
    return {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
