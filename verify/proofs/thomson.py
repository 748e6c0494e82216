"""Two-sided bounds of one field's error for symmetric coercive problems: the Thomson (complementary energy) principle.

Given p, a field N with the right boundary values, r = f - A(p) N, e = u - N. Hypotheses: A(p) = sum_q theta_q A_q with
A_q = B_q' B_q, theta_q > 0, and a reference A_ref = sum_q tref_q A_q, tref_q > 0. For ANY two fields d and z write
rho = r - A d - A_ref z. Then

    ||e||_A <= ( sum_q | theta_q^(1/2) B_q d + (tref_q/theta_q^(1/2)) B_q z |^2 )^(1/2) + ||rho||_2/lambda_min(A)^(1/2)

Proof. r = sum_q B_q' y_q + rho with y_q = theta_q B_q d + tref_q B_q z; for every v, r.v <= (sum
|y_q|^2/theta_q)^(1/2) ||v||_A + ||rho|| ||v||_2, and ||v||_2 <= ||v||_A / lambda_min^(1/2); take v = e. And for ANY
field t, ||e||_A >= |t.r| / ||t||_A.

So d, z and t are free, and only their choice decides the sharpness: d and t come from a few steps of preconditioned
conjugate gradients, z from a reference solve of what remains (``cg_directions``). The final bound is evaluated anew
from these fields, never from the small matrix that chose weights among them. An inexact reference solve only enlarges
rho.

Rounding: every computed quantity carries an a-priori error term (``CoerciveProblem.residual_rounding``,
``flux_energy``), so the inequalities hold for the exact solution of the discrete equations in IEEE float64 without
value-changing optimisation. Where an A_q is positive semidefinite only up to a verified s_q (somebody else's matrices:
``CoerciveProblem.indefiniteness``), take B_q' B_q = A_q + s_q I: then rho has the further terms s_q (theta_q d + tref_q
z), which ``residual_rounding`` of d and z counts, and sum theta_q |B_q v|^2 <= (1 + sum theta_q s_q / lambda_min)
||v||_A^2, whose root is ``flux_factor``. The field N has no such term: r = A e is of A itself, whatever its factors.
References: Prager and Synge 1947; Thomson's principle; Meurant and Tichy 2023 for bounds along CG.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.linear_algebra.dense import solve_spd
from ...solvers.precision import RANGE, UNIT_ROUNDOFF, gamma
from .bounds import SLACK, UNDERFLOW, ErrorBounds

# All a-priori errors are relative; what underflows is lost beside them. With data between 1/RANGE and RANGE, fields up
# to RANGE^3 and lambda_min >= RANGE^-3, every operation loses at most 2^-1022, multiplied afterwards by at most 2^200:
# below 2^-800 sqrt(N) in a residual, 2^-650 after division by lambda_min^(1/2), 2^-500 in the root of a sum of squares.
# UNDERFLOW covers each of them; data outside the range proves nothing.


def in_range(theta: Float[Array, " Q"], f: Array) -> Array:
    """Whether the weights are positive, and neither they nor the load so large or small that squares leave float64."""
    size = jnp.max(jnp.abs(f))
    load = (size == 0) | ((size >= 1 / RANGE) & (size <= RANGE))
    return jnp.all((theta >= 1 / RANGE) & (theta <= RANGE)) & load


def dual_factor(problem: CoerciveProblem, theta: Float[Array, " Q"]) -> Float[Array, ""]:
    """At least 1 / lambda_min(A)^(1/2); infinite where none is known."""
    least = problem.coercivity(theta)
    known = least >= RANGE**-3
    return jnp.where(known, SLACK / jnp.sqrt(jnp.where(known, least, 1.0)), jnp.inf)


def energy_norm(problem: CoerciveProblem, p: Float[Array, " d"], u: Float[Array, " N"]) -> tuple[Array, Array]:
    """||u||_A as computed, and how far the exact one may be from it; u may itself be a rounded difference."""
    theta = problem.theta(p)
    value, rounding = problem.flux_energy(jnp.sqrt(theta)[None], u[None])
    root = jnp.sqrt(value)
    subtraction = 2 * UNIT_ROUNDOFF * jnp.sqrt(jnp.vdot(jnp.abs(u), problem.apply_absolute(theta, u)))
    # |sqrt(value + rounding) - sqrt(value)| <= rounding / sqrt(value), and never more than sqrt(rounding)
    evaluation = jnp.minimum(jnp.sqrt(rounding), rounding / jnp.maximum(root, 1e-300))
    return root, (evaluation + subtraction) * SLACK + UNDERFLOW


class Directions(NamedTuple):
    """The free fields of the bound."""

    flux_primal: Float[Array, " N"]  # d
    flux_reference: Float[Array, " N"]  # z
    test: Float[Array, " N"]  # t: also the best correction found, N + t is the polished answer


def cg_directions(problem: CoerciveProblem, theta: Float[Array, " Q"], r: Float[Array, " N"], steps: int) -> Directions:
    """``steps`` of preconditioned CG on A e = r for d and t, and a reference flux z for what remains.

    Where the problem has a preconditioner of its own (a multigrid cycle), d is so good after one or two steps that one
    reference solve, for the last residual, does. Otherwise the reference preconditions, every step yields a flux, and
    the steps + 1 fluxes are combined: a single one is not monotone in the number of steps, the combination is.
    """
    own = problem.preconditioner(theta) if steps else None
    precondition = own or problem.reference_solve
    corrections, residuals = [jnp.zeros_like(r)], [r]
    preconditioned = [precondition(r)]
    direction = preconditioned[0]
    for _ in range(steps if own else steps + 1):
        rz = jnp.vdot(residuals[-1], preconditioned[-1])
        image = problem.apply(theta, direction)
        alpha = _ratio(rz, jnp.vdot(direction, image))
        corrections.append(corrections[-1] + alpha * direction)
        residuals.append(residuals[-1] - alpha * image)
        if len(corrections) == steps + (1 if own else 2):
            break
        preconditioned.append(precondition(residuals[-1]))
        direction = preconditioned[-1] + _ratio(jnp.vdot(residuals[-1], preconditioned[-1]), rz) * direction
    test = corrections[-1]
    if own:
        return Directions(test, problem.reference_solve(residuals[-1]), test)
    weights = _flux_weights(problem, theta, corrections[:-1], residuals[:-1], preconditioned, test)
    d = sum((w * x for w, x in zip(weights[1:], corrections[1:-1], strict=True)), jnp.zeros_like(r))
    z = sum((w * x for w, x in zip(weights, preconditioned, strict=True)), jnp.zeros_like(r))
    return Directions(d, z, test)


def _ratio(a: Array, b: Array) -> Array:
    """a/b, zero where b is: a CG that has already converged stands still."""
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1.0), 0.0)


def _flux_weights(
    problem: CoerciveProblem,
    theta: Array,
    corrections: list[Array],
    residuals: list[Array],
    fluxes: list[Array],
    test: Array,
) -> list[Array]:
    """Weights summing to one that minimise the combined bound, from the fluxes' inner products <y_i, y_j>_{1/theta}.

    These are d_i.r + d_j.r - d_i.A d_j + z_i.A(tref^2/theta) z_j; the same constant (about ||e||^2) is taken off all of
    them, which does not move the minimum and leaves a matrix that is not nearly singular.
    """
    r, count = residuals[0], len(fluxes)
    if count == 1:
        return [jnp.ones(())]
    complementary = jnp.asarray(problem.reference_theta) ** 2 / theta
    images = [problem.apply(complementary, z) for z in fluxes]
    common = jnp.vdot(test, r)
    rows = []
    for i in range(count):
        row = []
        for j in range(count):
            a, b = min(i, j), max(i, j)
            energy = jnp.vdot(corrections[a], r - residuals[b])  # d_a . A d_b
            row.append(jnp.vdot(corrections[a] + corrections[b], r) - energy + jnp.vdot(fluxes[a], images[b]) - common)
        rows.append(jnp.stack(row))
    return simplex_weights(jnp.stack(rows))


def simplex_weights(m: Float[Array, "K K"]) -> list[Array]:
    """argmin w.m w over sum w = 1 for a small nearly semidefinite m; (0, .., 0, 1) where elimination breaks down."""
    count = m.shape[0]
    a = m + 1e-12 * jnp.trace(jnp.abs(m)) * jnp.eye(count)
    x = solve_spd(a, jnp.ones(count))
    w = x / jnp.sum(x)
    good = jnp.all(jnp.isfinite(w)) & (jnp.sum(jnp.abs(w)) < 1e3)
    w = jnp.where(good, w, jnp.eye(count)[-1])
    head = [w[k] for k in range(count - 1)]
    return [*head, jnp.asarray(1 - sum(head))]  # valid weights sum to one by construction


def upper_bound(
    problem: CoerciveProblem,
    theta: Array,
    f: Array,
    field: Array,
    directions: Directions,
    load_size: Array | None = None,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The theorem's upper bound of ||u - field||_A and the share of it that is floor, for the given d and z.

    Args:
        load_size: ``CoerciveProblem.load_absolute``; |f| where the load is exact.
    """
    reference = jnp.asarray(problem.reference_theta)
    d, z = directions.flux_primal, directions.flux_reference
    zero = jnp.zeros_like(f)
    rho = (f - problem.apply(theta, field)) - problem.apply(theta, d) - problem.apply(reference, z)
    # Three evaluated operators and two subtractions: 1.5 covers the latter, whose operands are bounded by the same
    # sums.
    rounding = 1.5 * (
        problem.evaluation_rounding(theta, f if load_size is None else load_size, field)
        + problem.residual_rounding(theta, zero, d)
        + problem.residual_rounding(reference, zero, z)
    )
    root = jnp.sqrt(theta)
    energy, error = problem.flux_energy(jnp.stack([root, reference / root]), jnp.stack([d, z]))
    defect = jnp.sqrt(jnp.vdot(rho, rho)) * (1 + gamma(problem.size + 8)) + rounding + UNDERFLOW  # of squares
    floor = defect * dual_factor(problem, theta) + UNDERFLOW
    flux = jnp.sqrt(energy + error) * problem.flux_factor(theta)
    return (flux + floor) * SLACK, floor + (flux - jnp.sqrt(energy))


