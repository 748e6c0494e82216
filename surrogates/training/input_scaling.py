"""What a network sees of an input: features x and an amplitude s with field = s U(x), so that U is easy to learn.

A problem that knows a scaling of its own (``Problem.features``) is taken at its word. For the others there are two
more, and a surrogate keeps in its arrays which of them it was trained with (nothing: the problem's own features):

  homogeneous   (sum_q theta_q(p) A_q) u = sum_j phi_j(p) f_j is solved by u(c theta, phi) = u(theta, phi) / c, so that
                with m the mean of log theta

                    x = (log theta - m, phi),    s = exp(-m)

                lose nothing: an identity, not a guess. Taken where these span no more dimensions than the inputs (what
                does not vary, or repeats another, is left out) and theta is positive at the corners of the box and at a
                sample of it. At an input in between where it is not, the operator is not coercive, nothing is solved,
                and x is NaN as the solution is.
  log           the logarithm of an input, or the input itself, for each input that is positive in its whole box:
                whichever lets a kernel ridge predict left-out rows better (``choose_logs``)
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ...solvers.box import Box
from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.problem import Problem
from .leave_one_out import left_out_error

SAMPLE = 64  # inputs at which weights are looked at
CHOOSE_BY = 200  # rows
WORTH = 0.8  # times the error so far, which another scaling must come below
SPREAD = 1.5  # an input whose ends have a smaller quotient looks the same in logarithms
NORMALISER = ("shift", "gain", "log", "homogeneous")  # arrays of a surrogate that belong to its features


def unscaled(problem: Problem, arrays: dict[str, Any], P: Array) -> tuple[Float[Array, "n m"], Float[Array, " n"]]:
    """Features and amplitudes of inputs [n, d] by the scaling that stands in ``arrays``, in JAX."""
    if "homogeneous" in arrays:
        return _homogeneous(problem, np.asarray(arrays["homogeneous"]), P)
    if "log" in arrays:
        log = np.asarray(arrays["log"], dtype=bool)
        return jnp.where(log, jnp.log(jnp.where(log, P, 1.0)), P), jnp.ones(P.shape[0])
    return jax.vmap(problem.features)(P)


def _homogeneous(problem: Any, kept: Int[np.ndarray, " m"], P: Array) -> tuple[Float[Array, "n m"], Float[Array, " n"]]:
    def one(p: Array) -> tuple[Array, Array]:
        logs = jnp.log(problem.theta(p))
        mean = jnp.mean(logs)
        return jnp.concatenate([logs - mean, problem.load_weights(p)])[kept], jnp.exp(-mean)

    return jax.vmap(one)(P)


def declared(problem: Problem) -> bool:
    """Whether the problem knows features of its own."""
    return type(problem).features is not Problem.features


def homogeneous_scaling(problem: Problem, box: Box) -> Int[np.ndarray, " m"] | None:
    """Which of the numbers (log theta - mean, phi) are features; None where that scaling is not to be had."""
    if declared(problem) or not isinstance(problem, CoerciveProblem) or problem.load_terms() is None:
        return None
    d = problem.inputs.dimension
    if len(problem.reference_theta) > d + 1:
        return None
    around = np.concatenate([_corners(box), box.sample(SAMPLE), problem.inputs.centre[None]])
    theta, phi = (
        np.asarray(a) for a in jax.jit(jax.vmap(lambda p: (problem.theta(p), problem.load_weights(p))))(around)
    )
    if not ((theta > 0).all() and np.isfinite(theta).all() and np.isfinite(phi).all()):
        return None
    logs = np.log(theta)
    numbers = np.concatenate([logs - logs.mean(axis=1)[:, None], phi], axis=1)
    centred = numbers - numbers.mean(axis=0)
    kept: list[int] = []
    for j in range(centred.shape[1]):
        column, size = centred[:, j], 1e-9 * max(1.0, float(np.abs(numbers[:, j]).max()))
        others = [centred[:, i] for i in kept]
        if np.abs(column).max() > size and all(
            min(np.abs(column - o).max(), np.abs(column + o).max()) > size for o in others
        ):
            kept.append(j)
    if kept and np.linalg.matrix_rank(centred[:, kept], rtol=1e-8) > d:
        return None
    return np.array(kept, dtype=np.int64)


def constant_but_for_scale(problem: Problem) -> bool:
    """Whether the homogeneous scaling leaves nothing of the inputs: one operator and one load, times weights."""
    kept = homogeneous_scaling(problem, problem.inputs)
    return kept is not None and len(kept) == 0


def choose_logs(
    problem: Problem,
    box: Box,
    P: Float[np.ndarray, "n d"],
    targets: Float[np.ndarray, "n k"],
    weights: Float[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
) -> Bool[np.ndarray, " d"] | None:
    """Which inputs are seen as logarithms; None where the declared scaling does as well.

    The flags are turned one at a time, then all together; what lets a kernel ridge predict left-out rows far better is
    kept.

    Args:
        targets, weights: what is predicted, and the factor from its errors to relative ones.
        groups: rows that are left out together.
    """
    start = np.array(problem.inputs.log)
    can = (box.lower > 0) & (box.upper > SPREAD * np.where(box.lower > 0, box.lower, 1.0))
    if declared(problem) or not can.any() or len(P) < 8:
        return None
    some = slice(0, CHOOSE_BY)
    seen: dict[bytes, float] = {}

    def error(log: np.ndarray) -> float:
        if log.tobytes() not in seen:
            x = np.where(log, np.log(np.where(log, P[some], 1.0)), P[some])
            low, high = (np.where(log, np.log(np.where(log, end, 1.0)), end) for end in (box.lower, box.upper))
            x = 2 * (x - low) / (high - low) - 1
            seen[log.tobytes()] = left_out_error(x, targets[some], weights[some], groups[some])
        return seen[log.tobytes()]

    best = start
    single = [can & (np.arange(len(can)) == j) for j in np.flatnonzero(can)]
    for turned, to in [*((flag, None) for flag in single), (can, True), (can, False)]:
        other = np.where(turned, ~best if to is None else to, best)
        if error(other) < WORTH * error(best):
            best = other
    return None if np.array_equal(best, start) else best


def _corners(box: Box) -> Float[np.ndarray, "n d"]:
    d = box.dimension
    if d > 10:
        return np.stack([box.lower, box.upper])
    units = np.stack(np.meshgrid(*[[0.0, 1.0]] * d, indexing="ij"), axis=-1).reshape(-1, d)
    return box.from_unit(units)
