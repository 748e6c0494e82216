"""The lid-driven cavity: energy stability, proved at a polished field, bounds the distance to every solution.

    F(v) = V v + Re J(v, W v) + lid,    J(v) = F'(v) = V + C(Re v),    V = W'MW,    ||.||_V the vorticity's norm

Arakawa's scheme has (J(psi, w), t) = sum M w (v_psi x v_t) over interior nodes, exactly, v_psi the nodal central
velocity. Hence (J(e, w), e) = 0 for any w, and F is quadratic: for a solution u and e = u - v

    -F(v) = J(v) e + Re J(e, W e),    test with e:    e' J(v) e = -e' F(v)

so that sym J(v) >= alpha V, alpha > 0, at whatever v gives ||u - v||_V <= ||F(v)||_V' / alpha for *every* solution u.
No ball, no branch. The problem's norm is that of X, the velocity's: V >= mu X, ||.||_X <= mu^-1/2 ||.||_V.

alpha: e' J(v) e depends on v by the velocities of q = Re v alone, affinely. Offline cells hold fields a_k with
sym(V + C(a_k)) >= alpha_k V (``energy.py``); for weights lambda_k >= 0 of sum one, d = Re v - sum lambda_k a_k,

    alpha >= sum lambda_k alpha_k - mu^-1/2 max |v_d|

by |sum M (We)(v_d x v_e)| <= max |v_d| ||We||_M ||v_e||_M and ||v_e||_M <= ||e||_X. ||F(v)||_V': ``dual.py``.
Corrections: from the field, or from the cell's base where that has the smaller residual, steps with the factors of the
Jacobian in the cell's middle; no proof depends on them.
Reference: Arakawa 1966; Joseph, Stability of Fluid Motions I, 1976 (energy stability); Rump 2006.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg as spla
from jaxtyping import Array, Bool, Float

from ....solvers.linear_algebra.direct import callback_float64
from ....solvers.precision import RANGE, UNIT_ROUNDOFF, gamma
from ....solvers.problems.cavity import Cavity
from ..bounds import ErrorBounds
from ..constants import ASSUMED, Stage
from ..radius import RadiusProof
from .cells import UNITY, Cells
from .dual import ENTRY, DualNorm
from .energy import gathered, stages
from .forms import Forms

LITTLE = 2.0**-490
STEPS = 2  # with stored factors, in one correction


class CavityProof(RadiusProof):
    """Steps with the factors of the nearest cell's Jacobian correct."""

    problem: Cavity

    @property
    def assumptions(self) -> tuple[str, ...]:
        return (
            "Arakawa's Jacobian does no work, Thom's wall vorticity: F is quadratic, its remainder energy-free",
            "V >= mu X and sym J(a_k) >= alpha_k V, each by one Cholesky factorisation with its rounding; conventional "
            "sums of products in LAPACK",
            ASSUMED,
            "velocities near those of the stored fields, checked at every input",
            "prescribed values exact, overwritten before certifying",
            "finite field, checked",
            "rounding covered for IEEE float64, no value-changing compiler optimisation",
        )

    def offline(self) -> Iterable[Stage]:
        return stages(self.problem)

    def constants_changed(self) -> None:
        super().constants_changed()
        for name in ("_found", "_cells", "_largest", "_factors"):
            self.__dict__.pop(name, None)

    # ---- what is known of cells --------------------------------------------------------------------------------------

    @cached_property
    def _found(self) -> dict[str, np.ndarray]:
        return gathered(self.problem, self.constants)

    @cached_property
    def _cells(self) -> Cells:
        return Cells(self._found["low"], self._found["high"], self._found["fields"])

    @cached_property
    def _largest(self) -> Float[np.ndarray, " c"]:
        return np.abs(self._cells.fields).max(axis=(1, 2), initial=0.0)

    def _about(self, p: Float[np.ndarray, " 2"]) -> Float[np.ndarray, " n+2"]:
        """On the host: base, alpha of its weights, largest control value; NaN where there is no cell."""
        cells = self._cells
        cell = cells.find(p)
        if cell < 0:
            return np.full((self.problem.cells - 1) ** 2 + 2, np.nan)
        weights = cells.weights(cell, p)
        alphas = self._found["alpha"][cell]
        alpha = weights @ alphas - 2 * UNITY * max(1.0, float(np.abs(alphas).max()))
        return np.concatenate([weights @ cells.fields[cell], [alpha, self._largest[cell]]])

    @cached_property
    def _factors(self) -> dict[int, Callable[[np.ndarray], np.ndarray]]:
        """Of Jacobians in the middle of cells, as they are asked for."""
        return {}

    def _step(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        """On the host: near J^-1 r; nothing where there is no cell."""
        cell = self._cells.find(p)
        if cell < 0 or not np.isfinite(r).all():
            return np.zeros_like(r)
        if cell not in self._factors:
            matrix = self._forms.jacobian(self._cells.centre(cell)).tocsc()
            self._factors[cell] = spla.splu(
                matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.1, options={"SymmetricMode": True}
            ).solve
        return self._factors[cell](r)

    @cached_property
    def _forms(self) -> Forms:
        return Forms(self.problem)

    @cached_property
    def _dual(self) -> DualNorm:
        return DualNorm(self.problem, self._forms)

    def _ready(self) -> None:
        """Constants are made outside of what is compiled, which asks for them."""
        self.prepare()
        _ = self._cells, self._largest, self._forms, self._dual

    def bounds(self, P: np.ndarray, U: np.ndarray, effort: int) -> tuple[np.ndarray, ErrorBounds, np.ndarray]:
        self._ready()
        return super().bounds(P, U, effort)

    def polish(self, P: np.ndarray, U: np.ndarray, effort: int) -> tuple[np.ndarray, ErrorBounds]:
        self._ready()
        return super().polish(P, U, effort)

    # ---- one row -----------------------------------------------------------------------------------------------------

    def _equation(self, p: Array, psi: Float[Array, "n+1 n+1"], sign: float = -1.0) -> Float[Array, "m m"]:
        """F in interior nodes; with ``sign`` = 1 the sizes of its terms."""
        g = self.problem.lid(p)
        if sign > 0:
            psi, g = jnp.abs(psi), jnp.abs(g)
        return self.problem.transport(p[0], psi, self.problem.curl(psi, g, sign), sign)

    def _base(self, p: Array) -> tuple[Float[Array, "m m"], Array, Array]:
        m = self.problem.cells - 1
        about = callback_float64(self._about, jnp.zeros(m * m + 2), p)
        return about[:-2].reshape(m, m), about[-2], about[-1]

    def correct_row(self, p: Float[Array, " d"], v: Float[Array, " N"], effort: int) -> Float[Array, " N"]:
        psi = self.problem.grid(v)
        start = jnp.pad(self._base(p)[0] / p[0], 1)
        weights = 1 / jnp.asarray(self._dual.areas)
        left, other = (jnp.sum(weights * self._equation(p, x) ** 2) for x in (psi, start))
        psi = jnp.where(other < left, start, psi)
        for _ in range(STEPS * effort):
            step = callback_float64(self._step, psi[1:-1, 1:-1].reshape(-1), p, self._equation(p, psi).reshape(-1))
            psi = psi - jnp.pad(step.reshape(psi.shape[0] - 2, -1), 1)
        return psi.reshape(-1)

    def radius_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> Float[Array, ""]:
        r = self.vorticity_radius(p, v)
        return r / np.sqrt(self.constants["mu"][0]) * (1 + 1e-14)

    def vorticity_radius(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> Float[Array, ""]:
        """At least ||u - v||_V for every solution u."""
        psi = self.problem.grid(v)
        known = jnp.all(jnp.abs(v) <= RANGE)
        psi = jnp.where(known, psi, 0.0)
        alpha = self._stability(p, psi)
        known = known & (alpha > 0)
        defect = self._dual(self._equation(p, psi), ENTRY * self._equation(p, psi, 1.0))
        return jnp.where(known, defect / jnp.where(known, alpha, 1.0) * (1 + 1e-14) + LITTLE, jnp.inf)

    def _stability(self, p: Array, psi: Float[Array, "n+1 n+1"]) -> Float[Array, ""]:
        """alpha with sym J(v) >= alpha V; not positive where none is known."""
        base, alpha, largest = self._base(p)
        q = p[0] * psi - jnp.pad(base, 1)
        dual = self.problem.widths[1][1:-1]
        across = (q[1:-1, 2:] - q[1:-1, :-2]) / (2 * dual[None, :])
        upward = (q[2:, 1:-1] - q[:-2, 1:-1]) / (2 * dual[:, None])
        speed = jnp.sqrt(jnp.max(across**2 + upward**2))
        # of the base's sum, the difference, the velocity: relative to the largest of what is subtracted
        off = gamma(32) * 3 * (p[0] * jnp.max(jnp.abs(psi)) + largest) / float(dual.min())
        return alpha - (speed * (1 + 1e-14) + off) / np.sqrt(self.constants["mu"][0]) * (1 + 1e-14)

    def norm_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> tuple[Array, Array]:
        value = self.problem.norm(p, v)
        # v may be a rounded difference, of which X sees at most its largest row sum
        difference = 2 * UNIT_ROUNDOFF * self._stiffest * jnp.sqrt(jnp.vdot(v, v))
        return value, (gamma(6 * v.size + 32) * value + difference) * 1.01 + LITTLE

    @cached_property
    def _stiffest(self) -> float:
        """At least ||X||_2^(1/2)."""
        return float(np.sqrt(self._forms.X.size.sum(axis=1).max())) * 1.01

    # ---- what is not proved ------------------------------------------------------------------------------------------

    def remarks(self, P: np.ndarray, U: np.ndarray, bounds: ErrorBounds, good: Bool[np.ndarray, " n"]) -> list[str]:
        rows = np.flatnonzero(good & ~np.isfinite(np.asarray(bounds.relative_upper)))
        if not len(rows):
            return []
        outside = np.array([self._cells.find(p) < 0 for p in P[rows]])
        notes = []
        if outside.any():
            at = self.problem.inputs.named(P[rows[outside][0]])
            notes.append(
                f"{int(outside.sum())} fields, such as at {at}, are at inputs where no flow was proved stable in "
                f"energy: nothing is proved there ({self._reach()})"
            )
        if not outside.all():
            at = self.problem.inputs.named(P[rows[~outside][0]])
            notes.append(
                f"{int((~outside).sum())} fields, such as at {at}, are so far off, or so near the largest reynolds of "
                "stability in energy, that none is proved at them: correct with more steps"
            )
        return notes

    def _reach(self) -> str:
        """Up to where flows are in cells, in words."""
        cells, parts = self._cells, []
        for low in np.unique(cells.low[:, 1]):
            here = cells.low[:, 1] == low
            parts.append(f"up to reynolds={cells.high[here, 0].max():g} for profile from {low:g}")
        return "; ".join(parts) if parts else "no reynolds of this problem is low enough"
