"""Any callable is a surrogate: what is asked of it, and how it is called without ever being trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from ..solvers.coercive import CoerciveProblem
from ..solvers.precision import RANGE
from ..solvers.problem import Problem

CHUNK = 256  # rows per call of the surrogate


@dataclass(frozen=True)
class Evaluation:
    """Fields as the surrogate gave them, float64; rows that are not ``good`` are NaN, ``trouble`` says why."""

    fields: Float[np.ndarray, "n N"]
    good: Bool[np.ndarray, " n"]
    trouble: tuple[str, ...]


def evaluate(surrogate: Callable[[np.ndarray], Any], P: Float[np.ndarray, "n d"], size: int) -> Evaluation:
    """Call the surrogate once per query, in chunks; float32 and other arrays are converted.

    Raising, or answering in another shape, fails the chunk; a value that is NaN or infinite anywhere fails its row.
    """
    fields = np.full((len(P), size), np.nan)
    trouble: list[str] = []
    for start in range(0, len(P), CHUNK):
        rows = P[start : start + CHUNK]
        try:
            answer = numbers(surrogate(rows.copy()))
        except Exception as error:  # a surrogate may fail in any way it likes: the rows count as failed
            trouble.append(f"the surrogate raised {type(error).__name__}: {error}")
            continue
        if answer.shape != (len(rows), size):
            trouble.append(f"the surrogate answered with shape {list(answer.shape)}, not {[len(rows), size]}")
            continue
        fields[start : start + len(rows)] = answer
    good = np.isfinite(fields).all(axis=1)
    if not trouble and not good.all():
        trouble.append("the surrogate answered with values that are NaN or infinite")
    fields[~good] = np.nan
    return Evaluation(fields, good, tuple(dict.fromkeys(trouble)))


def coefficients(surrogate: Any, P: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
    """The surrogate's coefficients, an array of our own. It gets inputs of its own, too: it may write to them."""
    return numbers(surrogate.coefficients(P.copy()))


def numbers(answer: Any) -> np.ndarray:
    """A float64 copy: what is certified may not change afterwards.

    Raises:
        TypeError, ValueError: complex or masked values, or none that are numbers.
    """
    if np.iscomplexobj(answer):
        raise ValueError("complex values: give real and imaginary parts as two components")
    if np.ma.is_masked(answer):
        raise ValueError("masked values: nothing is known there")
    return np.array(answer, dtype=np.float64)


def has_basis(surrogate: Any) -> bool:
    """Whether the surrogate offers ``basis`` [N, k] and ``coefficients(P)``: reduced path and box proofs need them."""
    return getattr(surrogate, "basis", None) is not None and callable(getattr(surrogate, "coefficients", None))


def basis_facts(problem: Problem, surrogate: Any) -> tuple[list[int], float]:
    """The basis' shape and its largest size in prescribed entries (NaN where it has none), for messages."""
    V = np.asarray(surrogate.basis)
    fits = isinstance(problem, CoerciveProblem) and V.ndim == 2 and V.shape[0] == problem.size
    stray = np.abs(V[~problem.free]) if isinstance(problem, CoerciveProblem) and fits else np.zeros(0)
    return list(V.shape), float(stray.max()) if stray.size else float("nan")


def answering_basis(problem: Problem, surrogate: Any) -> Float[np.ndarray, "N k"] | None:
    """V [N, k], finite, zero where values are prescribed, its columns zero or of a length between 1 / RANGE and RANGE,
    if V c is what the surrogate answers at the centre.
    """
    if not (isinstance(problem, CoerciveProblem) and has_basis(surrogate)):
        return None
    centre = problem.inputs.from_unit(np.full((1, problem.inputs.dimension), 0.5))
    try:
        V = numbers(surrogate.basis)
        if V.ndim != 2 or V.shape[0] != problem.size or not np.isfinite(V).all() or V[~problem.free].any():
            return None
        lengths = np.linalg.norm(V, axis=0)
        if not ((lengths == 0) & ~V.any(axis=0) | (lengths >= 1 / RANGE) & (lengths <= RANGE)).all():
            return None
        field_there = numbers(surrogate(centre.copy()))
        product = coefficients(surrogate, centre) @ V.T
    except Exception:  # anything unusual about the basis: it needs no trust
        return None
    same = product.shape == field_there.shape and np.allclose(product, field_there, rtol=1e-9, atol=1e-12)
    return V if same else None
