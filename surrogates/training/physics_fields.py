"""Physics training in a basis: fields of least residual at inputs where nothing was solved.

The physics loss of a network with a basis is a sum over inputs, in each of which it depends on that input's
coefficients alone. So it is minimised there first, and the network then learns the minimisers by the means that it has
for fields. With e(p, u) about u - u(p) (``residual_loss.py``), whose derivative in u is about the identity, a
Gauss-Newton step is a correction, and the basis grows by what the residuals show it to lack:

    w_i = u_i - e(p_i, u_i) at all inputs,    V = POD of the w_i,    u_i = prescribe(p_i, V V' w_i)

from what the snapshots of the first basis suggest, until the residuals have fallen to what V leaves out. Where only
a residual F is known V stays as it is, and a step is c_i - (dF/dc)^+ F. No field of a snapshot is fitted. (Where the
problem is linear and its inverse exact, as Helmholtz' and the waves', one correction is as good as a solve.)

Where snapshots are at least half as many as there may be inputs, what they suggest tells where it is wrong: then
``BESIDE`` times as many inputs are added where it is worst (``badly_guessed.py``).

Under a clock there are as many inputs as leave time for ``PLANNED`` rounds, and no round begins that would not end in
time: ``Plan`` says what was done, and repeats it to the bit.
References: Kressner and Tobler 2011 (iterations truncated to low rank); Nocedal and Wright (2006), section 10.3.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.interpolate import RBFInterpolator

from ...solvers.batching import RowMap
from ...solvers.problem import Problem
from ...solvers.representative import kept_by_problem
from .badly_guessed import CANDIDATES, badly_guessed
from .optimise import Progress
from .pod import Data, box_points, inner_product, pod, project
from .residual_loss import error_field, relative_square, residual_loss

ROUNDS = 8
MOST = 0.95  # of the inputs: the residual that their fields are below is judged by
GAIN = 0.7  # of a round in that residual, or in the median: with less in both it was the last
NEAR = 1.5  # times what the basis leaves out: a residual that can hardly fall further
POINTS, A_DIMENSION = 1024, 192  # inputs at most, and for each number that they consist of
ENOUGH = 3e-4  # a relative residual below what networks reach; the last correction leaves a tenth of it at most
BESIDE = 0.5  # inputs where guesses are bad, for each even one
ENTRIES = 1 << 25  # of all fields together
WIDTH = 48  # of a basis, and its multiples
PLANNED = 4  # rounds that a clock is to leave time for
LEAST, TRIED = 32, 8  # inputs that any clock allows, and how many of them are timed
FAR = 0.5  # a relative residual from which on a field is not believed, but guessed anew from the others

Step = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]  # P, C, V -> w, sizes of e


class Plan(NamedTuple):
    """How many inputs are taken, and the rounds at most."""

    points: int
    rounds: int = ROUNDS


class LeastResidual(NamedTuple):
    """Rows to be learnt like snapshots, and how they were found."""

    data: Data
    plan: Plan  # as it was done
    residual: float  # relative, in the basis: the median over the inputs
    lost: int  # inputs at which no field of small residual was found


def least_residual(
    data: Data,
    plan: Plan,
    seed: int,
    tolerance: float,
    max_rank: int,
    progress: Progress | None = None,
    until: float | None = None,
) -> LeastResidual:
    """Fields of least residual at inputs of the box.

    Args:
        data: snapshots, of which the first basis and guesses are made.
        plan: its inputs have the corners of the box among them; they are fewer of few numbers, or of large fields.
        until: when to have ended, in ``time.perf_counter``'s seconds.
        tolerance, max_rank: of the basis; while residuals fall it has up to half as many modes as there are inputs.

    Raises:
        ValueError: nothing but solutions is known of the problem, or from these snapshots no field is found whose
            residual is small.
    """
    problem = data.problem
    corrected = error_field(problem) is not None
    step = _corrections(problem) if corrected else _gauss_newton(problem)
    most_points = min(POINTS, A_DIMENSION * data.box.dimension)
    count = min(plan.points, most_points, max(ENTRIES // problem.size, LEAST))
    V = pod(data, tolerance, max_rank)
    known = project(data, V)
    telling = corrected and 2 * len(data.inputs) >= most_points  # not count, which a clock may shorten
    if until is not None:
        work = 1 + BESIDE + BESIDE * CANDIDATES / PLANNED if telling else 1.0
        count = _in_time(step, data, known, V, count, until, work)
    P = box_points(data.box, count, seed)
    if telling:

        def error(Q: np.ndarray) -> np.ndarray:
            parts = np.array_split(Q, CANDIDATES)  # fields are not kept
            return np.concatenate([step(part, _guess(data, known, _at(data, part)), V)[1] for part in parts])

        more = badly_guessed(error, data.box, max(1, int(BESIDE * count)), seed)
        # corners are among both, and guesses between inputs need distinct ones
        P = np.concatenate([P, more[~(more[:, None] == P).all(axis=2).any(axis=1)]])
    rows = _at(data, P)
    C = _guess(data, known, rows)
    before, last, rounds = np.full(2, np.inf), np.full(len(P), np.inf), 0
    while True:
        began = time.perf_counter()
        W, size = step(P, C, V)
        rounds += 1
        good = np.isfinite(W).all(axis=1) & ((size < FAR) | (size < GAIN * last))  # any at first; NaN is not below
        if good.sum() < 2:
            raise ValueError(
                f"no field of a small residual was found from {len(data.inputs)} snapshots of {problem.name}: take "
                "more, or a smaller box"
            )
        found = _fields(rows, W, good)
        if corrected:
            V = pod(found, tolerance, max(max_rank, len(P) // 2))
        kept = project(found, V)
        sizes = np.where(np.isfinite(size), size, np.inf)
        now_at = np.quantile(sizes, (MOST, 0.5), method="lower")  # of stiff ones the last come when others are there
        most = float(now_at[0])
        left = np.quantile(np.sqrt(np.maximum(1 - np.sum(kept**2, axis=1) / found.norms**2, 0.0)), MOST)
        if progress is not None:
            progress(float(rounds), None, f"fields of least residual at {len(P)} inputs, {most:.1e} so far")
        fell = rounds == 1 or bool((now_at < GAIN * before).any())
        now = time.perf_counter()
        late = until is not None and 2 * now - began > until
        if late or rounds == plan.rounds or not fell or (rounds > 1 and most < max(NEAR * left, ENOUGH)):
            return LeastResidual(found, Plan(count, rounds), float(np.median(size[good])), int((~good).sum()))
        C = np.zeros((len(P), V.shape[1]))
        C[good] = kept
        if not good.all():
            C[~good] = _guess(found, kept, _chosen(rows, ~good))
        before, last = now_at, size


def _at(data: Data, P: Float[np.ndarray, "n d"]) -> Data:
    """What is known of inputs alone; its fields are still those of the data."""
    x, s = data.scaled(P)
    return replace(data, inputs=P, features=x, amplitudes=s)


def _in_time(step: Step, data: Data, C: np.ndarray, V: np.ndarray, count: int, until: float, work: float) -> int:
    """The number of inputs, at most ``count``, that leave time for the rounds planned, ``work`` steps an input each."""
    few = data.inputs[:TRIED]
    step(few, C[:TRIED], V)  # compiles
    began = time.perf_counter()
    step(few, C[:TRIED], V)
    now = time.perf_counter()
    fit = len(few) * (until - now) / (PLANNED * work * max(now - began, 1e-9))
    return min(count, max(LEAST, int(fit)))


def joined(first: Data, second: Data) -> Data:
    """The rows of both."""

    def both(name: str) -> np.ndarray:
        return np.concatenate([getattr(first, name), getattr(second, name)])

    return replace(
        first,
        inputs=both("inputs"),
        fields=both("fields"),
        norms=both("norms"),
        features=both("features"),
        amplitudes=both("amplitudes"),
    )


def _chosen(rows: Data, which: np.ndarray) -> Data:
    return replace(rows, inputs=rows.inputs[which], features=rows.features[which], amplitudes=rows.amplitudes[which])


def _fields(rows: Data, W: np.ndarray, good: np.ndarray) -> Data:
    """The rows where a field is believed, with their fields."""
    fields = np.where(rows.free, W[good], 0.0)
    free = fields[:, rows.free]
    norms = np.sqrt(np.maximum(np.einsum("ni,ni->n", free, inner_product(rows.problem)(free.T).T), 0.0))
    return replace(_chosen(rows, good), fields=fields, norms=np.where(norms > 0, norms, 1.0))


def _guess(known: Data, C: np.ndarray, wanted: Data) -> Float[np.ndarray, "n k"]:
    """Coefficients between known ones: linear radial basis functions of the features."""
    between = RBFInterpolator(known.features, C / known.amplitudes[:, None], kernel="linear", degree=0)
    return wanted.amplitudes[:, None] * between(wanted.features)


@kept_by_problem(4)
def _corrections(problem: Problem) -> Step:
    error = error_field(problem)
    assert error is not None

    def one(V: Array, p: Array, c: Array) -> tuple[Array, Array]:
        u = problem.prescribe(p, V @ c)
        e = error(p, u)
        return u - e, jnp.sqrt(relative_square(problem, p, e, u - e))

    return _rank_by_rank(one)


@kept_by_problem(4)
def _gauss_newton(problem: Problem) -> Step:
    """Where only a residual is known: its least squares in the basis."""
    loss = residual_loss(problem)

    def one(V: Array, p: Array, c: Array) -> tuple[Array, Array]:
        def residual(c: Array) -> Array:
            r: Array = problem.residual(p, problem.prescribe(p, V @ c))  # type: ignore[attr-defined]
            return r

        c = c - jnp.linalg.lstsq(jax.jacfwd(residual)(c), residual(c))[0]
        u = problem.prescribe(p, V @ c)
        return u, jnp.sqrt(loss(p, u))

    return _rank_by_rank(one)


def _rank_by_rank(one: Callable[[Array, Array, Array], tuple[Array, Array]]) -> Step:
    """Over the rows of P and C; bases are filled up with zeros to few widths, so that few are compiled."""
    rows = RowMap(one)

    def step(P: np.ndarray, C: np.ndarray, V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        more = -V.shape[1] % WIDTH
        return rows(P, np.pad(C, ((0, 0), (0, more))), given=(np.pad(V, ((0, 0), (0, more))),))

    return step
