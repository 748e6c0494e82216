"""What a proof of leaves needs of problem and surrogate, as plain arrays."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...solvers.box import Box
from ...solvers.classes.coercive import CoerciveProblem
from ...solvers.problem import Problem
from ...solvers.problems.bratu import Bratu
from ...solvers.problems.helmholtz import Helmholtz
from ..boxes.box_bound import INFLATION
from ..boxes.branch_and_bound import varying
from ..boxes.fluxes.flux_path import FluxPath
from ..boxes.solutions.bratu_data import BratuData
from ..proofs.reduced import ReducedBound
from ..proofs.sines import Sines
from .bratu_leaf import BratuLeaves
from .flux_leaf import FluxLeaves
from .halving import Leaves
from .helmholtz_leaf import HelmholtzLeaves
from .leaf_boxes import inputs
from .reduced_leaf import ReducedLeaves
from .space import space
from .tape import Tape, record
from .taylor_evaluate import evaluate

ORDERS = {1: 9, 2: 7, 3: 6, 4: 5}  # degree of the Taylor models, by dimension
BRATU_ORDERS = {1: 8, 2: 6}
FLUX_ORDERS = {1: 7, 2: 5, 3: 4, 4: 4}


def reduced_leaves(problem: CoerciveProblem, reduced: ReducedBound, surrogate: Any, box: Box) -> ReducedLeaves:
    """The proof of leaves in reduced coordinates, with the programs of theta, load weights and coefficients.

    Args:
        surrogate: its coefficients, in JAX.
        box: of the map, whose unit coordinates leaves are in.

    Raises:
        ValueError: an operation without a rule.
    """
    d = box.dimension

    def program(p: jax.Array) -> Any:
        return problem.theta(p), problem.load_weights(p), jnp.asarray(surrogate.coefficients(p[None])[0])

    data = {key: np.asarray(x) for key, x in vars(reduced.data).items()}
    return ReducedLeaves(record(program, d), np.stack(box.scaled_ends()), box.log, ORDERS.get(d, 4), data)


def flux_leaves(path: FluxPath, box: Box) -> FluxLeaves:
    """The proof of leaves by fluxes, with the program of the coefficients; the arguments are ``reduced_leaves``'.

    Raises:
        ValueError: an operation without a rule.
    """
    d, given, family = box.dimension, path.data, path.data.family

    def program(p: jax.Array) -> Any:
        return (jnp.asarray(path.model.coefficients(p[None])[0]),)

    named = {
        "centre": given.centre.mid,
        "centre_error": given.centre.rad,
        "slopes": given.slopes.mid,
        "slopes_error": given.slopes.rad,
        "load_modes": given.load_modes.mid,
        "load_modes_error": given.load_modes.rad,
        **{
            key: getattr(given, key)
            for key in ("at", "modes", "mode_fluxes", "mode_errors", "mode_norms", "coercivity")
        },
        **{f"family_{key}": x for key, x in vars(family).items()},
    }
    data = {key: np.asarray(x) for key, x in named.items()}
    return FluxLeaves(record(program, d), np.stack(box.scaled_ends()), box.log, FLUX_ORDERS.get(d, 4), data)


def helmholtz_leaves(problem: Helmholtz, basis: np.ndarray, surrogate: Any, box: Box) -> HelmholtzLeaves:
    """The proof of leaves by the solution in sines, with the programs of bells and coefficients.

    Raises:
        ValueError: an operation without a rule.
    """
    sines, k = Sines(problem.cells), basis.shape[1]

    def program(p: jax.Array) -> Any:
        return (*problem.bells(p), jnp.asarray(surrogate.coefficients(p[None])[0]))

    grid = basis.T.reshape(k, problem.cells + 1, problem.cells + 1, 2)[:, 1:-1, 1:-1]
    modes = [(sines.matrix @ grid[..., part] @ sines.matrix).reshape(k, -1) for part in (0, 1)]
    data = {
        "sines": np.asarray(sines.matrix),
        "along": np.asarray(sines.along),
        "modes": np.stack(modes),
        "lengths": np.linalg.norm(basis, axis=0) * (1 + 1e-12),
        "eps": np.array(sines.eps),
        "area": np.array(float(problem.cells) ** -2),
        "strength": np.array(problem.source_scale),
    }
    axes = axes_of(problem, box)
    ends = np.stack(box.scaled_ends())
    return HelmholtzLeaves(record(program, 4), ends, box.log, ORDERS.get(len(axes), 4), data, axes)


def bratu_leaves(problem: Bratu, given: BratuData, surrogate: Any, box: Box) -> BratuLeaves:
    """The proof of leaves by sub- and supersolutions, with the program of the coefficients.

    Raises:
        ValueError: an operation without a rule.
    """

    def program(p: jax.Array) -> Any:
        return (jnp.asarray(surrogate.coefficients(p[None])[0]),)

    named = {**given._asdict(), "cells": problem.n, "mass": problem.mass}
    data = {key: np.asarray(x) for key, x in named.items() if key != "grams"}
    axes, d = axes_of(problem, box), box.dimension
    ends = np.stack(box.scaled_ends())
    return BratuLeaves(record(program, d), ends, box.log, BRATU_ORDERS[len(axes)], data, axes)


def axes_of(problem: Problem, box: Box) -> tuple[int, ...]:
    """Inputs that vary in a part of the problem's box."""
    return tuple(np.flatnonzero(varying(problem, box)).tolist())


