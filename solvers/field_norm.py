"""Norms of fields, by name, by weights, by a matrix or by anybody's function, safe from under- and overflow.

All are homogeneous, |c u| = |c| |u|, so that a field is measured at a size near one and the result scaled back: by a
power of two, which changes no bit (``size.py``).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float
from scipy.sparse.linalg import LinearOperator

from .foreign import call_foreign
from .linear_algebra.direct import callback_float64
from .linear_algebra.semidefinite import indefiniteness
from .real import real_array, real_csr
from .size import powers

NAMES = {
    "rms": "root mean square over the entries",
    "l2": "Euclidean norm of the entries",
    "max": "largest absolute entry",
}


def homogeneous(norm: Callable[[Any, Any, Array], Array]) -> Callable[[Any, Any, Any], Float[Array, ""]]:
    """A method norm(self, p, u), |c u| = |c| |u|, whose squares neither under- nor overflow."""

    @functools.wraps(norm)
    def scaled(self: Any, p: Any, u: Any) -> Float[Array, ""]:
        u = jnp.asarray(u, dtype=jnp.float64)
        down, up = powers(u)
        return norm(self, p, u * down) * up

    return scaled


@dataclass(frozen=True, eq=False)
class FieldNorm:
    """A norm of fields that ``field_norm`` has checked: called with an input p and a field u [N], it gives |u|."""

    name: str
    kind: str  # a key of NAMES, "weights", "matrix", "jax" or "host"
    data: Any = None  # weights [N], a matrix, or the function
    of_input: bool = False  # whether the function takes (p, u), not u alone

    @homogeneous
    def __call__(self, p: Any, u: Array) -> Array:
        if self.kind == "max":
            return jnp.max(jnp.abs(u))
        if self.kind == "rms":
            return jnp.sqrt(jnp.mean(u**2))
        if self.kind == "l2":
            return jnp.sqrt(jnp.sum(u**2))
        if self.kind == "weights":
            return jnp.sqrt(jnp.sum(self.data * u**2))
        if self.kind == "matrix":
            m = self.data.tocoo()
            return jnp.sqrt(jnp.vdot(m.data * u[m.row], u[m.col]))
        p = jnp.asarray(p, dtype=jnp.float64)
        if self.kind == "jax":
            return jnp.asarray(self._call(p, u), dtype=jnp.float64).reshape(())
        return callback_float64(
            lambda p, u: call_foreign(self._call, p, np.array(u), whose="the norm"), jnp.zeros(()), p, u
        )

    def _call(self, p: Any, u: Any) -> Any:
        return self.data(p, u) if self.of_input else self.data(u)


def field_norm(norm: Any, p: Float[np.ndarray, " d"], nodes: int, components: int) -> FieldNorm:
    """A norm of fields [nodes * components], tried at an input ``p``.

    Args:
        norm: "rms" (also None), "l2" or "max"; weights [N], [nodes, components] or [nodes] of sum w u^2, a lumped mass;
            a symmetric positive semidefinite matrix [N, N], a mass matrix; a function (u) or (p, u) -> number, in
            jax.numpy or in numpy.

    Raises:
        ValueError: none of these, weights that are negative, a matrix that is not symmetric or not semidefinite, a
            function that raises, or whose values are no norm's.
    """
    if norm is None or isinstance(norm, str):
        kind = norm or "rms"
        if kind not in NAMES:
            raise ValueError(f"norm must be one of {', '.join(NAMES)}, weights, a matrix or a function, not {norm!r}")
        return FieldNorm(NAMES[kind], kind)
    if isinstance(norm, LinearOperator) or (not callable(norm) and np.ndim(norm) == 0 and not sp.issparse(norm)):
        raise ValueError(f"norm is a name, weights, a matrix or a function, not {type(norm).__name__}")
    if callable(norm):
        return _checked_function(norm, p, nodes * components)
    if sp.issparse(norm) or np.shape(norm) == (nodes * components,) * 2:
        return FieldNorm("norm of the given matrix, sqrt(u'Mu)", "matrix", _checked_matrix(norm, nodes * components))
    return FieldNorm("weighted norm sqrt(sum w u^2)", "weights", _checked_weights(norm, nodes, components))


def _checked_weights(norm: Any, nodes: int, components: int) -> np.ndarray:
    w = real_array(norm, "the norm's weights have")
    if w.shape == (nodes,):
        w = np.repeat(w, components)
    if w.shape not in ((nodes * components,), (nodes, components)):
        raise ValueError(
            f"the norm's weights must have shape [{nodes * components}], one for each value, or be a matrix "
            f"[{nodes * components}, {nodes * components}], not {list(w.shape)}"
        )
    if not (np.isfinite(w).all() and (w >= 0).all() and w.any()):
        raise ValueError("the norm's weights must be finite, none of them negative and not all zero")
    w = w.ravel()
    w.setflags(write=False)
    return w


def _checked_matrix(norm: Any, size: int) -> sp.csr_matrix:
    try:
        m = real_csr(norm)
    except ValueError as error:
        raise ValueError(f"the norm's matrix {error}") from None
    if m.shape != (size, size):
        raise ValueError(f"the norm's matrix must have shape [{size}, {size}], not {list(m.shape)}")
    if not m.nnz:
        raise ValueError("the norm's matrix is zero")
    if (abs(m - m.T) > 1e-14 * abs(m).max()).nnz:
        raise ValueError("the norm's matrix must be symmetric: pass (M + M.T)/2 if only rounding is to blame")
    m = ((m + m.T) / 2).tocsr()
    if np.isinf(indefiniteness(m)):
        raise ValueError("the norm's matrix is not positive semidefinite: u'Mu would be negative for some fields")
    return m


def _checked_function(norm: Callable[..., Any], p: np.ndarray, size: int) -> FieldNorm:
    of_input = _required(norm) == 2
    name = getattr(norm, "__name__", "")
    label = f"norm {name}()" if name.isidentifier() else "the given norm"
    u = np.random.default_rng(0).standard_normal(size)
    in_jax = True
    try:
        jax.eval_shape(lambda v: norm(p, v) if of_input else norm(v), u)  # JAX handed a function of C itself crashes
    except Exception:  # numpy inside, or a mistake, which shows below
        in_jax = False
    made = FieldNorm(label, "jax" if in_jax else "host", norm, of_input)
    try:
        values = [real_array(made._call(p.copy(), c * u)) for c in (1.0, 2.0, -2.0)]
    except Exception as error:
        raise ValueError(
            f"the norm raised {type(error).__name__}: {error}; it is called with {_words(of_input)}"
        ) from None
    if any(v.size != 1 or not np.isfinite(v).all() for v in values):
        raise ValueError(
            f"the norm must give one finite number of {_words(of_input)}, not shape {list(values[0].shape)}"
        )
    one, double, minus = (float(v.reshape(())) for v in values)
    if not (one >= 0 and np.isclose(double, 2 * one, rtol=1e-6) and np.isclose(minus, double, rtol=1e-6)):
        raise ValueError(
            f"the norm is none: of fields u, 2 u, -2 u it gives {one:.6g}, {double:.6g} and {minus:.6g}; it must be "
            "positive and grow with the field"
        )
    return made


def _words(of_input: bool) -> str:
    return "an input and a field (p, u)" if of_input else "a field (u)"


def _required(function: Callable[..., Any]) -> int:
    """How many positional arguments it needs."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a function of C tells nothing
        return 1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(x.kind in positional and x.default is inspect.Parameter.empty for x in parameters)
