"""The speed/accuracy table of one problem: surrogates, dull baselines and guarded surrogates against the solver itself.

Rules in ``fairness.py``. Every row: errors (mean over the sampling law, worst found by corners, search and draws),
seconds per query alone and in batches, the solver's time at the same error, what training cost and after how many
queries it is repaid, and a verdict, printed whichever way it falls.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..solvers.coercive import CoerciveProblem
from ..solvers.problem import Problem
from ..solvers.snapshots import Snapshots, sample
from ..surrogates import SURROGATES, train
from ..verify.falsify import falsify
from ..verify.guard import Guard, guard
from ..verify.surrogate import has_basis
from . import table_output
from .fairness import (
    MEASURES,
    Errors,
    SolverPoint,
    Timing,
    Yardstick,
    breakeven,
    matched_time,
    solver_curve,
    timed,
    verdict,
)

NETWORKS = ("pod-mlp",)
GUARD_TOLERANCE = 1e-2
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Match:
    """The solver's seconds per query at this row's error, and what follows."""

    solver: float
    reached: bool  # whether the solver's curve reaches that error at all
    speedup: float
    breakeven: float


@dataclass(frozen=True)
class Row:
    """One surrogate. ``matches[measure][statistic][batch]``, statistic "mean" or "worst", batch "1" or "n"."""

    name: str
    kind: str  # network, baseline, guarded or given
    errors: Errors
    spread: tuple[float, float]  # smallest and largest mean discrete error over the seeds
    seeds: int
    one: Timing
    batch: Timing
    training: float  # seconds, snapshots included
    matches: dict[str, dict[str, dict[str, Match]]]
    verdicts: dict[str, str]  # by measure, on the least favourable of mean and worst, in batches
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows, the solver's curve they were matched with, and the sentences that follow from them."""

    problem: str
    settings: dict[str, Any]
    rows: list[Row]
    curve: list[SolverPoint]
    batch: int
    norm: str
    reference: dict[str, Any]
    machine: dict[str, Any]
    verdicts: list[str]
    notes: list[str] = field(default_factory=list)

    def to_rich(self) -> Any:
        """For the terminal."""
        return table_output.to_rich(self)

    def to_markdown(self) -> str:
        """For a README."""
        return table_output.to_markdown(self)

    def to_json(self) -> dict[str, Any]:
        """For programs; infinities are strings."""
        return table_output.to_json(self)

    def plot(self, path: Any) -> None:
        """Error against time, log-log: the solver's curve and every row."""
        table_output.plot(self, path)


@dataclass(frozen=True)
class Trained:
    """A row to be: its members, and the seconds that training one took, snapshots included."""

    name: str
    kind: str
    members: list[Any]  # one per seed
    training: float


def run_table(
    problem: Problem,
    *,
    surrogates: Sequence[str] | Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    snapshots: Snapshots | int = 512,
    seconds: float = 60.0,
    batch: int = 256,
    draws: int = 48,
    search: bool = True,
    found: Mapping[str, float] | None = None,
    progress: Progress | None = None,
) -> Table:
    """The table of one problem under the fairness rules.

    Args:
        surrogates: names to train, or trained callables (or ``Trained``) by name; by default the network and all dull
            baselines.
        seeds: networks are trained once per seed; the row shows the worst over them.
        snapshots: training data, or how many to solve for here (timed, and part of the training cost).
        seconds: training time per network.
        search: falsify every surrogate that has a basis, so that "worst" is the worst found by a search.
        found: the worst discrete errors that searches have confirmed already, by name.

    Raises:
        ValueError: an unknown surrogate.
    """
    report = progress or (lambda stage, done, total: None)
    report("reference solutions", 0, 1)
    cells = problem.settings.get("cells")
    yardstick = Yardstick(problem, draws, factor=8 if isinstance(cells, int) and cells <= 64 else 4)
    curve = solver_curve(yardstick, batch, progress=progress)
    trained = _train_all(problem, surrogates, seeds, snapshots, seconds, report)
    rows = []
    for i, one in enumerate(trained):
        rows.append(_row(problem, one, yardstick, curve, batch, search, (found or {}).get(one.name, 0.0)))
        report("measuring surrogates", i + 1, len(trained))
    for one in trained:
        if isinstance(problem, CoerciveProblem) and one.kind != "baseline":
            rows.append(_guarded_row(problem, one, yardstick, curve, batch))
    truth = yardstick.errors(yardstick.truths)
    reference = {
        "cells": yardstick.reference_cells,
        "error": yardstick.reference_error,
        "truth_to_pde_mean": truth.mean.get("PDE", float("nan")),
        "truth_to_pde_worst": truth.worst.get("PDE", float("nan")),
    }
    return Table(
        problem=problem.name,
        settings=problem.settings,
        rows=rows,
        curve=curve,
        batch=batch,
        norm=problem.norm_name,
        reference=reference,
        machine=machine(),
        verdicts=_verdicts(rows),
        notes=[*_notes(rows, reference, draws, search or bool(found)), *_busy()],
    )


