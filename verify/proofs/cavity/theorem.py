"""The lid-driven cavity: at a polished field, energy stability bounds the distance to every solution, or an inf-sup
constant that to the one nearby.

    F(v) = V v + Re J(v, W v) + lid,    J(v) = F'(v) = V + C(Re v),    V = W'MW,    ||.||_V the vorticity's norm

Arakawa's scheme has (J(psi, w), t) = sum M w (v_psi x v_t) over interior nodes, exactly, v_psi the nodal central
velocity. Hence (J(e, w), e) = 0 for any w, and F is quadratic: for a solution u and e = u - v

    -F(v) = J(v) e + Re J(e, W e)                                                                        (1)

*Stable in energy*: sym J(v) >= alpha V, alpha > 0. (1) tested with e: e' J(v) e = -e' F(v), so that

    ||u - v||_V <= ||F(v)||_V' / alpha    for *every* solution u: no ball, no branch.

alpha: e' J(v) e depends on v by the velocities of Re v alone, affinely. Offline cells hold fields a_k with sym(V +
C(a_k)) >= alpha_k V (``energy.py``); for lambda_k >= 0 of sum one and d = Re v - sum lambda_k a_k

    alpha >= sum lambda_k alpha_k - mu^-1/2 max |v_d|

by |sum M (We)(v_d x v_e)| <= max |v_d| ||We||_M ||v_e||_M and ||v_e||_M <= ||e||_X.

*Beyond*: |J(v) e|_V' >= beta ||e||_V (``inf_sup.py``), |Re J(e, W e)|_V' <= Re c ||e||_V^2, c = peak mu^-1/2. With eps
= ||F(v)||_V' and t = 4 Re c eps / beta^2 < 1 the map e -> -J(v)^-1 (F(v) + Re J(e, W e)) contracts the ball of radius

    r = 2 eps / (beta (1 + sqrt(1 - t)))

into itself (Newton, Kantorovich): there is one solution in it, and no other within beta / (2 Re c) of v. It is that of
the branch that begins where flows are stable in energy, and so unique, and is followed from cell to cell
(``branch.py``): solutions u, w are the same where J((u + w)/2) is invertible, and with beta of the cell and ||Re w -
base|| <= D on the branch that is so if c (||d||_V + Re r + D) < beta. Where a cell has no neighbour that leads there,
the branch is named in the assumptions; bounds at two fields may be about two solutions, and are not intersected.

The problem's norm is that of X, the velocity's: V >= mu X, ||.||_X <= mu^-1/2 ||.||_V. ||F(v)||_V': ``dual.py``.
Corrections: from the field, or from the cell's base where that has the smaller residual, steps with the factors of the
Jacobian in the cell's middle, combined for the smallest residual (Anderson 1965); no proof depends on them.
References: Arakawa 1966; Joseph, Stability of Fluid Motions I, 1976; Brezzi, Rappaz, Raviart 1980; Rump 2006.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ....solvers.linear_algebra.direct import callback_float64
from ....solvers.linear_algebra.superlu import symmetric_lu
from ....solvers.precision import RANGE, UNIT_ROUNDOFF, gamma
from ....solvers.problems.cavity import Cavity
from ..bounds import UNDERFLOW, ErrorBounds
from ..constants import ASSUMED, Stage
from ..proof import ANY_FIELD
from ..radius import RadiusProof
from . import energy, inf_sup
from .cells import UNITY, Cells
from .dual import ENTRY, DualNorm
from .forms import Forms

STEPS = 2  # with stored factors, in one correction
USEFUL = 0.03  # an alpha for which the other kind of cell is not looked at


class CavityProof(RadiusProof):
    """Steps with the factors of the nearest cell's Jacobian correct."""

    problem: Cavity
    one_solution = False

    @property
    def assumptions(self) -> tuple[str, ...]:
        return (
            "Arakawa's Jacobian does no work, Thom's wall vorticity: F is quadratic, its remainder energy-free",
            "V >= mu X and sym J(a_k) >= alpha_k V, each by one Cholesky factorisation with its rounding; conventional "
            "sums of products in LAPACK",
            "beyond energy stability: inf-sup constants by the inertia of LDL' factorisations, with their rounding",
            self._which,
            ASSUMED,
            "velocities near those of the stored fields, checked at every input",
            *ANY_FIELD,
        )

    @property
    def _which(self) -> str:
        """Which solution is the truth."""
        followed = self._prepared is not None and (self._beyond[1]["reach"] >= 0).all()
        return (
            "the truth is the only solution, or beyond energy stability on the branch that was followed from there"
            if followed
            else "beyond energy stability the truth is on the branch of the stored fields, which was not followed from "
            "there in all cells: others are not excluded"
        )

    def offline(self) -> Iterable[Stage]:
        return (*energy.stages(self.problem, self._forms), *inf_sup.stages(self.problem, self._forms, self._dual))

    def statement(self) -> Iterable[np.ndarray]:
        return (self.problem.ticks, *self.problem.widths)

    def constants_changed(self) -> None:
        super().constants_changed()
        for name in ("_stable", "_beyond", "_factors"):
            self.__dict__.pop(name, None)

    # ---- what is known of cells --------------------------------------------------------------------------------------

    @cached_property
    def _stable(self) -> tuple[Cells, dict[str, np.ndarray]]:
        """Cells stable in energy, with ``alpha``."""
        found = energy.bands(self.problem).gathered(self.constants)
        return Cells(found["low"], found["high"], found["fields"], energy.DEGREES), found

    @cached_property
    def _beyond(self) -> tuple[Cells, dict[str, np.ndarray]]:
        """Cells with ``beta`` at their ``centre`` and ``theta``."""
        found = inf_sup.bands(self.problem).gathered(self.constants)
        return Cells(found["low"], found["high"], found["fields"], inf_sup.DEGREES), found

    def _find(self, p: Float[np.ndarray, " 2"]) -> tuple[bool, int]:
        """Whether the cell of an input is one stable in energy, by enough to be of use, and its number; -1 for none."""
        cells, found = self._stable
        cell, other = cells.find(p), self._beyond[0].find(p)
        if cell >= 0 and (other < 0 or cells.weights(cell, p) @ found["alpha"][cell] >= USEFUL):
            return True, cell
        return False, other

    def _about(self, p: Float[np.ndarray, " 2"]) -> Float[np.ndarray, " n+4"]:
        """On the host: base, alpha and beta there, how far the branch is from it (each -1 where there is none), largest
        control value; NaN without a cell.
        """
        stable, cell = self._find(p)
        if cell < 0:
            return np.full((self.problem.cells - 1) ** 2 + 4, np.nan)
        cells, found = self._stable if stable else self._beyond
        weights, alpha, beta, reach = cells.weights(cell, p), -1.0, -1.0, -1.0
        if stable:
            alphas = found["alpha"][cell]
            alpha = weights @ alphas - 2 * UNITY * max(1.0, float(np.abs(alphas).max()))
        else:
            beta, reach = inf_sup.net(found["beta"][cell], found["theta"][cell]), found["reach"][cell]
        return np.concatenate([weights @ cells.fields[cell], [alpha, beta, reach, cells.largest[cell]]])

    @cached_property
    def _factors(self) -> dict[tuple[bool, int], Callable[[np.ndarray], np.ndarray]]:
        """Of Jacobians in the middle of cells, as they are asked for."""
        return {}

    def _step(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        """On the host: near J^-1 r; nothing where there is no cell."""
        stable, cell = key = self._find(p)
        if cell < 0 or not np.isfinite(r).all():
            return np.zeros_like(r)
        if key not in self._factors:
            matrix = self._forms.jacobian((self._stable if stable else self._beyond)[0].centre(cell)).tocsc()
            self._factors[key] = symmetric_lu(matrix, 0.1).solve
        return self._factors[key](r)

    @cached_property
    def _forms(self) -> Forms:
        return Forms(self.problem)

    @cached_property
    def _dual(self) -> DualNorm:
        return DualNorm(self.problem, self._forms)

    def _ready(self) -> None:
        """Constants are made outside of what is compiled, which asks for them."""
        self.prepare()
        _ = self._stable[0].largest, self._beyond[0].largest, self._forms, self._dual

    # ---- one row -----------------------------------------------------------------------------------------------------

    def _equation(self, p: Array, psi: Float[Array, "n+1 n+1"], sign: float = -1.0) -> Float[Array, "m m"]:
        """F in interior nodes; with ``sign`` = 1 the sizes of its terms."""
        g = self.problem.lid(p)
        if sign > 0:
            psi, g = jnp.abs(psi), jnp.abs(g)
        return self.problem.transport(p[0], psi, self.problem.curl(psi, g, sign), sign)

    def _base(self, p: Array) -> tuple[Float[Array, "m m"], Float[Array, " 4"]]:
        m = self.problem.cells - 1
        about = callback_float64(self._about, jnp.zeros(m * m + 4), p)
        return about[:-4].reshape(m, m), about[-4:]

    def correct_row(self, p: Float[Array, " d"], v: Float[Array, " N"], effort: int) -> Float[Array, " N"]:
        psi = self.problem.grid(v)
        start = jnp.pad(self._base(p)[0] / p[0], 1)
        weights = 1 / jnp.asarray(self._dual.areas)
        left, other = (jnp.sum(weights * self._equation(p, x) ** 2) for x in (psi, start))
        x = anderson(
            lambda x: callback_float64(self._step, x, p, self._equation(p, self._spread(x)).reshape(-1)),
            jnp.where(other < left, start, psi)[1:-1, 1:-1].reshape(-1),
            STEPS * effort,
        )
        return self._spread(x).reshape(-1)

    def _spread(self, x: Float[Array, " n"]) -> Float[Array, "n+1 n+1"]:
        m = self.problem.cells - 1
        return jnp.pad(x.reshape(m, m), 1)

    def radius_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> Float[Array, ""]:
        return self.vorticity_radius(p, v) / np.sqrt(self.constants["mu"][0]) * (1 + 1e-14)

    def vorticity_radius(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> Float[Array, ""]:
        """At least ||u - v||_V: for every solution where flows are stable in energy, beyond for the one nearby."""
        psi = self.problem.grid(v)
        known = jnp.all(jnp.abs(v) <= RANGE)
        psi = jnp.where(known, psi, 0.0)
        alpha, beta, apart = self._stability(p, psi)
        eps = self._dual(self._equation(p, psi), ENTRY * self._equation(p, psi, 1.0))
        stable = eps / jnp.where(alpha > 0, alpha, 1.0)
        size = jnp.where(beta > 0, beta, 1.0)
        t = 4 * p[0] * self._remainder * eps / size**2 * (1 + 1e-14)
        near = 2 * eps / (size * (1 + jnp.sqrt(jnp.maximum(1 - t, 0.0))))
        same = apart > self._remainder * p[0] * near * (1 + 1e-13)
        r = jnp.where(alpha > 0, stable, jnp.where((beta > 0) & (t < 1) & same, near, jnp.inf))
        return jnp.where(known, r * (1 + 1e-13) + UNDERFLOW, jnp.inf)

    @property
    def _remainder(self) -> float:
        """c with |J(e, W e)|_V' <= c ||e||_V^2."""
        constants = self.constants
        peak = float(constants["peak"][0]) if "peak" in constants else np.inf
        return peak / float(np.sqrt(constants["mu"][0])) * (1 + 1e-14)

    def dual_norm_row(self, p: Float[Array, " d"], weights: Float[Array, " N"]) -> Float[Array, ""]:
        """mu^1/2 times the dual norm of V: radii are mu^-1/2 times those in the vorticity's norm."""
        grid = self.problem.grid(weights)[1:-1, 1:-1]
        found = self._dual(grid, jnp.zeros_like(grid)) + UNDERFLOW  # of squares
        return found * float(np.sqrt(self.constants["mu"][0])) * (1 + 1e-14)

    def _stability(self, p: Array, psi: Float[Array, "n+1 n+1"]) -> tuple[Float[Array, ""], Float[Array, ""], Array]:
        """alpha with sym J(v) >= alpha V, and beta with |J(v) e|_V' >= beta ||e||_V; not positive where not known. And
        what c Re times the distance to a solution must be below for that to be the one on the branch.
        """
        base, (alpha, beta, reach, largest) = self._base(p)
        q = p[0] * psi - jnp.pad(base, 1)
        h, all_dual = self.problem.widths
        dual = all_dual[1:-1]
        across = (q[1:-1, 2:] - q[1:-1, :-2]) / (2 * dual[None, :])
        upward = (q[2:, 1:-1] - q[:-2, 1:-1]) / (2 * dual[:, None])
        speed = jnp.sqrt(jnp.max(across**2 + upward**2))
        # of the base's sum and the difference: relative to the largest of what is subtracted
        off = gamma(32) * (p[0] * jnp.max(jnp.abs(psi)) + largest)
        speed = speed * (1 + 1e-14) + 3 * off / float(dual.min())
        root = float(np.sqrt(self.constants["mu"][0])) * (1 - 1e-14)
        curl = self._dual.curl_norm(q[1:-1, 1:-1]) + off * 9 / float(h.min() * all_dual.min())
        c = self._remainder
        apart = jnp.where(reach >= 0, (beta - c * (curl + reach)) * (1 - 1e-13), jnp.inf)
        return alpha - speed / root, jnp.where(beta > 0, beta - speed / root - c * curl, -1.0), apart

    def norm_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> tuple[Array, Array]:
        value = self.problem.norm(p, v)
        # v may be a rounded difference, of which X sees at most its largest row sum
        difference = 2 * UNIT_ROUNDOFF * self._stiffest * jnp.sqrt(jnp.vdot(v, v))
        return value, (gamma(6 * v.size + 32) * value + difference) * 1.01 + UNDERFLOW

    @cached_property
    def _stiffest(self) -> float:
        """At least ||X||_2^(1/2)."""
        return float(np.sqrt(self._forms.X.size.sum(axis=1).max())) * 1.01

    # ---- what is not proved ------------------------------------------------------------------------------------------

    def remarks(self, P: np.ndarray, U: np.ndarray, bounds: ErrorBounds, good: Bool[np.ndarray, " n"]) -> list[str]:
        rows = np.flatnonzero(good & ~np.isfinite(np.asarray(bounds.relative_upper)))
        if not len(rows):
            return []
        outside = np.array([self._find(p)[1] < 0 for p in P[rows]])
        notes = []
        if outside.any():
            at = self.problem.inputs.named(P[rows[outside][0]])
            notes.append(
                f"{int(outside.sum())} fields, such as at {at}, are outside the cells in which Jacobians were "
                f"verified: nothing is proved there ({self.reach()})"
            )
        if not outside.all():
            at = self.problem.inputs.named(P[rows[~outside][0]])
            notes.append(
                f"{int((~outside).sum())} fields, such as at {at}, are so far off, or so near the largest reynolds of "
                "stability in energy, that nothing is proved of them: correct with more steps"
            )
        return notes

    def reach(self) -> str:
        """Where there are cells, by profiles between their corners."""
        low, high = (
            np.concatenate([getattr(cells, end) for cells, _ in (self._stable, self._beyond)])
            for end in ("low", "high")
        )
        ticks = np.unique([low[:, 1], high[:, 1]])
        strips: list[tuple[float, float, str]] = []
        for left, right in pairwise(ticks):
            there = (low[:, 1] <= left) & (right <= high[:, 1])
            words = " and ".join(f"{a:g} to {b:g}" for a, b in _merged(low[there, 0], high[there, 0]))
            if strips and strips[-1][1:] == (left, words):
                left = strips.pop()[0]
            strips.append((left, right, words))
        parts = [f"reynolds {words} for profile {a:g} to {b:g}" for a, b, words in strips if words]
        reach = "; ".join(parts) if parts else "no reynolds of this problem is low enough"
        left = len(inf_sup.breaks(self.problem)) > 1 and "peak" not in self.constants
        return reach + ("; assay.prepare(problem) verifies what is beyond, in minutes" if left else "")


def _merged(low: Float[np.ndarray, " c"], high: Float[np.ndarray, " c"]) -> list[tuple[float, float]]:
    """Intervals that touch or overlap, as one."""
    found: list[tuple[float, float]] = []
    for a, b in sorted(zip(low.tolist(), high.tolist(), strict=True)):
        if found and a <= found[-1][1]:
            a, b = found[-1][0], max(b, found.pop()[1])
        found.append((a, b))
    return found


def anderson(step: Callable[[Array], Array], x: Float[Array, " n"], steps: int) -> Float[Array, " n"]:
    """x - step(x), ``steps`` times; from the second on combined so that what is left of the steps cancels."""
    states: list[Array] = []
    moves: list[Array] = []
    for _ in range(steps):
        move = step(x)
        new = x - move
        if states:
            moved = jnp.stack([move - m for m in moves])
            gram = moved @ moved.T
            slight = 1e-14 * jnp.trace(gram) * jnp.eye(len(moves)) + UNDERFLOW * jnp.eye(len(moves))
            weights = jnp.linalg.solve(gram + slight, moved @ move)
            new = new - weights @ (jnp.stack([x - s for s in states]) - moved)
        states, moves, x = [*states, x], [*moves, move], jnp.where(jnp.all(jnp.isfinite(new)), new, x - move)
    return x
