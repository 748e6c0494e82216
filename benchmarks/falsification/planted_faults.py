"""Cheap problems with residuals, and faults of known place and size planted into their truths.

Truths are closed formulas or small solves in numpy; answers of surrogates are computed in numpy, and in JAX where that
differentiates them. Inputs x are in the unit box.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from ...solvers.box import Box
from ...solvers.problem import Problem, is_traced
from ...solvers.problems.black_box import black_box

NODES, STEPS = 16, 8
Field = Callable[[Any, Any], Any]  # (x [n, d], numpy or jax.numpy) -> [n, N]


def _box(d: int) -> Box:
    return Box(tuple(f"k{j}" for j in range(d)), np.full(d, 0.1), np.full(d, 10.0), log=(True,) * d)


def _rod_field(d: int) -> Field:
    """-(k u')' = 1 on (0, 1), zero at both ends, k constant in d blocks: u in the nodes, exactly."""
    middle = (np.arange(NODES) + 0.5) / NODES

    def field(x: Any, xp: Any) -> Any:
        k = xp.repeat(xp.exp(np.log(0.1) + x * np.log(100)), NODES // d, axis=1)
        c = (middle / k).sum(axis=1, keepdims=True) / (1 / k).sum(axis=1, keepdims=True)
        return xp.cumsum((c - middle) / k / NODES, axis=1)[:, :-1]

    return field


def rod(d: int) -> tuple[Problem, Field]:
    """``d`` conductivities in d blocks."""
    field, box = _rod_field(d), _box(d)

    def residual(p: Any, u: Any) -> Any:
        flux = jnp.repeat(p, NODES // d) * jnp.diff(jnp.pad(u, 1)) * NODES
        return jnp.diff(flux) + 1 / NODES

    return _made(f"rod of {d}", box, field, residual), field


def cooling(d: int) -> tuple[Problem, Field]:
    """u_t = -k u in NODES places of d kinds, from u = 1, by STEPS steps of implicit Euler: all states but the first."""
    box, dt = _box(d), 0.1

    def field(x: Any, xp: Any) -> Any:
        k = xp.repeat(xp.exp(np.log(0.1) + x * np.log(100)), NODES // d, axis=1)
        return xp.concatenate([(1 + dt * k) ** -float(n) for n in range(1, STEPS + 1)], axis=1)

    def residual(p: Any, u: Any) -> Any:
        states = jnp.concatenate([jnp.ones((1, NODES)), u.reshape(STEPS, NODES)])
        return (jnp.diff(states, axis=0) + dt * jnp.repeat(p, NODES // d) * states[1:]).reshape(-1)

    return _made(f"cooling of {d}", box, field, residual), field


def _made(name: str, box: Box, field: Field, residual: Any) -> Problem:
    return black_box(lambda p: field(box.to_unit(p)[None], np)[0], box, name=name, residual=residual)


@dataclass(frozen=True)
class Fault:
    """A truth that is off by ``height`` times ``shape(x)`` in [0, 1], in the entries ``where`` of the field."""

    name: str
    problem: Problem
    field: Field
    shape: Callable[[Any, Any], Any]  # (x [n, d], numpy or jax.numpy) -> [n]
    height: float
    where: np.ndarray | float = 1.0
    visible: bool = True  # whether a residual tells of it at one of a search's starts

    def __call__(self, P: Any) -> Any:
        xp = jnp if is_traced(P) else np
        low, width = self.problem.inputs.scaled_ends()
        x = (xp.log(P) - low) / width
        return self.field(x, xp) * (1 + self.height * self.shape(x, xp)[:, None] * self.where)


def rational(c: np.ndarray, width: float) -> Callable[[Any, Any], Any]:
    """A bump whose tail falls as the square of the distance: seen from everywhere."""
    return lambda x, xp: 1 / (1 + ((x - c) ** 2).sum(axis=1) / width**2)


def gaussian(c: np.ndarray, width: float) -> Callable[[Any, Any], Any]:
    """A bump that float64 has rounded away at a distance of nine widths."""
    return lambda x, xp: xp.exp(-((x - c) ** 2).sum(axis=1) / (2 * width**2))


def compact(c: np.ndarray, width: float) -> Callable[[Any, Any], Any]:
    """A smooth bump that is zero beyond its width."""

    def shape(x: Any, xp: Any) -> Any:
        square = ((x - c) ** 2).sum(axis=1) / width**2
        inside = square < 1
        return xp.where(inside, xp.exp(1 - 1 / (1 - xp.where(inside, square, 0.0))), 0.0)

    return shape


def corner(which: np.ndarray, side: float) -> Callable[[Any, Any], Any]:
    """One of the box's corners, a cube of this side."""
    return lambda x, xp: xp.where((abs(x - which) <= side).all(axis=1), 1.0, 0.0)


def half_space(which: np.ndarray, normal: np.ndarray, leg: float) -> Callable[[Any, Any], Any]:
    """Beyond a plane that cuts off a simplex at a corner, of legs leg / normal."""
    return lambda x, xp: xp.where((abs(x - which) * normal).sum(axis=1) <= leg, 1.0, 0.0)
