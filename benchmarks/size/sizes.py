"""``affine`` by size: what building, solving, the first certificate and setting up a guard take, one process a size.

The "cookies" problem (``cookies.py``) and a Galerkin surrogate of eight modes. Seconds of the clock and, in brackets,
of the processor, since other jobs may share the machine; the peak of memory; the floor, relative, of the certificate of
a truth; upper over lower bound of the guard's answers in a sample, the largest.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console

from ...solvers.batching import VectorMap
from ...verify.certify import certify
from ...verify.guard import guard
from .. import command
from .cookies import cookies
from .pod import Galerkin

CELLS, QUICK = (101, 201, 401), (41, 81)  # 10 000, 40 000 and 160 000 unknowns
MODES = 8


def one(cells: int) -> dict[str, Any]:
    """The row of one size; it counts the memory of this process."""
    row: dict[str, Any] = {}

    def timed(name: str, what: Callable[[], Any]) -> Any:
        clock, processor = time.perf_counter(), time.process_time()
        result = what()
        row[name] = f"{time.perf_counter() - clock:.1f} ({time.process_time() - processor:.1f})"
        row[f"{name}: s"] = time.process_time() - processor
        row["GB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        return result

    problem = timed("build", lambda: cookies(cells))
    row = {"unknowns": problem.size, **row}
    p = problem.inputs.sample(2, seed=1)
    problem.solve(p[0])
    truth = timed("solve", lambda: np.asarray(problem.solve(p[1])))
    found = timed("first certify", lambda: certify(problem, truth[None], p[1:], steps=2))
    row["floor"] = float(found.relative_upper[0])
    surrogate = Galerkin(problem, MODES)
    ready = timed("guard", lambda: guard(problem, surrogate, 0.1))
    P = problem.inputs.sample(32, seed=7)
    bounds = VectorMap(ready.reduced.stages[-1])(P, surrogate.coefficients(P))
    row["upper / lower"] = float(np.max(bounds.upper / bounds.lower))
    return row


def measure(quick: bool) -> dict[str, Any]:
    rows = []
    for cells in QUICK if quick else CELLS:
        done = subprocess.run(
            [sys.executable, "-m", "assay.benchmarks.size.sizes", "--one", str(cells)],
            stdout=subprocess.PIPE,
            check=True,
        )
        rows.append(json.loads(done.stdout))
        command.progress(rows[-1])
    last = rows[-1]
    return {
        "rows": rows,
        "holds": {
            "guard within 60 s of the processor": last["guard: s"] <= 60,
            "first certificate within 15 s of the processor": last["first certify: s"] <= 15,
            "4 GB": last["GB"] <= 4,
            "bounds from coefficients within 1.25 of one another": all(row["upper / lower"] <= 1.25 for row in rows),
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    rows = [{name: value for name, value in row.items() if not name.endswith(": s")} for row in result["rows"]]
    console.print(command.table("affine by size: seconds (of the processor)", rows))


if __name__ == "__main__":
    if "--one" in sys.argv:
        print(json.dumps(one(int(sys.argv[-1]))))
        sys.exit(0)
    sys.exit(command.run(__doc__, measure, show))
