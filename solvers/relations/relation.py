"""A relation that the discrete solutions of a problem fulfil exactly: what breaks it is wrong, without a solve.

A relation compares the answers N_1 .. N_k at k inputs. Its ``defect`` is zero at solutions, and for all fields

    defect(N_1, .., N_k) <= sum_i w_i ||e_i||,    e_i = N_i - u_i,

in the problem's own norm at each input: each kind proves that in its docstring. So some error is at least

    max_i ||e_i|| >= defect / sum_i w_i.

Of relative errors r_i = ||e_i|| / (s + ||u_i||), the largest of them r: as ||u_i|| <= ||N_i|| + ||e_i||, ||e_i|| is at
most r (s + ||N_i||) / (1 - r), so that with D = defect / sum_i w_i (s + ||N_i||)

    max_i r_i >= D / (1 + D).

What is exact in the scheme holds of computed solutions up to the solver's tolerance and to rounding: a defect counts
only as far as it lies above ``floor`` times sum_i w_i (s + ||N_i||).
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..batching import RowMap
from ..representative import kept_by_problem

FLOOR = 1e-8  # far above a solver's tolerance of 1e-12, and far below any tolerance that is asked for


@dataclass(frozen=True)
class Violations:
    """By the rows that were asked for: one of the inputs ``inputs[i]`` has a relative error of at least ``lower[i]``,
    and one an error of at least ``absolute[i]``; 0 where the relation is kept, NaN where it says nothing.
    """

    inputs: Float[np.ndarray, "n k d"]
    lower: Float[np.ndarray, " n"]
    absolute: Float[np.ndarray, " n"]


class Relation(abc.ABC):
    """One relation of one problem. Objects are compared by identity: what is compiled is kept with them."""

    name: str
    statement: str  # in a formula
    floor: ClassVar[float] = FLOOR

    @abc.abstractmethod
    def images(self, problem: Any, P: Float[np.ndarray, "n d"], rng: np.random.Generator) -> Float[np.ndarray, "n k d"]:
        """The inputs of the problem's box whose answers are compared, the first of them P; NaN where none can be."""

    @abc.abstractmethod
    def defect(self, problem: Any, Q: Float[Array, "k d"], U: Float[Array, "k N"]) -> Float[Array, ""]:
        """By how much the fields U at Q, their prescribed values in place, break the relation (module docstring)."""

    @abc.abstractmethod
    def weights(self, problem: Any, Q: Float[Array, "k d"]) -> Float[Array, " k"]:
        """w_i of the module docstring."""

    # ---- final from here on --------------------------------------------------------------------------------------

    def violation(
        self, problem: Any, surrogate: Callable[[Any], Any], P: Float[np.ndarray, "n d"], seed: int = 0
    ) -> Violations:
        """Lower bounds of errors at P and at what belongs to it, from the surrogate's answers alone."""
        P = problem.inputs.check(P)
        Q = self.images(problem, P, np.random.default_rng([seed, 7]))
        n, k, d = Q.shape
        lower, absolute = np.full((2, n), np.nan)
        rows = np.flatnonzero(np.isfinite(Q).all(axis=(1, 2)))
        if len(rows):
            asked = Q[rows].reshape(-1, d)
            U = np.asarray(surrogate(asked), dtype=np.float64).reshape(len(rows), k, problem.size)
            defect, weights, sizes = (np.asarray(x) for x in _measured(problem, self)(Q[rows], U))
            whole = (weights * (problem.zero_scale + sizes)).sum(axis=1)
            above = np.maximum(defect - self.floor * whole, 0.0)  # NaN stays NaN
            with np.errstate(divide="ignore", invalid="ignore"):
                share = np.where(above == 0, 0.0, above / whole)
                absolute[rows] = np.where(above == 0, 0.0, above / weights.sum(axis=1))
                lower[rows] = np.where(np.isinf(share), 1.0, share / (1 + share))
        return Violations(Q, lower, absolute)


@kept_by_problem(64)
def _measured(problem: Any, relation: Relation) -> RowMap:
    """(Q, U) -> defect, weights and sizes of rows."""

    def one(Q: Array, U: Array) -> tuple[Array, Array, Array]:
        k = len(Q)
        V = jnp.stack([jnp.asarray(problem.prescribe(Q[i], U[i])) for i in range(k)])
        sizes = jnp.stack([jnp.asarray(problem.magnitude(Q[i], V[i])) for i in range(k)])
        return relation.defect(problem, Q, V), relation.weights(problem, Q), sizes

    return RowMap(one, chunk=8)


def checked_relations(relations: Any) -> tuple[Relation, ...]:
    """
    Raises:
        ValueError: something else than relations.
    """
    found = tuple(relations) if isinstance(relations, Iterable) else (relations,)
    strange = [one for one in found if not isinstance(one, Relation)]
    if strange:
        raise ValueError(
            f"relations are objects such as solvers.relations.symmetry.Symmetric, not a {type(strange[0]).__name__}"
        )
    return found
