"""What somebody hands to ``affine``, checked: matrices, functions of the input, load terms, prescribed values.

Prescribed values are eliminated here. Of the nodes some are free (f), some constrained (c) to g(p) = sum_k weight_k(p)
g_k. With u = w + g, w zero in the constrained nodes and g in the free ones, the rows of the free nodes read

    A_ff w = f_f - A_fc g(p),    A_fc g(p) = sum_qk theta_q(p) weight_k(p) (A_q)_fc g_k

so that each product (A_q)_fc g_k is a load term like the others, of the weight -theta_q weight_k. These products, as
float64 has them, define the discrete problem.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float, Int

from ..foreign import call_foreign
from ..precision import RANGE
from ..real import real_array, real_csr

SHOWN = 5  # rows that a message names
ROUNDING = 1e-10  # relative asymmetry that rounding may explain
OTHER_SIZE = 1e6  # factor between diagonal entries that makes proofs hard in float64


class Prescribed(NamedTuple):
    """Nodes whose values are given, as sum_k weight_k(p) values_k."""

    nodes: Int[np.ndarray, " m"]
    free: Int[np.ndarray, " n"]
    values: Float[np.ndarray, "K m"]
    weights: Callable[[Array], Array] | None


def checked_matrices(matrices: Sequence[Any]) -> tuple[sp.csr_matrix, ...]:
    """Copies, square, of one size, none of them zero."""
    if sp.issparse(matrices) or (isinstance(matrices, np.ndarray) and matrices.ndim == 2):
        raise ValueError("the matrices are a list: for a single one write [A]")
    parts = []
    for q, matrix in enumerate(matrices):
        try:
            parts.append(real_csr(matrix))
        except ValueError as error:
            raise ValueError(f"matrix {q} {error}") from None
    if not parts:
        raise ValueError("an affine problem needs at least one matrix")
    n = parts[0].shape[0]
    for q, m in enumerate(parts):
        if m.shape != (n, n):
            raise ValueError(f"matrix {q} has shape {m.shape}; all must be square of one size, here {(n, n)}")
    return tuple(parts)


def check_parts(parts: Sequence[sp.csr_matrix]) -> None:
    """Check the matrices over the unknowns.

    Raises:
        ValueError: a matrix over the unknowns is zero, out of the range that proofs need, or not exactly symmetric.
    """
    for q, m in enumerate(parts):
        if not m.nnz:
            raise ValueError(f"matrix {q} is zero: leave it out")
        if not 1 / RANGE <= abs(m).max() <= RANGE:
            raise ValueError(f"matrix {q} has entries of size {abs(m).max():.1e}: change the units, proofs need room")
        off = abs(m - m.T)
        if off.nnz:
            raise ValueError(f"matrix {q} is not exactly symmetric: {_asymmetry(m, off.tocoo())}")


def _asymmetry(m: sp.csr_matrix, off: sp.coo_matrix) -> str:
    worst = int(np.argmax(off.data))
    size = float(off.data[worst] / abs(m).max())
    where = f"entries ({off.row[worst]}, {off.col[worst]}) and its mirror differ by {size:.1e} of the largest"
    if size <= ROUNDING:
        return f"{where}: pass (A + A.T)/2, only rounding is to blame"
    replaced = np.flatnonzero((np.diff(m.indptr) == 1) & (np.diff(m.tocsc().indptr) > 1) & (m.diagonal() != 0))
    if len(replaced):
        return (
            f"{where}; only the diagonal is in {_rows(replaced)}: were rows replaced by the identity? Eliminate the "
            "columns, too, or pass prescribed=(nodes, values)"
        )
    return f"{where}: bounds are known for symmetric matrices alone"


def _rows(rows: np.ndarray) -> str:
    more = f", ... ({len(rows)} in all)" if len(rows) > SHOWN else ""
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows[:SHOWN]))}{more}"


def constraint_rows(matrix: sp.csr_matrix) -> str:
    """Rows of the weighted sum that look like boundary conditions of another size than the stiffness; else empty."""
    diagonal, count = np.abs(matrix.diagonal()), np.diff(matrix.indptr)
    alone = (count == 1) & (diagonal > 0)
    rest = diagonal[~alone & (diagonal > 0)]
    typical = float(np.median(rest)) if len(rest) else float(np.median(diagonal))
    if typical == 0:
        return ""
    ratio = diagonal / typical
    strange = np.flatnonzero(alone & (ratio > 0) & ((ratio > OTHER_SIZE) | (ratio < 1 / OTHER_SIZE)))
    penalties = np.flatnonzero(~alone & (ratio > OTHER_SIZE))
    remedy = "eliminate these rows and columns, or pass prescribed=(nodes, values) with the matrices before that"
    if len(strange):
        size = f"of size {diagonal[strange].max():.1e} beside {typical:.1e}"
        return f"only a diagonal entry is in {_rows(strange)}, {size}: {remedy}"
    if len(penalties):
        size = f"of size {diagonal[penalties].max():.1e} beside {typical:.1e}"
        return f"diagonal entries {size} are in {_rows(penalties)}, as of penalties: {remedy}"
    return ""


def checked_function(function: Any, centre: Array, what: str, entries: int, meaning: str) -> np.ndarray:
    """Its value at the centre of the box; it must be one that JAX can trace."""
    if not callable(function):
        raise ValueError(f"{what} must be a function of the input in jax.numpy, not {type(function).__name__}")
    try:
        call_foreign(lambda: jax.eval_shape(lambda p: function(p), centre), whose=what)
        value = real_array(call_foreign(function, centre, whose=what))
    except jax.errors.TracerBoolConversionError:
        raise ValueError(
            f"{what} decides by the value of its input (if, and, or, min, max), which JAX cannot trace: use jnp.where, "
            "jnp.minimum, jnp.maximum"
        ) from None
    except jax.errors.JAXTypeError:
        raise ValueError(
            f"{what} must be written with jax.numpy (import jax.numpy as jnp), not numpy: it is differentiated"
        ) from None
    except Exception as error:
        line = " ".join(str(error).split())
        raise ValueError(f"{what} cannot be used: {type(error).__name__}: {line}") from None
    if value.shape != (entries,):
        raise ValueError(f"{what} must give {entries} {meaning}, not shape {list(value.shape)}")
    if not np.isfinite(value).all():
        raise ValueError(f"{what} must be finite; at the centre of the box it is not")
    return value


def checked_vectors(vectors: Any, size: int, what: str) -> Float[np.ndarray, "J N"]:
    """One vector [N], or several, dense or sparse; nobody can change them."""
    if sp.issparse(vectors):
        found = real_array(vectors.toarray(), f"{what} has")
        found = found.T if found.shape == (size, 1) else found
    elif isinstance(vectors, list | tuple) and any(np.ndim(v) or sp.issparse(v) for v in vectors):
        rows = [real_array(v.toarray() if sp.issparse(v) else v, f"{what} has").reshape(-1) for v in vectors]
        lengths = sorted({len(row) for row in rows})
        if len(lengths) > 1:
            raise ValueError(f"{what} has terms of {' and '.join(map(str, lengths))} values, not all of {size}")
        found = np.stack(rows)
    else:
        found = real_array(vectors, f"{what} has")
    found = found[None] if found.ndim == 1 else found
    if found.ndim != 2 or found.shape[1] != size or not len(found):
        raise ValueError(f"{what} must have shape [{size}], not {list(np.shape(vectors))}")
    if not np.isfinite(found).all():
        raise ValueError(f"{what} has values that are NaN or infinite")
    found.setflags(write=False)
    return found


def checked_prescribed(prescribed: Any, size: int, centre: Array) -> Prescribed:
    """Prescribed values from (nodes, values) or (nodes, terms, weights), every part of it checked.

    Raises:
        ValueError: nodes that are no distinct node numbers, values or weights that do not fit them, nothing left free.
    """
    if not isinstance(prescribed, tuple | list) or len(prescribed) not in (2, 3):
        raise ValueError(
            "prescribed is (nodes, values), or (nodes, terms, weights) for values that vary with the input"
        )
    nodes = np.asarray(prescribed[0])
    if nodes.dtype == bool and nodes.shape == (size,):
        nodes = np.flatnonzero(nodes)
    if nodes.ndim != 1 or nodes.dtype.kind not in "iu" or not len(nodes):
        raise ValueError(f"the prescribed nodes are whole numbers, or a mask of {size}, not {prescribed[0]!r:.60}")
    if nodes.min() < 0 or nodes.max() >= size or len(np.unique(nodes)) != len(nodes):
        raise ValueError(f"the prescribed nodes must be distinct and between 0 and {size - 1}")
    free = np.setdiff1d(np.arange(size), nodes)
    if not len(free):
        raise ValueError("all nodes are prescribed: nothing is left to solve")
    given: Any = prescribed[1]
    values = checked_vectors(
        np.full(len(nodes), given) if np.ndim(given) == 0 and not sp.issparse(given) else given,
        len(nodes),
        "the prescribed values",
    )
    weights = prescribed[2] if len(prescribed) == 3 else None
    if weights is None and len(values) > 1:
        raise ValueError(f"{len(values)} terms of prescribed values need their weights: (nodes, terms, weights)")
    if weights is not None:
        checked_function(weights, centre, "the prescribed values' weights", len(values), "numbers, one a term")
    return Prescribed(nodes.astype(int), free, values, weights)


def checked_load(
    load: Any, load_weights: Any, n: int, centre: Array
) -> tuple[Callable[[Array], Array] | None, Float[np.ndarray, "J N"]]:
    """A load as a function with no terms, or as terms with no function."""
    if callable(load):
        if load_weights is not None:
            raise ValueError("load_weights belong to load terms, load=[f_1, .., f_J], not to a function")
        checked_function(load, centre, "the load", n, "values, one for each row")
        return load, np.zeros((0, n))
    vectors = checked_vectors(load, n, "the load")
    if load_weights is not None:
        checked_function(load_weights, centre, "load_weights", len(vectors), "numbers, one for each load term")
    elif len(vectors) > 1:
        raise ValueError(f"{len(vectors)} load terms need load_weights=, a function p -> [{len(vectors)}]")
    return None, vectors


def checked_coordinates(coordinates: Any, n: int) -> Float[np.ndarray, "N axes"]:
    """Where the nodes lie, by default their numbers; a copy, since compiled code reads what was handed over."""
    points = real_array(np.arange(n) if coordinates is None else coordinates, "coordinates has")
    points = points[:, None] if points.ndim == 1 else points
    if points.ndim != 2 or len(points) != n:
        raise ValueError(f"coordinates must have shape [{n}, axes], not {list(points.shape)}")
    return points


def eliminate(
    parts: tuple[sp.csr_matrix, ...], vectors: Float[np.ndarray, "J N"], fixed: Prescribed
) -> tuple[tuple[sp.csr_matrix, ...], Float[np.ndarray, "J n"], tuple[tuple[int, int], ...]]:
    """Matrices and load terms over the free nodes; to the latter every (A_q)_fc g_k is appended that is not zero, and
    the (q, k) of these are listed.
    """
    rows, coupled = [vectors[:, fixed.free]], []
    for q, m in enumerate(parts):
        coupling = m[fixed.free][:, fixed.nodes]
        for k, values in enumerate(fixed.values):
            term = coupling @ values
            if term.any():
                coupled.append((q, k))
                rows.append(term[None])
    free = tuple(m[fixed.free][:, fixed.free].tocsr() for m in parts)
    return free, np.concatenate(rows), tuple(coupled)
