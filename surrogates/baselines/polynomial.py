"""polynomial: least squares in products of Chebyshev polynomials of the features, of limited total degree.

The degree is chosen by a held-out part. Features that are sums of others everywhere (with a known scaling built in
the logarithms of four coefficients have three dimensions) are left out: the polynomials are the same ones, with a third
of the terms.

Where the problem is affine in few terms, solutions in a basis of snapshots cost next to nothing (``ReducedOperator``):
with ``physics_weight`` the polynomial is fitted to those at thousands of further inputs, too, and so may have a higher
degree than snapshots allow. On a thermal block of contrast 10 that takes the mean error of 512 snapshots from 4e-5 to
3e-7.

Reference: Adcock, Brugiapaglia, Webster, Sparse Polynomial Approximation of High-Dimensional Functions (2022).
"""

from __future__ import annotations

import time
from dataclasses import replace
from math import comb
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ...solvers.box import Box
from ...solvers.problem import Problem
from ..surrogate import Surrogate, scaled_features
from ..training.options import checked_weight
from ..training.pod import BASIS_SOLVES, Data, box_points, pod, prepare, solve_few
from ..training.reduced_operator import PHYSICS_SEED, ReducedOperator
from .regression import RANK, TOLERANCE, Regression, choose, least_squares

TERMS = 1500  # at most
TERMS_OF_PHYSICS = 512  # at most with physics, where rows are no limit: more take long to fit, and to ask
CUT = 1e-10  # of the largest singular value: what is below counts as zero
DEPENDENT = 1e-8  # share of a feature that others leave of it, up to which it says nothing new


def train_polynomial(
    problem: Problem,
    snapshots: Any,
    seed: int = 0,
    box: Box | None = None,
    *,
    degree: int | None = None,
    physics_weight: float | None = None,
    physics_points: int = 2048,
) -> Surrogate:
    """Fit the polynomial by least squares, its rows weighted by their relative errors.

    Args:
        snapshots: None with ``physics_weight=1``, which then solves for its basis itself.
        degree: the total one; None to choose it, with at most half as many terms as there are rows.
        physics_weight: share of the mean squared error at further inputs, where solutions in the basis are fitted;
            with 1 no snapshot's field is. None: 0.
        physics_points: these inputs, the corners of the box among them.

    Raises:
        ValueError: the degree has more than ``TERMS`` terms; physics of a problem that is not affine in few terms; as
            ``prepare``.
    """
    started = time.perf_counter()
    weight = checked_weight(physics_weight, 0.0, snapshots is not None)
    if weight == 0:
        return fit(Regression.of(problem, snapshots, box), seed, degree=degree)
    box = problem.inputs if box is None else box
    solved_here = snapshots is None
    data = solve_few(problem, box, BASIS_SOLVES, seed) if solved_here else prepare(problem, snapshots, box)
    V = pod(data, TOLERANCE, RANK)
    found = fit_with_physics(data, V, ReducedOperator.of(problem, V), weight, physics_points, seed, degree)
    told = {
        "seconds": time.perf_counter() - started,
        "snapshots": 0 if weight == 1 else len(data.inputs),
        "basis_snapshots": len(data.inputs),
        "solved_in_training": BASIS_SOLVES if solved_here else 0,
        "physics_weight": weight,
        "physics_points": physics_points,
    }
    return replace(found, training={**found.training, **told})


def fit_with_physics(
    data: Data,
    V: Float[np.ndarray, "N k"],
    operator: ReducedOperator,
    weight: float,
    points: int,
    seed: int,
    degree: int | None = None,
) -> Surrogate:
    """``train_polynomial`` in a basis that is there, with the share ``weight`` of physics."""
    P = box_points(data.box, points, seed + PHYSICS_SEED)
    r = Regression.in_basis(data, V).with_physics(operator, P, weight)
    return fit(r, seed, degree=degree, terms=TERMS_OF_PHYSICS)


