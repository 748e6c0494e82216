"""The speed/accuracy table of one problem: surrogates, dull baselines and guarded surrogates against the solver itself.

Rules in ``fairness.py``. Every row: errors (mean over the sampling law, worst found by corners, search and draws),
seconds per query alone and in batches, the solver's time at the same error, what training cost and after how many
queries it is repaid, and a verdict, printed whichever way it falls.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ...solvers.problem import Problem
from ...solvers.problems.black_box import BlackBox
from ...solvers.tolerance import measured_in
from ...verify.proofs.prover import proof_of
from .clock import Clock, busy
from .contestants import NETWORKS, Trained, Training, attempted, fitting
from .effort import Effort
from .fairness import SolverPoint
from .parts import Parts
from .ranking import Ranked, rank, sentences
from .rows import Row, guarded, measured, proves
from .solver_curve import solver_curve
from .yardstick import Progress, Yardstick

ONE_WAY = "the solver's cost is known at one accuracy only"
REMEDY = "name what makes it faster and less accurate, black_box(..., loosen=), and it has a curve to compare with"


@dataclass(frozen=True)
class Table:
    """Rows, the solver's curve they were matched with, and the sentences that follow from them.

    ``table_output`` prints it, ``table_picture`` draws it.
    """

    problem: str
    settings: dict[str, Any]
    rows: list[Ranked]
    curve: list[SolverPoint]
    batch: int
    norm: str
    reference: dict[str, Any]
    machine: dict[str, Any]
    verdicts: list[str]
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


def run_table(
    problem: Problem,
    surrogates: Sequence[str] | Mapping[str, Any] | None = None,
    effort: Effort | None = None,
    *,
    found: Mapping[str, float] | None = None,
    keep: Path | None = None,
    remarks: Sequence[str] = (),
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> Table:
    """The table of one problem under the fairness rules.

    Args:
        surrogates: names to train, or trained callables (or ``Trained``) by name; by default the network and all dull
            baselines that fit the problem.
        found: the worst discrete errors that searches have confirmed already, by name.
        keep: folder for finished parts, with which the same call goes on after an interruption.
        remarks: to stand among the table's notes.
        executor: where solves run that are not timed, as in ``sample``; their costs are counted as of one process.

    Raises:
        ValueError: an unknown surrogate, or one that does not fit the problem; a limit that a single solve uses up.
        SolveError: no test input was solved.
    """
    report = progress or (lambda stage, done, total: None)
    effort = effort or Effort()
    clock, parts = Clock(effort.limit), Parts(keep)
    names, left_out = _names(problem, surrogates)
    report("test inputs and references", 0, 1)
    cells = problem.settings.get("cells")
    halvings = 3 if isinstance(cells, int) and cells <= 64 and effort.limit is None else 2
    insist = "draws" in effort.fixed
    yardstick = Yardstick(
        problem, effort.draws, halvings=halvings, insist=insist, parts=parts, clock=clock, executor=executor
    )
    effort = effort.within(clock, yardstick.seconds)
    Q = _queries(yardstick, effort.batch)
    curve = solver_curve(yardstick, Q, effort.tolerances, report)
    train = Training(problem, effort, yardstick.seconds, parts, report, executor)
    rows: list[Row] = []
    given = surrogates if isinstance(surrogates, Mapping) else {}

    def measure(name: str) -> list[Row]:
        return _measure(name, given.get(name), train, yardstick, Q, (found or {}).get(name, 0.0))

    for i, name in enumerate(names):
        made, why = attempted(partial(measure, name), name)
        rows += made or []
        left_out += [why] * bool(why)
        report("measuring surrogates", i + 1, len(names))
    rows.sort(key=lambda row: row.kind == "guarded")  # behind the others
    ranked = [rank(row, curve) for row in rows]
    searched = bool(found) or (effort.search and proves(problem))
    return Table(
        problem=problem.name,
        settings=problem.settings,
        rows=ranked,
        curve=curve,
        batch=len(Q),
        norm=problem.norm_name,
        reference=_reference(yardstick),
        machine=machine(),
        verdicts=sentences(ranked),
        notes=[*_notes(yardstick, ranked, searched), *left_out, *remarks, *_circumstances(clock, parts)],
        seconds=clock.spent,
    )


def _names(problem: Problem, surrogates: Sequence[str] | Mapping[str, Any] | None) -> tuple[list[str], list[str]]:
    return (list(surrogates), []) if isinstance(surrogates, Mapping) else fitting(problem, surrogates)


def _queries(yardstick: Yardstick, batch: int) -> Float[np.ndarray, "batch d"]:
    """What is timed: inputs that the solver solves, where it does not solve all."""
    problem = yardstick.problem
    Q = problem.inputs.sample(batch, seed=5)
    if yardstick.failed:
        Q = Q[np.isfinite(np.asarray(problem.solve_batch(Q))).all(axis=1)]
    return Q if len(Q) else yardstick.P[:batch]


def _measure(name: str, given: Any, train: Training, yardstick: Yardstick, Q: np.ndarray, known: float) -> list[Row]:
    """The surrogate's row, and the guarded one where bounds are proved; trained only where one of them is missing."""
    problem, parts, clock, effort = yardstick.problem, yardstick.parts, yardstick.clock, train.effort
    made: list[Trained] = []

    def trained() -> Trained:
        if not made:
            one = train(name) if given is None else given
            made.append(one if isinstance(one, Trained) else Trained(name, "given", [one], 0.0))
        return made[0]

    network = given is None and name in NETWORKS
    wait = effort.seconds * len(effort.seeds) * network
    insisted = "surrogates" in effort.fixed or (network and effort.fixed & {"seconds", "seeds"})
    if not insisted and not clock.allows(name, 4.0 if network else 1.5, wait=wait):
        return []
    row = parts.json(f"row-{name}", lambda: measured(trained(), yardstick, Q, effort.search, known).to_json())
    rows = [Row.from_json(row)]
    if (
        proves(problem)
        and rows[0].kind != "baseline"
        and clock.allows(f"guarded {name}", 15.0 + proof_of(problem).seconds_to_prepare)
    ):
        rows.append(Row.from_json(parts.json(f"guarded-{name}", lambda: guarded(trained(), yardstick, Q).to_json())))
    return rows


