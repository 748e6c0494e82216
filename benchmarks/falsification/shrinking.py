"""Shrinking removes at least 80 % of the changed inputs or of the distance to nominal within 100 solves, and what is
left fails on the doubled grid, too.

Each row is one failure: the worst that a search of 100 calls found of a surrogate, brought near to the centre of the
box. Faults are planted into the truth (a half-space of one, two or three inputs; a corner; all but a ball), so that how
many inputs a failure needs is known, and how near to the centre the nearest one lies: no shrinking removes more than
these leave, which may be less than 80 %. The last rows are of surrogates that learnt too little.

    python -m assay.benchmarks.falsification.shrinking [--quick] [--json]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from ...solvers.box import Box
from ...solvers.classes.finer import doubled
from ...solvers.problem import Problem
from ...solvers.problems.black_box import black_box
from ...solvers.problems.burgers import Burgers
from ...solvers.problems.lognormal_diffusion import LognormalDiffusion
from ...solvers.problems.thermal_block import ThermalBlock
from ...solvers.snapshots.sample import sample
from ...surrogates import train
from ...verify.falsify import falsify
from .. import command

TOLERANCE, CALLS = 1e-2, 100  # calls of the search, and as many to shrink
STARTS = 256  # of the climb: the surrogates are as slow as the solver
WANTED = 0.8
NEAR = 0.05  # of all that is possible, where that is less: what bisection and round numbers leave
HEIGHT = 0.1  # of a planted fault


@dataclass(frozen=True)
class Pair:
    """A problem, a surrogate of it, and how many inputs its failure needs; None where that is not known."""

    name: str
    problem: Problem
    surrogate: Callable[[Any], Any]
    needs: int | None
    tolerance: float = TOLERANCE
    fewest: int | None = None  # inputs of any failure, where one that needs more of them may be nearer
    least: float | None = None  # how near to the centre of the unit box the nearest failure lies


def planted(
    name: str, problem: Problem, wrong: Callable[[np.ndarray], np.ndarray], needs: int, least: float, fewest: int = 0
) -> Pair:
    """The truth, off by ``HEIGHT`` where ``wrong`` says so of the unit coordinates [n, d]."""

    def surrogate(P: Any) -> np.ndarray:
        fault = wrong(problem.inputs.to_unit(P))
        return np.asarray(problem.solve_batch(P)) * (1 + HEIGHT * fault)[:, None]

    return Pair(name, problem, surrogate, needs, least=least, fewest=fewest or needs)


def learnt(name: str, problem: Problem, rows: int) -> Pair:
    """A surrogate of so few solves that it fails somewhere, at 1.5 times its error at the centre of the box."""
    model, p = train(problem, "kernel-ridge", sample(problem, rows)), problem.inputs.centre
    at_centre = float(problem.relative_error(p, np.asarray(model(p[None]))[0], problem.solve(p)))
    return Pair(f"{name}, kernel-ridge of {rows} rows", problem, model, None, 1.5 * at_centre)


def waves(p: np.ndarray) -> np.ndarray:
    return np.cos(np.linspace(0, 1, 8) * (1 + p[:8])) + 2 + np.mean(p)


def suite(quick: bool) -> list[Pair]:
    box = Box(tuple(f"x{i}" for i in range(30)), np.full(30, -2.0), np.full(30, 2.0))
    many = black_box(waves, box, name="waves")
    pairs = [
        planted("30 inputs, a half-space of one", many, lambda X: X[:, 4] > 0.8, 1, 0.3),
        planted("30 inputs, a corner of two", many, lambda X: (X[:, 3] > 0.65) & (X[:, 17] < 0.35), 2, 0.15 * 2**0.5),
        planted(
            "30 inputs, a half-space of three", many, lambda X: X[:, [1, 8, 20]].sum(axis=1) > 2.0, 3, 0.5 / 3**0.5, 2
        ),
        planted("30 inputs, off the middle", many, lambda X: np.linalg.norm(X - 0.5, axis=1) > 0.4, 1, 0.4),
    ]
    if quick:
        return pairs
    block, large = ThermalBlock((2, 2), 8), ThermalBlock((3, 3), 12)
    field, burgers = LognormalDiffusion(d=10, cells=16), Burgers(cells=32, steps=8)
    return [
        *pairs,
        planted("thermal block 2 x 2, a half-space of one", block, lambda X: X[:, 2] > 0.6, 1, 0.1),
        planted(
            "thermal block 3 x 3, a corner of two", large, lambda X: (X[:, 2] > 0.7) & (X[:, 6] < 0.3), 2, 0.2 * 2**0.5
        ),
        planted("lognormal d = 10, a half-space of one", field, lambda X: X[:, 0] > 0.7, 1, 0.2),
        planted(
            "lognormal d = 10, a half-space of three",
            field,
            lambda X: X[:, [0, 2, 5]].sum(axis=1) > 2.1,
            3,
            0.6 / 3**0.5,
            2,
        ),
        planted(
            "burgers, a half-space of one", burgers, lambda X: X[:, 0] > 0.7, 2, 0.2
        ),  # and a wave that is not zero
        learnt("lognormal d = 10", field, 40),
        learnt("thermal block 3 x 3", large, 40),
    ]


def measured(pair: Pair) -> dict[str, Any]:
    """One failure, before and after; ``removed`` is the larger share, of inputs or of the distance."""
    result = falsify(pair.problem, pair.surrogate, pair.tolerance, CALLS, 0, shrink=CALLS, starts=STARTS)
    first = next(iter(result.counterexamples), None)
    if first is None or first.simplest is None:
        return {"pair": pair.name, "inputs": None, "left": None, "removed": 0.0, "fails still": False}
    box = pair.problem.inputs
    before, after = box.to_unit(first.inputs) - 0.5, box.to_unit(first.simplest.inputs) - 0.5
    changed, left = (int((p != box.centre).sum()) for p in (first.inputs, first.simplest.inputs))
    fewer, nearer = 1 - left / changed, 1 - float(np.linalg.norm(after) / np.linalg.norm(before))
    finer = first.simplest.finer_error
    possible = None  # the larger of the shares that leave what the fault needs
    if pair.fewest is not None and pair.least is not None:
        possible = max(1 - pair.fewest / changed, 1 - pair.least / float(np.linalg.norm(before)))
    return {
        "pair": pair.name,
        "inputs": changed,
        "left": left,
        "needs": pair.needs,
        "distance": float(np.linalg.norm(before)),
        "after": float(np.linalg.norm(after)),
        "removed": max(fewer, nearer),
        "possible": possible,
        "error": first.simplest.error,
        "on the doubled grid": finer,
        "fails still": first.simplest.error > pair.tolerance and (finer is None or finer > pair.tolerance),
        "confirmed finer": finer is not None or doubled(pair.problem) is None,
        "calls": result.shrink_calls,
    }


def measure(quick: bool) -> dict[str, Any]:
    rows = []
    for pair in suite(quick):
        rows.append(measured(pair))
        command.progress(rows[-1])
    known = [row for row in rows if row["inputs"]]
    fewer = 1 - sum(row["left"] for row in known) / sum(row["inputs"] for row in known)
    nearer = 1 - sum(row["after"] for row in known) / sum(row["distance"] for row in known)
    short = [row for row in rows if row["removed"] < WANTED]
    could = [row for row in short if row["removed"] < _asked(row)]
    needed = [row for row in rows if row.get("needs") is not None]
    over = f"over the suite {100 * fewer:.0f} % of the changed inputs and {100 * nearer:.0f} % of the distance are gone"
    return {
        "rows": rows,
        "short": [row["pair"] for row in short],
        "holds": {
            f"{over}, at least 80 % of one of them": len(known) == len(rows) and max(fewer, nearer) >= WANTED,
            "each by itself 80 % of one of them, or within .05 of what its fault allows where that is less": not could,
            "no failure keeps an input that it does not need": all(row["left"] <= row["needs"] for row in needed),
            "each still fails, and on the doubled grid where there is one": all(
                row["fails still"] and row["confirmed finer"] for row in rows
            ),
            f"at most {CALLS} solves each": all(row["calls"] <= CALLS for row in rows),
        },
    }


def _asked(row: dict[str, Any]) -> float:
    """The share that is asked of one failure."""
    possible = row.get("possible")
    return WANTED if possible is None or possible >= WANTED else float(possible) - NEAR


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("The worst failure found, and what it was shrunk to", result["rows"]))
    console.print(f"less than 80 % of both: {', '.join(result['short']) or 'none'}", highlight=False)


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
