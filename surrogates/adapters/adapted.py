"""Somebody's trained model as a surrogate: raw inputs in its own dtype, its answers as fields [n, N] in float64.

Nothing is normalised that the caller did not ask for: ``inputs`` and ``outputs`` say how, in the open. A model is tried
before it is handed out: one that answers in another shape, or at random, is refused with what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ...solvers.answers import Unreadable, field_rows, words
from ...solvers.foreign import SettingsChanged, call_foreign
from ...solvers.precision import in_float64, require_float64
from ...solvers.problem import Problem, is_traced
from ...solvers.real import real_array

CHUNK = 1024  # rows per call
FLOATS = ("float16", "float32", "float64")
TRIED = 3  # rows that a model is tried with

# (shift, scale), or a function of arrays; None: as it is
Scaling = Callable[[Any], Any] | tuple[Any, Any] | None


class Unscaled(ValueError):
    """A scaling of the caller's own raised: no fault of the model."""


@dataclass(frozen=True, eq=False)
class Adapted:
    """``surrogate(P)``: fields [n, N] at inputs P [n, d], as the model gives them; a row of P that is not finite is
    answered with NaN. Made by ``torch_surrogate`` and its sisters, which say what the parts are.
    """

    problem: Problem
    label: str  # what messages call the model
    run: Callable[[np.ndarray], Any]  # rows in the model's dtype -> its answer, an array
    dtype: str  # what the model computes in
    inputs: Scaling = None
    outputs: Scaling = None
    rows: int | None = None  # that the model takes at once, where it takes no other number
    traced: Callable[[Any], Any] | None = None  # ``run`` in JAX, where it is JAX

    def __repr__(self) -> str:
        return f"<{self.label} as a surrogate of {self.problem.name}: computes in {self.dtype}>"

    def __call__(self, P: Any) -> Any:
        require_float64()
        if self.traced is not None and is_traced(P):
            fed = jnp.asarray(scaled(self.inputs, P, back=False), dtype=self.dtype)
            answer = jnp.asarray(self.traced(fed), dtype=jnp.float64)
            return jnp.reshape(scaled(self.outputs, answer, back=True), (P.shape[0], self.problem.size))
        P = np.asarray(P, dtype=np.float64)
        box = self.problem.inputs
        if P.ndim != 2 or P.shape[1] != box.dimension:
            raise ValueError(f"{self.label} answers inputs [n, {box.dimension}] ({box.listed}), not {list(P.shape)}")
        out = np.full((len(P), self.problem.size), np.nan)
        good = np.flatnonzero(np.isfinite(P).all(axis=1))
        most = self.rows or CHUNK
        for start in range(0, len(good), most):
            rows = good[start : start + most]
            padded = np.concatenate([rows, np.repeat(rows[-1:], self.rows - len(rows))]) if self.rows else rows
            out[rows] = self._fields(P[padded])[: len(rows)]
        return out

    def _fields(self, P: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n N"]:
        """
        Raises:
            Unreadable: complex, masked or whole numbers, or another shape than fields have.
            Unscaled: as ``_scaled``.
        """
        answer = self.run(np.asarray(self._scaled("inputs", P)).astype(self.dtype))
        if not hasattr(answer, "dtype"):
            raise Unreadable(f"with a {type(answer).__name__}, not one array: let the model return the field alone")
        if np.asarray(answer).dtype.kind in "biu":
            raise Unreadable(f"with {answer.dtype}, not fields of real numbers: is it a classifier?")
        answer = real_array(answer, "with", Unreadable)
        return field_rows(real_array(self._scaled("outputs", answer), "with", Unreadable), len(P), self.problem)

    def _scaled(self, name: str, values: np.ndarray) -> Any:
        """
        Raises:
            Unscaled: what the caller gave as ``inputs`` or ``outputs`` does not go with these values.
        """
        try:
            return scaled(getattr(self, name), values, back=name == "outputs")
        except Exception as error:
            raise Unscaled(
                f"{name}= of {self.label} raised {words(error)}; it was handed an array {list(values.shape)} of numpy"
            ) from error


def scaled(scaling: Scaling, values: Any, *, back: bool) -> Any:
    """``(values - shift) / scale``; back: ``shift + scale * values``."""
    if scaling is None:
        return values
    if callable(scaling):
        return scaling(values)
    shift, scale = scaling
    return shift + scale * values if back else (values - shift) / scale


def checked_scaling(scaling: Any, name: str) -> Scaling:
    """What ``inputs`` and ``outputs`` may be.

    Raises:
        ValueError: neither None, nor a function, nor a pair of a shift and a scale that is not zero.
    """
    if scaling is None or callable(scaling):
        return scaling
    if not isinstance(scaling, tuple | list) or len(scaling) != 2:
        many = f" of {len(scaling)}" if isinstance(scaling, tuple | list) else ""
        method = "transform" if name == "inputs" else "inverse_transform"  # of a scaler of scikit-learn
        how = f": pass its .{method}" if callable(getattr(scaling, method, None)) else ""
        raise ValueError(
            f"{name} is a function of arrays, or a pair (shift, scale), not a {type(scaling).__name__}{many}{how}"
        )
    shift, scale = (
        real_array(x, f"the {what} of {name} has") for x, what in zip(scaling, ("shift", "scale"), strict=True)
    )
    if not (np.isfinite(shift).all() and np.isfinite(scale).all() and scale.all()):
        raise ValueError(
            f"the shift and the scale of {name} must be finite, and the scale not zero (1 where a deviation is 0)"
        )
    return shift, scale


def checked_dtype(dtype: Any, label: str) -> str:
    """The name of a floating-point type that inputs are handed over in.

    Raises:
        ValueError: another one.
    """
    name = str(getattr(dtype, "__name__", dtype)).rpartition(".")[2]
    if name not in FLOATS:
        raise ValueError(
            f"{label} takes {name}, and inputs are handed over in one of {', '.join(FLOATS)}: convert the model to "
            "float32 or float64"
        )
    return name


@in_float64
def tried(model: Adapted, when_random: str) -> Adapted:
    """The model, after it answered a few inputs of the box twice, the same and as fields.

    Args:
        when_random: how such a model is made to answer always the same.

    Raises:
        ValueError: it raises, its answers are no fields of this problem, or differ.
    """
    d = model.problem.inputs.dimension
    units = np.concatenate([np.full((1, d), 0.5), np.random.default_rng(0).random((TRIED - 1, d))])
    P = model.problem.inputs.from_unit(units)
    try:
        first, again = (call_foreign(model, P.copy(), whose=model.label) for _ in range(2))
    except (SettingsChanged, Unscaled):
        raise
    except Unreadable as error:
        raise ValueError(f"{model.label} answered {TRIED} inputs {error}") from None
    except Exception as error:
        raise ValueError(
            f"{model.label} raised {words(error)}; it was handed inputs [{TRIED}, {d}] in {model.dtype} "
            f"({model.problem.inputs.listed}): where it takes another form, say so with inputs=, a function"
        ) from error
    if not same(first, again, model.dtype):
        raise ValueError(f"{model.label} answers the same inputs differently from call to call: {when_random}")
    return model


def same(one: np.ndarray, other: np.ndarray, dtype: str) -> bool:
    """Up to rounding of the largest finite value, which threads may change."""
    size = np.abs(np.where(np.isfinite(one), one, 0.0)).max(initial=0.0)
    with np.errstate(invalid="ignore"):  # infinite, both
        near = np.abs(one - other) <= np.sqrt(np.finfo(dtype).eps) * size
    return bool((near | (np.isnan(one) & np.isnan(other)) | (one == other)).all())


def missing(package: str, function: str, extra: str) -> ValueError:
    """The error where a package is not installed."""
    return ValueError(f"assay.{function} needs {package}: pip install 'assay-pde[{extra}]'")
