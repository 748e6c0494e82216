"""A problem of which only some solutions are known: it can be learnt and tested at them, and solved nowhere else.

``solve`` looks an input up among those whose solution is known. Inputs are numbers, or functions on the nodes: then an
input is the flat vector of their values, the channels of a node together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float, Int

from ..box import Box
from ..field_norm import FieldNorm
from ..linear_algebra.direct import callback_float64
from ..meshes.graph import edges_between
from ..meshes.tensor_grid import grid_edges, grid_of, only_numbered
from ..problem import Attempt, Problem
from ..relations.relation import Relation


@dataclass(frozen=True, eq=False, repr=False)
class DatasetProblem(Problem):
    """Solutions at n inputs, as ``dataset`` has checked them."""

    has_solver = False

    known_inputs: Float[np.ndarray, "n d"]
    known_fields: Float[np.ndarray, "n N"]
    box: Box
    points: Float[np.ndarray, "nodes axes"]
    times: Float[np.ndarray, " times"]
    parts: tuple[str, ...]  # the components' names; one of them, "", where there is one
    channels: tuple[str, ...]  # of inputs that are functions; none where they are numbers
    measure: FieldNorm
    called: str
    residual_function: Callable[[Any, Any], Any] | None = None
    around: bool = False  # whether the grid is periodic
    declared: tuple[Relation, ...] = ()

    def __repr__(self) -> str:
        what = f"{', '.join(self.channels)} on the nodes" if self.channels else self.box.listed
        return f"dataset({self.called!r}, {what} -> {self.size} values, known at {len(self.known_inputs)} inputs)"

    @property
    def name(self) -> str:
        return self.called

    @property
    def settings(self) -> dict[str, Any]:
        return {}

    @property
    def inputs(self) -> Box:
        return self.box

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.times), len(self.points), len(self.parts))

    @property
    def coordinates(self) -> Float[np.ndarray, "nodes axes"]:
        return self.points

    @property
    def component_names(self) -> tuple[str, ...]:
        return self.parts

    @property
    def relations(self) -> tuple[Relation, ...]:
        """Those that were declared: that they hold is taken on trust."""
        return self.declared

    @property
    def norm_name(self) -> str:
        return self.measure.name

    def norm(self, p: Any, u: Any) -> Float[Array, ""]:
        return self.measure(p, u)

    @cached_property
    def grid_shape(self) -> tuple[int, ...] | None:
        """By the coordinates, where they were given."""
        return grid_of(self.points)

    @property
    def periodic(self) -> bool:
        return self.around

    @cached_property
    def edges(self) -> Int[np.ndarray, "e 2"] | None:
        if self.grid_shape is not None:
            return grid_edges(self.grid_shape, self.around)
        return None if only_numbered(self.points) else edges_between(self.points)

    @property
    def input_field_names(self) -> tuple[str, ...]:
        return self.channels or self.box.names

    def input_field(self, p: Float[Array, " d"]) -> Float[Array, "nodes channels"]:
        if not self.channels:
            return self.constant_channels(self.scaled_inputs(p))
        return jnp.reshape(p, (len(self.points), len(self.channels)))

    @property
    def residual(self) -> Callable[[Any, Any], Float[Array, " m"]] | None:
        """(p, u) -> what is zero at a solution, as a vector; None where no such relation was given."""
        function = self.residual_function
        if function is None:
            return None
        return lambda p, u: jnp.asarray(function(p, u), dtype=jnp.float64).reshape(-1)

    def identity(self) -> str:
        """Whatever the order of the rows."""
        digest = hashlib.sha256()
        for row in sorted(_digest(p, u) for p, u in zip(self.known_inputs, self.known_fields, strict=True)):
            digest.update(row)
        weights = self.measure.data  # of a norm by a function nothing can be said but its name
        weights = weights.toarray() if sp.issparse(weights) else weights if self.measure.kind == "weights" else []
        about = [self.parts, self.channels, self.measure.kind, self.measure.name, self.around, self.points.shape]
        digest.update(json.dumps(about).encode())
        digest.update(_digest(self.points, self.times) + _digest(np.asarray(weights)))
        return digest.hexdigest()

    # ---- what is known -----------------------------------------------------------------------------------------------

    @cached_property
    def _row_of(self) -> dict[bytes, int]:
        return {p.tobytes(): i for i, p in enumerate(np.ascontiguousarray(self.known_inputs))}

    def _known(self, p: np.ndarray) -> Float[np.ndarray, " N"]:
        row = self._row_of.get(np.ascontiguousarray(p, dtype=np.float64).tobytes())
        return np.full(self.size, np.nan) if row is None else self.known_fields[row].copy()

    def solve_jax(self, p: Float[Array, " d"], tolerance: float | None = None) -> Attempt:
        """What is known at p; NaN elsewhere."""
        u = callback_float64(self._known, jnp.zeros(self.size), p)
        return Attempt(u, jnp.asarray(jnp.nan), jnp.asarray(0), jnp.asarray(0))

    @property
    def solve_on_host(self) -> Callable[[np.ndarray, float | None], Attempt]:
        zero = np.asarray(0)
        return lambda p, tolerance: Attempt(self._known(p), np.asarray(np.nan), zero, zero)  # type: ignore[arg-type]

    def explain(self, p: Float[np.ndarray, " d"], result: Attempt) -> str:
        return (
            f"is missing: of a data set solutions are known at its {len(self.known_inputs)} inputs alone: there "
            "falsify and conformal measure errors"
        )


def _digest(*arrays: np.ndarray) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for a in arrays:
        digest.update(np.ascontiguousarray(a, dtype="<f8").data)
    return digest.digest()
