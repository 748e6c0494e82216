"""Optimisers of a full batch, chosen by size or by name; each runs in ``Stages`` (``optimise.py``).

  lbfgs                 Adam for a few steps, then L-BFGS with a zoom line search: the default
  levenberg-marquardt   on residuals (``gauss_newton.py``): the default where their number times that of the weights
                        squared is small
  adam, muon            first-order methods, for comparison; Muon orthogonalises the updates of matrices
References: Kingma and Ba 2015; Jordan et al. 2024 (Muon); Liu and Nocedal 1989; Nocedal and Wright (2006), algorithm
3.5 (the line search).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import optax  # type: ignore[import-untyped]
import optax.contrib  # type: ignore[import-untyped]
from jax import lax

from ...solvers.problems.catalogue import closest
from .optimise import Budget, Outcome, Stages

Loss = Callable[[Any, Any], Any]  # (weights, rows) -> scalar

OPTIMISERS = ("lbfgs", "levenberg-marquardt", "adam", "muon")
RATE = 2e-3  # of a first-order method, at first
DECAY = 2000  # steps over which a first-order method's rate falls, where no number of steps is given
MEMORY = 20  # pairs that L-BFGS remembers


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
        ValueError: as ``minimise``.
    """
    if name == "lbfgs":
        return minimise(loss, weights, rows, budget)
    begin, advance = first_order(name, loss, min(budget.steps, DECAY), RATE)
    stages = Stages(budget)
    state = stages.run(budget.steps, lambda: begin(weights), lambda s, n: advance(s, rows, n))
    return stages.outcome(weights if state is None else state[0])


def minimise(loss: Loss, weights: Any, rows: Any, budget: Budget, adam_steps: int = 50, rate: float = RATE) -> Outcome:
    """Minimise loss(weights, rows) over the weights: Adam first, then L-BFGS, until the budget is spent.

    Args:
        weights: where to start, any pytree of float64 arrays.
        rows: what the loss is evaluated on, handed to it as it is.
        adam_steps, rate: steps of Adam and its first learning rate, which falls along a cosine to a twentieth.

    Raises:
        ValueError: the checkpoint is damaged or belongs to another run, or the loss is not finite at the start.
    """
    adam_steps = min(adam_steps, budget.steps)
    stages = Stages(budget)
    for end, (begin, advance) in (
        (adam_steps, first_order("adam", loss, adam_steps, rate)),
        (budget.steps, lbfgs(loss)),
    ):
        state = stages.run(end, lambda make=begin, w=weights: make(w), lambda s, n, go=advance: go(s, rows, n))  # type: ignore[misc]
        weights = weights if state is None else state[0]
    return stages.outcome(weights)


@lru_cache(maxsize=16)  # a second training run of the same shape compiles nothing
def first_order(name: str, loss: Loss, steps: int, rate: float) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Begin and advance of "adam" or "muon", whose rate falls along a cosine to a twentieth."""
    make = optax.adam if name == "adam" else optax.contrib.muon
    optimiser = make(optax.cosine_decay_schedule(rate, max(steps, 1), alpha=0.05))

    def advance(state: Any, rows: Any, count: Any) -> tuple[Any, Any]:
        def body(_: Any, state: Any) -> Any:
            weights, inner = state
            updates, inner = optimiser.update(jax.grad(loss)(weights, rows), inner, weights)
            return optax.apply_updates(weights, updates), inner

        state = lax.fori_loop(0, count, body, state)
        return state, loss(state[0], rows)

    return jax.jit(lambda weights: (weights, optimiser.init(weights))), jax.jit(advance)


@lru_cache(maxsize=16)
def lbfgs(loss: Loss) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Begin and advance of L-BFGS."""
    search = optax.scale_by_zoom_linesearch(max_linesearch_steps=20, initial_guess_strategy="one")
    optimiser = optax.lbfgs(memory_size=MEMORY, linesearch=search)

    def advance(state: Any, rows: Any, count: Any) -> tuple[Any, Any]:
        def value(weights: Any) -> Any:
            return loss(weights, rows)

        def body(_: Any, state: Any) -> Any:
            weights, inner = state
            f, g = optax.value_and_grad_from_state(value)(weights, state=inner)
            updates, inner = optimiser.update(g, inner, weights, value=f, grad=g, value_fn=value)
            return optax.apply_updates(weights, updates), inner

        state = lax.fori_loop(0, count, body, state)
        return state, optax.tree.get(state[1], "value")

    return jax.jit(lambda weights: (weights, optimiser.init(weights))), jax.jit(advance)


def judged_lbfgs(loss: Loss, judged: Loss) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Begin and advance of L-BFGS that keeps the weights of the least ``judged``: a state is (weights, what L-BFGS
    remembers, the best weights, their value).
    """
    begin, advance = lbfgs(loss)

    def step(state: Any, rows: Any) -> Any:
        weights, inner, best, least = state
        (weights, inner), _ = advance((weights, inner), rows, 1)
        value = judged(weights, rows)
        better = value < least
        best = jax.tree.map(lambda a, b: jnp.where(better, a, b), weights, best)
        return weights, inner, best, jnp.where(better | jnp.isnan(value), value, least)

    def many(state: Any, rows: Any, count: Any) -> tuple[Any, Any]:
        state = lax.fori_loop(0, count, lambda _, s: step(s, rows), state)
        return state, state[3]

    return jax.jit(lambda weights, rows: (*begin(weights), weights, judged(weights, rows))), jax.jit(many)