def fit(r: Regression, seed: int = 0, *, degree: int | None = None, terms: int = TERMS) -> Surrogate:
    """``train_polynomial`` for rows in a basis.

    Args:
        terms: at most, where the degree is chosen here.
    """
    free = independent(r.x)
    m = len(free)
    if degree is not None and comb(m + degree, degree) > TERMS:
        raise ValueError(f"degree {degree} in {m} features has more than {TERMS} terms: take a lower one")
    fit, held = r.halves(seed=seed)
    limit = min(terms, max(len(fit) // 2, 1))
    allowed = [D for D in range(17) if comb(m + D, D) <= limit]

    def powers_of(D: int) -> Int[np.ndarray, "terms m"]:
        powers = np.zeros((comb(m + D, D), r.x.shape[1]), dtype=np.int64)
        powers[:, free] = exponents(m, D)
        return powers

    def score(D: int) -> float:
        powers = powers_of(D)
        W = least_squares(on_host(r.x[fit], powers), r.targets[fit], r.weights[fit], cut=CUT)
        return r.error(on_host(r.x[held], powers) @ W, held)

    degree = choose(allowed, score) if degree is None else degree
    powers = powers_of(degree)
    W = least_squares(on_host(r.x, powers), r.targets, r.weights, cut=CUT)
    return r.surrogate("polynomial", {"powers": powers, "values": W}, predict, seed, degree=degree)


def independent(x: Float[np.ndarray, "n m"]) -> Int[np.ndarray, " r"]:
    """The numbers of features that span all others and the constants; of those that depend on one another the first.
    All of them, where there are too few rows to tell.
    """
    if len(x) < 2 * (x.shape[1] + 1):
        return np.arange(x.shape[1])
    spanned = np.ones((len(x), 1)) / np.sqrt(len(x))
    kept = []
    for j in range(x.shape[1]):
        rest = x[:, j]
        for _ in range(2):
            rest = rest - spanned @ (spanned.T @ rest)
        if np.linalg.norm(rest) > DEPENDENT * np.linalg.norm(x[:, j]):
            kept.append(j)
            spanned = np.column_stack([spanned, rest / np.linalg.norm(rest)])
    return np.array(kept, dtype=np.int64)


def exponents(m: int, degree: int) -> Int[np.ndarray, "terms m"]:
    """Every multi-index of m numbers whose sum is at most the degree."""
    rows = [()] if m == 0 else [(a, *rest) for a in range(degree + 1) for rest in exponents(m - 1, degree - a).tolist()]
    return np.array(rows, dtype=np.int64).reshape(len(rows), m)


def predict(problem: Problem, architecture: dict[str, Any], arrays: dict[str, Any], P: Array) -> Float[Array, "n k"]:
    """Coefficients [n, k]: the polynomial, times the amplitude."""
    x, s = scaled_features(problem, arrays, P)
    return s[:, None] * values(architecture, arrays, x)


def values(architecture: dict[str, Any], arrays: dict[str, Any], x: Any, xp: Any = jnp) -> Any:
    """Targets [n, k] at scaled features, in JAX or in numpy."""
    powers = np.asarray(arrays["powers"])
    return (on_host(x, powers) if xp is np else _basis(x, powers)) @ arrays["values"]


def _basis(x: Float[Array, "n m"], powers: Int[np.ndarray, "terms m"]) -> Float[Array, "n terms"]:
    table = [jnp.ones_like(x), x]
    for _ in range(2, int(powers.max(initial=0)) + 1):
        table.append(2 * x * table[-1] - table[-2])
    T = jnp.stack(table, axis=2)  # [n, m, degree + 1]
    out = jnp.ones((x.shape[0], len(powers)))
    for j in range(x.shape[1]):
        out = out * T[:, j, powers[:, j]]
    return out


def on_host(x: Float[np.ndarray, "n m"], powers: Int[np.ndarray, "terms m"]) -> Float[np.ndarray, "n terms"]:
    """The terms at scaled features, by numpy."""
    T = np.polynomial.chebyshev.chebvander(x, int(powers.max(initial=0)))
    out = np.ones((len(x), len(powers)))
    for j in range(x.shape[1]):
        out *= T[:, j, powers[:, j]]
    return out
