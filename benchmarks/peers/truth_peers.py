"""One truth solve against other people's solvers, with the same matrix, to the same recomputed residual.

Not counted: assembly and conversion (theirs), compilation (ours, shown apart). Counted: set-up and solve. All methods
take turns, so that whatever else the machine does meets all of them; best and median over the turns. CHOLMOD (through
cvxopt, GPL) and Pardiso (through pypardiso) take part where they are installed: in an environment of their own, never
as a dependency of this package.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.problems.elasticity import Elasticity

RESIDUAL = 1e-10  # true relative residual that every solver must reach
TURN_SECONDS, MANY = 0.02, 10  # a turn of one method: so long, or so many runs


@dataclass
class Method:
    """``prepare`` is not timed; ``run`` is."""

    name: str
    prepare: Callable[[np.ndarray], Any]
    run: Callable[[Any], Any]  # -> values in the unknowns, or a number where only time matters
    compile_seconds: float | None = None
    times: list[float] = field(default_factory=list)
    processor_times: list[float] = field(default_factory=list)  # of all threads: other processes disturb it less
    last: list[tuple[np.ndarray, Any]] = field(default_factory=list)

    @property
    def best(self) -> float:
        return min(self.times)

    @property
    def median(self) -> float:
        return float(np.median(self.times))


def take_turns(methods: list[Method], P: np.ndarray, repeats: int) -> None:
    """In a turn a method runs once, or for ``TURN_SECONDS``, so that short solves find the caches as they left them."""
    for method in methods:
        data = method.prepare(P[0])
        start = time.perf_counter()
        method.run(data)
        first = time.perf_counter() - start
        if method.compile_seconds is not None:
            method.compile_seconds = first
    for i in range(repeats):
        p = P[i % len(P)]
        for method in methods:
            data = method.prepare(p)
            out, spent = None, 0.0
            for _ in range(MANY):
                start, processor = time.perf_counter(), time.process_time()
                out = method.run(data)
                method.times.append(time.perf_counter() - start)
                method.processor_times.append(time.process_time() - processor)
                spent += method.times[-1]
                if spent > TURN_SECONDS:
                    break
            method.last.append((p, out))


def others(problem: CoerciveProblem, b: np.ndarray) -> tuple[list[Method], list[str]]:
    """The baselines, and what is missing. ``prepare`` takes the weights theta."""
    symmetric = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}

    def csc(theta: np.ndarray) -> Any:
        return problem.matrix(theta).tocsc()

    found = [
        Method("scipy splu, symmetric ordering", csc, lambda a: spla.splu(a, **symmetric).solve(b)),
        Method("scipy spsolve (scikit-fem's default)", csc, lambda a: spla.spsolve(a, b)),
    ]
    missing = []
    for package, method in (("pyamg", _pyamg), ("cvxopt", _cholmod), ("pypardiso", _pardiso)):
        try:
            importlib.import_module(package)
        except ImportError:
            missing.append(f"{package} is not installed, so its row is missing")
        else:
            found.append(method(problem, b))
    return found, missing


def _pyamg(problem: CoerciveProblem, b: np.ndarray) -> Method:
    """Ruge-Stuben for scalar problems; smoothed aggregation with the rigid motions for elasticity."""
    import pyamg

    near = {"B": rigid_motions(problem)} if isinstance(problem, Elasticity) else {}
    make = pyamg.smoothed_aggregation_solver if near else pyamg.ruge_stuben_solver

    def run(a: Any) -> np.ndarray:
        # its own residual estimate decides when it stops; half the tolerance keeps the true one below RESIDUAL
        return np.asarray(make(a, **near).solve(b, tol=RESIDUAL / 2, accel="cg", maxiter=1000))

    def prepare(theta: np.ndarray) -> Any:
        a = problem.matrix(theta)
        return a.tobsr((2, 2)) if near and _interleaved(problem) else a

    return Method("pyamg smoothed aggregation + CG" if near else "pyamg Ruge-Stuben + CG", prepare, run)


def _interleaved(problem: CoerciveProblem) -> bool:
    """Whether both displacements of a node are free, or none."""
    free = problem.free.reshape(-1, 2)
    return bool((free[:, 0] == free[:, 1]).all())


def rigid_motions(problem: Elasticity) -> np.ndarray:
    """Two translations and a rotation over the free entries, [n, 3]."""
    x, y = problem.coordinates.T
    one, zero = np.ones_like(x), np.zeros_like(x)
    motions = np.stack([np.stack([one, zero], 1), np.stack([zero, one], 1), np.stack([-y, x], 1)], axis=-1)
    return motions.reshape(-1, 3)[problem.free]


def _cholmod(problem: CoerciveProblem, b: np.ndarray) -> Method:
    import cvxopt
    import cvxopt.cholmod

    def prepare(theta: np.ndarray) -> Any:
        a = sp.tril(problem.matrix(theta)).tocoo()
        return cvxopt.spmatrix(a.data.tolist(), a.row.tolist(), a.col.tolist(), a.shape)

    def run(a: Any) -> np.ndarray:
        x = cvxopt.matrix(b)
        cvxopt.cholmod.linsolve(a, x)
        return np.asarray(x).ravel()

    return Method("CHOLMOD (cvxopt)", prepare, run)


def _pardiso(problem: CoerciveProblem, b: np.ndarray) -> Method:
    import pypardiso

    def prepare(theta: np.ndarray) -> Any:
        return sp.triu(problem.matrix(theta)).tocsr()

    def run(a: Any) -> np.ndarray:
        solver = pypardiso.PyPardisoSolver(mtype=2)
        x = np.asarray(solver.solve(a, b))
        solver.free_memory(everything=True)
        return x

    return Method("Pardiso (pypardiso)", prepare, run)


def compare(
    problem: CoerciveProblem, P: np.ndarray, repeats: int, label: str = ""
) -> tuple[list[dict[str, Any]], list[str]]:
    """One row per solver, and what is missing; ours first. The loads must not depend on the inputs."""
    b = np.asarray(problem.load(jnp.asarray(P[0])))[problem.free]
    baselines, missing = others(problem, b)
    weights = {p.tobytes(): np.asarray(problem.theta(jnp.asarray(p))) for p in P}
    for method in baselines:
        method.prepare = lambda p, prepare=method.prepare: prepare(weights[p.tobytes()])  # type: ignore[misc]
    mine = Method(
        "assay multigrid + CG", lambda p: p, lambda p: problem.solve_report(p, RESIDUAL).u, compile_seconds=0.0
    )
    take_turns([mine, *baselines], P, repeats)
    rows = []
    for method in (mine, *baselines):
        worst = 0.0
        for p, u in method.last:
            u = u[problem.free] if u.size == problem.size else u
            a = problem.matrix(weights[p.tobytes()])
            worst = max(worst, float(np.linalg.norm(b - a @ u) / np.linalg.norm(b)))
        rows.append(
            {
                "problem": label or problem.name,
                "cells": problem.settings["cells"],
                "method": method.name,
                "best_ms": 1e3 * method.best,
                "median_ms": 1e3 * method.median,
                "best_processor_ms": 1e3 * min(method.processor_times),
                "true_residual": worst,
                "first_call_s": method.compile_seconds,
                "times_ours_best": method.best / mine.best,
                "times_ours_median": method.median / mine.median,
                "times_ours_processor": min(method.processor_times) / min(mine.processor_times),
            }
        )
    return rows, missing
