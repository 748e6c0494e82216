"""Snapshots made ready to be learnt, and their proper orthogonal decomposition (POD).

The basis is orthonormal in the problem's ``energy_matrix`` where it has one (for a coercive problem its reference
energy, V' A_ref V = I), elsewhere in the Euclidean product; it minimises the mean square error of the relative
snapshots u_i / ||u_i|| in that product. Method of snapshots: the eigenvectors of their Gram matrix resolve about half
of the digits, so what is found is projected off and the rest decomposed again. Entries that the problem prescribes are
zero in every mode; a lift stands in for their values.
References: Sirovich 1987; Quarteroni, Manzoni, Negri, Reduced Basis Methods for PDEs (2016), chapter 6.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from ...solvers.batching import RowMap, vectorised
from ...solvers.box import Box
from ...solvers.identity import check_rows, first_difference
from ...solvers.problem import Problem
from ...solvers.representative import kept_by_problem
from .given import all_equal, check_shapes
from .input_scaling import CHOOSE_BY, choose_logs, declared, homogeneous_scaling, unscaled
from .twins import averaged, contradictions, groups_of

BASIS_SOLVES = 32  # of training on physics alone
CORNERS = 10  # inputs up to which all corners of a box are listed
TINY = 1e-140  # of the largest value: its square, a millionth of a millionth smaller still, is a number


@dataclass(frozen=True)
class Data:
    """Rows of snapshots inside the training box that were solved, without their prescribed values; twins averaged."""

    problem: Problem
    box: Box
    inputs: Float[np.ndarray, "n d"]
    fields: Float[np.ndarray, "n N"]  # zero in prescribed entries
    norms: Float[np.ndarray, " n"]  # ||u_i|| in the inner product of the basis, of ``fields``
    features: Float[np.ndarray, "n m"]  # scaled
    amplitudes: Float[np.ndarray, " n"]
    arrays: dict[str, np.ndarray]  # as a surrogate keeps them: shift and gain of the features, and their scaling
    free: Bool[np.ndarray, " N"]
    lift: bool
    hash: str
    dropped: dict[str, int]  # rows left out, by reason
    warnings: tuple[str, ...] = ()  # what speaks against learning from these rows

    def some(self, rows: Any) -> Data:
        """Some of the rows, by their numbers or a slice."""
        cut = {k: getattr(self, k)[rows] for k in ("inputs", "fields", "norms", "features", "amplitudes")}
        return Data(**{**self.__dict__, **cut})

    def scaled(self, P: Float[np.ndarray, "n d"]) -> tuple[Float[np.ndarray, "n m"], Float[np.ndarray, " n"]]:
        """Scaled features and amplitudes of other inputs."""
        x, s = _features(self.problem, self.arrays)(P)
        return (x - self.arrays["shift"]) * self.arrays["gain"], s


def box_points(box: Box, n: int, seed: int) -> Float[np.ndarray, "n d"]:
    """n points: the corners of the box, if they take at most a quarter of them, and draws from its sampling laws."""
    corners = np.zeros((0, box.dimension))
    if box.dimension <= CORNERS and 4 * 2**box.dimension <= n:
        corners = box.from_unit(np.array(list(itertools.product((0.0, 1.0), repeat=box.dimension))))
    return np.concatenate([corners, box.sample(n - len(corners), seed)])


def prepare(problem: Problem, snapshots: Any, box: Box | None = None, least: int = 2) -> Data:
    """The usable rows of snapshots.

    Raises:
        ValueError: snapshots of another problem or shape; fewer than ``least`` rows that were solved and lie in the
        box.
    """
    box = problem.inputs if box is None else box
    _check_problem(problem, snapshots)
    P, U = np.asarray(snapshots.inputs, dtype=np.float64), np.asarray(snapshots.fields, dtype=np.float64)
    check_shapes(problem, P, U)
    solved = np.isfinite(U).all(axis=1) & np.isfinite(P).all(axis=1)
    inside = np.zeros(len(P), dtype=bool)
    inside[solved] = box.contains(P[solved])
    dropped = {"failed": int((~solved).sum()), "outside": int((solved & ~inside).sum())}
    distinct = len(np.unique(P[inside], axis=0))
    if distinct < least:
        again = int(inside.sum()) - distinct
        repeats = f", {again} repeat{'s' * (again == 1)} the inputs of others" if again else ""
        why = f" (why solves failed: {'; '.join(problem.failures())})" if problem.failures() else ""
        raise ValueError(
            f"training needs at least {least} snapshots; of {len(P)}, {dropped['failed']} failed and "
            f"{dropped['outside']} lie outside the training box{repeats}, which leaves {distinct}: sample more, or "
            f"widen the box{why}"
        )
    return _data(problem, box, P[inside], U[inside], str(snapshots.hash), dropped, np.flatnonzero(inside))


def solve_few(problem: Problem, box: Box, n: int, seed: int) -> Data:
    """``prepare`` for n snapshots solved here, at a design drawn with ``seed``; solves that fail are left out.

    Raises:
        ValueError: no solve succeeded; the reasons are named where the problem knows them.
    """
    P = box.sample(n, seed)
    U = np.asarray(problem.solve_batch(P))
    solved = np.isfinite(U).all(axis=1)
    if not solved.any():
        why = "; ".join(problem.failures())
        raise ValueError(f"none of the {n} solves for a basis succeeded{': ' if why else ''}{why}")
    digest = hashlib.sha256(P.tobytes() + U.tobytes()).hexdigest()
    dropped = {"failed": int((~solved).sum()), "outside": 0}
    return _data(problem, box, P[solved], U[solved], digest, dropped, np.flatnonzero(solved))


def _check_problem(problem: Problem, snapshots: Any) -> None:
    """
    Raises:
        ValueError: these are snapshots of another problem; the message names what differs.
    """
    if snapshots.problem_name != problem.name:
        raise ValueError(f"these are snapshots of {snapshots.problem_name}, not of {problem.name}")
    difference = first_difference(snapshots.problem_settings, problem.settings)
    if difference is not None:
        raise ValueError(f"these are snapshots of another {problem.name}: {difference}")
    check_rows("the set of snapshots", problem, snapshots)


def _data(
    problem: Problem,
    box: Box,
    P: np.ndarray,
    U: np.ndarray,
    digest: str,
    dropped: dict[str, int],
    numbers: np.ndarray,
) -> Data:
    """Rows that can be used, which are ``numbers`` of those given."""
    around = np.concatenate([box_points(box, 4 * 2 ** min(box.dimension, CORNERS), seed=0), P])
    lifts = _lifts(problem)(around)
    ones = np.asarray(problem.prescribe(jnp.asarray(P[0]), jnp.ones(problem.size)))
    free = ones != np.asarray(problem.prescribe(jnp.asarray(P[0]), jnp.zeros(problem.size)))
    fields = np.where(free, U, 0.0)
    largest = float(np.abs(fields).max(initial=0.0))
    if largest and not TINY < largest < 1 / TINY:
        raise ValueError(
            f"the largest value of the snapshots is {largest:.3g}, whose square float64 does not hold: give the fields "
            "in other units"
        )
    product = inner_product(problem)

    def lengths(fields: np.ndarray) -> np.ndarray:
        norms = np.sqrt(np.maximum(np.einsum("ni,ni->n", fields[:, free], product(fields[:, free].T).T), 0.0))
        return np.where(norms > 0, norms, 1.0)

    scaling: dict[str, np.ndarray] = {}
    kept = homogeneous_scaling(problem, box)
    if kept is not None:
        scaling = {"homogeneous": kept}
    elif (log := _logs(problem, box, P, fields[:, free], lengths(fields), product)) is not None:
        scaling = {"log": log}
    features = _features(problem, scaling)
    x, _ = features(around)
    x = x[np.isfinite(x).all(axis=1)]
    low, high = x.min(axis=0), x.max(axis=0)
    width = high - low
    shift, gain = (low + high) / 2, np.where(width > 0, 2 / np.where(width > 0, width, 1.0), 0.0)
    x, s = features(P)
    x = (x - shift) * gain
    warnings = (*all_equal(P, U), *contradictions(P, x, s, fields, numbers))
    rows, fields = averaged(x, s, fields)
    dropped = {**dropped, "repeated": len(P) - len(rows)}
    P, x, s = P[rows], x[rows], s[rows]
    arrays = {"shift": shift, "gain": gain, **scaling}
    lift = bool(lifts.any())
    return Data(problem, box, P, fields, lengths(fields), x, s, arrays, free, lift, digest, dropped, warnings)


def _features(problem: Problem, scaling: dict[str, np.ndarray]) -> Callable[[Any], tuple[np.ndarray, np.ndarray]]:
    """Inputs [n, d] to features, not yet scaled to [-1, 1], and amplitudes."""
    if not {"log", "homogeneous"} & scaling.keys():
        compiled = vectorised(problem, "features")
        return lambda P: tuple(np.array(a) for a in compiled(P)[0])  # type: ignore[return-value]
    mapped = jax.jit(lambda P: unscaled(problem, scaling, P))
    return lambda P: tuple(np.array(a) for a in mapped(jnp.asarray(P)))  # type: ignore[return-value]


def _logs(
    problem: Problem, box: Box, P: np.ndarray, fields: np.ndarray, norms: np.ndarray, product: Callable[..., Any]
) -> np.ndarray | None:
    """``choose_logs`` by the fields' own products: rows with the same Gram matrix stand for them."""
    if declared(problem):
        return None
    P, Y, norms = P[:CHOOSE_BY], fields[:CHOOSE_BY], norms[:CHOOSE_BY]
    sizes, vectors = np.linalg.eigh(Y @ product(Y.T))
    big = sizes > 1e-14 * max(float(sizes[-1]), 0.0)
    unit = problem.inputs.to_unit(P)
    return choose_logs(problem, box, P, vectors[:, big] * np.sqrt(sizes[big]), 1 / norms, groups_of(unit))


