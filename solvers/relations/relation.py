"""A relation that the discrete solutions of a problem fulfil exactly: what breaks it is wrong, without a solve.

A relation compares the answers N_1 .. N_k at k inputs. Its ``defect`` is zero at solutions, and for all fields

    defect(N_1, .., N_k) <= sum_i w_i ||e_i||,    e_i = N_i - u_i,

in the problem's own norm at each input: each kind proves that in its docstring. So some error is at least

    max_i ||e_i|| >= defect / sum_i w_i.

Of relative errors r_i = ||e_i|| / (s + ||u_i||), the largest of them r: as ||u_i|| <= ||N_i|| + ||e_i||, ||e_i|| is at
most r (s + ||N_i||) / (1 - r), so that with D = defect / sum_i w_i (s + ||N_i||)

    max_i r_i >= D / (1 + D).

What is exact in the scheme holds of computed solutions up to the solver's tolerance and to rounding: a defect counts
only as far as it lies above ``floor`` times sum_i w_i (s + ||N_i||). Where rounding grows in time (waves that viscosity
does not resolve, a symmetric state that is unstable) computed solutions are further from the exact ones than that, and
break relations themselves: what is proved is of errors to the exact discrete solutions, where there are any.
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
from ..box import Box
from ..representative import kept_by_problem

TRIED, LARGE = 4, 1e6  # inputs and fields that a declared relation is tried with, and their size
ROUNDING = 1e-12  # of an input
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
    following: ClassVar[int] = 0  # inputs that depend on the answers at the images, compared beside these

    @abc.abstractmethod
    def images(self, problem: Any, P: Float[np.ndarray, "n d"], rng: np.random.Generator) -> Float[np.ndarray, "n k d"]:
        """The inputs of the problem's box whose answers are compared, the first of them P; NaN where none can be."""

    @abc.abstractmethod
    def defect(self, problem: Any, Q: Float[Array, "k d"], U: Float[Array, "k N"]) -> Float[Array, ""]:
        """By how much the fields U at Q, their prescribed values in place, break the relation (module docstring)."""

    @abc.abstractmethod
    def weights(self, problem: Any, Q: Float[Array, "k d"]) -> Float[Array, " k"]:
        """w_i of the module docstring."""

    def follow(
        self, problem: Any, Q: Float[np.ndarray, "n k d"], U: Float[np.ndarray, "n k N"]
    ) -> Float[np.ndarray, "n following d"]:
        """The ``following`` inputs of the box, told by the answers U at the images, with prescribed values; NaN where
        there are none.
        """
        return np.empty((len(Q), 0, Q.shape[2]))

    # ---- final from here on --------------------------------------------------------------------------------------

    def violation(
        self, problem: Any, surrogate: Callable[[Any], Any], P: Float[np.ndarray, "n d"], seed: int = 0
    ) -> Violations:
        """Lower bounds of errors at P and at what belongs to it, from the surrogate's answers alone."""
        P = problem.inputs.check(P)
        Q = self.images(problem, P, np.random.default_rng([seed, 7]))
        lower, absolute = np.full((2, len(Q)), np.nan)
        rows = np.flatnonzero(np.isfinite(Q).all(axis=(1, 2)))
        U = _answers(problem, surrogate, Q[rows])
        if self.following:
            more = np.full((len(Q), self.following, Q.shape[2]), np.nan)
            if len(rows):
                more[rows] = self.follow(problem, Q[rows], np.asarray(_prescribed(problem)(Q[rows], U)))
            found = np.isfinite(more[rows]).all(axis=(1, 2))
            Q, rows = np.concatenate([Q, more], axis=1), rows[found]
            U = np.concatenate([U[found], _answers(problem, surrogate, more[rows])], axis=1)
        if len(rows):
            defect, weights, sizes = (np.asarray(x) for x in _measured(problem, self)(Q[rows], U))
            with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
                whole = (weights * (problem.zero_scale + sizes)).sum(axis=1)
                defect = np.where(np.isfinite(defect), defect, np.nan)  # what left float64 says nothing
                above = np.maximum(defect - self.floor * whole, 0.0)  # NaN stays NaN
                share = np.where(above == 0, 0.0, above / whole)
                absolute[rows] = np.where(above == 0, 0.0, above / weights.sum(axis=1))
                lower[rows] = np.where(np.isinf(share), 1.0, share / (1 + share))
        return Violations(Q, lower, absolute)