def _busy() -> list[str]:
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load <= 1.5 * cores:
        return []
    return [
        f"the machine was busy (load {load:.1f} on {cores} cores): times are upper bounds and verdicts may be wrong; "
        "measure again when it is idle"
    ]


def machine() -> dict[str, Any]:
    """What the times were measured on."""
    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
        "dtype": "float64",
        "load": round(os.getloadavg()[0], 1),
    }


def _train_all(
    problem: Problem,
    surrogates: Sequence[str] | Mapping[str, Any] | None,
    seeds: Sequence[int],
    snapshots: Snapshots | int,
    seconds: float,
    report: Progress,
) -> list[Trained]:
    if isinstance(surrogates, Mapping):
        return [s if isinstance(s, Trained) else Trained(name, "given", [s], 0.0) for name, s in surrogates.items()]
    start = time.perf_counter()
    if isinstance(snapshots, int):
        snapshots = sample(problem, snapshots, seed=0)
    solving = time.perf_counter() - start
    trained = []
    for i, name in enumerate(surrogates or SURROGATES):
        network = name in NETWORKS
        members, start = [], time.perf_counter()
        for seed in seeds if network else (0,):
            members.append(train(problem, name, snapshots, seed=seed, seconds=seconds if network else None))
        spent = (time.perf_counter() - start) / len(members)
        trained.append(Trained(name, "network" if network else "baseline", members, solving + spent))
        report("training", i + 1, len(surrogates or SURROGATES))
    return trained


def _row(
    problem: Problem,
    one: Trained,
    yardstick: Yardstick,
    curve: list[SolverPoint],
    batch: int,
    search: bool,
    known: float,
) -> Row:
    found = [yardstick.errors(np.asarray(s(yardstick.P))) for s in one.members]
    mean = {m: float(np.mean([e.mean[m] for e in found])) for m in found[0].mean}
    worst = {m: max(e.worst[m] for e in found) for m in found[0].worst}
    worst["discrete"] = max(worst["discrete"], known)
    note = ""
    if search and isinstance(problem, CoerciveProblem) and has_basis(one.members[0]):
        result = falsify(problem, one.members[0], GUARD_TOLERANCE, 10, 0, starts=1024)
        worst["discrete"] = max(worst["discrete"], result.worst)
        note = f"search: {result.verdict}"
    means = [e.mean["discrete"] for e in found]
    Q = problem.inputs.sample(batch, seed=5)
    member = one.members[0]
    alone = timed(lambda: np.asarray(member(Q[:1])), 1, 15)
    many = timed(lambda: np.asarray(member(Q)), batch)
    errors = Errors(mean, worst)
    matches = match(errors, alone, many, one.training, curve)
    return Row(
        one.name, one.kind, errors, (min(means), max(means)), len(one.members), alone, many, one.training,
        matches, _row_verdicts(matches), note,
    )  # fmt: skip


