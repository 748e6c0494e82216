"""The heat equation from coefficients alone: the radius of ``heat.py`` with a factor of the residual.

The residuals of V c in all steps are affine in few numbers: with M the lumped mass, D v^n = (v^{n+1} - v^n)/dt, v_n the
mean that the scheme takes, and s the source,

    r = G t,    G = [M 1, M D V, A_1 V_n, .., A_Q V_n],    t = [-s, c_i, k_q c_i]

A(k) >= min k A_1, A_1 with every k_q = 1, so that sum dt ||r^n||_(A(k)^-1)^2 <= |F t|^2 / min k, F a triangular factor
of dt^(1/2) A_1^(-1/2) G (``column_factor.py``), formed in sines, in which A_1 is diagonal. ``improve`` minimises that
over c, by normal equations that are summed from parts. They only choose; with any W whose first columns are V and
c* from them, or from anywhere,

    | ||u - V c|| - ||W c* - V c|| |  <=  ||u - W c*||  <=  radius(c*)

The energy argument gives away a factor of about 1.5 to 3 of what is missing, whatever it is; so W has more columns than
V, from a few solutions, and less is missing from W c*.

One mode may be the initial state at time 0, the others vanish then. Where its coefficient is not one, e^0 is what is
missing, and the energy argument, with R for the square root of the sum above, gives X^2 <= |e^0|_M^2/2 + R X, so that
X = ||u - V c|| <= R/2 + (R^2/4 + |e^0|_M^2/2)^(1/2). The field returned is the float64 product V c: its rounding,
gamma_k |V_i| |c_i| summed, is charged in the same norm. Nothing here but the factors depends on the grid.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ...solvers.batching import RowMap
from ...solvers.classes.evolution import SCHEMES
from ...solvers.discretisations import q1, q1_sine
from ...solvers.precision import RANGE, UNIT_ROUNDOFF, gamma
from ...solvers.problems.heat import Heat
from .bounds import SLACK, UNDERFLOW, ErrorBounds, assembled, intersected
from .coefficients.column_factor import ColumnFactor, column_factor
from .proof import ReducedProof
from .sines import EIGENVALUE, Sines
from .thomson import in_range

ENTRY = gamma(q1.APPLY_ROUNDINGS + 12)  # of an entry of a column
MODES, MORE, SOLVES = 40, 16, 96  # of W; its own at least; solutions that these come from
ROWS = 16 / 3 * 1.01  # |A_1| 1, as in heat.py


class Modes:
    """What a query needs of one basis [N, k], which vanishes on the boundary at all times, and at time 0 but for one
    mode at most.

    Raises:
        ValueError: it does not; the columns have no factor.
    """

    def __init__(self, problem: Heat, basis: Float[np.ndarray, "N k"]) -> None:
        self.problem = problem
        n, k, dt, mass = problem.cells, basis.shape[1], problem.time_step, problem.mass
        theta = SCHEMES[problem.scheme]
        states = basis.T.reshape(k, problem.steps + 1, n + 1, n + 1)
        self.lift = _initial_mode(problem, states)
        start = np.asarray(problem.initial(jnp.asarray(problem.inputs.centre)))
        self._start = float(np.sqrt(mass) * np.linalg.norm(start)) * (1 + gamma(len(start) + 16))
        means = theta * states[:, 1:] + (1 - theta) * states[:, :-1]
        Q = len(problem.inputs.lower) - 1
        weights = [np.asarray(problem.cell_weights(jnp.asarray(unit))) for unit in np.eye(Q)]
        slopes = (mass / dt) * (states[:, 1:] - states[:, :-1])[:, :, 1:-1, 1:-1]
        apply = RowMap(lambda v, w: jax.vmap(lambda state: q1.apply(w, state))(v))
        parts = [apply(means, np.broadcast_to(w, (k, n, n))) for w in weights]
        load = np.full((1, problem.steps, n - 1, n - 1), mass)
        columns = np.concatenate([load, slopes, *parts]) * np.sqrt(dt)
        sizes = np.sqrt(np.sum(states**2, axis=(1, 2, 3)))
        absolute = np.concatenate([[np.linalg.norm(load)], 2 * mass / dt * sizes, *[ROWS * sizes] * Q])
        off = ENTRY * np.sqrt(dt) * 1.01 * absolute  # of the norms of what each entry is made of
        sines, eigenvalues = Sines(n), q1_sine.eigenvalues(n, n)
        hat = sines.matrix @ columns @ sines.matrix / np.sqrt(eigenvalues)
        hat = hat.reshape(len(hat), -1).T
        blur = 1.01 * (off + sines.eps * 1.01 * np.linalg.norm(columns.reshape(len(columns), -1), axis=1))
        blur = blur / np.sqrt(eigenvalues.min()) + EIGENVALUE * np.linalg.norm(hat, axis=0)
        self.dual: ColumnFactor = column_factor(hat, blur)
        # the energy of a block's mean, in its own cells
        self.energies = tuple(_energy_factor(means * np.sqrt(dt), w > 0, sizes * np.sqrt(dt)) for w in weights)
        self._lengths = 1.001 * np.sqrt(4 * dt) * sizes  # ||v_i|| beside (max k)^(1/2): A_1 <= 4
        split = np.split(self.dual.factor[:, 1:], Q + 1, axis=1)
        self._pairs = tuple((a, b) for a in range(Q + 1) for b in range(a, Q + 1))
        self._squares = np.stack([split[a].T @ split[b] + (a != b) * split[b].T @ split[a] for a, b in self._pairs])
        self._rights = np.stack([part.T @ self.dual.factor[:, 0] for part in split])

    def improve(self, p: Float[Array, " d"]) -> Float[Array, " k"]:
        """The coefficients of the smallest residual, one of the initial mode; NaN where elimination breaks down."""
        weights = jnp.concatenate([jnp.ones(1), p[:-1]])
        products = jnp.stack([weights[a] * weights[b] for a, b in self._pairs])
        matrix, right = jnp.tensordot(products, jnp.asarray(self._squares), 1), p[-1] * (weights @ self._rights)
        if self.lift is not None:  # its row says c = 1
            one = np.arange(len(right)) == self.lift
            right = jnp.where(one, 1.0, right - matrix[:, self.lift])
            matrix = jnp.where(one[:, None] | one[None, :], jnp.where(one[:, None] & one[None, :], 1.0, 0.0), matrix)
        scale = 1 / jnp.sqrt(jnp.abs(jnp.diagonal(matrix)))
        scale = jnp.where(jnp.isfinite(scale), scale, 1.0)  # a mode of zeros
        root = lax.linalg.cholesky(matrix * scale[:, None] * scale[None, :] + 1e-14 * jnp.eye(len(scale)))
        x = lax.linalg.triangular_solve(root, (right * scale)[:, None], left_side=True, lower=True)
        c = lax.linalg.triangular_solve(root, x, left_side=True, lower=True, transpose_a=True)[:, 0] * scale
        return c if self.lift is None else c.at[self.lift].set(1.0)

    def product(self, p: Array, c: Array) -> Array:
        """The rounding of the float64 product V c, in the problem's norm."""
        lengths = jnp.asarray(self._lengths)
        return gamma(len(lengths) + 8) * 1.01 * jnp.sqrt(jnp.max(p[:-1])) * (jnp.abs(c) @ lengths) + UNDERFLOW

    def norm(self, p: Array, c: Array, loose: float = 0.0) -> tuple[Array, Array]:
        """||V c|| from both sides."""
        ends = [factor.interval(c, loose) for factor in self.energies]
        low, high = (jnp.sqrt(p[:-1] @ jnp.stack(side) ** 2) for side in zip(*ends, strict=True))
        return low / SLACK, high * SLACK

    def at(self, p: Array, c: Array) -> tuple[Array, Array, Array]:
        """The radius at V c, and ||u|| from both sides."""
        trusted = in_range(p[:-1], jnp.ones(1)) & (jnp.abs(p[-1]) <= RANGE) & jnp.all(jnp.abs(c) <= RANGE)
        p, c = jnp.where(trusted, p, 1.0), jnp.where(trusted, c, 0.0)
        t = jnp.concatenate([-p[-1:], c, (p[:-1, None] * c).reshape(-1)])
        half = self.dual.interval(t, 2 * UNIT_ROUNDOFF)[1] / jnp.sqrt(jnp.min(p[:-1])) * SLACK / 2
        missing = jnp.abs(1 - c[self.lift]) if self.lift is not None else jnp.ones(())
        start = (missing + 2 * UNIT_ROUNDOFF * (missing > 0)) * self._start
        product = self.product(p, c)
        r = half + jnp.sqrt(half**2 + start**2 / 2) + product
        r = jnp.where(trusted, r * SLACK + UNDERFLOW, jnp.inf)
        r = jnp.where(r >= 0, r, jnp.inf)  # NaN too
        low, high = self.norm(p, c)
        small = jnp.where(jnp.isfinite(r), jnp.maximum(low - product - r, 0.0) / SLACK, 0.0)
        return r, small, jnp.where(jnp.isfinite(r), (high + product + r) * SLACK, jnp.inf)


