"""The loss of a network that gives fields outright, and how wrong fields are at rows that were held out.

    loss = (1 - w) mean_i |u(p_i) - u_i|^2 / |u_i|^2  +  w mean_j R(p_j, u(p_j))

and with ``derivatives`` the same of k derivatives of the solver at every snapshot (``pod/slopes.py``),

    (1 - w) mean_ik |u'(p_i) d_ik - u_i'[d_ik]|^2 / |u_i|^2,

in the problem's own norm, the one that errors are told in; R is the squared relative dual norm of the discrete residual
(``residual_loss.py``) at inputs where nothing was solved, w the ``physics_weight``. Prescribed values are built in
(``constraints="hard"``), and what the scheme conserves with them, or both are left to the loss ("soft"): then their
squared relative defect is added at the rows of either term, so that the two can be compared. So is how far the
symmetries of a problem are broken, with ``symmetry="soft"`` (``symmetric.py``).

Weights are judged on all rows at once, or in chunks where that would not fit into memory: networks hold as many numbers
for each of a field as they are wide. For 1024 points of the default Burgers problem, fields of 27 million numbers,
``coordinate`` asks for 21 GB at once, and in chunks for 0.24 (measured).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from ...solvers.problem import Problem
from ..training.pod import Data, box_points
from ..training.residual_loss import built_in, constraint_loss, plain_square, relative_square, residual_loss
from ..training.symmetric import moved_back
from ..training.twins import groups_of
from .field_network import FieldNetwork, cast
from .left_out import LeftOut, relative, sizes_of
from .pod.slopes import every_slope

HELD, ENOUGH = 0.125, 16  # share of the snapshots that is held out, and from how many on
DRAW_SEED = 7_919
AT_ONCE = 5_000_000  # numbers of fields: those of 32 rows, held out of 256, of the largest default problem
CHUNK = 250_000  # of a chunk, where there are more

Mean = Callable[..., Float[Array, ""]]  # of rows: every argument has as many


class Sets(NamedTuple):
    """What the loss is evaluated on: snapshots to learn and to judge by, and inputs of the physics loss."""

    P: Float[Array, "n d"]
    U: Float[Array, "n N"]  # with the prescribed values
    sizes: Float[Array, " n"]  # |u_i|, in the norm of the loss
    held_P: Float[Array, "h d"]
    held_U: Float[Array, "h N"]
    held_sizes: Float[Array, " h"]
    physics_P: Float[Array, "m d"]
    directions: Float[Array, "n k d"] | None = None  # along which derivatives are learnt; zero where one is missing
    slopes: Float[Array, "n k N"] | None = None  # of the solver, along them


def relative_errors(
    problem: Problem,
    norm: str,
    fields: Float[Array, "n N"],
    P: Float[Array, "n d"],
    U: Float[Array, "n N"],
    sizes: Float[Array, " n"],
) -> Float[Array, " n"]:
    """Of fields, whoever gives them, in the problem's norm or in "l2"."""
    away = fields - U
    if norm == "l2":
        square = jnp.sum(U**2, axis=1)
        return jnp.sqrt(jnp.sum(away**2, axis=1) / jnp.where(square > 0, square, sizes**2) + 1e-300)
    return relative(problem, P, away, sizes)


def at_once(mean: Mean, *rows: Array) -> Float[Array, ""]:
    """The mean as it is written."""
    return mean(*rows)