def lower_bound(
    problem: CoerciveProblem,
    theta: Array,
    f: Array,
    field: Array,
    r: Array,
    test: Array,
    load_size: Array | None = None,
) -> Float[Array, ""]:
    """|t.r| / ||t||_A less its rounding, r the computed residual of the field."""
    size = jnp.sqrt(jnp.vdot(test, test))
    error = size * 1.01 * problem.evaluation_rounding(theta, f if load_size is None else load_size, field)
    error = error + gamma(problem.size + 4) * jnp.vdot(jnp.abs(test), jnp.abs(r))
    energy, energy_error = problem.flux_energy(jnp.sqrt(theta)[None], test[None])
    numerator = jnp.maximum(jnp.abs(jnp.vdot(test, r)) - 1.01 * error, 0.0)
    denominator = jnp.sqrt(energy + energy_error) + UNDERFLOW
    return jnp.maximum(numerator / denominator / SLACK - UNDERFLOW, 0.0)


def energy_difference(
    problem: CoerciveProblem, theta: Array, f: Array, field: Array, r: Array, load_size: Array
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """c = f.N + N.r = ||u||^2 - ||e||^2 exactly (homogeneous prescribed values), and a bound of its rounding error."""
    c = jnp.vdot(f, field) + jnp.vdot(field, r)
    size = jnp.sqrt(jnp.vdot(field, field))
    absolute = jnp.vdot(load_size, jnp.abs(field)) + jnp.vdot(jnp.abs(field), jnp.abs(r))
    error = gamma(problem.size + 8) * absolute + size * 1.01 * problem.evaluation_rounding(theta, load_size, field)
    return c, 1.01 * error + UNDERFLOW


def assemble(lower: Array, upper: Array, floor: Array, c: Array, c_error: Array, trusted: Array) -> ErrorBounds:
    """Relative forms and ||u||^2 from the absolute bounds: ||e||/||u|| = E/(c + E^2)^(1/2) increases with E for
    c > 0.

    Anything that is not a number reads as "nothing proved".
    """
    trusted = trusted & (upper <= RANGE**4) & jnp.isfinite(lower) & (jnp.abs(c) <= RANGE**8) & jnp.isfinite(c_error)
    infinite = jnp.asarray(jnp.inf)
    upper = jnp.where(trusted, upper, infinite)
    lower = jnp.where(trusted, jnp.minimum(lower, upper), 0.0)
    c_low, c_high = c - c_error, c + c_error
    relative_upper = upper / jnp.sqrt(jnp.where(c_low > 0, c_low, 1.0) + upper**2) * SLACK
    relative_lower = lower / jnp.sqrt(jnp.maximum(c_high, 0.0) + lower**2) / SLACK
    # c <= 0 leaves only "at least one" from below, and nothing from above; lower = 0 then says nothing at all.
    relative_lower = jnp.where(lower > 0, relative_lower, 0.0)
    return ErrorBounds(
        lower=lower,
        upper=upper,
        relative_lower=jnp.where(trusted, relative_lower, 0.0),
        relative_upper=jnp.where(trusted & (c_low > 0), relative_upper, infinite),
        floor=jnp.where(trusted, floor, infinite),
        square_lower=jnp.where(trusted, jnp.maximum((c_low + lower**2) / SLACK, 0.0), 0.0),
        square_upper=jnp.where(trusted, (c_high + upper**2) * SLACK, infinite),
    )


def data_of(
    problem: CoerciveProblem, p: Float[Array, " d"], field: Float[Array, " N"]
) -> tuple[Float[Array, " Q"], Array, Array, Array]:
    """theta, f, what f's roundings are relative to, and whether all is in range, the field too: theta is 1 if not."""
    theta, f, load_size = problem.theta(p), problem.load(p), problem.load_absolute(p)
    trusted = in_range(theta, f) & jnp.all(jnp.abs(field) <= RANGE**3)
    return jnp.where(trusted, theta, 1.0), f, load_size, trusted


def bound_field(
    problem: CoerciveProblem, p: Float[Array, " d"], field: Float[Array, " N"], steps: int
) -> tuple[ErrorBounds, Directions]:
    """Bounds for one finite field with prescribed values in place; ``steps`` CG steps sharpen them."""
    theta, f, load_size, trusted = data_of(problem, p, field)
    r = f - problem.apply(theta, field)
    directions = cg_directions(problem, theta, r, steps)
    upper, floor = upper_bound(problem, theta, f, field, directions, load_size)
    lower = lower_bound(problem, theta, f, field, r, directions.test, load_size)
    c, c_error = energy_difference(problem, theta, f, field, r, load_size)
    return assemble(lower, upper, floor, c, c_error, trusted), directions


def bound_polished(
    problem: CoerciveProblem, p: Float[Array, " d"], field: Float[Array, " N"], steps: int
) -> tuple[Float[Array, " N"], ErrorBounds]:
    """The field improved by the CG correction t, and bounds for it: the same fluxes, shifted by A t."""
    theta, f, load_size, trusted = data_of(problem, p, field)
    directions = cg_directions(problem, theta, f - problem.apply(theta, field), steps)
    polished = jnp.where(jnp.asarray(problem.free), field + directions.test, field)
    shifted = directions._replace(flux_primal=directions.flux_primal - directions.test)
    upper, floor = upper_bound(problem, theta, f, polished, shifted, load_size)
    r = f - problem.apply(theta, polished)
    lower = lower_bound(problem, theta, f, polished, r, directions.flux_reference, load_size)
    c, c_error = energy_difference(problem, theta, f, polished, r, load_size)
    return polished, assemble(lower, upper, floor, c, c_error, trusted)