def _reference(yardstick: Yardstick) -> dict[str, Any]:
    """What "PDE" is measured against, and how far the discrete truth is from it; None where there is no such thing."""
    reference = yardstick.reference
    if reference.fields is None:
        return dict.fromkeys(("cells", "error", "truth_to_pde_mean", "truth_to_pde_worst"))
    truth = yardstick.errors(yardstick.truths)
    return {
        "cells": reference.cells,
        "error": reference.error,
        "truth_to_pde_mean": truth.mean["PDE"],
        "truth_to_pde_worst": truth.worst["PDE"],
    }


def _notes(yardstick: Yardstick, rows: list[Ranked], searched: bool) -> list[str]:
    problem, reference = yardstick.problem, yardstick.reference
    notes = [f"means over {yardstick.draws} draws from the sampling law; worst over these, corners of the box"]
    notes[0] += " and a search" if searched else "; nothing was searched"
    if yardstick.failed:
        why = f": {'; '.join(yardstick.reasons)}" if yardstick.reasons else ""
        notes.append(
            f"the solver failed at {yardstick.failed} of {yardstick.asked} test inputs, which are left out{why}"
        )
    if yardstick.scale.absolute:
        notes.append(
            f"errors are {measured_in(problem.norm_name, yardstick.scale.scale)}: it is zero somewhere in the box"
        )
    if any("not comparable" in row.verdicts.values() for row in rows):
        notes.append(f"not comparable: {'; '.join(filter(None, (ONE_WAY, REMEDY * isinstance(problem, BlackBox))))}")
    if not proves(problem):
        notes.append(f"no guarded rows: nothing is proved for {problem.name}, so that a guard solves every query")
    if reference.fields is None:
        return [*notes, f"errors are against the discrete truth only: {reference.why}"]
    truth = yardstick.errors(yardstick.truths)
    share = reference.error / min([r.errors.mean["PDE"] for r in rows] + [truth.mean["PDE"]])
    return [
        *notes,
        f"PDE: L2 against {reference.cells} cells, whose own error is about {reference.error:.1e}, {share:.2g} of the "
        f"smallest mean shown ({'within' if share <= 0.1 else 'above'} the tenth that the rule asks for)",
        f"the discrete truth itself is {truth.mean['PDE']:.1e} (mean) and {truth.worst['PDE']:.1e} (worst) from the "
        "PDE in the same measure",
    ]


def _circumstances(clock: Clock, parts: Parts) -> list[str]:
    notes = [f"left out to stay within {clock.limit:g} s: {', '.join(clock.cut)}"] if clock.cut else []
    if parts.resumed:
        notes.append("parts of this table were measured earlier, by the same command, which was interrupted")
    if busy() > 1.5:
        load, cores = os.getloadavg()[0], os.cpu_count() or 1
        notes.append(
            f"the machine was busy (load {load:.1f} on {cores} cores): times are upper bounds and verdicts may be "
            "wrong; measure again when it is idle"
        )
    return notes


def machine() -> dict[str, Any]:
    """What the times were measured on."""
    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
        "dtype": "float64",
        "load": round(os.getloadavg()[0], 1),
    }
