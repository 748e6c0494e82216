"""Outputs: single numbers of a solution that somebody wants to know, such as means, point values, fluxes and energies.

    l(u) = weights(p) . u + offset(p),    or    l(u) = square ||u||^2 in the problem's norm

A problem names its own (``Problem.outputs``); ``output(name, weights)`` makes one of a user's. What is prescribed of u
enters with its exact values, so that proofs are about the free entries alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

ROUNDINGS = 64  # at most, of an entry of weights that are computed from the input, relative to ``size``


@dataclass(frozen=True, eq=False)
class Output:
    """A functional with its name; made by ``output``, or by a problem.

    Attributes:
        constant: weights [N] that do not depend on the input, exact as they are.
        weights: JAX code, p -> [N], where they do; correct to ``ROUNDINGS`` of ``size``.
        size: p -> [N], the sum of the absolute values of what each weight is added up from; None for |weights|.
        offset: JAX code, p -> a number, correct to ``ROUNDINGS`` of its size.
        square: positive factor of ||u||^2; there are no weights then.
    """

    name: str
    constant: Float[np.ndarray, " N"] | None = None
    weights: Callable[[Array], Array] | None = None
    size: Callable[[Array], Array] | None = None
    offset: Callable[[Array], Array] | None = None
    square: float = 0.0

    @cached_property
    def _key(self) -> Any:
        if self.constant is None or self.offset is not None:
            return id(self)
        return self.name, hashlib.sha256(self.constant.tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Output) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        kind = "quadratic" if self.square else "linear"
        return f"Output({self.name!r}, {kind})"

    def weights_at(self, p: Float[Array, " d"], given: Any = None) -> Float[Array, " N"]:
        """The weights of a linear output; ``given`` stands for constant ones where these are traced."""
        if self.constant is not None:
            return jnp.asarray(self.constant if given is None else given)
        assert self.weights is not None
        return self.weights(p)

    def size_at(self, p: Float[Array, " d"]) -> Float[Array, " N"] | None:
        """What the weights' own rounding is relative to; None where they are exact."""
        if self.constant is not None:
            return None
        return jnp.abs(self.weights_at(p)) if self.size is None else self.size(p)

    def offset_at(self, p: Float[Array, " d"]) -> Float[Array, ""]:
        return jnp.zeros(()) if self.offset is None else self.offset(p)


def value(problem: Any, output: Output, p: Float[Array, " d"], u: Float[Array, " N"], given: Any = None) -> Array:
    """l(u), as computed; in JAX."""
    if output.square:
        return output.square * problem.norm(p, u) ** 2
    return jnp.vdot(output.weights_at(p, given), u) + output.offset_at(p)


def values(problem: Any, output: Output, P: np.ndarray, U: np.ndarray) -> Float[np.ndarray, " n"]:
    """l(u) of the rows of U, as computed."""
    return np.array([float(value(problem, output, jnp.asarray(p), jnp.asarray(u))) for p, u in zip(P, U, strict=True)])


def output(name: str, weights: Any) -> Output:
    """A linear quantity of the solution, weights . u, to be certified, guarded or searched under this name.

    Args:
        weights: [N], one number for each value that a field of the problem holds (``problem.size``): of ``affine`` with
            ``prescribed``, the unknowns alone.

    Raises:
        ValueError: no name, or weights that are no row of finite numbers.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"an output needs a name, such as assay.output('mean', weights), not {name!r}")
    try:
        array = np.array(weights, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"the weights of output {name!r} must be numbers, one for each entry of a field") from None
    if np.iscomplexobj(weights):
        raise ValueError(f"the weights of output {name!r} are complex: take its real and its imaginary part as two")
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError(
            f"the weights of output {name!r} must be a row of finite numbers, one for each entry of a field, not of "
            f"shape {list(array.shape)}" + ("" if np.isfinite(array).all() else " with NaN or infinity")
        )
    array.flags.writeable = False
    return Output(name, constant=array)


def find_output(problem: Any, wanted: str | Output) -> Output:
    """A problem's output by its name, or a user's own, fit for the problem.

    Raises:
        ValueError: an unknown name; weights of another length.
    """
    known: Mapping[str, Output] = problem.outputs
    if isinstance(wanted, Output):
        if wanted.constant is not None and wanted.constant.shape != (problem.size,):
            raise ValueError(
                f"output {wanted.name!r} has {wanted.constant.size} weights, but a field of {problem.name} has "
                f"{problem.size} values"
            )
        return wanted
    if not isinstance(wanted, str):
        raise ValueError(f"output= takes a name or assay.output(name, weights), not {wanted!r}")
    if wanted in known:
        return known[wanted]
    if not known:
        raise ValueError(f"{problem.name} names no outputs: make one, assay.output({wanted!r}, weights)")
    near = get_close_matches(wanted, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{problem.name} has no output {wanted!r}; it has: {', '.join(known)}{hint}")


def named(*outputs: Output) -> dict[str, Output]:
    """Outputs by their names."""
    return {one.name: one for one in outputs}


def areas(points: Float[np.ndarray, "n axes"]) -> Float[np.ndarray, " n"]:
    """Of the cells around the nodes of a grid of straight lines, halved at its ends: the trapezoidal rule."""
    total = np.ones(len(points))
    for x in np.asarray(points).T:
        ticks, place = np.unique(x, return_inverse=True)
        h = np.diff(ticks)
        total *= ((np.append(h, 0) + np.append(0, h)) / 2)[place]
    return total


def nodal(
    points: Float[np.ndarray, "n axes"], suffixes: tuple[str, ...] = ("",), before: int = 0, prefix: str = ""
) -> list[Output]:
    """Means by the trapezoidal rule and values near the centre, of every component of nodal values.

    Args:
        suffixes: of the names, one for each component of a node.
        before: how many entries of the field come before these nodes.
    """
    points, count = np.asarray(points), len(suffixes)
    size = before + count * len(points)
    upper = (points > (points.min(axis=0) + points.max(axis=0)) / 2).all(axis=1)
    middle = nearest(points, (points.min(axis=0) + points.max(axis=0)) / 2)
    whole = areas(points)
    made = []
    for c, suffix in enumerate(suffixes):
        part_name = "mean-half" if points.shape[1] == 1 else "mean-quarter"
        at_centre = np.arange(len(points)) == middle
        for name, part in (("mean", whole), (part_name, whole * upper), ("centre", at_centre)):
            weights = np.zeros(size)
            weights[before + c :: count] = part / part.sum()
            made.append(output(f"{prefix}{name}{suffix}", weights))
    return made


def nearest(points: Float[np.ndarray, "n axes"], place: Any) -> int:
    """The number of the point that is nearest to a place."""
    return int(np.argmin(((np.asarray(points) - np.asarray(place, dtype=np.float64)) ** 2).sum(axis=1)))
