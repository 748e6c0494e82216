"""What floating point, and the defects of the reduced data, add to the bound of a box (``box_bound.py``).

Four shares of the error: the residual's part that the references' solves leave (``ReducedData.defects``, over the
smallest eigenvalue in the box); the combined solves, formed in float64; the coefficients' own rounding; and that of the
field V c as it is returned. A-priori gamma_n bounds (Higham 2002, chapter 3) with the largest values over the box.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.precision import RANGE, gamma
from ..proofs.bounds import UNDERFLOW
from ..proofs.coefficients.offline import ReducedData


class BoxExtrema(NamedTuple):
    """What ``rounding_floor`` has to know of a box: extreme values over it."""

    theta_low: Float[Array, " Q"]
    theta_high: Float[Array, " Q"]
    loads: Float[Array, " J"]  # largest |phi|
    modes: Float[Array, " k"]  # largest |c|
    losses: Float[Array, " k"]  # largest error of c as computed in float64: c is multiplied into the field
    amplitude: Float[Array, ""]  # smallest


class RoundingFloor(NamedTuple):
    """What no splitting of the box removes, scaled as ``vector`` is."""

    error: Float[Array, ""]  # to be added to the bound of ||e||; infinite where numbers leave the range of proofs
    difference: Float[Array, ""]  # by which D = ||u||^2 - ||e||^2 as computed may be too large
    flux_factor: Any  # by which |g| is to be multiplied (``CoerciveProblem.flux_factor``), 1 for most problems


def rounding_floor(
    problem: CoerciveProblem, data: ReducedData, w: Float[Array, " K"], box: BoxExtrema
) -> RoundingFloor:
    """Rounding errors and the defects of the reduced data over a whole box, for the weights w of its references."""
    theta_low, theta_high, size_phi, size_c, losses, amplitude = box
    count, rank = len(w), data.factors.shape[-1]
    size = size_phi.max()
    trusted = jnp.all(theta_low >= 1 / RANGE) & jnp.all(theta_high <= RANGE) & (size_c.max() <= RANGE**2)
    trusted = trusted & ((size == 0) | ((size >= 1 / RANGE) & (size <= RANGE)))
    theta_low = jnp.where(trusted, theta_low, 1.0)
    size_s = jnp.concatenate([size_phi, (theta_high[:, None] * size_c[None, :]).reshape(-1)])
    scale = 1 / jnp.sqrt(jnp.where(amplitude > 0, amplitude, jnp.nan))
    least = problem.coercivity(theta_low)
    factor: Any = 1.0
    if problem.indefiniteness is not None:  # A(theta) >= A(theta_low) - sum (theta - theta_low)_q s_q
        shifts = jnp.asarray(problem.indefiniteness)
        least = least - 1.01 * ((theta_high - theta_low) @ shifts)
        factor = jnp.sqrt(1 + 1.01 * (theta_high @ shifts) / jnp.maximum(least, RANGE**-3))
    trusted = trusted & (least >= RANGE**-3)
    defect = jnp.abs(w) @ (data.defects @ size_s) / jnp.sqrt(jnp.where(trusted, least, 1.0)) + UNDERFLOW
    # the combined solves were formed in float64: gamma of their chain times absolute values, through the factors' norms
    formed = jnp.einsum("k,kq,krm,m->qr", jnp.abs(w), data.references, jnp.abs(data.solves), size_s)
    chain = gamma(2 * rank + count + 8) * jnp.sqrt(
        jnp.sum(jnp.einsum("qrs,qs->qr", jnp.abs(data.factors), formed) ** 2 / theta_low[:, None])
    )
    stiffness = jnp.abs(data.stiffness) + data.stiffness_error
    own = jnp.sqrt(jnp.sum(theta_high * ((stiffness @ losses) @ losses)))
    product = jnp.sqrt(theta_high @ data.row_sums) * gamma(len(size_c) + 4) * (data.mode_norms @ (size_c + losses))
    floor = jnp.where(trusted, (defect + chain + own + product) * 1.01 * scale, jnp.inf)
    given = 2 * (size_phi @ (data.load_mode_error @ size_c)) + theta_high @ ((data.stiffness_error @ size_c) @ size_c)
    return RoundingFloor(floor, 1.01 * given * scale**2 + UNDERFLOW * scale**2, factor)