@kept_by_problem(16)
def _lifts(problem: Problem) -> RowMap:
    """The values that are prescribed at an input, zero elsewhere."""
    return RowMap(lambda p: problem.prescribe(p, jnp.zeros(problem.size)))


def inner_product(problem: Problem) -> Callable[[np.ndarray], np.ndarray]:
    """Y [n_free, m] -> M Y, M the matrix of the basis's inner product over the free entries."""
    M = problem.energy_matrix
    if M is None:
        return lambda Y: Y
    return lambda Y: M @ Y


def pod(data: Data, tolerance: float = 1e-5, max_rank: int = 48) -> Float[np.ndarray, "N k"]:
    """The basis V: as few modes as leave at most a share ``tolerance`` of the relative snapshots (root mean square).

    Returns:
        V [N, k], orthonormal in ``inner_product`` over the free entries and zero in the others; k may be 0, where all
        snapshots are zero, and is at most ``max_rank``.
    """
    product = inner_product(data.problem)
    Y = (data.fields[:, data.free] / data.norms[:, None]).T
    total = np.sqrt(len(data.norms))  # every column has length one
    V = np.zeros((len(Y), 0))
    limit = min(max_rank, Y.shape[1], len(Y))
    while V.shape[1] < limit:
        eigenvalues, vectors = np.linalg.eigh(Y.T @ product(Y))
        squares = np.maximum(eigenvalues[::-1], 0.0)
        sizes = np.sqrt(squares)
        rest = np.sqrt(np.cumsum(squares[::-1])[::-1])  # what is left if the modes from here on are dropped
        keep = (sizes > 1e-6 * sizes[0]) & (rest > tolerance * total)
        keep &= (np.arange(len(keep)) < limit - V.shape[1]) & (sizes > 0)
        if not keep.any():
            break
        new = (Y @ vectors[:, ::-1][:, keep]) / sizes[keep]
        for _ in range(2):  # once more against rounding
            new = new - V @ (V.T @ product(new))
            new = np.linalg.solve(np.linalg.cholesky(new.T @ product(new)), new.T).T
        V = np.concatenate([V, new], axis=1)
        if keep.all() or rest[keep.sum()] <= tolerance * total:
            break
        for _ in range(2):
            Y = Y - new @ (new.T @ product(Y))
    full = np.zeros((data.problem.size, V.shape[1]))
    full[data.free] = V
    return full


def too_many(name: str, asked: int | None, data: Data, found: int, exactly: bool = False) -> list[str]:
    """A sentence if more modes were asked for than these rows can have; none where nothing was asked.

    Args:
        name: of the option that asks for them.
        found: modes of the basis.
        exactly: they are not those at most, so that fewer are always told of.
    """
    n = len(data.inputs)
    if asked is None or asked <= (found if exactly else min(n, int(data.free.sum()))):
        return []
    more = "take more snapshots, or " if asked > n else "take "
    return [
        f"{name}={asked} asks for more modes than the {n} snapshots have that the basis is made of, which has {found}: "
        f"{more}{name}={max(found, 1)}"
    ]


def project(data: Data, V: Float[np.ndarray, "N k"]) -> Float[np.ndarray, "n k"]:
    """Coefficients [n, k] of the snapshots in the basis: their best approximations in its inner product."""
    weighted = inner_product(data.problem)(V[data.free])
    return data.fields[:, data.free] @ weighted
