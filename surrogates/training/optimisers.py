"""What a training is minimised by, chosen by size or by name.

  lbfgs                 Adam for a few steps, then L-BFGS on the full batch: the default
  levenberg-marquardt   on residuals (``gauss_newton.py``): the default where their number times that of the weights
                        squared is small
  adam, muon            first-order methods, for comparison; Muon orthogonalises the updates of matrices
References: Kingma and Ba 2015; Jordan et al. 2024 (Muon).
"""

from __future__ import annotations

from typing import Any

from ...solvers.problems.catalogue import closest
from .optimise import Budget, Loss, Outcome, Stages, first_order, minimise

OPTIMISERS = ("lbfgs", "levenberg-marquardt", "adam", "muon")
RATE = 2e-3  # of a first-order method, at first
DECAY = 2000  # steps over which a first-order method's rate falls, where no number of steps is given


def checked_optimiser(name: str | None) -> str | None:
    """The name, if there is such an optimiser; None for the choice by size.

    Raises:
        ValueError: there is none; the closest match is offered.
    """
    if name is not None and name not in OPTIMISERS:
        raise closest(str(name), OPTIMISERS, "optimiser")
    return name


def minimise_by(name: str, loss: Loss, weights: Any, rows: Any, budget: Budget) -> Outcome:
    """``minimise`` with another method than L-BFGS where one is named; steps of one kind throughout.

    Raises:
        ValueError, RuntimeError: as ``minimise``.
    """
    if name == "lbfgs":
        return minimise(loss, weights, rows, budget)
    begin, advance = first_order(name, loss, min(budget.steps, DECAY), RATE)
    stages = Stages(budget)
    state = stages.run(budget.steps, lambda: begin(weights), lambda s, n: advance(s, rows, n))
    return stages.outcome(weights if state is None else state[0])
