"""The surrogate of these benchmarks: the first modes of a few snapshots, Galerkin's coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from ...solvers.batching import vectorised
from ...solvers.problems.affine_problem import Affine


class Galerkin:
    """V c(p), V orthonormal and spanning the snapshots at the first points of the box's sequence."""

    def __init__(self, problem: Affine, modes: int) -> None:
        snapshots = np.asarray(problem.solve_batch(problem.inputs.sample(modes, seed=3)))
        self.problem = problem
        self.basis: Float[np.ndarray, "N k"] = np.linalg.qr(snapshots.T)[0]
        terms = (problem.matrix(e) for e in np.eye(problem.term_count))
        self._stiffness = np.stack([self.basis.T @ (term @ self.basis) for term in terms])
        loads = problem.load_terms()
        assert loads is not None
        self.load = loads[0] @ self.basis

    def coefficients(self, P: Any) -> Float[np.ndarray, "n k"]:
        theta = np.asarray(vectorised(self.problem, "theta")(np.asarray(P))[0])
        pieces = []
        for i in range(0, len(theta), 1024):
            A = np.tensordot(theta[i : i + 1024], self._stiffness, 1)
            pieces.append(np.linalg.solve(A, np.tile(self.load[:, None], (len(A), 1, 1)))[..., 0])
        return np.concatenate(pieces)

    def __call__(self, P: Any) -> Float[np.ndarray, "n N"]:
        return self.coefficients(P) @ self.basis.T
