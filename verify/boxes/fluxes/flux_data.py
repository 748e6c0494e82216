"""What a bound by fluxes needs of problem, basis and flux family, independent of the box (``box_flux.py``)."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ....solvers.classes.diffusion import CellDiffusion
from ....solvers.precision import gamma
from ...enclose import Ball
from .flux_family import FluxFamily, gradients
from .log_weights import LogWeights

FLUX_NORM = 3.5  # at least ||B||_2, roundings included: see CellDiffusion.flux_energy


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FluxData:
    """Independent of the box, and handed to the compiled bound rather than compiled into it."""

    family: FluxFamily
    centre: Ball  # of log a, [C]
    slopes: Ball  # [d, C]
    at: Float[Array, " d"]
    modes: Float[Array, "k 3 C"]  # B V
    mode_fluxes: Float[Array, " k"]  # at least ||B V_j||_2
    mode_errors: Float[Array, " k"]  # by which ``modes`` may be off, in length
    mode_norms: Float[Array, " k"]  # at least ||V_j||_2
    load_modes: Ball  # f . V_j, [k]
    coercivity: Float[Array, ""]  # at most the smallest eigenvalue of B'B


def flux_data(problem: CellDiffusion, basis: np.ndarray, family: FluxFamily, weights: LogWeights) -> FluxData:
    f = np.asarray(problem.load(jnp.asarray(problem.inputs.centre)))
    modes, norms = gradients(problem, basis.T), np.linalg.norm(basis, axis=0) * (1 + 1e-12)
    errors = gamma(12) * FLUX_NORM * norms
    work = basis.T @ f
    rounding = 1.01 * gamma(problem.size + 8) * (np.abs(basis).T @ np.abs(f)) + 1e-300
    return FluxData(
        family=family,
        centre=Ball(jnp.asarray(weights.centre.mid), jnp.asarray(weights.centre.rad)),
        slopes=Ball(jnp.asarray(weights.slopes.mid), jnp.asarray(weights.slopes.rad)),
        at=jnp.asarray(weights.at),
        modes=jnp.asarray(modes),
        mode_fluxes=jnp.asarray(np.linalg.norm(modes.reshape(len(norms), -1), axis=1) * (1 + 1e-12) + errors),
        mode_errors=jnp.asarray(errors),
        mode_norms=jnp.asarray(norms),
        load_modes=Ball(jnp.asarray(work), jnp.asarray(rounding)),
        coercivity=problem.coercivity(jnp.ones(problem.cells**2)),
    )
