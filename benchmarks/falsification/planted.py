"""Planted failures that a million random points miss: found within 200 solves where a residual tells of them, and no
false alarm on surrogates that are right.

Each row is a kind of fault in the truth itself, 20 of them at random places, at most twice the tolerance: bumps whose
tails are seen from afar (rational); a half-space and a corner; wrong at one time only; wrong beside the wall only. Of
three more kinds nothing is claimed (5 places): bumps that float64 rounds away at nine widths (Gaussian), that are zero
beyond their width (compact: no signal can see them), and that stand on a background of half the tolerance, above which
their tails do not rise. "random" is how many of a million points of the sampling law fail, by the fault's formula.

    python -m assay.benchmarks.falsification.planted [--quick] [--json] [--keep FILE]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from rich.console import Console

from ...verify.falsify import falsify
from .. import command
from .planted_faults import NODES, STEPS, Fault, Field, compact, cooling, corner, gaussian, half_space, rational, rod

TOLERANCE, CALLS = 1e-2, 200
FIRST = 20  # of these, in a search of their own
HEIGHT = 2 * TOLERANCE
SEEDS, QUICK_SEEDS = 20, 3
RANDOM = 1_000_000
ALARMS, BUDGET, STARTS = 1000, 10, 64  # runs on right surrogates, their solves, and starts of the climb
UNCLAIMED = ("gaussian", "compact", "background")  # a quarter of the seeds
LEG = {2: 4e-4, 4: 0.03, 8: 0.3}  # of the simplex that a half-space cuts off
SIDE = {2: 1e-4, 4: 0.015, 8: 0.1}  # of the corner


def kinds(quick: bool) -> dict[str, tuple[str, int, float]]:
    """Rows by name: the kind, the number of inputs, the width."""
    widths = (1e-2, 1e-3)

    def bumps(shape: str) -> dict[str, tuple[str, int, float]]:
        return {f"{shape} bump of {w:g}, d = {d}": (shape, d, w) for w in widths for d in (2, 4, 8)}

    rows = bumps("rational")
    rows |= {f"{kind}, d = {d}": (kind, d, 0.0) for kind in ("half-space", "corner") for d in (2, 4, 8)}
    rows |= {f"{kind}, d = 4": (kind, 4, 1e-2) for kind in ("at one time", "beside the wall")}
    rows |= {f"over a background, 0.01, d = {d}": ("background", d, 1e-2) for d in (2, 4, 8)}
    rows |= bumps("gaussian") | bumps("compact")
    few = ("rational bump of 0.001, d = 4", "compact bump of 0.01, d = 4", "corner, d = 4", "at one time, d = 4")
    return {name: row for name, row in rows.items() if not quick or name in few}


def planted(kind: str, d: int, width: float, seed: int) -> Fault:
    """One fault, at a place that the seed says."""
    rng = np.random.default_rng([seed, d, 31])
    c, which = 0.1 + 0.8 * rng.random(d), rng.integers(0, 2, d).astype(float)
    problem, field = cooling(d) if kind == "at one time" else rod(d)
    if kind in ("rational", "gaussian", "compact"):
        shape = {"rational": rational, "gaussian": gaussian, "compact": compact}[kind](c, width)
        return Fault(kind, problem, field, shape, HEIGHT, visible=kind == "rational")
    if kind == "half-space":
        normal = np.sort(rng.random(d)) / 2 + 0.5
        return Fault(kind, problem, field, half_space(which, normal, LEG[d] / 2), HEIGHT)
    if kind == "corner":
        return Fault(kind, problem, field, corner(which, SIDE[d]), HEIGHT)
    if kind == "background":
        return Fault(kind, problem, _off(field, seed), rational(c, width), HEIGHT, visible=False)
    where = np.zeros(STEPS * NODES if kind == "at one time" else NODES - 1)
    if kind == "at one time":
        where.reshape(STEPS, NODES)[int(rng.integers(STEPS))] = 1.0
    else:
        where[-1] = 1.0
    u = field(c[None], np)[0]
    share = np.linalg.norm(where * u) / np.linalg.norm(u)
    return Fault(kind, problem, field, rational(c, width), float(HEIGHT / share), where)


def _off(field: Field, seed: int, share: float = 0.5) -> Field:
    """The truth off by a share of the tolerance, smoothly."""
    slope = np.random.default_rng([seed, 32]).standard_normal(8)
    return lambda x, xp: field(x, xp) * (1 + share * TOLERANCE * xp.sin(3 * x @ slope[: x.shape[1]])[:, None])


def random_hits(fault: Fault, seed: int) -> int:
    """How many of a million points of the sampling law fail: even in the unit box, errors by the formula."""
    rng, hits, d = np.random.default_rng([seed, 33]), 0, fault.problem.inputs.dimension
    for _ in range(10):
        x = rng.random((RANDOM // 10, d))
        shape = fault.shape(x, np)
        x, shape = x[shape > 1e-3], shape[shape > 1e-3]
        u = fault.field(x, np)
        off = np.linalg.norm(u * (fault.height * shape[:, None] * fault.where), axis=1)
        hits += int((off > TOLERANCE * np.linalg.norm(u, axis=1)).sum())
    return hits


def measured(kind: str, d: int, width: float, seeds: int) -> dict[str, Any]:
    """One row of the table."""
    calls, hits, visible = [], [], True
    if kind in UNCLAIMED:
        seeds = max(seeds // 4, 1)
    for seed in range(seeds):
        fault = planted(kind, d, width, seed)
        visible = fault.visible
        hits.append(random_hits(fault, seed))
        calls.append(first_found(fault, seed))
    return {
        "visible": visible,
        "random": float(np.median(hits)),
        "found": float(np.mean(np.isfinite(calls))),
        "calls": float(np.median(calls)),
        "seeds": seeds,
    }


def first_found(fault: Fault, seed: int) -> float:
    """Solves until a failure is confirmed, at most ``CALLS``: a search of ``FIRST``, and where it finds nothing one of
    the rest. Infinite where neither finds one.
    """
    for before, budget in ((0, FIRST), (FIRST, CALLS - FIRST)):
        result = falsify(fault.problem, fault, TOLERANCE, budget, seed, shrink=0)
        if result.counterexamples:
            return before + min(c.solver_calls for c in result.counterexamples)
    return np.inf


def right(seed: int) -> Fault:
    """A surrogate that is right: the truth, the truth off by nearly the tolerance, or the truth in single precision."""
    d = (2, 4, 8)[seed % 3]
    problem, field = cooling(d) if seed % 2 else rod(d)
    nearly = _off(field, seed, 0.99)
    answers: list[Field] = [field, nearly, lambda x, xp: xp.asarray(field(x, xp), dtype=np.float32)]
    return Fault("right", problem, answers[seed // 6 % 3], lambda x, xp: xp.zeros(len(x)), 0.0)


def alarms(seeds: range) -> int:
    """In how many runs something is called a failure that is none."""
    found = 0
    for seed in seeds:
        surrogate = right(seed)
        result = falsify(surrogate.problem, surrogate, TOLERANCE, BUDGET, seed, shrink=0, starts=STARTS)
        found += bool(result.counterexamples) or result.verdict == "falsified"
    return found


def _parts(runs: int) -> Iterator[range]:
    yield from (range(i, min(i + 50, runs)) for i in range(0, runs, 50))


def measure(quick: bool, keep: str | None = None) -> dict[str, Any]:
    kept = command.Kept(keep, {"quick": quick})
    seeds = QUICK_SEEDS if quick else SEEDS
    about = kinds(quick)
    for name, row in about.items():
        if row[0] not in UNCLAIMED:
            kept.row(name, partial(measured, *row, seeds))
    runs = ALARMS // 50 if quick else ALARMS
    false = sum(kept.row(f"right from {part.start}", partial(alarms, part)) for part in _parts(runs))
    rows = [{"fault": name, **kept.row(name, partial(measured, *row, seeds))} for name, row in about.items()]
    claimed = [row for row in rows if row["visible"]]
    missed = [row for row in claimed if row["random"] == 0]
    return {
        "rows": rows,
        "runs": runs,
        "false alarms": false,
        "holds": {
            f"at least 95 % found in {CALLS} solves in each of {len(claimed)} visible kinds": all(
                row["found"] >= 0.95 for row in claimed
            ),
            f"a million random points miss {len(missed)} of these": len(missed) > 0,
            f"no false alarm in {runs} runs on right surrogates": false == 0,
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table(f"Planted failures, found within {CALLS} solves", result["rows"]))


if __name__ == "__main__":
    options = command.kept_parser(__doc__).parse_args()
    sys.exit(command.finish(measure(options.quick, options.keep), show, "-" if options.json else None))