def _answers(
    problem: Any, surrogate: Callable[[Any], Any], Q: Float[np.ndarray, "n k d"]
) -> Float[np.ndarray, "n k N"]:
    n, k, d = Q.shape
    if not n:
        return np.empty((n, k, problem.size))
    return np.asarray(surrogate(Q.reshape(-1, d)), dtype=np.float64).reshape(n, k, problem.size)


def held_in(box: Box, P: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Rows of the box, those beyond a face by rounding brought back to it; NaN where a row is not of it."""
    inside = np.clip(P, box.lower, box.upper)
    same = np.abs(inside - P) <= ROUNDING * np.abs(P)  # the box's own slack is of its width: far more, of small numbers
    return np.where(same.all(axis=1)[:, None], inside, np.nan)


@kept_by_problem(16)
def _prescribed(problem: Any) -> RowMap:
    """(Q, U) -> U with the prescribed values in place, of rows."""

    def one(Q: Array, U: Array) -> Array:
        return jnp.stack([jnp.asarray(problem.prescribe(Q[i], U[i])) for i in range(len(Q))])

    return RowMap(one, chunk=8)


@kept_by_problem(64)
def _measured(problem: Any, relation: Relation) -> RowMap:
    """(Q, U) -> defect, weights and sizes of rows."""

    def one(Q: Array, U: Array) -> tuple[Array, Array, Array]:
        k = len(Q)
        V = jnp.stack([jnp.asarray(problem.prescribe(Q[i], U[i])) for i in range(k)])
        sizes = jnp.stack([jnp.asarray(problem.magnitude(Q[i], V[i])) for i in range(k)])
        return relation.defect(problem, Q, V), relation.weights(problem, Q), sizes

    return RowMap(one, chunk=8)


@kept_by_problem(16)
def _beside(problem: Any, relation: Relation) -> RowMap:
    """(Q, U) -> defects of U and of zero, and sum_i w_i ||U_i||, of rows."""

    def one(Q: Array, U: Array) -> tuple[Array, Array, Array]:
        k = len(Q)
        sizes = jnp.stack([jnp.asarray(problem.norm(Q[i], U[i])) for i in range(k)])
        zero = relation.defect(problem, Q, jnp.zeros_like(U))
        return relation.defect(problem, Q, U), zero, jnp.sum(relation.weights(problem, Q) * sizes)

    return RowMap(one, chunk=8)


def check_bounds_errors(problem: Any, relations: tuple[Relation, ...]) -> None:
    """Whether defects are no larger than errors are in the norm of a problem that prescribes nothing: of fields that
    differ by V, whatever these are, they may differ by sum_i w_i ||V_i|| at most. Tried with a few V.

    Raises:
        ValueError: they are larger: a motion, say, that does not keep the norm, or a factor that is not the norm's.
    """
    rng, N = np.random.default_rng(0), problem.size
    for relation in relations:
        try:
            Q = relation.images(problem, problem.inputs.draw(TRIED, 0), np.random.default_rng(1))
            Q = Q[np.isfinite(Q).all(axis=(1, 2))]
            any_others = problem.inputs.draw(len(Q) * relation.following, 1).reshape(len(Q), -1, Q.shape[2])
            Q = np.concatenate([Q, any_others], axis=1)
            k = Q.shape[1]
            which = np.linspace(0, k * N - 1, min(k * N, 2 * TRIED)).astype(int)
            entries = np.zeros((len(which), k * N))
            entries[np.arange(len(which)), which] = 1.0
            fields = np.eye(k)[np.arange(2 * k) // 2][:, :, None] * rng.standard_normal((2 * k, 1, N))  # one of the k
            both = rng.standard_normal((1, k, N))
            U = LARGE * np.concatenate([both, -both, fields, entries.reshape(-1, k, N)])
            rows, U = np.repeat(Q, len(U), axis=0), np.tile(U, (len(Q), 1, 1))
            if not len(rows):
                continue
            defect, zero, most = (np.asarray(x) for x in _beside(problem, relation)(rows, U))
        except Exception as error:  # somebody's own relation
            raise ValueError(f"the relation {relation.name!r} raised {type(error).__name__}: {error}") from None
        if (defect > (1 + FLOOR) * (most + zero)).any():
            raise ValueError(
                f"the relation {relation.name!r} says nothing of errors in the {problem.norm_name}: what it measures "
                "may be larger than they are. A motion has to keep this norm, sizes and factors have to be this "
                "norm's, and what is compared with a start has a prescribed one, which is not known here"
            )


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
