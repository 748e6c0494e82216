"""What a training is minimised by, chosen by size or by name.

  lbfgs                 Adam for a few steps, then L-BFGS on the full batch: the default
  levenberg-marquardt   on residuals (``gauss_newton.py``): the default where their number times that of the weights
                        squared is small
  adam, muon            first-order methods, for comparison; Muon orthogonalises the updates of matrices
References: Kingma and Ba 2015; Jordan et al. 2024 (Muon).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import optax  # type: ignore[import-untyped]
import optax.contrib  # type: ignore[import-untyped]
from jax import lax

from ...solvers.problems.catalogue import closest
from .optimise import Budget, Loss, Outcome, Stages, minimise

OPTIMISERS = ("lbfgs", "levenberg-marquardt", "adam", "muon")
RATES = {"adam": 2e-3, "muon": 2e-3}
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
    begin, advance = first_order(name, loss, min(budget.steps, DECAY))
    stages = Stages(budget)
    state = stages.run(budget.steps, lambda: begin(weights), lambda s, n: advance(s, rows, n))
    return stages.outcome(weights if state is None else state[0])


@lru_cache(maxsize=16)
def first_order(name: str, loss: Loss, steps: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Begin and advance of Adam or Muon, whose rate falls along a cosine to a twentieth."""
    make = optax.adam if name == "adam" else optax.contrib.muon
    optimiser = make(optax.cosine_decay_schedule(RATES[name], max(steps, 1), alpha=0.05))

    def advance(state: Any, rows: Any, count: Any) -> tuple[Any, Any]:
        def body(_: Any, state: Any) -> Any:
            weights, inner = state
            updates, inner = optimiser.update(jax.grad(loss)(weights, rows), inner, weights)
            return optax.apply_updates(weights, updates), inner

        state = lax.fori_loop(0, count, body, state)
        return state, loss(state[0], rows)

    return jax.jit(lambda weights: (weights, optimiser.init(weights))), jax.jit(advance)
