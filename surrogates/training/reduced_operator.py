"""A problem in the coordinates of a basis: V' A(p) V = sum_q theta_q(p) G_q, V' f(p) = sum_j phi_j(p) g_j.

Only for problems that are affine in few terms (``Problem.affine_decomposition``): everything that depends on the grid
is computed once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ...solvers.affine_decomposition import AffineDecomposition
from ...solvers.batching import vectorised
from ...solvers.problem import Problem
from .pod import Data

PHYSICS_SEED = 7_919  # added to the seed: physics inputs are not the snapshots'
NOTHING = 1e-12  # of the mean size of solutions: what is smaller is zero but for rounding


def affine_in_few_terms(problem: Problem) -> bool:
    """Whether the reduced operator exists."""
    return problem.affine_decomposition is not None


def check_few_terms(problem: Problem) -> None:
    """
    Raises:
        ValueError: the problem is not affine in few terms.
    """
    if not affine_in_few_terms(problem):
        raise ValueError(
            f"{problem.name} is not affine in few terms, so it has no reduced operator: "
            f"{problem.few_terms_remedy}neither the physics loss nor the reduced "
            "basis is available; train on snapshots alone (physics_weight=0)"
        )


@dataclass(frozen=True)
class ReducedOperator:
    """Built by ``ReducedOperator.of``; everything else is small, and exact up to rounding."""

    problem: Problem
    parts: AffineDecomposition
    terms: Float[np.ndarray, "Q k k"]
    loads: Float[np.ndarray, "J k"]
    images: Float[np.ndarray, "Q n k"]  # A_q V over the free entries

    @staticmethod
    def of(problem: Problem, V: Float[np.ndarray, "N k"]) -> ReducedOperator:
        """The problem in the coordinates of a basis [N, k], zero in prescribed entries.

        Raises:
            ValueError: the problem is not affine in few terms.
        """
        check_few_terms(problem)
        parts = problem.affine_decomposition
        assert parts is not None
        inside = V[parts.free]
        images = np.stack([parts.matrix(e) @ inside for e in np.eye(parts.term_count)])
        terms = np.einsum("ni,qnj->qij", inside, images, optimize=True)
        return ReducedOperator(problem, parts, (terms + terms.transpose(0, 2, 1)) / 2, parts.load_terms @ V, images)

    def weights(self, P: Float[np.ndarray, "n d"]) -> tuple[Float[np.ndarray, "n Q"], Float[np.ndarray, "n J"]]:
        """The weights of operator and load, theta(p) and phi(p), at every input."""
        theta, phi = vectorised(self.problem, "theta", "load_weights")(P)
        return np.asarray(theta), np.asarray(phi)

    def teaching(
        self, data: Data, P: Float[np.ndarray, "n d"]
    ) -> tuple[Float[np.ndarray, "m d"], Float[np.ndarray, "m f"], Float[np.ndarray, " m"]]:
        """Those of the inputs at which solutions teach something, with scaled features and amplitudes: not where a
        weight of the operator is not positive, so that nothing is solved, nor where the amplitude is zero, or anything
        is no number.

        Raises:
            ValueError: none of them.
        """
        x, s = data.scaled(P)
        theta, phi = self.weights(P)
        good = (theta > 0).all(axis=1) & (np.abs(s) > 0) & np.isfinite(np.column_stack([theta, phi, x, s])).all(axis=1)
        if not good.any():
            raise ValueError(
                f"at none of the {len(P)} inputs of the physics loss {self.problem.name} has a solution to learn from: "
                "take more physics_points, or train on snapshots alone (physics_weight=0)"
            )
        return P[good], x[good], s[good]

    def system(self, P: Float[np.ndarray, "n d"]) -> tuple[Float[np.ndarray, "n k k"], Float[np.ndarray, "n k"]]:
        """Operator and load in the basis, V' A(p) V and V' f(p), at every input."""
        theta, phi = self.weights(P)
        return np.tensordot(theta, self.terms, 1), phi @ self.loads

    def solution(self, P: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """The coefficients of the Galerkin solution in the basis, at every input."""
        A, g = self.system(P)
        return np.asarray(np.linalg.solve(A, g[:, :, None])[:, :, 0])

    def energy_of_solution(self, P: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """||V c||_A(p)^2 at every input, c the coefficients of the Galerkin solution in the basis."""
        return np.einsum("ni,ni->n", self.system(P)[1], self.solution(P))


def or_mean(sizes: Float[np.ndarray, " n"], nothing: float = NOTHING) -> Float[np.ndarray, " n"]:
    """What errors are divided by: the sizes of solutions, and their mean where one is zero, as where nothing loads the
    problem. Rounding leaves some of a zero, whose weight would be all that counts.
    """
    mean = float(np.mean(sizes))
    return np.where(sizes > nothing * mean, sizes, mean or 1.0)
