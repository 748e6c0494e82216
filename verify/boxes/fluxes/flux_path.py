"""Surrogates with a basis, for problems with one coefficient per cell: what box proofs by fluxes need, once for each.

``flux_path`` says why there is none; there is one for fields of log-affine coefficients with at most ``HIGHEST`` inputs
(``log_weights.py``) and a load that is the same everywhere.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ....solvers.batching import VectorMap
from ....solvers.classes.diffusion import CellDiffusion
from ....solvers.precision import RANGE
from ...answers.evaluate import Model
from ...answers.frozen import Frozen
from ...enclose import UnsupportedOperation, coefficients
from ...proofs.bounds import scaled_lower
from ...proofs.prover import proof_of
from .flux_data import FluxData, flux_data
from .flux_family import flux_family
from .log_weights import log_weights

STEPS = 2  # of conjugate gradients in the lower bounds
HIGHEST = 4  # inputs: nodes and boxes multiply with every one
BY_FLUXES = "bounds by fluxes that balance the load; logarithms of cells' weights affine in the inputs, as enclosed"
CHUNKS = (16, 256)  # rows of fields at a time


class FluxPath:
    """What a proof by fluxes needs of one problem and one surrogate.

    ``data`` for the bound over boxes (``box_flux.py``); ``lower`` and ``estimate`` of the error at points, for the
    search beside it (``point_errors.PointBounds``).
    """

    def __init__(self, problem: CellDiffusion, surrogate: Frozen, data: FluxData, scale: float = 0.0) -> None:
        self.problem, self.model, self.data, self.scale = problem, surrogate, data, scale
        self._estimates = VectorMap(self._estimate, CHUNKS)

    def lower(self, P: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
        """Proved lower bounds of ||e|| / (scale + ||u||)."""
        fields = c @ self.model.basis.T
        bound = proof_of(self.problem).bounds(P, fields, STEPS)[1]
        return np.where(np.isfinite(fields).all(axis=1), np.asarray(scaled_lower(bound, self.scale, np)), 0.0)

    def estimate(self, P: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
        """The same to a percent or so, without a solve and without proof."""
        found = np.asarray(self._estimates(P, c))
        return np.where(np.isfinite(found), found, 0.0)

    def _estimate(self, p: Array, c: Array) -> Array:
        a = self.problem.cell_weights(self.problem.theta(p)).reshape(-1)
        family = self.data.family
        flux = family.start + jnp.tensordot(family.best(1 / a), family.modes, 1)
        gradient = jnp.tensordot(c, self.data.modes, 1)
        error = jnp.sum((flux - a * gradient) ** 2 / a)
        return jnp.sqrt(error) / (self.scale + jnp.sqrt(jnp.maximum(jnp.sum(flux**2 / a), 1e-300)))


def flux_path(
    problem: CellDiffusion, model: Model, basis: Float[np.ndarray, "N k"], scale: float = 0.0
) -> FluxPath | str:
    """The path of a surrogate that answers in ``basis``, or why there is none.

    Raises:
        jax.errors.JAXTypeError, ValueError: of ``Frozen``.
    """
    d = problem.inputs.dimension
    if d > HIGHEST:
        return f"box proofs of {problem.name} take at most {HIGHEST} inputs, not {d}"
    weights = log_weights(problem)
    if isinstance(weights, str):
        return f"box proofs of {problem.name} need weights whose logarithms are affine in the inputs: {weights}"
    if trouble := _load_varies(problem):
        return f"box proofs of {problem.name} need a load that is the same for all inputs: {trouble}"
    frozen = Frozen(model, d, basis)
    family = flux_family(problem, frozen)
    if isinstance(family, str):
        return f"box proofs of {problem.name} need a few solutions to start from, but {family}"
    return FluxPath(problem, frozen, flux_data(problem, basis, family, weights), scale)


def _load_varies(problem: CellDiffusion) -> str:
    """Why the load is not known to be one vector of a size that proofs allow, all over the box; empty where it is."""
    inputs = problem.inputs
    try:
        value, _ = coefficients(problem.load, inputs.lower, inputs.upper, 1)
    except (UnsupportedOperation, NotImplementedError) as error:
        return f"its program cannot be enclosed: {error}"
    size = np.abs(np.asarray(value.mid)).max()
    if np.asarray(value.rad).any() or not np.isfinite(size):
        return "it varies, or is not known to be constant"
    if size != 0 and not 1 / RANGE <= size <= RANGE:
        return f"its size {size:.3g} leaves 2^-100 to 2^100"
    return ""
