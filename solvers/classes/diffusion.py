"""What diffusion problems on the unit square with one coefficient per cell have in common.

    -div(w grad u) = 1  in (0, 1)^2,    u = 0 on the boundary,    w constant in each of n x n equal square cells

Discretisation: bilinear (Q1) elements, exact integration; second order in L2, first in the energy norm. A problem
says which weights theta(p) it has and how these spread over the cells; operator, bounds' data and solve are given
here. Solved by multigrid-preconditioned conjugate gradients to a recomputed residual; where that does not converge,
by a sparse direct method.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float

from ..discretisations import q1, q1_multigrid, q1_sine
from ..discretisations.blocks import on_nodes
from ..discretisations.prager_synge import DiscretisationBound, bound_discretisation_error
from ..linear_algebra.krylov import CgResult
from ..outputs import Output, areas, named, nodal
from ..precision import gamma
from ..problem import Attempt
from ..relations.comparison import Bounded
from ..relations.relation import Relation
from .coercive import COMPLIANCE, CoerciveProblem
from .coercive_solve import METHODS, solve_coercive

TOLERANCE = 1e-12


class CellDiffusion(CoerciveProblem):
    """See the module's docstring. Fields are nodal values on the (n + 1)^2 grid, boundary included."""

    methods = METHODS
    cells: int  # n, along each side

    @abc.abstractmethod
    def cell_weights(self, theta: Float[Array, " Q"]) -> Float[Array, "n n"]:
        """One value per weight to one per cell; a copy of entries, without arithmetic, for JAX and for numpy arrays."""

    @property
    @abc.abstractmethod
    def weight_roundings(self) -> int:
        """n such that theta(p) carries a relative error of at most gamma_n; 0 where theta copies the inputs."""

    @property
    def rough(self) -> bool:
        """Whether the coefficient may change much over few cells: averaged coarse grids are of little help then, and
        a dearer preconditioner stands by (``q1_multigrid.py``).
        """
        return False

    def oscillation(self, p: Float[np.ndarray, " d"]) -> Float[np.ndarray, "n n"] | None:
        """A bound of |ln a(x) - ln w| in every cell, a(x) the coefficient of the differential equation at the input p
        and w the cell's weight; None where the coefficient is constant in every cell, as the weight is.
        """
        return None

    @cached_property
    def outputs(self) -> Mapping[str, Output]:
        """Compliance, means and the value at the centre, and the heat that flows out through each side."""
        sides = {
            "left": (0, slice(None)),
            "right": (-1, slice(None)),
            "bottom": (slice(None), 0),
            "top": (slice(None), -1),
        }
        return named(COMPLIANCE, *nodal(self.coordinates), *(self._flux(f"flux-{k}", at) for k, at in sides.items()))

    def _flux(self, name: str, side: Any) -> Output:
        """-(w grad u).n over a side, as the scheme balances it: psi.(f - A u) with psi = 1 on it, 1/2 in corners."""
        psi = np.zeros((self.cells + 1,) * 2)
        psi[side] = 1.0
        psi[np.ix_([0, -1], [0, -1])] /= 2
        share = float((areas(self.coordinates) * psi.ravel()).sum())  # of the source
        return Output(
            name,
            weights=lambda p: -self.apply(self.theta(p), jnp.asarray(psi.ravel())),
            size=lambda p: self.apply_absolute(self.theta(p), jnp.asarray(psi.ravel())),
            offset=lambda p: jnp.asarray(share),
        )

    @property
    def input_field_names(self) -> tuple[str, ...]:
        return ("coefficient",)

    def input_field(self, p: Float[Array, " d"]) -> Float[Array, "nodes channels"]:
        return on_nodes(self.cell_weights(self.theta(p))).reshape(-1, 1)

    # ---- final from here on --------------------------------------------------------------------------------------

    @property
    def grid_shape(self) -> tuple[int, int]:
        return (self.cells + 1, self.cells + 1)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1, (self.cells + 1) ** 2, 1)

    @cached_property
    def coordinates(self) -> Float[np.ndarray, "N 2"]:
        return q1.coordinates(self.cells)

    @cached_property
    def free(self) -> np.ndarray:
        return q1.interior(self.cells, self.cells).ravel()

    @property
    def rounding_count(self) -> int:
        return q1.APPLY_ROUNDINGS + 1 + self.weight_roundings

    def _grid(self, u: Array) -> Array:
        return u.reshape(self.cells + 1, self.cells + 1)

    def _flat(self, v: Array) -> Array:
        return jnp.pad(v, 1).reshape(-1)

    @cached_property
    def _load(self) -> np.ndarray:
        return self.free / self.cells**2

    def load(self, p: Float[Array, " d"]) -> Float[Array, " N"]:
        return jnp.asarray(self._load)

    def prescribe(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        return jnp.where(self.free, u, 0.0)

    def apply(self, theta: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        return self._flat(q1.apply(self.cell_weights(theta), self._grid(u)))

    def apply_absolute(self, theta: Float[Array, " Q"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        return self._flat(q1.apply_absolute(self.cell_weights(theta), self._grid(u)))

    def flux_energy(self, scales: Float[Array, "K Q"], fields: Float[Array, "K N"]) -> tuple[Array, Array]:
        total: Any = 0.0
        bound: Any = 0.0
        for scale, u in zip(scales, fields, strict=True):
            total = total + self.cell_weights(scale) * q1.flux(self._grid(u))
            bound = bound + jnp.max(jnp.abs(scale)) * jnp.sqrt(jnp.vdot(u, u))
        energy = jnp.vdot(total, total)
        # A flux row is a combination of nodal differences: its error is at most gamma_8 |B_c| |u|, plus 8 roundings
        # and those of the weights for the scales, which callers compute. The matrix of all |B_c| has row sums <= 2
        # and column sums <= 5.64, so its norm is at most 11.28^(1/2) < 3.4; 3.5 also covers the rounding of this
        # bound. Summing 3 n^2 squares adds gamma of their number.
        error = gamma(16 + len(scales) + self.weight_roundings) * 3.5 * bound
        return energy, 2 * jnp.sqrt(energy) * error + error**2 + gamma(3 * self.cells**2 + 8) * energy

    def coercivity(self, theta: Float[Array, " Q"]) -> Float[Array, ""]:
        """A(theta) >= min(theta) A_1, whose smallest eigenvalue is known in closed form."""
        return jnp.min(theta) * q1_sine.smallest_eigenvalue(self.cells, self.cells)

    def reference_solve(self, r: Float[Array, " N"]) -> Float[Array, " N"]:
        return self._flat(q1_sine.poisson_solve(self._grid(r)[1:-1, 1:-1]))

    def preconditioner(self, theta: Float[Array, " Q"]) -> Callable[[Array], Array] | None:
        h = q1_multigrid.hierarchy(self.cell_weights(theta))
        return lambda r: self._flat(q1_multigrid.v_cycle(h, self._grid(r)[1:-1, 1:-1]))

    @cached_property
    def _csr(self) -> q1.CsrMap:
        return q1.CsrMap(self.cells, self.cells)

    def matrix(self, theta: Float[np.ndarray, " Q"]) -> sp.csr_matrix:
        weights: Any = theta  # numpy here: on the host no JAX code may run
        return self._csr(np.asarray(self.cell_weights(weights)))

    def solve_jax(self, p: Float[Array, " d"], tolerance: float | None = None) -> Attempt:
        accuracy = TOLERANCE if tolerance is None else tolerance

        def iterate(theta: Array, b: Array) -> CgResult:
            result = q1_multigrid.solve(self.cell_weights(theta), self._grid(b)[1:-1, 1:-1], accuracy, rough=self.rough)
            return result._replace(u=self._flat(result.u))

        return solve_coercive(self, p, accuracy, q1.APPLY_ROUNDINGS, iterate)

    def discretisation_error(self, p: Any, refine: int = 2) -> DiscretisationBound:
        """The distance of the truth to the solution of the differential equation, in its energy norm, proved on both
        sides.

        Raises:
            ValueError: an input outside the box.
            SolveError: the truth could not be computed.
        """
        u = self.solve_report(p).u
        row = np.asarray(p, dtype=np.float64).reshape(-1)
        w = np.asarray(self.cell_weights(self.theta(jnp.asarray(row))))
        return bound_discretisation_error(w, u.reshape(self.cells + 1, self.cells + 1), refine, self.oscillation(row))


def nonnegative(problem: CellDiffusion) -> Relation:
    """u >= 0: the stiffness of a Q1 square has no positive entry beside the diagonal (-1/6 along edges, -1/3 across),
    so that A is an M-matrix, whose inverse has no negative one, and the load is positive.
    """

    def sizes(p: Float[Array, " d"]) -> Float[Array, " N"]:
        return jnp.where(problem.free, jnp.sqrt(problem.coercivity(problem.theta(p))), 0.0)

    return Bounded("maximum principle", "u >= 0", sizes, low=0.0)