class HeatReduced(ReducedProof):
    """``basis`` as ``Modes`` asks for it.

    Raises:
        ValueError: as ``Modes``.
    """

    def __init__(self, problem: Heat, basis: Float[np.ndarray, "N k"]) -> None:
        self.basis = basis
        self.own = Modes(problem, basis)
        more = _more_modes(problem, basis, self.own.lift, max(MODES - basis.shape[1], MORE))
        self.wide = Modes(problem, np.column_stack([basis, more])) if more.shape[1] else self.own

    @property
    def stages(self) -> tuple[Callable[[Array, Array], ErrorBounds], ...]:
        return (self.bound, self.sharp_bound)

    def improve(self, p: Float[Array, " d"]) -> Float[Array, " k"]:
        return self.own.improve(p)

    def bound(self, p: Float[Array, " d"], c: Float[Array, " k"]) -> ErrorBounds:
        """The radius alone."""
        r, small, large = self.own.at(p, c)
        return assembled(jnp.zeros(()), r, jnp.minimum(self.own.product(p, c), r), small, large)

    def sharp_bound(self, p: Float[Array, " d"], c: Float[Array, " k"]) -> ErrorBounds:
        """By the distance to the best coefficients in more modes, and their radius."""
        r, small, large = self.own.at(p, c)
        better = self.wide.improve(p)
        rest, smaller, larger = self.wide.at(p, better)
        near, far = self.wide.norm(p, better.at[: len(c)].add(-c), 2 * UNIT_ROUNDOFF)
        product = self.own.product(p, c) + self.wide.product(p, better)
        lower, upper = (near - rest - product) / SLACK, (far + rest + product) * SLACK
        return intersected((r, small, large), lower, upper, jnp.minimum(rest + product, r), (smaller, larger))


