"""What is made of the failures that a search confirmed: sifted on the finer grid, shrunk, gathered into regions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from ...solvers.box import Box
from .confirmation import Confirmation
from .counterexample import Counterexample
from .finer_grid import FinerGrid
from .regions import Region, find_regions
from .shrinking import Proved, Shrinking
from .signal import BROKEN, Signal

APART = 1e-2  # of the box: nearer failures count as one


@dataclass(frozen=True)
class Findings:
    """``calls``: the solves that all this cost beside the search, those on the finer grid counted apart."""

    counterexamples: list[Counterexample]
    regions: list[Region]
    calls: int
    finer_calls: int
    notes: list[str]


def findings(
    confirm: Confirmation, signal: Signal, calls: int, nominal: Float[np.ndarray, " d"] | None, check_finer: bool = True
) -> Findings:
    """Distinct failures, worst first, each as far as the solves reach.

    Args:
        calls: solves for shrinking; unsolved inputs among them are added to ``confirm``'s.
        nominal: what failures are brought near to.
    """
    box = confirm.problem.inputs
    grid = FinerGrid(confirm.problem, confirm.allowed, confirm.output)
    alike = distinct(confirm.found, box)
    found, notes = alike, list[str]()
    if check_finer and confirm.problem.has_solver:
        found, notes = grid.sift(alike)
    stand = {record.inputs.tobytes() for record in found}
    rejected = [record.inputs for record in alike if record.inputs.tobytes() not in stand]
    within = Confirmation(
        confirm.problem, confirm.model, confirm.allowed, calls, confirm.seed, confirm.report, confirm.output,
        confirm.executor,
    )  # fmt: skip
    if nominal is not None and confirm.problem.has_solver:
        shrinking = Shrinking(within, nominal, _excludes(signal))
        trails = shrinking.trails(found)
        found = [replace(one, simplest=_standing(trail, grid, one)) for one, trail in zip(found, trails, strict=True)]
    confirm.not_solved(within.unsolved)
    return Findings(found, _regions(confirm, box, signal, rejected), within.calls, grid.calls, notes)


def distinct(records: list[Counterexample], box: Box) -> list[Counterexample]:
    """The worst of those within a hundredth of the box of each other."""
    kept: list[Counterexample] = []
    for record in sorted(records, key=lambda c: -c.error):
        x = box.to_unit(record.inputs)
        if all(np.abs(x - box.to_unit(other.inputs)).max() > APART for other in kept):
            kept.append(record)
    return kept


def _standing(trail: list[Counterexample], grid: FinerGrid, record: Counterexample) -> Counterexample | None:
    """The simplest failure of a trail that is there on the finer grid, too; steps back grow until one stands."""
    back = 1
    while back <= len(trail):
        again = grid.confirmed(trail[-back]) if record.finer_error is not None else trail[-back]
        if again is not None:
            return again
        back *= 2
    return None


def _excludes(signal: Signal) -> Proved | None:
    """Proved bounds, of which one that is no number excludes nothing."""
    proved = signal.proved
    if proved is None:
        return None

    def upper(P: np.ndarray) -> np.ndarray:
        bounds = np.asarray(proved(P))
        return np.where(bounds < BROKEN, bounds, np.inf)

    return upper


def _regions(confirm: Confirmation, box: Box, signal: Signal, rejected: list[np.ndarray]) -> list[Region]:
    """Of all that failed, but near those that turned out to be the solver's own error."""
    wrong = [box.to_unit(p) for p in rejected]
    failing = {
        record.inputs.tobytes(): record
        for record in confirm.found
        if all(np.abs(box.to_unit(record.inputs) - x).max() > APART for x in wrong)
    }
    if not failing:
        return []
    asked = np.array(confirm.asked)
    passed = np.array(confirm.errors) <= confirm.allowed.relative
    passed &= np.array([p.tobytes() not in failing for p in asked])
    inputs = np.stack([record.inputs for record in failing.values()])
    errors = np.array([record.error for record in failing.values()])
    return find_regions(box, inputs, errors, asked[passed], signal)
