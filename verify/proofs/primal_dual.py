"""Outputs of symmetric coercive problems: the error is at most the product of two, of the field and of its dual.

    A u = f,    A z = l (free rows),    l(u) = l . u + what is prescribed

For fields v and y with exact prescribed values (y zero there), e = u - v, e* = z - y, r = f - A v:

    | l(u) - l(v) - y.r |  =  | e* . A e |  <=  ||e||_A ||e*||_A

Proof. l.e = (A z).e = z.A e = z.r = y.r + e*.A e, for A is symmetric; Cauchy and Schwarz. Both factors are bounded by
``thomson.py``, the second as the error of y in the problem with the load l. Here v is the field polished by its own
bound's conjugate gradients, and y by as many from the best multiple of v, which is the dual solution itself where l is
a multiple of f. Rounding: that of l.v, of y.r and of r, times ||y||, is added.
Reference: Pierce and Giles 2000; Becker and Rannacher 2001; Meidner, Rannacher, Vihharev 2009 (Cauchy-Schwarz form).
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.outputs import ROUNDINGS, Output
from ...solvers.precision import RANGE, gamma
from .bounds import SLACK, UNDERFLOW, ErrorBounds, interval_around, linear_value, squares
from .thomson import (
    Directions,
    assemble,
    bound_field,
    cg_directions,
    data_of,
    energy_difference,
    in_range,
    upper_bound,
)


def bound_output(
    problem: CoerciveProblem, p: Float[Array, " d"], field: Float[Array, " N"], steps: int, output: Output, given: Array
) -> tuple[ErrorBounds, Float[Array, ""], Float[Array, ""]]:
    """``bound_field``, and an interval of l(u), from the same directions; ``given`` as in ``Output.weights_at``."""
    bounds, directions = bound_field(problem, p, field, steps)

    theta, f, load_size, trusted = data_of(problem, p, field)
    v, shifted = _moved(problem, field, directions)
    r = f - problem.apply(theta, v)
    error, error_floor = upper_bound(problem, theta, f, v, shifted, load_size)
    if output.square:
        c, c_error = energy_difference(problem, theta, f, v, r, load_size)
        polished = assemble(jnp.zeros(()), error, error_floor, c, c_error, trusted)
        return bounds, *squares(output, [bounds, polished])

    weights, size = output.weights_at(p, given), output.size_at(p)
    free = jnp.asarray(problem.free)
    l = jnp.where(free, weights, 0.0)
    # the dual problem's load is known to ROUNDINGS of ``size``, the bounds charge rounding_count of theirs
    dual_size = jnp.abs(l) if size is None else jnp.where(free, size, 0.0) * (1 + ROUNDINGS / problem.rounding_count)
    trusted = trusted & in_range(theta, l)
    l = jnp.where(trusted, l, 0.0)
    y, dual_error = _dual(problem, theta, l, dual_size, v, f - r, steps)

    value, off = linear_value(weights, size, output.offset_at(p), v)
    length = jnp.sqrt(jnp.vdot(y, y))
    off = off + gamma(problem.size + 4) * jnp.vdot(jnp.abs(y), jnp.abs(r))
    off = off + 1.01 * length * problem.residual_rounding(theta, load_size, v)
    if size is not None:  # l is off by gamma size, and so is l.e
        off = off + gamma(ROUNDINGS) * jnp.vdot(size, size) ** 0.5 * SLACK * _euclidean(problem, theta, error)
    centre = value + jnp.vdot(y, r)
    radius = error * dual_error * SLACK + off * SLACK + UNDERFLOW
    known = trusted & (error <= RANGE**4) & (dual_error <= RANGE**4)
    return bounds, *interval_around(jnp.where(known, centre, jnp.nan), radius)


def _moved(problem: CoerciveProblem, field: Array, directions: Directions) -> tuple[Array, Directions]:
    """The field improved by the directions' t, and the directions that bound its error: the same fluxes less A t."""
    moved = jnp.where(jnp.asarray(problem.free), field + directions.test, field)
    return moved, directions._replace(flux_primal=directions.flux_primal - directions.test)


def _dual(
    problem: CoerciveProblem, theta: Array, l: Array, size: Array, v: Array, image: Array, steps: int
) -> tuple[Array, Array]:
    """y ~ A^-1 l, by ``steps`` of conjugate gradients from the best multiple of v, and at least ||A^-1 l - y||_A.

    Args:
        image: A v.
    """
    energy = jnp.vdot(v, image)
    share = jnp.where(energy > 0, jnp.vdot(l, v) / jnp.where(energy > 0, energy, 1.0), 0.0)
    start = jnp.where(jnp.asarray(problem.free) & jnp.isfinite(share), share * v, 0.0)
    directions = cg_directions(problem, theta, l - problem.apply(theta, start), steps)
    y, shifted = _moved(problem, start, directions)
    return y, upper_bound(problem, theta, l, y, shifted, size)[0]


def _euclidean(problem: CoerciveProblem, theta: Array, error: Array) -> Array:
    """At least ||e||_2 where ||e||_A is at most ``error``."""
    least = problem.coercivity(theta)
    return jnp.where(least > 0, error / jnp.sqrt(jnp.where(least > 0, least, 1.0)), jnp.inf)