def plain_leaves(low: np.ndarray, high: np.ndarray, claimed: np.ndarray, scale: float) -> Leaves:
    """Leaves of maps whose proofs need to know nothing more of them, wider by the inflation of lookups."""
    return Leaves(low - INFLATION, high + INFLATION, claimed, {"scale": np.full(len(low), scale)})


def leaves_of(
    problem: CoerciveProblem, box: Box, low: np.ndarray, high: np.ndarray, claimed: np.ndarray, scale: float = 0.0
) -> Leaves:
    """Leaves as they are to be proved: wider than the map's by the inflation of lookups. What is claimed is a bound of
    ||e|| / (scale + ||u||).

    The smallest eigenvalue of A(p) over a leaf is that at the smallest weights there, less what A is short of being a
    sum of semidefinite parts.
    """
    d = box.dimension
    low, high = low - INFLATION, high + INFLATION
    smallest, largest = _ranges(record(lambda p: (problem.theta(p),), d), box, low, high)
    fine = (smallest > 0).all(axis=1) & np.isfinite(largest).all(axis=1)
    smallest = np.where(fine[:, None], smallest, 1.0)
    least = np.asarray(jax.jit(jax.vmap(problem.coercivity))(jnp.asarray(smallest)))
    factor = np.ones(len(low))
    if problem.indefiniteness is not None:
        shifts = np.asarray(problem.indefiniteness)
        least = least - 1.01 * ((largest - smallest) @ shifts)
        factor = np.sqrt(1 + 1.01 * (largest @ shifts) / np.maximum(least, 1e-300))
    about = {
        "coercivity": np.where(fine, least, 0.0) * (1 - 1e-12),
        "factor": factor * (1 + 1e-12),
        "scale": np.full(len(low), scale),
    }
    return Leaves(low, high, claimed, about)


def _ranges(tape: Tape, box: Box, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest values over boxes, from a few parts of each."""
    where, parts = space(box.dimension, 2), {1: 64, 2: 16, 3: 6}.get(box.dimension, 4)
    least = most = None
    for index in itertools.product(range(parts), repeat=box.dimension):
        share = np.array(index) / parts
        a, b = low + share * (high - low), low + (share + 1 / parts) * (high - low)
        (value,) = evaluate(tape, inputs(where, np.stack(box.scaled_ends()), box.log, a - 1e-15, b + 1e-15))
        one, other = value.lower, value.upper
        least = one if least is None else np.minimum(least, one)
        most = other if most is None else np.maximum(most, other)
    assert least is not None and most is not None
    return least, most
