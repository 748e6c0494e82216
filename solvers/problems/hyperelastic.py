"""Hyperelasticity: a compressible neo-Hookean block of bx x by materials in large plane deformation.

    -div P(F) = 0,    F = I + grad u,    J = det F > 0,    P = mu (F - F^-T) + lame ln(J) F^-T    on (0, 1)^2
    mu = E/(2 (1 + nu)),    lame = E nu/((1 + nu) (1 - 2 nu)),    E = p[i * by + j] in the block i-th in x, j-th in y

the gradient of the energy mu/2 (|F|^2 - 2 - 2 ln J) + lame/2 (ln J)^2 per undeformed volume, in plane strain. Loadings:

    stretch     u_x = 0 on x = 0, u_y = 0 on y = 0, u_y = stretch - 1 on y = 1, the rest free of traction
    shear       u = (shear y, 0) on the whole boundary

Discretisation: bilinear (Q1) elements on cells x cells squares, 2 x 2 Gauss points (``neo_hookean.py``). On smooth
solutions second order in L2 and, in the nodes, in the H1 seminorm; unequal blocks make corners where the gradient is
unbounded, and the order there is between 0.3 (a checkerboard of contrast 10) and 0.95: ``order_at`` observes it.
Newton's method by banded Cholesky factors, kept while steps with them are good, and load steps, halved where it fails:
the truth is the solution that continues the state at rest. The energy is infinite where J <= 0 at a Gauss point; a
field that is inside out at a cell's corner is no solution either and is reported as a failure. Inputs: bx * by moduli
E, log-scaled, then stretch or shear. Good ranges: contrast 10 with stretch 0.8 to 2 or shear up to 1, contrast 100 with
the default loads; a box without the state at rest (stretch 1, shear 0), where the field vanishes and relative errors
mean nothing.
One material: stretch gives F = diag(a, stretch) with mu (a^2 - 1) + lame ln(a stretch) = 0, shear the affine field.
Reference: Bonet and Wood, Nonlinear Continuum Mechanics for Finite Element Analysis (2008), section 6.4.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import lax
from jaxtyping import Array, Float

from ..box import Box
from ..classes.nonlinear import NonlinearProblem
from ..classes.richardson import restrict
from ..discretisations import five_point, neo_hookean, q1
from ..discretisations.blocks import checked_blocks, checked_cells, numbered, on_nodes, spread
from ..discretisations.neo_hookean import Moduli
from ..field_norm import homogeneous
from ..linear_algebra.banded import BandedCholesky
from ..linear_algebra.implicit import Root, chord
from ..linear_algebra.sparse_lu import ProbedJacobian
from ..outputs import Output, named, nodal
from ..problem import ZERO_SHARE, Attempt, nan_unless
from ..relations.limit import Vanishing
from ..relations.relation import Relation
from ..relations.scaling import Homogeneous
from ..relations.symmetry import Symmetric, permuted
from ..settings import check_range

TOLERANCE = 1e-11
STEP_TOLERANCE = 1e-5  # relative residual of the states between load steps, which the next steps begin from
KEEP = 0.25  # the residual that a step leaves, for its Jacobian to serve the next one
FIRST_STEP, SMALLEST_STEP = 1 / 4, 1 / 1024  # of the whole load
LEAST_ORDER = 0.25
SAME = 1e-8  # relative difference of two grids' fields that is as good as none
LOADINGS = {"stretch": (1.1, 1.6), "shear": (0.1, 0.6)}  # and their default ranges
Climb = tuple[Array, Array, Array, Array, Array, Array, Array]  # share, step, u, |F|, iterations, du/dshare, J
REST = {"stretch": 1.0, "shear": 0.0}


@dataclass(frozen=True, eq=False)
class Hyperelastic(NonlinearProblem):
    """See the module's docstring. ``amount`` is (low, high) of the stretch or shear; None takes a moderate range.

    Raises:
        ValueError: an unknown loading, blocks that do not divide the cells, ranges that are not increasing, a stretch
            or a modulus that is not positive, Poisson's ratio outside (-1, 0.5).
    """

    loading: str = "stretch"
    blocks: tuple[int, int] = (2, 2)
    cells: int = 32
    low: float = 1.0
    high: float = 10.0
    poisson: float = 0.3
    amount: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        if self.loading not in LOADINGS:
            raise ValueError(f"loading must be one of {', '.join(LOADINGS)}, not {self.loading!r}")
        put(self, "blocks", checked_blocks(self.blocks))
        put(self, "cells", checked_cells(self.cells, self.blocks))
        if not 0 < self.low < self.high < np.inf:
            raise ValueError(f"Young's moduli need 0 < low < high < infinity, not low={self.low}, high={self.high}")
        if not -1 < self.poisson < 0.5:
            raise ValueError(f"Poisson's ratio must lie in (-1, 0.5), not {self.poisson}")
        put(self, "amount", check_range("amount", LOADINGS[self.loading] if self.amount is None else self.amount))
        low, _ = self.load_range
        if self.loading == "stretch" and low <= 0:
            raise ValueError(f"a stretch of {low:g} turns the block inside out: amount must start above 0")

    @property
    def load_range(self) -> tuple[float, float]:
        """The range (low, high) of the stretch or shear."""
        assert self.amount is not None
        return self.amount

    @cached_property
    def inputs(self) -> Box:
        names = numbered("E", self.blocks)
        d = len(names)
        low, high = self.load_range
        lower, upper = np.append(np.full(d, self.low), low), np.append(np.full(d, self.high), high)
        return Box((*names, self.loading), lower, upper, log=(True,) * d + (False,))

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1, (self.cells + 1) ** 2, 2)

    @cached_property
    def coordinates(self) -> Float[np.ndarray, "nodes 2"]:
        return five_point.coordinates(self.cells)

    @property
    def input_field_names(self) -> tuple[str, ...]:
        return ("modulus", f"affine {self.component_names[self._moved]}")

    def input_field(self, p: Float[Array, " d"]) -> Float[Array, "nodes channels"]:
        """The load is the displacement that it prescribes, continued into the block."""
        moduli = on_nodes(spread(p[:-1], self.blocks, (self.cells, self.cells))).reshape(-1)
        return jnp.column_stack([moduli, self.affine_field(p)[self._moved :: 2]])

    @property
    def grid_shape(self) -> tuple[int, int]:
        return (self.cells + 1, self.cells + 1)

    @cached_property
    def relations(self) -> tuple[Relation, ...]:
        """Only ratios of the moduli matter; at rest nothing moves; a shear looks the same turned by 180 degrees."""
        count, (low, high), rest = len(self.inputs.names) - 1, self.load_range, REST[self.loading]
        found: list[Relation] = [Homogeneous("homogeneity", "u(c E) = u(E)", np.arange(count), 0.0)]
        if low <= rest <= high:
            found.append(Vanishing("limit", "u = 0 without a load", np.array([count]), np.array([rest])))
        if self.loading == "shear":
            turned = permuted(np.append(np.arange(count)[::-1], count))
            nodes = np.arange(self.size).reshape(-1, 2)[::-1].ravel()

            def constant(p: Array) -> Array:
                return jnp.tile(jnp.stack([p[-1], jnp.zeros(())]), self.shape[1])

            about = "u(g E)(x) = (shear, 0) - u(E)(1 - x)"
            found.append(Symmetric("half turn", about, turned, nodes, -1.0, constant))
        return tuple(found)

    @property
    def order(self) -> int:
        return 2

    def order_at(self, p: Any) -> float:
        """Observed on this grid and two coarser ones, at least ``LEAST_ORDER``; where they agree to rounding, 2."""
        grids = (self, self.coarser, self.coarser.coarser)
        fields = [problem.solve_report(p).u for problem in grids]
        near, far = (
            float(coarse.norm(p, restrict(fine, coarse, u) - v))
            for fine, coarse, u, v in zip(grids, grids[1:], fields, fields[1:], strict=False)
        )
        if near <= SAME * float(self.norm(p, fields[0])):
            return 2.0
        return float(np.clip(np.log2(far / near), LEAST_ORDER, 2.0))

    @cached_property
    def coarser(self) -> Hyperelastic:
        half = self.cells // 2
        if self.cells % 2 or half < 2 or half % self.blocks[0] or half % self.blocks[1]:
            bx, by = self.blocks
            raise ValueError(
                f"{self.cells} cells cannot be halved with {bx} x {by} blocks: an estimate of the discretisation error "
                f"takes two halvings, of cells={4 * np.lcm(bx, by)} k and at least 8"
            )
        return replace(self, cells=half)

    # ---- fields: flat [N], node after node with the component last; grids [2, n+1, n+1] ------------------------------

    def to_grid(self, u: Float[Array, " N"]) -> Float[Array, "2 n+1 n+1"]:
        return u.reshape(self.cells + 1, self.cells + 1, 2).transpose(2, 0, 1)

    @cached_property
    def free(self) -> np.ndarray:
        mask = np.zeros((self.cells + 1, self.cells + 1, 2), dtype=bool)
        if self.loading == "stretch":
            mask[1:, :, 0] = True
            mask[:, 1:-1, 1] = True
        else:
            mask[1:-1, 1:-1] = True
        return mask.reshape(-1)

    @property
    def _moved(self) -> int:
        """The component that the load prescribes."""
        return 1 if self.loading == "stretch" else 0

    def affine_field(self, p: Float[Array, " d"]) -> Float[Array, " N"]:
        """The load's affine displacement: u_y = (stretch - 1) y or u_x = shear y."""
        moved = (p[-1] - REST[self.loading]) * self.coordinates[:, 1]
        return jnp.zeros((len(moved), 2)).at[:, self._moved].set(moved).reshape(-1)

    def prescribe(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        return jnp.where(self.free, u, self.affine_field(p))

    @cached_property
    def probing(self) -> ProbedJacobian:
        """Every node with its eight neighbours, both components: colours by place modulo 3."""
        n = self.cells
        line = sp.diags([np.ones(n), np.ones(n + 1), np.ones(n)], [-1, 0, 1])
        # In CSR: on small grids scipy's own choice is a block format, which stores zeros, and these count as entries.
        nodes = sp.kron(line, line, format="csr")
        pattern = sp.kron(nodes, np.ones((2, 2)), format="csr")[self.free][:, self.free]
        i, j, component = np.indices((n + 1, n + 1, 2)).reshape(3, -1)
        used = (6 * (i % 3) + 2 * (j % 3) + component)[self.free]
        return ProbedJacobian(pattern, np.unique(used, return_inverse=True)[1])

    # ---- the scheme --------------------------------------------------------------------------------------------------

    def moduli(self, p: Float[Array, " d"]) -> Moduli:
        """Lame's constants of every cell."""
        return neo_hookean.moduli(spread(p[:-1], self.blocks, (self.cells, self.cells)), self.poisson)

    def residual(self, p: Any, u: Any) -> Float[Array, " N"]:
        p, u = jnp.asarray(p, dtype=jnp.float64), jnp.asarray(u, dtype=jnp.float64)
        forces = neo_hookean.forces(self.moduli(p), self.to_grid(u)).transpose(1, 2, 0).reshape(-1)
        return jnp.where(self.free, forces, u - self.prescribe(p, u))

    def approximate_error(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        """Newton's correction; of a field that is inside out somewhere, where there is none, the difference from the
        affine field.
        """
        affine = self.affine_field(p)
        whole = jnp.min(neo_hookean.jacobians(self.to_grid(u), neo_hookean.GAUSS)) > 0
        return jnp.where(
            whole, self.newton_error(p, jnp.where(whole, u, affine)), jnp.where(self.free, u - affine, 0.0)
        )

    def residual_rounding(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, ""]:
        forces = neo_hookean.forces_rounding(self.moduli(p), self.to_grid(u))
        return jnp.sqrt(jnp.vdot(forces, forces))

    def smallest_jacobian(self, u: Float[Array, " N"]) -> Float[Array, "n n"]:
        """The least J of every cell, over its corners: over the cell."""
        return jnp.min(neo_hookean.jacobians(self.to_grid(jnp.asarray(u)), neo_hookean.ENDS), axis=0)

    def nominal_stress(self, p: Any, u: Any) -> Float[Array, "2"]:
        """The force on the edge y = 1 (per undeformed area: its length is 1), along x and along y."""
        p, u = jnp.asarray(p, dtype=jnp.float64), jnp.asarray(u, dtype=jnp.float64)
        return neo_hookean.forces(self.moduli(p), self.to_grid(u))[:, :, -1].sum(axis=1)

    def load_size(self, p: Float[Array, " d"]) -> Float[Array, ""]:
        """The forces that each cell exerts on its corners in the affine deformation; tiny at rest, where it is none."""
        along_y = jnp.zeros(2).at[self._moved].set(p[-1] - REST[self.loading])
        stress = jnp.stack(neo_hookean.stress(self.moduli(p), jnp.zeros(2), along_y)) / self.cells
        return jnp.sqrt(jnp.vdot(stress, stress) + (1e-8 * jnp.max(p[:-1])) ** 2)

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

    @homogeneous
    def norm(self, p: Any, u: Any) -> Float[Array, ""]:
        v = self.to_grid(jnp.asarray(u, dtype=jnp.float64))
        return jnp.sqrt(sum(jnp.sum(q1.flux(component) ** 2) for component in v))

    @property
    def zero_scale(self) -> float:
        """Where the box holds the state at rest; typical is the affine field of a mean load."""
        low, high = (end - REST[self.loading] for end in self.load_range)
        return ZERO_SHARE * float(np.sqrt((low**2 + low * high + high**2) / 3)) if low <= 0 <= high else 0.0

    @cached_property
    def outputs(self) -> Mapping[str, Output]:
        """Means of the displacement and its value at the centre."""
        return named(*nodal(self.coordinates, ("-x", "-y")))

    @property
    def component_names(self) -> tuple[str, ...]:
        return ("u_x", "u_y")

    def features(self, p: Float[Array, " d"]) -> tuple[Float[Array, " m"], Float[Array, ""]]:
        """Only ratios of the moduli matter: their logarithms less the mean, and the load.

        The field vanishes in proportion to the load; in a box that holds the state at rest this is not divided by.
        """
        (low, high), rest = self.load_range, REST[self.loading]
        logs = jnp.log(p[:-1])
        load = 2 * (p[-1] - low) / (high - low) - 1
        x = jnp.append(2 * (logs - jnp.mean(logs)) / np.log(self.high / self.low), load)
        return x, jnp.ones(()) if low <= rest <= high else jnp.abs(p[-1] - rest)

    # ---- the solve ---------------------------------------------------------------------------------------------------

    def _loaded(self, p: Array, share: Array) -> Array:
        """The input with this share of the load; with the whole of it p itself, to the last bit."""
        rest = REST[self.loading]
        return p.at[-1].set(jnp.where(share < 1, rest + share * (p[-1] - rest), p[-1]))

    @cached_property
    def cholesky(self) -> BandedCholesky:
        """Of the Jacobian by ``neo_hookean.stiffness``, over all nodes."""
        return BandedCholesky(neo_hookean.distances(self.cells))

    def _climb(self, p: Array, tolerance: float) -> tuple[Array, Root]:
        """The share of the load that was reached and the state there: load steps, halved where Newton fails or comes
        out at an unstable state, one whose stiffness is not positive definite: that is another branch. A step begins
        where the last one points to; its Jacobian, factorised to see that it is definite, serves the next step as well.
        """
        free, enough = jnp.asarray(self.free), max(STEP_TOLERANCE, tolerance)

        def stiffness(v: Array) -> Array:
            return neo_hookean.stiffness(neo_hookean.tangent(self.moduli(p), self.to_grid(v)), self.free)

        def go_on(state: Climb) -> Array:
            share, step, _, _, _, _, _ = state
            return (share < 1) & (step >= SMALLEST_STEP)

        def climb(state: Climb) -> Climb:
            share, step, u, residual, total, slope, first = state
            aim = jnp.minimum(share + step, 1.0)
            at = self._loaded(p, aim)
            size = self.load_size(at)
            now = chord(
                lambda v: jnp.where(free, self.residual(at, v), 0.0),
                stiffness,
                self.cholesky.solve,
                self.prescribe(at, u + (aim - share) * slope),
                jnp.where(aim < 1, enough, tolerance) * size,
                KEEP,
                first,
            )
            done = now.residual <= enough * size  # if the last state is rough, shorter steps would not mend that
            there = lax.cond(done, stiffness, lambda _: first, now.u)
            done = lax.cond(done, lambda: self.cholesky.is_definite(there), lambda: done)
            kept = (now.u, now.residual, (now.u - u) / (aim - share), there)
            u, residual, slope, first = (
                jnp.where(done, a, b) for a, b in zip(kept, (u, residual, slope, first), strict=True)
            )
            longer = jnp.minimum(2 * step, FIRST_STEP)
            share, step = jnp.where(done, aim, share), jnp.where(done, longer, step / 2)
            return share, step, u, residual, total + now.iterations, slope, first

        rest = jnp.zeros(self.size)
        slope = self.affine_field(p)
        start = (
            jnp.zeros(()),
            jnp.asarray(FIRST_STEP),
            rest,
            jnp.asarray(jnp.inf),
            jnp.zeros(()),
            slope,
            stiffness(rest),
        )
        share, _, u, residual, total, _, _ = lax.while_loop(go_on, climb, start)
        return share, Root(u[np.flatnonzero(self.free)], jnp.where(share < 1, jnp.inf, residual), total)

    def solve_jax(self, p: Float[Array, " d"], tolerance: float | None = None) -> Attempt:
        tolerance = TOLERANCE if tolerance is None else tolerance
        result = self.finish(p, lambda p: self._climb(p, tolerance)[1], tolerance)
        whole = jnp.min(self.smallest_jacobian(lax.stop_gradient(result.u))) > 0
        return result._replace(u=nan_unless(whole, result.u, p))

    def explain(self, p: Float[np.ndarray, " d"], result: Attempt) -> str:
        share, root = jax.jit(self._climb, static_argnums=1)(jnp.asarray(p), TOLERANCE)
        at = self._loaded(jnp.asarray(p), share)
        least = np.asarray(self.smallest_jacobian(self.field(at, root.u)))
        i, j = np.unravel_index(least.argmin(), least.shape)
        where = f"the cell at ({(i + 0.5) / self.cells:.3g}, {(j + 0.5) / self.cells:.3g})"
        if least.min() <= 0:
            what = f"{where} is turned inside out (J = {least.min():.2g} at its corner): no deformation of a solid"
        else:
            what = (
                f"beyond {self.loading}={float(at[-1]):.6g} the block buckles or Newton's method diverged; there "
                f"{where} is the closest to turning inside out (J = {least.min():.2g})"
            )
        return (
            f"{what}; take a {self.loading} nearer to {REST[self.loading]:g} or less contrast between the moduli "
            f"{', '.join(self.inputs.names[:-1])}"
        )