def _guarded_row(
    problem: CoerciveProblem, one: Trained, yardstick: Yardstick, curve: list[SolverPoint], batch: int
) -> Row:
    """The first member behind a guard; answers that had to be solved are in the time."""
    guarded: Guard = guard(problem, one.members[0], GUARD_TOLERANCE)
    errors = yardstick.errors(guarded(yardstick.P).u)
    Q = problem.inputs.sample(batch, seed=5)
    buffer = np.empty((batch, problem.size))
    counts = guarded(Q).counts
    alone = timed(lambda: guarded(Q[:1], out=buffer), 1, 15)
    many = timed(lambda: guarded(Q, out=buffer), batch)
    matches = match(errors, alone, many, one.training, curve)
    note = ", ".join(f"{n} {route}" for route, n in counts.items() if n)
    mean = errors.mean["discrete"]
    return Row(
        f"guarded {one.name}", "guarded", errors, (mean, mean), 1, alone, many, one.training,
        matches, _row_verdicts(matches), f"tolerance {GUARD_TOLERANCE:g}: {note}",
    )  # fmt: skip


def match(
    errors: Errors, one: Timing, batch: Timing, training: float, curve: list[SolverPoint]
) -> dict[str, dict[str, dict[str, Match]]]:
    """Times of the solver at the same error: every measure, mean and worst, alone and in batches."""
    out: dict[str, dict[str, dict[str, Match]]] = {}
    for measure in (m for m in MEASURES if m in errors.mean):
        out[measure] = {}
        for statistic in ("mean", "worst"):
            target = getattr(errors, statistic)[measure]
            cells = {}
            for size, mine in (("1", one), ("n", batch)):
                points = [
                    (getattr(p.errors, statistic)[measure], (p.one if size == "1" else p.batch).median) for p in curve
                ]
                solver, reached = matched_time(points, target)
                cells[size] = Match(solver, reached, solver / mine.median, breakeven(training, solver, mine.median))
            out[measure][statistic] = cells
    return out


def _row_verdicts(matches: dict[str, dict[str, dict[str, Match]]]) -> dict[str, str]:
    return {m: verdict([by["n"].speedup for by in statistics.values()]) for m, statistics in matches.items()}


def _verdicts(rows: list[Row]) -> list[str]:
    """One sentence per row against the solver, and one per baseline that beats a network."""
    said = []
    for row in rows:
        for measure, word in row.verdicts.items():
            mean, worst = (row.matches[measure][s]["n"].speedup for s in ("mean", "worst"))
            said.append(f"{row.name}: {word} ({measure}; {mean:.3g}x at equal mean error, {worst:.3g}x at equal worst)")
    for network in (r for r in rows if r.kind == "network"):
        for baseline in (r for r in rows if r.kind == "baseline"):
            if (
                baseline.errors.worst["discrete"] <= network.errors.worst["discrete"]
                and baseline.batch.median <= network.batch.median * 1.1
            ):
                said.append(
                    f"{baseline.name} beats {network.name}: worst error {baseline.errors.worst['discrete']:.1e} to "
                    f"{network.errors.worst['discrete']:.1e}, {1e6 * baseline.batch.median:.3g} to "
                    f"{1e6 * network.batch.median:.3g} us a query in batches"
                )
    return said


def _notes(rows: list[Row], reference: dict[str, Any], draws: int, search: bool) -> list[str]:
    worst = "these, the box's corners" + " and a search" * search
    notes = [f"means over {draws} draws from the sampling law; worst over {worst}"]
    if reference["cells"] is None:
        return [*notes, "this problem has no finer grid to compare with: errors are against the discrete truth only"]
    smallest = min([r.errors.mean["PDE"] for r in rows] + [reference["truth_to_pde_mean"]])
    share = reference["error"] / smallest
    notes.append(
        f"PDE: L2 against {reference['cells']} cells, whose own error is about {reference['error']:.1e}, {share:.2g} "
        f"of the smallest mean shown ({'within' if share <= 0.1 else 'above'} the tenth that the rule asks for)"
    )
    notes.append(
        f"the discrete truth itself is {reference['truth_to_pde_mean']:.1e} (mean) and "
        f"{reference['truth_to_pde_worst']:.1e} (worst) from the PDE in the same measure"
    )
    return notes