def in_chunks(size: int, mean: Mean, *rows: Array) -> Float[Array, ""]:
    """The same in bounded memory, for fields of ``size`` numbers: where there are few to the bit, else to rounding."""
    n, each = len(rows[0]), max(1, CHUNK // size)
    if n * size <= AT_ONCE:
        return mean(*rows)
    whole = n - n % each
    chunks = tuple(a[:whole].reshape((-1, each, *a.shape[1:])) for a in rows)
    total = each * jnp.sum(lax.map(lambda chunk: mean(*chunk), chunks))
    if whole < n:
        total = total + (n - whole) * mean(*(a[whole:] for a in rows))
    return total / n


class FieldLoss:
    """The loss of a network, of any rows."""

    def __init__(self, network: FieldNetwork, hard: bool, weight: float, norm: str, power: int) -> None:
        self.network, self.problem = network, network.problem
        self.hard, self.weight, self.norm, self.power = hard, weight, norm, power
        self.known = built_in(self.problem)
        self.constraint = constraint_loss(self.problem, norm)
        if weight:
            self.residual = residual_loss(self.problem)

    def start(self, key: Array, P: Float[Array, "n d"]) -> Any:
        """The first weights."""
        view, _ = self.network.view(P)
        return cast(dict(self.network.net.init(key, view)["params"]), self.network.precision)

    def fields(self, weights: Any, P: Float[Array, "n d"]) -> Float[Array, "n N"]:
        """What the loss sees: with what is known beforehand where that is built in."""
        raw = self.network.fields(weights, P)
        return jax.vmap(self.known)(P, raw) if self.hard else raw

    def data(
        self, weights: Any, P: Float[Array, "n d"], U: Float[Array, "n N"], sizes: Float[Array, " n"]
    ) -> Float[Array, ""]:
        """The first term, without its weight."""
        return jnp.mean(relative_errors(self.problem, self.norm, self.fields(weights, P), P, U, sizes) ** self.power)

    @property
    def soft(self) -> bool:
        """Whether anything that is known of solutions is left to the loss."""
        return not self.hard or self.network.symmetry == "soft"

    def broken(self, weights: Any, P: Float[Array, "n d"], turn: Any) -> Float[Array, ""]:
        """How far what is left to the loss is from being kept, squared and relative."""
        total, fields = jnp.zeros(()), self.fields(weights, P)
        if not self.hard:
            total = total + jnp.mean(jax.vmap(self.constraint)(P, fields))
        if self.network.symmetry == "soft":
            away = fields - moved_back(self.problem, lambda P: self.fields(weights, P), P, turn)
            total = total + jnp.mean(jax.vmap(self._square)(P, away, lax.stop_gradient(fields)))
        return total

    def _square(self, p: Array, e: Array, u: Array) -> Float[Array, ""]:
        return plain_square(e, u) if self.norm == "l2" else relative_square(self.problem, p, e, u)

    def slopes(
        self,
        weights: Any,
        P: Float[Array, "n d"],
        sizes: Float[Array, " n"],
        directions: Float[Array, "n k d"],
        known: Float[Array, "n k N"],
    ) -> Float[Array, ""]:
        """The term of derivatives, without its weight."""

        def error(D: Float[Array, "n d"], dU: Float[Array, "n N"]) -> Float[Array, " n"]:
            away = jax.jvp(lambda P: self.fields(weights, P), (P,), (D,))[1] - dU
            if self.norm == "l2":
                return jnp.sqrt(jnp.sum(away**2, axis=1) / sizes**2 + 1e-300)
            return relative(self.problem, P, away, sizes)

        return jnp.mean(jax.vmap(error, in_axes=1)(directions, known) ** self.power)

    def penalty(self, weights: Any, P: Float[Array, "n d"], U: Float[Array, "n N"]) -> Float[Array, ""]:
        """What the network adds to the loss of snapshots, of fields as it gives them itself."""
        network = self.network
        view, s = network.view(P)
        away = network.target(view.x, s, U)
        u = jnp.where(network.prescribed(P)[0], 0.0, away).reshape((len(P), *self.problem.shape))
        seen = cast(view, network.precision), cast(u, network.precision)
        found: Any = network.net.apply({"params": weights}, *seen, method="penalty")
        return jnp.asarray(found, dtype=jnp.float64)

    def physics(self, weights: Any, P: Float[Array, "m d"]) -> Float[Array, ""]:
        """The second term, without its weight."""
        return jnp.mean(jax.vmap(self.residual)(P, self.fields(weights, P)))

    def loss(
        self, weights: Any, sets: Sets, over: Callable[..., Float[Array, ""]] = at_once, turn: Any = 0
    ) -> Float[Array, ""]:
        """On all rows. ``over(mean, *rows)`` takes the means of its terms; ``turn`` changes which motions symmetries
        are looked at by.
        """
        broken = partial(self.broken, weights, turn=turn)
        total = jnp.zeros(())
        if self.weight < 1:
            total = total + (1 - self.weight) * over(partial(self.data, weights), sets.P, sets.U, sets.sizes)
            if sets.directions is not None and sets.slopes is not None:
                rows = sets.P, sets.sizes, sets.directions, sets.slopes
                total = total + (1 - self.weight) * over(partial(self.slopes, weights), *rows)
            if self.network.design.penalised:
                total = total + (1 - self.weight) * over(partial(self.penalty, weights), sets.P, sets.U)
            if self.soft:
                total = total + (1 - self.weight) * over(broken, sets.P)
        if self.weight:
            total = total + self.weight * over(partial(self.physics, weights), sets.physics_P)
            if self.soft:
                total = total + self.weight * over(broken, sets.physics_P)
        return total

    def judged(self, weights: Any, sets: Sets) -> Float[Array, ""]:
        """The square of the mean error on the rows held out; where there are none, the loss. In bounded memory."""
        over = partial(in_chunks, self.problem.size)
        if len(sets.held_P) and self.weight < 1:
            return over(partial(self._error, weights), sets.held_P, sets.held_U, sets.held_sizes) ** 2
        return self.loss(weights, sets, over)

    def _error(self, weights: Any, P: Array, U: Array, sizes: Array) -> Float[Array, ""]:
        return jnp.mean(relative_errors(self.problem, self.norm, self.fields(weights, P), P, U, sizes))

    def at(self, weights: Any, sets: Sets, rows: Int[Array, " b"], points: Int[Array, " b"]) -> Float[Array, ""]:
        """On a batch."""
        some = sets._replace(P=sets.P[rows], U=sets.U[rows], sizes=sets.sizes[rows], physics_P=sets.physics_P[points])
        if sets.directions is not None and sets.slopes is not None:
            some = some._replace(directions=sets.directions[rows], slopes=sets.slopes[rows])
        return self.loss(weights, some, turn=rows.sum() + points.sum())


def held_rows(data: Data, seed: int) -> Bool[np.ndarray, " n"]:
    """Which rows are held out; rows that nearly repeat each other together."""
    held = np.zeros(len(data.inputs), dtype=bool)
    if len(held) >= ENOUGH:
        groups = groups_of(data.features)
        order = np.random.default_rng(seed).permutation(int(groups.max()) + 1)
        held = np.isin(groups, order[: max(1, int(HELD * len(order)))])
    return held & ~held.all()


def sets_of(
    problem: Problem, data: Data, held: np.ndarray, weight: float, points: int, seed: int, norm: str
) -> tuple[Sets, LeftOut]:
    """What the loss is evaluated on, in its norm, and what all are judged by; of physics alone it is no part of it."""
    truths = np.asarray(jax.jit(jax.vmap(problem.prescribe))(data.inputs, data.fields))
    sizes = sizes_of(problem, norm, data.inputs, truths)
    own = sizes if norm == "problem" else sizes_of(problem, "problem", data.inputs, truths)
    left = LeftOut(problem, data.inputs[held], truths[held], own[held])
    P = box_points(data.box, points, seed + DRAW_SEED) if weight else np.zeros((0, data.inputs.shape[1]))
    held = held & (weight < 1)
    parts = (data.inputs[~held], truths[~held], sizes[~held], data.inputs[held], truths[held], sizes[held], P)
    return Sets(*(jnp.asarray(a) for a in parts)), left


def with_slopes(sets: Sets, own: Data, count: int, seed: int) -> Sets:
    """The same with ``count`` derivatives of the solver at every row that is learnt from.

    Raises:
        ValueError: there are none.
    """
    D, dU = every_slope(own, count, seed)
    good = np.isfinite(dU).all(axis=2, keepdims=True)  # along a direction of length zero nothing is learnt
    return sets._replace(directions=jnp.asarray(np.where(good, D, 0.0)), slopes=jnp.asarray(np.where(good, dU, 0.0)))
