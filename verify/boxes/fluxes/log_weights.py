"""Weights whose logarithms are affine in the inputs' own scale (log p where an input is logarithmic): proved, not
asked.

    log theta_c(s) = centre_c + slopes_c . (s - s0),    s = p or log p, input by input

The program of theta is enclosed over the whole box. Where every second coefficient along the axes is exactly zero, log
theta is affine along each axis, and the first coefficients enclose its slopes at every point of the box: their radii
say how far these may be from constant. A subclass that changes theta is so found out, whatever it calls itself.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ....solvers.classes.diffusion import CellDiffusion
from ...enclose import Ball, UnsupportedOperation, coefficients
from ..box_bound import unit_to_inputs

WIDER = 1e-6  # share of the box's width by which the enclosed box exceeds it: inflated leaves lie inside
CONSTANT = 1e-10  # largest radius of centre and slopes


class LogWeights(NamedTuple):
    """One entry per cell; the radii hold all over the box."""

    centre: Ball  # [C]
    slopes: Ball  # [d, C]
    at: Float[np.ndarray, " d"]  # s0


def log_weights(problem: CellDiffusion) -> LogWeights | str:
    """The weights, or why log theta is not known to be affine."""
    inputs = problem.inputs
    low, width = (np.asarray(x, dtype=np.float64) for x in inputs.scaled_ends())
    to_inputs = unit_to_inputs(inputs.log, jnp.stack([jnp.zeros(len(low)), jnp.ones(len(low))]))

    def logarithms(s: Array) -> Array:
        return jnp.log(problem.cell_weights(problem.theta(to_inputs(s)))).reshape(-1)

    at = low + width / 2
    try:
        _, terms = coefficients(logarithms, low - WIDER * width, low + (1 + WIDER) * width, 2)
        centre, _ = coefficients(logarithms, at, at, 1)
    except (UnsupportedOperation, NotImplementedError) as error:
        return f"their program cannot be enclosed: {error}"
    slopes, curvature = terms[0], terms[1]
    if np.any(curvature.mid) or np.any(curvature.rad):
        return "their second derivatives are not known to be zero"
    if not all(np.isfinite(x.mid).all() and (np.asarray(x.rad) <= CONSTANT).all() for x in (slopes, centre)):
        return f"their values and slopes are not known to within {CONSTANT:g} all over the box"
    return LogWeights(centre, slopes, at)
