"""Linear elasticity in plane stress: a membrane of bx x by blocks, each with its own Young's modulus.

    -div sigma(u) = body,    sigma = E/(1 - nu^2) ((1 - nu) strain + nu tr(strain) I),    strain = (grad u + grad u')/2

``geometry`` chooses the quadrilateral, its supports and its loaded edge (thickness 1):

    square      (0, 1)^2, clamped at x = 0, unit traction on x = 1
    cook        Cook's membrane (0,0) (48,44) (48,60) (0,44), clamped at x = 0, total shear force 1 on x = 48
    cantilever  Timoshenko's beam 48 x 12 with end load 1000: the exact tractions on both ends, held at (0, 0) and by
                u_x at (0, 6), where the exact displacement vanishes; deflection of (48, 0), for one modulus:
                P/(6 E I) ((4 + 5 nu) D^2 L/4 + 2 L^3)

Discretisation: bilinear (Q1) elements on a structured grid, 2 x 2 Gauss points (``plane_stress.py``); second order in
L2, first in the energy norm, less where supports meet free edges. Inputs: bx * by moduli, log-scaled; with
``angle=(low, high)`` also the direction of the traction in radians, counted from the x axis. Affine: A = sum_q E_q
A_q, f = f_0 + cos(angle) f_1 + sin(angle) f_2. Good ranges: contrasts up to 1000, Poisson's ratio in (-0.9, 0.49).
u(c E) = u(E)/c.
References: Cook (1974), J. Struct. Div. ASCE 100; Timoshenko and Goodier, Theory of Elasticity (1970), article 21.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float

from ..box import Box
from ..classes.coercive import COMPLIANCE, CoerciveProblem
from ..classes.coercive_solve import METHODS, solve_coercive
from ..classes.richardson import DiscretisationEstimate
from ..discretisations import membranes, plane_stress_multigrid
from ..discretisations import plane_stress as ps
from ..discretisations.blocks import checked_blocks, numbered, on_nodes, spread
from ..discretisations.membranes import GEOMETRIES, Geometry
from ..linear_algebra.direct import callback_float64, factorise
from ..linear_algebra.krylov import CgResult
from ..linear_algebra.semidefinite import smallest_eigenvalue
from ..outputs import Output, named, output
from ..precision import gamma
from ..problem import Attempt
from ..relations.relation import Relation
from ..relations.scaling import Homogeneous

TOLERANCE = 1e-12
ORDERS = (0.25, 1.5)  # in the energy norm, that three grids may show


@dataclass(frozen=True, eq=False)
class Elasticity(CoerciveProblem):
    """See the module's docstring. ``cells`` counts across the second direction; None takes the geometry's own value.

    Raises:
        ValueError: an unknown geometry, blocks that do not divide the cells, moduli, Poisson's ratio or angle out of
        range.
    """

    methods = METHODS

    geometry: str = "square"
    blocks: tuple[int, int] = (2, 2)
    cells: int = 32
    low: float | None = None
    high: float | None = None
    poisson: float | None = None
    traction: float | None = None
    angle: float | tuple[float, float] = float(np.pi / 2)
    body: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        put = object.__setattr__
        if self.geometry not in GEOMETRIES:
            raise ValueError(f"geometry must be one of {', '.join(GEOMETRIES)}, not {self.geometry!r}")
        for what in ("low", "high", "poisson", "traction"):
            if getattr(self, what) is None:
                put(self, what, getattr(GEOMETRIES[self.geometry], what))
        bx, by = checked_blocks(self.blocks)
        if int(self.cells) != self.cells or self.cells < 2:
            raise ValueError(f"cells must be a whole number of at least 2, not {self.cells}")
        put(self, "blocks", (bx, by))
        put(self, "cells", int(self.cells))
        put(self, "body", tuple(float(x) for x in self.body))
        nx, ny = self.grid
        if nx % bx or ny % by:
            raise ValueError(f"{nx} x {ny} cells do not divide into {bx} x {by} blocks: change cells={ny}")
        if self.geometry == "cantilever" and ny % 2:
            raise ValueError(f"the cantilever needs an even number of cells, to have a node at its axis, not {ny}")
        low, high, poisson = self._geometry.low, self._geometry.high, self._geometry.poisson
        if not 0 < low < high < np.inf:
            raise ValueError(f"Young's moduli need 0 < low < high < infinity, not low={low}, high={high}")
        if not -1 < poisson < 0.5:
            raise ValueError(f"Poisson's ratio must lie in (-1, 0.5), not {poisson}")
        ends = np.atleast_1d(np.asarray(self.angle, dtype=np.float64))
        if ends.shape not in ((1,), (2,)) or not np.isfinite(ends).all() or (len(ends) == 2 and not ends[0] < ends[1]):
            raise ValueError(f"angle is a number of radians or a pair low < high, not {self.angle!r}")
        if self.geometry == "cantilever" and (len(ends) == 2 or ends[0] != np.pi / 2):
            raise ValueError("the cantilever's end load is parabolic and vertical: leave its angle as it is")
        put(self, "angle", tuple(ends.tolist()) if len(ends) == 2 else float(ends[0]))

    @cached_property
    def _geometry(self) -> Geometry:
        """With the values that were given in place of its own."""
        given: dict[str, Any] = {"low": self.low, "high": self.high, "poisson": self.poisson, "traction": self.traction}
        return GEOMETRIES[self.geometry]._replace(**given)

    @property
    def grid(self) -> tuple[int, int]:
        """Cells along the first and the second direction."""
        return self._geometry.along * self.cells, self.cells

    @cached_property
    def inputs(self) -> Box:
        names = numbered("E", self.blocks)
        d = len(names)
        lower, upper, log = np.full(d, self._geometry.low), np.full(d, self._geometry.high), (True,) * d
        if not isinstance(self.angle, tuple):
            return Box(names, lower, upper, log=log)
        low, high = self.angle
        return Box(
            (*names, "angle"),
            np.append(lower, low),
            np.append(upper, high),
            log=(*log, False),
            units=("",) * d + ("rad",),
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        nx, ny = self.grid
        return (1, (nx + 1) * (ny + 1), 2)

    @property
    def input_field_names(self) -> tuple[str, ...]:
        return ("modulus", "traction x", "traction y") if isinstance(self.angle, tuple) else ("modulus",)

    def input_field(self, p: Float[Array, " d"]) -> Float[Array, "nodes channels"]:
        """With the traction on the loaded edge, where its angle is an input."""
        moduli = on_nodes(self.moduli(self.theta(p))).reshape(-1, 1)
        if not isinstance(self.angle, tuple):
            return moduli
        edge = jnp.zeros((*self.grid_shape, 2)).at[-1].set(self._geometry.traction * self.load_weights(p)[1:])
        return jnp.concatenate([moduli, edge.reshape(-1, 2)], axis=1)

    @property
    def grid_shape(self) -> tuple[int, int]:
        nx, ny = self.grid
        return (nx + 1, ny + 1)

    @cached_property
    def relations(self) -> tuple[Relation, ...]:
        """Nothing but loads moves it: only ratios of the moduli matter. |v|^2 at c E is c times that at E."""
        scaled = np.arange(self.blocks[0] * self.blocks[1])
        return (Homogeneous("homogeneity", "u(c E) = u(E)/c", scaled, -1.0, 0.5),)

    @property
    def component_names(self) -> tuple[str, ...]:
        return ("u_x", "u_y")

    @cached_property
    def coordinates(self) -> Float[np.ndarray, "nodes 2"]:
        return self._geometry.nodes(*self.grid).reshape(-1, 2)

    # ---- fields: flat [N], node after node with the component last; grids [2, nx+1, ny+1] ------------------------

    def to_grid(self, u: Float[Array, " N"]) -> Float[Array, "2 nx+1 ny+1"]:
        nx, ny = self.grid
        return u.reshape(nx + 1, ny + 1, 2).transpose(2, 0, 1)

    def from_grid(self, v: Float[Array, "2 nx+1 ny+1"]) -> Float[Array, " N"]:
        return v.transpose(1, 2, 0).reshape(-1)

    @cached_property
    def _levels(self) -> tuple[plane_stress_multigrid.Level, ...]:
        supports = partial(membranes.supports, self.geometry)
        return plane_stress_multigrid.levels(self._geometry.nodes, supports, *self.grid, self._geometry.poisson)

    @cached_property
    def free(self) -> np.ndarray:
        return self._levels[0].free.transpose(1, 2, 0).reshape(-1)

    def prescribe(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        return jnp.where(self.free, u, 0.0)

    # ---- operator ------------------------------------------------------------------------------------------------

    @property
    def rounding_count(self) -> int:
        return ps.APPLY_ROUNDINGS + 40  # with the load's: two sums, two products, cosine and sine to 16 ulp each

    def theta(self, p: Float[Array, " d"]) -> Float[Array, " Q"]:
        return p[: self.blocks[0] * self.blocks[1]]

    def moduli(self, theta: Float[Array, " Q"]) -> Float[Array, "nx ny"]:
        """One value per block to one per cell."""
        return spread(theta, self.blocks, self.grid)

    def load_terms(self) -> Float[np.ndarray, "J N"]:
        """The body force, and the tractions along x and along y."""
        return self._load_terms

    def load_weights(self, p: Float[Array, " d"]) -> Float[Array, " J"]:
        angle = p[-1] if isinstance(self.angle, tuple) else jnp.asarray(self.angle)
        return jnp.stack([jnp.ones(()), jnp.cos(angle), jnp.sin(angle)])

    def load(self, p: Float[Array, " d"]) -> Float[Array, " N"]:
        body, along_x, along_y = self._load_terms
        _, cosine, sine = self.load_weights(p)
        return body + cosine * along_x + sine * along_y

    @cached_property
    def _load_terms(self) -> Float[np.ndarray, "J N"]:
        nodes = self._geometry.nodes(*self.grid)
        terms = membranes.loads(self.geometry, nodes, self._geometry.traction, self.body)
        return np.stack([np.where(self.free, f.transpose(1, 2, 0).reshape(-1), 0.0) for f in terms])

    def _masked(self, v: Array) -> Array:
        return self.from_grid(jnp.where(self._levels[0].free, v, 0.0))

    def apply(self, theta: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        return self._masked(ps.apply(self._levels[0].elements, self.moduli(theta), self.to_grid(u)))

    def apply_absolute(self, theta: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        return self._masked(ps.apply_absolute(self._levels[0].elements, self.moduli(theta), self.to_grid(u)))

    @cached_property
    def _flux_norm(self) -> float:
        """A bound of the norm of the matrix of all |B_c|: the root of its largest row sum times its largest column
        sum.
        """
        e = self._levels[0].elements
        size = np.abs(np.einsum("rm...,mk->rk...", np.abs(e.factor), np.abs(ps.MODES)))
        columns = size.sum(axis=0)
        widest = 4 * columns.max()  # a node is a corner of at most four cells
        return 1.001 * float(np.sqrt(size.sum(axis=1).max() * widest))

    def flux_energy(self, scales: Float[Array, "K Q"], fields: Float[Array, "K N"]) -> tuple[Array, Array]:
        total: Any = 0.0
        bound: Any = 0.0
        for scale, u in zip(scales, fields, strict=True):
            total = total + self.moduli(scale) * ps.flux(self._levels[0].elements, self.to_grid(u))
            bound = bound + jnp.max(jnp.abs(scale)) * jnp.sqrt(jnp.vdot(u, u))
        energy = jnp.vdot(total, total)
        # One row takes at most 3 roundings for a mode and 6 for the sum of R's row, 8 for the scales, which callers
        # compute.
        error = gamma(20 + len(scales)) * self._flux_norm * bound
        count = 5 * self.grid[0] * self.grid[1] + 8
        return energy, 2 * jnp.sqrt(energy) * error + error**2 + gamma(count) * energy

    # ---- outputs -----------------------------------------------------------------------------------------------------

    @cached_property
    def outputs(self) -> Mapping[str, Output]:
        """Compliance; displacements of the far upper corner, and their means over the loaded edge; reactions of the
        supports.
        """
        nx, ny = self.grid
        edge = np.zeros((nx + 1, ny + 1))
        edge[-1] = np.r_[0.5, np.ones(ny - 1), 0.5] / ny
        corner = np.zeros((nx + 1, ny + 1))
        corner[-1, -1] = 1.0
        made = [COMPLIANCE]
        for c, suffix in enumerate("xy"):
            for name, part in (("tip", corner), ("edge", edge)):
                made.append(output(f"{name}-{suffix}", np.stack([part * (k == c) for k in (0, 1)], axis=-1).ravel()))
            made.append(self._reaction(f"reaction-{suffix}", c))
        return named(*made)

    def _reaction(self, name: str, component: int) -> Output:
        """The force of the supports along one axis: the sum of A u - f over its prescribed entries."""
        psi = jnp.asarray(np.where(np.arange(self.size) % 2 == component, ~self.free, False).astype(np.float64))
        nodes = self._geometry.nodes(*self.grid)
        loads = membranes.loads(self.geometry, nodes, self._geometry.traction, self.body)
        carried = np.array([f.transpose(1, 2, 0).reshape(-1) @ np.asarray(psi) for f in loads])
        return Output(
            name,
            weights=lambda p: self.apply(self.theta(p), psi),
            size=lambda p: self.apply_absolute(self.theta(p), psi),
            offset=lambda p: -(self.load_weights(p) @ jnp.asarray(carried)),
        )

    # ---- reference -----------------------------------------------------------------------------------------------

    @cached_property
    def reference_theta(self) -> np.ndarray:
        return np.full(self.blocks[0] * self.blocks[1], np.sqrt(self._geometry.low * self._geometry.high))

    @cached_property
    def _reference_factor(self) -> Callable[[np.ndarray], np.ndarray]:
        return factorise(self.matrix(self.reference_theta))

    def reference_solve(self, r: Float[Array, " N"]) -> Float[Array, " N"]:
        def on_host(r: np.ndarray) -> np.ndarray:
            z = np.zeros(self.size)
            z[self.free] = self._reference_factor(r[self.free])
            return z

        return callback_float64(on_host, r, r)

    @cached_property
    def _reference_coercivity(self) -> float:
        return smallest_eigenvalue(self.matrix(self.reference_theta), self._reference_factor)

    def coercivity(self, theta: Float[Array, " Q"]) -> Float[Array, ""]:
        return jnp.min(theta / self.reference_theta) * (1 - 1e-15) * self._reference_coercivity

    @cached_property
    def _csr(self) -> ps.CsrMap:
        return ps.CsrMap(self._levels[0].elements, self._levels[0].free)

    def matrix(self, theta: Float[np.ndarray, " Q"]) -> sp.csr_matrix:
        weights: Any = np.asarray(theta, dtype=np.float64)  # numpy here: on the host no JAX code may run
        return self._csr(np.asarray(self.moduli(weights)))

    def preconditioner(self, theta: Float[Array, " Q"]) -> Callable[[Array], Array] | None:
        h = plane_stress_multigrid.hierarchy(self._levels, self.moduli(theta))
        return lambda r: self._masked(plane_stress_multigrid.v_cycle(self._levels, h, self.to_grid(r)))

    def features(self, p: Float[Array, " d"]) -> tuple[Float[Array, " m"], Float[Array, ""]]:
        """u(c E) = u(E)/c: learn the field of geometric mean one, from the deviations of the logarithms."""
        logs = jnp.log(self.theta(p))
        mean = jnp.mean(logs)
        deviations = 2 * (logs - mean) / np.log(self._geometry.high / self._geometry.low)
        scale = jnp.exp(np.log(self.reference_theta[0]) - mean)
        if isinstance(self.angle, tuple):
            deviations = jnp.append(deviations, self.load_weights(p)[1:])
        return deviations, scale

    def discretisation_error(self, p: Any) -> DiscretisationEstimate:
        """Richardson's estimate of the distance to the differential equation's solution, from the energies.

        The grids are nested, so ||u - u_h||^2 = ||u||^2 - ||u_h||^2 (up to quadrature) and the energies increase; their
        limit is extrapolated from three grids where the cells can be halved twice, else from two at order one.

        Raises:
            ValueError: an input outside the box, or cells that cannot be halved.
            SolveError: one of the solves failed.
        """
        row = np.asarray(p, dtype=np.float64).reshape(-1)
        problems, energies = self._grids, []
        if len(problems) < 2:
            raise ValueError(f"cells={self.cells} cannot be halved with blocks {self.blocks}")
        for problem in problems:
            energies.append(float(jnp.vdot(problem.load(jnp.asarray(row)), problem.solve_report(row).u)))
        steps = [fine - coarse for fine, coarse in itertools.pairwise(energies)]
        ratio = min(max(steps[1] / steps[0], 1.5), 4.0) if len(steps) == 2 else 4.0
        relative = float(np.sqrt(max(steps[0], 0.0) / (ratio - 1) / energies[0]))
        observed = float(np.log2(steps[1] / steps[0])) / 2 if len(steps) == 2 and min(steps) > 0 else np.nan
        doubt = ""
        if len(steps) < 2:
            doubt = "the order 1 is assumed, for want of a third grid"
        elif not ORDERS[0] <= observed <= ORDERS[1]:
            doubt = f"on three grids the order observed is {observed:.2g}, not 1: the grid resolves too little"
        return DiscretisationEstimate(relative, self.norm_name, 1, problems[1].settings, observed=observed, doubt=doubt)

    @cached_property
    def _grids(self) -> list[Elasticity]:
        """This and up to two coarser ones."""
        problems = [self]
        while len(problems) < 3 and self._halves(problems[-1].cells):
            problems.append(replace(self, cells=problems[-1].cells // 2))
        return problems

    def _halves(self, cells: int) -> bool:
        (bx, by), along = self.blocks, self._geometry.along
        half = cells // 2
        even = self.geometry != "cantilever" or half % 2 == 0
        return cells % 2 == 0 and half >= 2 and even and (along * half) % bx == 0 and half % by == 0

    def solve_jax(self, p: Float[Array, " d"], tolerance: float | None = None) -> Attempt:
        accuracy = TOLERANCE if tolerance is None else tolerance

        def iterate(theta: Array, b: Array) -> CgResult:
            result = plane_stress_multigrid.solve(self._levels, self.moduli(theta), self.to_grid(b), accuracy)
            return result._replace(u=self.from_grid(result.u))

        return solve_coercive(self, p, accuracy, ps.APPLY_ROUNDINGS, iterate)
