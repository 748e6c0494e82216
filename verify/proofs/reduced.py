"""Bounds for surrogates N = V c(p) with a basis, from coefficients alone: which of two ways, and its constants.

Where few directions W hold what all references need, references are combined (``coefficients/reduced_bound.py``). Their
joint rank is found: random combinations are doubled until more of them bring no more directions above
``RANK_TOLERANCE``. Where the terms, inputs or unknowns are too many for that, the basis is enlarged instead
(``coefficients/enriched.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.linear_algebra.dense import solve_spd
from ...solvers.precision import RANGE
from ..answers.evaluate import as_float64
from .bounds import ErrorBounds
from .coefficients.enriched import enriched, enriched_bound
from .coefficients.offline import ReducedData, Terms, columns_of, offline, solution_space
from .coefficients.reduced_bound import reduced_bound

MOST_REFERENCES = 19  # those of nine inputs
FIRST_SKETCHES, MOST_DIRECTIONS = 12, 300  # of each reference at first, and of all: more are dearer than a larger basis
MOST_SOLVED = 10**6  # references times unknowns, beyond which factorising for each takes minutes
FOUND = 0.8  # of the directions drawn at random: where fewer remain, to RANK_TOLERANCE, these are all there are


def reference_points(problem: CoerciveProblem) -> Float[np.ndarray, "K Q"]:
    """The centre of the box, and the centre with one input at its upper or lower end: 2 d + 1 references."""
    d = problem.inputs.dimension
    X = np.full((2 * d + 1, d), 0.5)
    for i in range(d):
        X[1 + i, i], X[1 + d + i, i] = 1.0, 0.0
    return np.stack([np.asarray(problem.theta(jnp.asarray(p))) for p in problem.inputs.from_unit(X)])


class ReducedBound:
    """Offline once per surrogate, then ``bound(p, c)`` in JAX for one query.

    Raises:
        ValueError: the problem has no expansion in few terms, or the basis is not [N, k], finite, and exactly zero in
            prescribed entries.
    """

    def __init__(self, problem: CoerciveProblem, basis: Any, coefficients: Callable[[Any], Any]) -> None:
        loads = problem.load_terms()
        if loads is None:
            raise ValueError(
                f"{problem.name} is not affine in few terms: {problem.few_terms_remedy}certify full fields instead"
            )
        V = as_float64(basis)
        if V.ndim != 2 or V.shape[0] != problem.size or not np.isfinite(V).all():
            raise ValueError(f"the basis must be a finite [{problem.size}, k] array, not {list(V.shape)}")
        if V[~problem.free].any():
            raise ValueError("the basis must vanish exactly where values are prescribed")
        sizes = np.linalg.norm(V, axis=0)
        if not ((sizes == 0) | ((sizes >= 1 / RANGE) & (sizes <= RANGE))).all():
            raise ValueError("the modes' lengths must lie between 2^-100 and 2^100: scale the basis")
        self.problem = problem
        self.basis = V
        self.data, self.fine, self.notes = self._offline(V, loads, coefficients)

    def _offline(
        self, V: np.ndarray, loads: np.ndarray, coefficients: Callable[[Any], Any]
    ) -> tuple[ReducedData, ReducedData | None, tuple[str, ...]]:
        problem = self.problem
        P = problem.inputs.sample(128, seed=1)
        c = np.nan_to_num(np.abs(as_float64(coefficients(P))).max(axis=0))
        if c.shape != (V.shape[1],):
            raise ValueError(f"coefficients(P) must have one column per mode ({V.shape[1]}), not shape {list(c.shape)}")
        theta = np.abs(np.stack([np.asarray(problem.theta(jnp.asarray(p))) for p in P])).max(axis=0)
        typical = np.concatenate([np.ones(len(loads)), np.outer(theta, c).ravel()])
        terms = Terms(problem)
        V, loads = np.ascontiguousarray(V[problem.free].T), loads[:, problem.free]
        G = columns_of(terms, V, loads)
        references = reference_points(problem)[:MOST_REFERENCES]
        sketches = FIRST_SKETCHES
        while len(references) * terms.size <= MOST_SOLVED and len(references) * sketches <= MOST_DIRECTIONS:
            W = solution_space(terms, references, G * typical[:, None], sketches)
            if sketches >= len(G) or len(W) <= FOUND * len(references) * sketches:
                return offline(terms, V, loads, G, W, references), None, ()
            sketches *= 2
        return enriched(problem, terms, V, loads, G, coefficients)

    def bound(self, p: Float[Array, " d"], c: Float[Array, " k"], references: int | None = None) -> ErrorBounds:
        """Bounds of the error of V c as evaluated in float64; ``references``: how many to combine, all by default, and
        none where a larger basis serves instead.
        """
        if self.fine is not None and references is None:
            return enriched_bound(self.problem, self.data, self.fine, p, c)
        return reduced_bound(self.problem, self.data, p, c, references)

    def galerkin(self, p: Float[Array, " d"]) -> Float[Array, " k"]:
        """The best coefficients in the surrogate's basis in the energy norm: one k x k system."""
        theta = self.problem.theta(p)
        matrix = jnp.tensordot(theta, self.data.stiffness, 1)
        return solve_spd(matrix, self.problem.load_weights(p) @ self.data.load_mode)
