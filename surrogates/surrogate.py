"""A trained surrogate: a function of the inputs that gives fields, or coefficients in a basis, and where it comes from.

    field(p) = prescribe(p, V c(p)),    V [N, k] zero in prescribed entries,    or    field(p) = prescribe(p, u(p))

Where there is a basis and the problem prescribes zeros (no lift) the field is V c(p) itself, and ``basis`` and
``coefficients`` are there for the certificates in reduced coordinates and over boxes. A lift that is the same at all
inputs, such as one initial state, is one more mode, whose coefficient is one; with others there is no such basis.
Architectures that give fields outright have none, and say so.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..solvers.batching import RowMap, compiled, without_caches
from ..solvers.box import Box
from ..solvers.precision import require_float64
from ..solvers.problem import Problem, is_traced
from ..solvers.shown.drawn import drawn
from ..solvers.shown.table import html_table
from .training.input_scaling import NORMALISER, unscaled
from .training.posterior import relative_deviation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BASE = "base."  # what the arrays of a field that a network corrects begin with
CHUNK = 1024  # rows per compiled call: their coefficients stay in cache
FIELD_VALUES = 1 << 17  # of fields per compiled call, where a network computes in every node
PACKAGES = ("numpy", "scipy", "jax", "jaxlib", "flax", "optax")

# (problem, architecture, arrays, P [n, d]) -> coefficients [n, k], or fields [n, N] where there is no basis, in JAX
Predict = Callable[[Problem, dict[str, Any], dict[str, Any], Any], Array]


def versions() -> dict[str, str]:
    """The versions of Python, of this library and of every package that numbers depend on, by name."""
    found = {"python": platform.python_version()}
    for name, package in (("assay", "assay-pde"), *((p, p) for p in PACKAGES)):
        try:
            found[name] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"  # run from a bare checkout
    return found


@dataclass(frozen=True, eq=False)
class Surrogate:
    """``surrogate(P)``: fields [n, N] at inputs P [n, d], in float64 numpy, or in JAX under jit, grad and vmap.

    A row of P that is not finite is answered with NaN; P of another shape raises ValueError.

    ``architecture`` is its name and settings as JSON values, ``arrays`` holds the basis (``"basis"``) where there is
    one, the normalisers (``NORMALISER`` of the features, ``"norm...."``) and everything fitted.
    ``training`` says what was spent, and in ``training["warnings"]`` what speaks against using it.
    """

    problem: Problem
    architecture: dict[str, Any]
    arrays: dict[str, np.ndarray]
    predict: Predict
    box: Box
    seed: int
    data_hash: str
    training: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=versions)
    on_host: Predict | None = None  # the same coefficients in numpy, where that is faster
    solution: tuple[np.ndarray, np.ndarray] | None = None  # p and u(p), where nothing else tells whose problem it was
    trained_at: Float[np.ndarray, "m d"] | None = None  # the inputs that it learnt from; None of physics alone

    def __repr__(self) -> str:
        names = list(self.box.names)
        inputs = ", ".join(names if len(names) <= 8 else [*names[:3], "...", names[-1]])
        kind = f"rank {self.arrays['basis'].shape[1]}" if self.has_basis else "fields outright"
        return (
            f"<{self.name} surrogate of {self.problem_name}: {inputs} -> {self.problem.size} values, {kind}, "
            f"{self.parameters} parameters, data {self.data_hash[:8]}>"
        )

    def _repr_html_(self) -> str:
        rows = {
            "inputs": self.box.listed,
            "values": self.problem.size,
            "gives": f"coefficients of {self.arrays['basis'].shape[1]} modes" if self.has_basis else "fields outright",
            "parameters": self.parameters,
            "steps": self.training.get("steps"),
            "loss": self.training.get("loss"),
            "warnings": list(self.training.get("warnings", [])) or None,
            "data": self.data_hash[:16],
        }
        return html_table(f"{self.name} surrogate of {self.problem_name}", rows)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """The learning curve, written where a path is given.

        Raises:
            ValueError: there is none, as of a surrogate that is fitted in one step.
        """
        return drawn("surrogate", path, self)

    def __getstate__(self) -> dict[str, Any]:
        return without_caches(self)

    @property
    def problem_name(self) -> str:
        """The name of the problem that it answers."""
        return self.problem.name

    @property
    def problem_settings(self) -> dict[str, Any]:
        """The settings that build that problem again, as JSON values."""
        return self.problem.settings

    @property
    def name(self) -> str:
        """The architecture's name."""
        found: str = self.architecture["name"]
        return found

    @property
    def has_basis(self) -> bool:
        """Whether its fields are combinations of few modes; else it gives fields outright."""
        return "basis" in self.arrays

    @property
    def has_lift(self) -> bool:
        """Whether prescribed values are put into its fields at the end; with a basis, only those other than zero."""
        return bool(self.architecture["lift"])

    @property
    def parameters(self) -> int:
        """How many numbers were fitted, the basis and the normalisers apart."""
        given = ("basis", "dual", f"{BASE}basis", f"{BASE}powers", *NORMALISER)
        return sum(a.size for key, a in self.arrays.items() if key not in given and not key.startswith("norm."))

    @property
    def basis(self) -> Float[np.ndarray, "N k"]:
        """V, where the field is V c(p); the lift is its last mode where there is one.

        Raises:
            AttributeError: it gives fields outright; or values other than zero are prescribed, by the inputs, so that
                they are no combination of a basis.
        """
        self._need_basis()
        if not self.has_lift:
            return self.arrays["basis"]
        return np.column_stack([self.arrays["basis"], self._only_lift()])

    @property
    def coefficients(self) -> Callable[[Any], Array]:
        """P [n, d] -> c [n, k], in JAX: jittable, differentiable, and made of few kinds of operations.

        Raises:
            AttributeError: as ``basis``.
        """
        self._need_basis()
        if not self.has_lift:
            return self._coefficients
        self._only_lift()
        return self._with_lift

    def _need_basis(self) -> None:
        if not self.has_basis:
            raise AttributeError(f"{self.name} gives fields outright, which are no combination of a basis")

    @property
    def error_bar(self) -> Callable[[Any], Float[np.ndarray, " n"]]:
        """P [n, d] -> one posterior standard deviation of the field, relative to it: no bound, but where to look.

        Raises:
            AttributeError: the surrogate is no Gaussian process.
        """
        if "whitener" not in self.arrays:
            raise AttributeError(f"a {self.name} surrogate has no error bar of its own: train a gaussian-process")
        return self._deviation

    def _deviation(self, P: Any) -> Float[np.ndarray, " n"]:
        x, _ = scaled_features(self.problem, self.arrays, jnp.asarray(self._matrix(P)))
        return relative_deviation(self.arrays, np.asarray(x))

    def _with_lift(self, P: Any) -> Array:
        c = self._coefficients(P)
        return jnp.concatenate([c, jnp.ones_like(c[:, :1])], axis=1)

    def _only_lift(self) -> Float[np.ndarray, " N"]:
        """The lift, where it looks the same at all inputs; a proof says what it is."""
        lifts = self._lifts
        if not (lifts == lifts[0]).all():
            raise AttributeError("with values prescribed by the inputs the field is not a combination of a basis")
        return np.array(lifts[0])

    @cached_property
    def _lifts(self) -> Float[np.ndarray, "n N"]:
        """At a few inputs."""
        P = np.concatenate([self.box.centre[None], self.box.sample(3, seed=0)])
        return np.asarray(self._prescribed(P, np.zeros((len(P), self.problem.size))))

    def _coefficients(self, P: Any) -> Array:
        if is_traced(P):
            return self.predict(self.problem, self.architecture, self.arrays, jnp.asarray(P, dtype=jnp.float64))
        return jnp.asarray(self._on_rows(self._matrix(P)))

    def __call__(self, P: Any) -> Any:
        require_float64()
        V = self.arrays.get("basis")
        if is_traced(P):
            P = jnp.asarray(P, dtype=jnp.float64)
            fields = self.predict(self.problem, self.architecture, self.arrays, P)
            fields = fields if V is None else fields @ V.T
            return jax.vmap(self.problem.prescribe)(P, fields) if self.has_lift else fields
        P = self._matrix(P)
        out = self._on_rows(P)
        out = out if V is None else out @ V.T
        return np.asarray(self._prescribed(P, out)) if self.has_lift else out

    def _matrix(self, P: Any) -> Float[np.ndarray, "n d"]:
        """``P`` as float64 of the right shape; NaN and infinity are let through, and their rows answered with NaN."""
        P = np.asarray(P, dtype=np.float64)
        box = self.problem.inputs
        if P.ndim != 2 or P.shape[1] != box.dimension:
            raise ValueError(
                f"inputs must have shape [n, {box.dimension}] ({', '.join(box.names)}), not {list(P.shape)}"
            )
        return P

    @property
    def _in_nodes(self) -> bool:
        """Whether its network computes in every node, if only to project on a basis."""
        return not self.has_basis or "dual" in self.arrays

    def _on_rows(self, P: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Coefficients, or fields where there is no basis."""
        width = self.arrays["basis"].shape[1] if self.has_basis else self.problem.size
        chunk = _chunk(self.problem.size) if self._in_nodes else CHUNK
        out = np.full((len(P), width), np.nan)
        good = np.flatnonzero(np.isfinite(P).all(axis=1))
        for start in range(0, len(good), chunk):
            rows = good[start : start + chunk]
            if self.on_host is not None:
                out[rows] = self.on_host(self.problem, self.architecture, self.arrays, P[rows])
                continue
            size = 1 << (len(rows) - 1).bit_length()  # few sizes, so that few are ever compiled
            padded = np.concatenate([P[rows], np.repeat(P[rows[-1:]], size - len(rows), axis=0)])
            out[rows] = np.asarray(self._compiled(padded))[: len(rows)]
        return out

    @cached_property
    def _compiled(self) -> Callable[[Any], Array]:
        compile_ = compiled if self._in_nodes else jax.jit  # weights may be many
        return compile_(lambda P: self.predict(self.problem, self.architecture, self.arrays, P))

    @cached_property
    def _prescribed(self) -> RowMap:
        return RowMap(self.problem.prescribe)


def _chunk(size: int) -> int:
    """Rows of fields of this size that are computed at once, a power of two."""
    return 1 << (max(1, min(CHUNK, FIELD_VALUES // size)).bit_length() - 1)


def scaled_features(problem: Problem, arrays: dict[str, Any], P: Array) -> tuple[Array, Array]:
    """Features [n, m], mapped to [-1, 1] over the training box, and amplitudes [n]."""
    x, s = unscaled(problem, arrays, P)
    x = (x - arrays["shift"]) * arrays["gain"]
    return x, s
