"""The fields of a network that gives them outright, in training and from its arrays, which are all that a file holds.

``arrays``: the weights, ``net.<path>``; the normalisers of the features (``shift``, ``gain``), of the fields
(``norm.mean`` [N], ``norm.scale`` [components]) and of the inputs as functions (``norm.fields`` [2, channels], and
``norm.log`` [channels], one where their logarithm is taken); where a polynomial is corrected instead of the mean,
``base.<key>`` of ``base_field.py``; where fields vanish with some inputs, ``norm.vanish`` of ``vanishing.py``; where
the network is projected on a basis V, ``basis`` and its ``dual`` M V, so that the coefficients are those of the best
approximation of its field (``projection.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jaxtyping import Array, Bool, Float

from ...solvers.problem import Problem
from ..surrogate import scaled_features
from ..training.pod import Data
from ..training.residual_loss import built_in, conserves
from ..training.symmetric import symmetrised
from .base_field import base_fields
from .design import Design, View, mesh_of
from .vanishing import VANISH, away_from_zero, vanishing_array

LEAST = 1e-6  # of a size that is divided by
SETTINGS = "settings"  # of the architecture, in its record


class FieldNetwork(NamedTuple):
    """A network for a problem, all but its weights; ``arrays`` as above."""

    design: Design
    problem: Problem
    net: nn.Module
    arrays: Mapping[str, Any]
    precision: str  # of weights and network; fields are always float64
    symmetry: str

    def view(self, P: Float[Array, "n d"]) -> tuple[View, Float[Array, " n"]]:
        """What the network sees of inputs, and their amplitudes."""
        problem, design = self.problem, self.design
        x, s = scaled_features(problem, dict(self.arrays), P)
        coordinates, times = mesh_of(problem)
        fields = None
        if design.sees_fields:
            fields = normalised(jax.vmap(problem.input_field)(P), self.arrays)
        edges = jnp.asarray(problem.edges) if design.sees_edges else None
        seen = View(x, fields, jnp.asarray(coordinates), jnp.asarray(times), edges)
        if not design.sees_base:
            return seen, s
        base = base_fields(self.arrays, x)
        if base.ndim == 2 or VANISH not in self.arrays:  # a mean that vanishes is zero, and stays without rows
            base = base / self._scale(x, LEAST)
        base = base.reshape((*base.shape[:-1], *problem.shape))
        prescribed, values = self.prescribed(P)
        given = jnp.where(prescribed, self.target(x, s, values), 0.0).reshape((len(P), *problem.shape))
        return seen._replace(base=base, given=given), s

    def prescribed(self, P: Float[Array, "n d"]) -> tuple[Bool[Array, "n N"], Float[Array, "n N"]]:
        """Which values the problem prescribes, and these; zero elsewhere."""

        def filled(value: float) -> Float[Array, "n N"]:
            return jax.vmap(lambda p: self.problem.prescribe(p, jnp.full(self.problem.size, value)))(P)

        values = filled(0.0)
        return values == filled(1.0), values

    def fields(self, weights: Any, P: Float[Array, "n d"]) -> Float[Array, "n N"]:
        """Its fields before anything is prescribed."""
        return symmetrised(lambda P: self._plain(weights, P), self.symmetry, self.arrays, P)

    def _plain(self, weights: Any, P: Array) -> Float[Array, "n N"]:
        view, s = self.view(P)
        out: Any = self.net.apply({"params": weights}, cast(view, self.precision))
        flat = jnp.reshape(out, (len(out), -1)).astype(jnp.float64)
        known = jnp.where(jnp.isfinite(view.x).all(axis=1), s, jnp.nan)  # a network may look at the functions alone
        return known[:, None] * (base_fields(self.arrays, view.x) + self._scale(view.x) * flat)

    def target(self, x: Float[Array, "n m"], s: Float[Array, " n"], U: Float[Array, "n N"]) -> Float[Array, "n N"]:
        """What the network itself would have to give for these fields."""
        return (U / s[:, None] - base_fields(self.arrays, x)) / self._scale(x, LEAST)

    def _scale(self, x: Float[Array, "n m"], least: float = 0.0) -> Float[Array, " N"] | Float[Array, "n N"]:
        """What the network is multiplied by, ``least`` of its size or more."""
        scale = jnp.tile(jnp.asarray(self.arrays["norm.scale"]), self.problem.size // self.problem.shape[2])
        if VANISH not in self.arrays:
            return scale
        return jnp.maximum(away_from_zero(self.arrays, x), least)[:, None] * scale


def normalised(fields: Float[Array, "n nodes c"], arrays: Mapping[str, Any]) -> Float[Array, "n nodes c"]:
    """Functions of mean zero and deviation one over the training inputs, logarithms of those that never change sign and
    vary by much.
    """
    log = jnp.asarray(arrays["norm.log"]) > 0
    fields = jnp.where(log, jnp.log(jnp.where(log, fields, 1.0)), fields)  # NaN where it is not positive
    shift, gain = jnp.asarray(arrays["norm.fields"])
    return (fields - shift) * gain


def field_normaliser(fields: Float[np.ndarray, "n nodes c"]) -> dict[str, np.ndarray]:
    """The arrays of ``normalised`` for these functions. Logarithms: positive, and the largest ten times the least."""
    low, high = fields.min(axis=(0, 1)), fields.max(axis=(0, 1))
    log = (low > 0) & (high >= 10 * np.where(low > 0, low, 1.0))
    y = np.where(log, np.log(np.where(log, fields, 1.0)), fields)
    shift, spread = y.mean(axis=(0, 1)), y.std(axis=(0, 1))
    tiny = 1e-12 * np.maximum(np.abs(y).max(axis=(0, 1)), 1e-300)
    gain = np.where(spread > tiny, 1 / np.where(spread > tiny, spread, 1.0), 0.0)
    return {"norm.log": log.astype(np.float64), "norm.fields": np.stack([shift, gain])}


def normalisers(design: Design, problem: Problem, data: Data, base: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    U = data.fields / data.amplitudes[:, None]
    mean = U.mean(axis=0)
    if design.keeps_shifts(problem):  # the mean of a sample breaks what a shifted input's answer keeps
        mean = np.broadcast_to(mean.reshape(problem.shape).mean(axis=1, keepdims=True), problem.shape).ravel()
    base = base | vanishing_array(problem, data)
    away = U - np.asarray(base_fields({"norm.mean": mean, **base}, jnp.asarray(data.features)))
    by_component = away.reshape(len(U), -1, problem.shape[2])
    scale = np.sqrt(np.mean(by_component**2, axis=(0, 1)) / max(data.free.mean(), 1e-12))
    scale = np.where(scale > 0, scale, 1.0)
    arrays = {**data.arrays, **base, "norm.mean": mean, "norm.scale": scale}
    if design.sees_fields:
        arrays |= field_normaliser(np.asarray(problem.input_fields(data.inputs)))
    return arrays


def cast(tree: Any, precision: str) -> Any:
    """Every floating-point array of a tree in another precision."""
    dtype = jnp.dtype(precision)

    def one(a: Any) -> Any:
        return a.astype(dtype) if jnp.issubdtype(jnp.result_type(a), jnp.floating) else a

    return jax.tree.map(one, tree)


def weights_of(arrays: Mapping[str, Any]) -> Any:
    """The weights among a surrogate's arrays, as flax nests them."""
    prefix = "net."
    flat = {key.removeprefix(prefix): jnp.asarray(a) for key, a in arrays.items() if key.startswith(prefix)}
    return traverse_util.unflatten_dict(flat, sep=".")


def arrays_of(weights: Any) -> dict[str, np.ndarray]:
    """The same by flat names, as a surrogate keeps them."""
    return {f"net.{key}": np.asarray(a) for key, a in traverse_util.flatten_dict(weights, sep=".").items()}


def predict_with(
    design: Design, problem: Problem, architecture: dict[str, Any], arrays: dict[str, Any], P: Array
) -> Float[Array, "n N"]:
    """Fields [n, N], not prescribed yet; coefficients [n, k] where it is projected on a basis."""
    net, way = design.build(problem, **architecture[SETTINGS]), architecture.get("symmetry", "none")
    network = FieldNetwork(design, problem, net, arrays, architecture["precision"], way)
    fields = network.fields(weights_of(arrays), P)
    if "dual" in arrays:
        return fields @ jnp.asarray(arrays["dual"])
    return jax.vmap(built_in(problem))(P, fields) if architecture["lift"] and conserves(problem) else fields


def predictor(design: Design) -> Any:
    """``Predict`` of an architecture."""
    return partial(predict_with, design)
