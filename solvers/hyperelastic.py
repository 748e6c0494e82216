"""Hyperelasticity: a compressible neo-Hookean block of bx x by materials in large plane deformation.

    -div P(F) = 0,    F = I + grad u,    J = det F > 0,    P = mu (F - F^-T) + lame ln(J) F^-T    on (0, 1)^2
    mu = E/(2 (1 + nu)),    lame = E nu/((1 + nu) (1 - 2 nu)),    E = p[i * by + j] in the block i-th in x, j-th in y

the gradient of the energy mu/2 (|F|^2 - 2 - 2 ln J) + lame/2 (ln J)^2 per undeformed volume, in plane strain. Loadings:

    stretch     u_x = 0 on x = 0, u_y = 0 on y = 0, u_y = stretch - 1 on y = 1, the rest free of traction
    shear       u = (shear y, 0) on the whole boundary

Discretisation: bilinear (Q1) elements on cells x cells squares, 2 x 2 Gauss points; second order in L2, first in the
H1 norm where materials do not meet in corners. Newton's method with a sparse Jacobian and load steps, halved where it
fails: the truth is the solution that continues the state at rest. The energy is infinite where J = 0 at a Gauss
point; a field that is inside out at a cell's corner (J is linear in a cell, least in a corner) is no solution and is
reported as a failure. Inputs:
bx * by moduli E, log-scaled, then stretch or shear. Good ranges: contrast up to 100, stretch 0.7 to 2, shear up to 1.
One material: stretch gives F = diag(a, stretch) with mu (a^2 - 1) + lame ln(a stretch) = 0, shear the affine field.
Reference: Bonet and Wood, Nonlinear Continuum Mechanics for Finite Element Analysis (2008), section 6.4.3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import lax
from jaxtyping import Array, Float

from . import q1
from .box import Box
from .implicit import Root, newton
from .nonlinear import NonlinearProblem
from .plane_stress import CORNERS
from .precision import gamma
from .problem import METHODS, Attempt
from .sparse_lu import ProbedJacobian

TOLERANCE = 1e-10
STEP_TOLERANCE = 1e-6  # relative residual of the states between load steps
SMALLEST_STEP = 1 / 64  # of the whole load
LOADINGS = {"stretch": (0.8, 1.5), "shear": (0.0, 0.5)}  # and their default ranges
_GAUSS = (-1 / np.sqrt(12), 1 / np.sqrt(12))


@dataclass(frozen=True, eq=False)
class Hyperelastic(NonlinearProblem):
    """See the module's docstring. ``amount`` is (low, high) of the stretch or shear; None takes a moderate range.

    Raises:
        ValueError: an unknown loading, blocks that do not divide the cells, ranges that are not increasing, a stretch
        or a
            modulus that is not positive, Poisson's ratio outside (-1, 0.5).
    """

    loading: str = "stretch"
    blocks: tuple[int, int] = (2, 2)
    cells: int = 16
    low: float = 1.0
    high: float = 10.0
    poisson: float = 0.3
    amount: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        if self.loading not in LOADINGS:
            raise ValueError(f"loading must be one of {', '.join(LOADINGS)}, not {self.loading!r}")
        try:
            bx, by = (int(b) for b in self.blocks)
        except (TypeError, ValueError):
            raise ValueError(f"blocks are two whole numbers, along x and along y, not {self.blocks!r}") from None
        if bx < 1 or by < 1:
            raise ValueError(f"at least one block is needed along x and along y, not {bx} x {by}")
        if int(self.cells) != self.cells or self.cells < 2 or self.cells % bx or self.cells % by:
            raise ValueError(f"cells must be a whole number of at least 2 that {bx} and {by} divide, not {self.cells}")
        if not 0 < self.low < self.high < np.inf:
            raise ValueError(f"Young's moduli need 0 < low < high < infinity, not low={self.low}, high={self.high}")
        if not -1 < self.poisson < 0.5:
            raise ValueError(f"Poisson's ratio must lie in (-1, 0.5), not {self.poisson}")
        amount = LOADINGS[self.loading] if self.amount is None else self.amount
        try:
            low, high = (float(x) for x in amount)
        except (TypeError, ValueError):
            raise ValueError(f"amount is a pair (low, high) of the {self.loading}, not {amount!r}") from None
        if not -np.inf < low < high < np.inf:
            raise ValueError(f"amount must be increasing and finite, not ({low}, {high})")
        if self.loading == "stretch" and low <= 0:
            raise ValueError(f"a stretch of {low} would turn the block inside out: amount must start above 0")
        put(self, "blocks", (bx, by))
        put(self, "cells", int(self.cells))
        put(self, "amount", (low, high))

    @property
    def name(self) -> str:
        return "hyperelastic"

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "loading": self.loading,
            "blocks": list(self.blocks),
            "cells": self.cells,
            "low": float(self.low),
            "high": float(self.high),
            "poisson": float(self.poisson),
            "amount": list(self.amount or ()),
        }

    @cached_property
    def inputs(self) -> Box:
        bx, by = self.blocks
        d = bx * by
        names = tuple(f"E{i}{j}" if max(bx, by) <= 10 else f"E{i}_{j}" for i in range(bx) for j in range(by))
        low, high = self.amount or (0.0, 1.0)
        lower, upper = np.append(np.full(d, self.low), low), np.append(np.full(d, self.high), high)
        return Box((*names, self.loading), lower, upper, log=(True,) * d + (False,))

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1, (self.cells + 1) ** 2, 2)

    @cached_property
    def coordinates(self) -> Float[np.ndarray, "nodes 2"]:
        x, y = np.meshgrid(*(np.arange(self.cells + 1) / self.cells,) * 2, indexing="ij")
        return np.stack([x.ravel(), y.ravel()], axis=1)

    @property
    def order(self) -> int:
        return 2

    @cached_property
    def coarser(self) -> Hyperelastic:
        if self.cells % 2 or self.cells // 2 < 2 or (self.cells // 2) % np.lcm(*self.blocks):
            raise ValueError(f"cells={self.cells} cannot be halved with {self.blocks[0]} x {self.blocks[1]} blocks")
        return replace(self, cells=self.cells // 2)

    # ---- fields: flat [N], node after node with the component last; grids [2, n+1, n+1] --------------------------

    def _grid(self, u: Array) -> Array:
        return u.reshape(self.cells + 1, self.cells + 1, 2).transpose(2, 0, 1)

    @cached_property
    def _free_grid(self) -> np.ndarray:
        mask = np.zeros((2, self.cells + 1, self.cells + 1), dtype=bool)
        if self.loading == "stretch":
            mask[0, 1:, :] = True
            mask[1, :, 1:-1] = True
        else:
            mask[:, 1:-1, 1:-1] = True
        return mask

    @cached_property
    def free(self) -> np.ndarray:
        return np.asarray(self._free_grid.transpose(1, 2, 0).reshape(-1))

    def affine_field(self, p: Float[Array, " d"]) -> Float[Array, " N"]:
        """The load's affine displacement: u_y = (stretch - 1) y or u_x = shear y."""
        y = self.coordinates[:, 1]
        zero = jnp.zeros_like(y)
        return jnp.stack([zero, (p[-1] - 1) * y] if self.loading == "stretch" else [p[-1] * y, zero], axis=1).reshape(
            -1
        )

    def prescribe(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        return jnp.where(self.free, u, self.affine_field(p))

    @cached_property
    def probing(self) -> ProbedJacobian:
        n = self.cells
        ones = sp.diags([np.ones(n), np.ones(n + 1), np.ones(n)], [-1, 0, 1])
        pattern = sp.kron(sp.kron(ones, ones), np.ones((2, 2))).tocsr()[self.free][:, self.free]
        i, j, component = np.indices((n + 1, n + 1, 2)).reshape(3, -1)
        used = (6 * (i % 3) + 2 * (j % 3) + component)[self.free]
        return ProbedJacobian(pattern, np.unique(used, return_inverse=True)[1])

    # ---- the scheme ----------------------------------------------------------------------------------------------

    def moduli(self, p: Float[Array, " d"]) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
        """mu and lame of every cell."""
        (bx, by), n = self.blocks, self.cells
        e = jnp.broadcast_to(p[:-1].reshape(bx, 1, by, 1), (bx, n // bx, by, n // by)).reshape(n, n)
        nu = self.poisson
        return e / (2 * (1 + nu)), e * (nu / ((1 + nu) * (1 - 2 * nu)))

    def _modes(self, v: Array, sign: float = -1.0) -> tuple[Array, Array, Array]:
        """n times X, Y, H of plane_stress.py; ``sign`` = +1 with nonnegative arguments adds all terms, to bound
        roundings.
        """
        a, b, c, d = (v[:, i : self.cells + i, j : self.cells + j] for i, j in CORNERS)
        low, high = b + sign * a, d + sign * c
        x, y, h = (low + high) / 2, ((c + sign * a) + (d + sign * b)) / 2, high + sign * low
        return self.cells * x, self.cells * y, self.cells * h

    def _spread(self, x: Array, y: Array, h: Array, sign: float = -1.0) -> Float[Array, "2 n+1 n+1"]:
        """The transpose of ``_modes`` without the factor n."""
        total = jnp.zeros((2, self.cells + 1, self.cells + 1))
        for i, j in CORNERS:
            force = (1 if i else sign) / 2 * x + (1 if j else sign) / 2 * y + (1 if i == j else sign) * h
            total = total + jnp.pad(force, ((0, 0), (i, 1 - i), (j, 1 - j)))
        return total

    def _forces(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, "2 n+1 n+1"]:
        """Internal forces of all nodes; NaN around a cell with J <= 0 at a Gauss point."""
        mu, lame = self.moduli(p)
        x, y, h = self._modes(self._grid(u))
        total: Any = (0.0, 0.0, 0.0)
        for xi in _GAUSS:
            for eta in _GAUSS:
                (ux, vx), (uy, vy) = x + eta * h, y + xi * h
                f11, f12, f21, f22 = 1 + ux, uy, vx, 1 + vy
                j = f11 * f22 - f12 * f21
                pressure = (lame * jnp.log(j) - mu) / j
                along_x = jnp.stack([mu * f11 + pressure * f22, mu * f21 - pressure * f12])  # P_11, P_21
                along_y = jnp.stack([mu * f12 - pressure * f21, mu * f22 + pressure * f11])  # P_12, P_22
                parts = along_x, along_y, eta * along_x + xi * along_y
                total = tuple(t + part for t, part in zip(total, parts, strict=True))
        weight = 1 / (4 * self.cells)  # a quarter of the cell's area, times n from the modes
        return self._spread(*(weight * t for t in total))

    def residual(self, p: Any, u: Any) -> Float[Array, " N"]:
        p, u = jnp.asarray(p, dtype=jnp.float64), jnp.asarray(u, dtype=jnp.float64)
        forces = self._forces(p, u).transpose(1, 2, 0).reshape(-1)
        return jnp.where(self.free, forces, u - self.prescribe(p, u))

    def residual_rounding(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, ""]:
        mu, lame = self.moduli(p)
        x, y, h = self._modes(self._grid(u))
        sizes = self._modes(jnp.abs(self._grid(u)), 1.0)
        spread = 1 + sizes[0].sum(0) + sizes[1].sum(0) + 2 * sizes[2].sum(0)  # what the roundings of F are relative to
        total: Any = 0.0
        for xi in _GAUSS:
            for eta in _GAUSS:
                (ux, vx), (uy, vy) = x + eta * h, y + xi * h
                products = jnp.abs((1 + ux) * (1 + vy)) + jnp.abs(uy * vx)
                j = (1 + ux) * (1 + vy) - uy * vx
                inverse = (2 + jnp.abs(ux) + jnp.abs(uy) + jnp.abs(vx) + jnp.abs(vy)) / j  # at least |F^-1|
                bent = lame * (1 + jnp.abs(jnp.log(j))) + mu
                # P itself, and its derivatives in F: mu dF and bent |F^-1| |dF| |F^-1|, J's own error included.
                total = total + mu * spread + bent * inverse * (products / j + spread * inverse)
        forces = self._spread(*(jnp.stack([total, total]) / (4 * self.cells),) * 3, 1.0)
        return gamma(60) * jnp.sqrt(jnp.vdot(forces, forces))

    def smallest_jacobian(self, u: Float[Array, " N"]) -> Float[Array, "n n"]:
        """The least J of every cell, over its corners."""
        x, y, h = self._modes(self._grid(u))
        least: Any = jnp.inf
        for xi in (-0.5, 0.5):
            for eta in (-0.5, 0.5):
                (ux, vx), (uy, vy) = x + eta * h, y + xi * h
                least = jnp.minimum(least, (1 + ux) * (1 + vy) - uy * vx)
        return least

    def nominal_stress(self, p: Any, u: Any) -> Float[Array, "2"]:
        """The force on the edge y = 1 (per undeformed area: its length is 1), along x and along y."""
        return self._forces(jnp.asarray(p, dtype=jnp.float64), jnp.asarray(u, dtype=jnp.float64))[:, :, -1].sum(axis=1)

    def load_size(self, p: Float[Array, " d"]) -> Float[Array, ""]:
        """The forces of the affine deformation, those on the boundary included; at rest, where there are none, tiny."""
        forces = self._forces(p, self.affine_field(p))
        return jnp.sqrt(jnp.vdot(forces, forces) + (1e-8 * jnp.max(p[:-1])) ** 2)

    def norm_matrix(self, p: Any) -> sp.csr_matrix:
        n = self.cells
        ends = np.r_[1.0, np.full(n - 1, 2.0), 1.0]
        stiff = sp.diags([-np.ones(n), ends, -np.ones(n)], [-1, 0, 1])
        mass = sp.diags([np.ones(n), 2 * ends, np.ones(n)], [-1, 0, 1]) / 6
        scalar = sp.kron(stiff, mass) + sp.kron(mass, stiff)
        return sp.kron(scalar, sp.identity(2)).tocsr()[self.free][:, self.free]

    @property
    def norm_name(self) -> str:
        return "H1 seminorm of the displacement"

    def norm(self, p: Any, u: Any) -> Float[Array, ""]:
        v = self._grid(jnp.asarray(u, dtype=jnp.float64))
        return jnp.sqrt(sum(jnp.sum(q1.flux(component) ** 2) for component in v))

    def features(self, p: Float[Array, " d"]) -> tuple[Float[Array, " m"], Float[Array, ""]]:
        """Only ratios of the moduli matter: their logarithms less the mean, and the load."""
        logs = jnp.log(p[:-1])
        low, high = self.amount or (0.0, 1.0)
        load = 2 * (p[-1] - low) / (high - low) - 1
        return jnp.append(2 * (logs - jnp.mean(logs)) / np.log(self.high / self.low), load), jnp.ones(())

    # ---- the solve -----------------------------------------------------------------------------------------------

    def _loaded(self, p: Array, share: Array) -> Array:
        """The input with this share of the load."""
        rest = 1.0 if self.loading == "stretch" else 0.0
        return p.at[-1].set(rest + share * (p[-1] - rest))

    def _climb(self, p: Array, tolerance: float) -> tuple[Array, Root]:
        """The share of the load that was reached, and the last state: load steps from rest, halved where Newton
        fails.
        """
        unknowns = np.flatnonzero(self.free)

        def go_on(state: tuple[Array, Array, Root]) -> Array:
            share, step, _ = state
            return (share < 1) & (step >= SMALLEST_STEP)

        def climb(state: tuple[Array, Array, Root]) -> tuple[Array, Array, Root]:
            share, step, root = state
            aim = jnp.minimum(share + step, 1.0)
            at = self._loaded(p, aim)
            start = root.u + (self.affine_field(at) - self.affine_field(self._loaded(p, share)))[unknowns]
            target = jnp.where(aim < 1, STEP_TOLERANCE, tolerance) * self.load_size(at)
            now = newton(lambda v: self.equation(at, v), lambda v, r: self.correction(at, v, r), start, target)
            floor = self.residual_rounding(at, self.field(at, now.u))
            done = now.residual <= jnp.maximum(target, floor)
            total = root.iterations + now.iterations
            kept = jax.tree.map(lambda new, old: jnp.where(done, new, old), now, root)
            return jnp.where(done, aim, share), jnp.where(done, 2 * step, step / 2), kept._replace(iterations=total)

        rest = Root(jnp.zeros(len(unknowns)), jnp.asarray(jnp.inf), jnp.zeros(()))
        share, _, root = lax.while_loop(go_on, climb, (jnp.zeros(()), jnp.ones(()), rest))
        return share, root._replace(residual=jnp.where(share < 1, jnp.inf, root.residual))

    def attempt(self, p: Float[Array, " d"], tolerance: float | None = None) -> Attempt:
        tolerance = TOLERANCE if tolerance is None else tolerance
        result = self.finish(p, lambda p: self._climb(p, tolerance)[1], tolerance)
        whole = jnp.min(self.smallest_jacobian(lax.stop_gradient(result.u))) > 0
        return result._replace(u=jnp.where(whole, result.u, jnp.nan))

    def explain(self, p: Float[np.ndarray, " d"], result: Attempt) -> str:
        if METHODS[int(result.method)] != "newton":
            return ""
        share, root = jax.jit(self._climb, static_argnums=1)(jnp.asarray(p), TOLERANCE)
        at = self._loaded(jnp.asarray(p), share)
        least = np.asarray(self.smallest_jacobian(self.field(at, root.u)))
        i, j = np.unravel_index(least.argmin(), least.shape)
        where = f"the cell at ({(i + 0.5) / self.cells:.3g}, {(j + 0.5) / self.cells:.3g})"
        if share == 1:
            what = f"{where} is turned inside out (J = {least.min():.2g} at its corner): no deformation of a solid"
        else:
            what = (
                f"the load steps ended at {self.loading}={float(at[-1]):.6g}, where {where} is the closest to turning "
                f"inside out (J = {least.min():.2g})"
            )
        return f"{what}; take a {self.loading} nearer to rest, less contrast between the moduli, or more cells"
