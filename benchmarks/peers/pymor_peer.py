"""Certified reduced bases beside pyMOR's, on its own thermal block: effectivity, and time of a query with its bound.

The matrices, snapshots and bases (the first n = 5, 10, 15, 20 snapshots, orthonormalised) and queries are pyMOR's. An
effectivity is a bound over the true error, each in its program's norm: pyMOR's in the H1 seminorm by the smallest
coefficient, ours in the energy norm. A query is the coefficients by Galerkin's equations and the bound. pyMOR answers
one at a time, so that its time is the same in batches.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Array
from rich.console import Console

from ...solvers.batching import VectorMap
from ...solvers.box import Box
from ...solvers.problems.affine import affine
from ...verify.proofs.bounds import ErrorBounds
from ...verify.proofs.reduced import ReducedBound
from .. import command

SIZES = (5, 10, 15, 20)
INSTALL = "python3 -m venv ENV; ENV/bin/pip install pymor==2026.1.1; then --peer-python ENV/bin/python"


def problem_of(data: dict[str, np.ndarray]) -> Any:
    """pyMOR's problem over its unknowns, posed through ``affine``."""
    n, matrices = len(data["free"]), []
    for q in range(4):
        parts = tuple(data[f"matrix_{q}_{name}"] for name in ("data", "indices", "indptr"))
        m = sp.csr_matrix(parts, shape=(n, n))
        m = ((m + m.T) / 2).tocsr()
        m.eliminate_zeros()
        matrices.append(m)
    return affine(matrices, None, data["load"], Box(("a", "b", "c", "d"), np.full(4, 0.1), np.ones(4)))


def galerkin(problem: Any, basis: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Galerkin's coefficients, for the choice of constants alone."""
    terms = np.stack([basis.T @ (problem.matrix(e) @ basis) for e in np.eye(4)])
    load = problem.load_terms()[0] @ basis
    return np.stack([np.linalg.solve(np.tensordot(p, terms, 1), load) for p in np.asarray(P)])


def ours(problem: Any, basis: np.ndarray, queries: np.ndarray, truths: np.ndarray) -> dict[str, float]:
    """Effectivities of the bound of Galerkin's answers, and seconds a query: the least of some passes."""
    start = time.perf_counter()
    reduced = ReducedBound(problem, basis, lambda P: galerkin(problem, basis, P))
    offline = time.perf_counter() - start

    def query(p: Array) -> tuple[Array, ErrorBounds]:
        c = reduced.galerkin(p)
        return c, reduced.bound(p, c)

    asked = VectorMap(query, (1, 256))
    c, bounds = asked(queries)
    errors = np.array([problem.norm(p, u - basis @ x) for p, u, x in zip(queries, truths, c, strict=True)])
    asked(queries[:1])
    batch, alone = np.inf, np.full(len(queries), np.inf)
    full = np.repeat(queries, -(-256 // len(queries)), axis=0)[:256]
    for _ in range(5):
        start = time.perf_counter()
        asked(full)
        batch = min(batch, (time.perf_counter() - start) / len(full))
        for i, p in enumerate(queries):
            start = time.perf_counter()
            asked(p[None])
            alone[i] = min(alone[i], time.perf_counter() - start)
    ratio = bounds.upper / errors
    return {
        "median": float(np.median(ratio)),
        "max": float(ratio.max()),
        "least": float(ratio.min()),
        "batch": batch,
        "alone": float(np.median(alone)),
        "offline": offline,
    }


def measure(python: str, quick: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="peer-") as folder:
        out = str(Path(folder) / "pymor.npz")
        script = str(Path(__file__).with_name("pymor_worker.py"))
        count, diameter = (40, "0.04") if quick else (200, "0.01")
        subprocess.run([python, script, out, str(count), diameter], check=True, stdout=subprocess.DEVNULL)
        data = dict(np.load(out))
    problem = problem_of(data)
    queries = data["queries"]
    truths = np.asarray(problem.solve_batch(queries))
    rows, holds = [], {}
    for n in SIZES:
        basis = data["basis"][data["free"], :n]
        mine = ours(problem, basis, queries, truths)
        theirs = data[f"estimates_{n}"] / data[f"errors_{n}"]
        row = {
            "n": n,
            "median": mine["median"],
            "max": mine["max"],
            "pyMOR median": float(np.median(theirs)),
            "pyMOR max": float(theirs.max()),
            "us in batches": mine["batch"] * 1e6,
            "us alone": mine["alone"] * 1e6,
            "pyMOR us": float(np.median(data[f"seconds_{n}"])) * 1e6,
            "offline s": mine["offline"],
        }
        command.progress(row)
        rows.append(row)
        holds[f"n = {n}: sharper, median and largest, and faster, in batches and alone"] = (
            mine["median"] <= row["pyMOR median"]
            and mine["max"] <= row["pyMOR max"]
            and max(row["us in batches"], row["us alone"]) <= row["pyMOR us"]
        )
        holds[f"n = {n}: no bound below the error"] = mine["least"] >= 1 - 1e-6
    return {"unknowns": problem.size, "rows": rows, "holds": holds}


def show(result: dict[str, Any], console: Console) -> None:
    title = f"bound / error and microseconds a query, {result['unknowns']} unknowns"
    console.print(command.table(title, result["rows"]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer-python", required=True, help=f"an interpreter with pymor: {INSTALL}")
    parser.add_argument("--quick", action="store_true", help="the same with fewer unknowns and queries")
    parser.add_argument("--json", action="store_true", help="the numbers as JSON instead of a table")
    options = parser.parse_args()
    sys.exit(command.finish(measure(options.peer_python, options.quick), show, "-" if options.json else None))