def _more_modes(problem: Heat, basis: np.ndarray, lift: int | None, count: int) -> Float[np.ndarray, "N m"]:
    """At most ``count`` modes that the basis lacks, from solutions; they vanish where all solutions agree."""
    U = np.asarray(problem.solve_batch(problem.inputs.sample(SOLVES, seed=2)))
    U = U[np.isfinite(U).all(axis=1)].T
    others = np.delete(basis, [] if lift is None else lift, axis=1)
    X = U if lift is None else U - basis[:, [lift]]
    X = X / np.maximum(np.linalg.norm(X, axis=0), 1e-300)
    rest = X - others @ np.linalg.lstsq(others, X, rcond=None)[0]
    values, vectors = np.linalg.eigh(rest.T @ rest)
    kept = np.flatnonzero(values > 1e-10 * len(values))[::-1][:count]
    return rest @ (vectors[:, kept] / np.sqrt(values[kept]))


def _initial_mode(problem: Heat, states: Float[np.ndarray, "k steps+1 n+1 n+1"]) -> int | None:
    """Which mode is the initial state at time 0; None where all vanish then, as they may where that is zero."""
    edge = np.ones(states.shape[2:], dtype=bool)
    edge[1:-1, 1:-1] = False
    if states[:, :, edge].any():
        raise ValueError("the basis must be exactly zero on the boundary at all times")
    there = np.flatnonzero(states[:, 0].any(axis=(1, 2)))
    start = np.asarray(problem.initial(jnp.asarray(problem.inputs.centre))).reshape(states.shape[2:])
    if len(there) == 0 and not start.any():
        return None
    if len(there) == 1 and np.array_equal(states[there[0], 0], start):
        return int(there[0])
    raise ValueError("at time 0 one mode must be the initial state, and the others vanish")


def _energy_factor(
    means: Float[np.ndarray, "k steps n+1 n+1"], inside: np.ndarray, sizes: Float[np.ndarray, " k"]
) -> ColumnFactor:
    """Of the fluxes B_c v_i in some cells; ``sizes`` bound |v_i|."""
    flux = np.stack([np.asarray(q1.flux(state))[:, inside] for v in means for state in v])
    columns = flux.reshape(len(means), -1).T
    return column_factor(columns, gamma(16) * 3.3 * 1.01 * sizes)
