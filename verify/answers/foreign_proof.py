"""Proofs from outside of this library: what they return is looked at before a verb believes it.

That a theorem is right nobody can look at. But bounds of a wrong shape, complex ones, lower ones above upper ones or
negative ones show that something is wrong, and NaN proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from ..proofs.bounds import ErrorBounds, OutputBounds, no_interval, only_where
from ..proofs.proof import Proof

ROUNDING = 1e-12  # by which a lower bound may lie above an upper one


def looked_at(proof: Proof) -> Proof:
    """The proof itself, whose ``bounds``, ``polish`` and ``output_bounds`` raise ValueError where they are nonsense."""
    for name in ("bounds", "polish", "output_bounds"):
        setattr(proof, name, _checked(proof, name, getattr(proof, name)))
    return proof


def _checked(proof: Proof, name: str, ask: Callable[..., Any]) -> Callable[..., Any]:
    who, size = f"{type(proof).__name__}.{name}", proof.problem.size
    count = {"bounds": 3, "polish": 2, "output_bounds": 4}[name]

    @wraps(ask)
    def checked(P: Any, U: Any, *more: Any) -> Any:
        answer = ask(P, U, *more)
        n = len(P)
        if not isinstance(answer, tuple) or len(answer) != count:
            raise ValueError(f"{who} must return {count} things, as its docstring in Proof says, not {_kind(answer)}")
        fields = _array(who, "fields", answer[0], (n, size))
        bounds = _bounds(who, answer[1], n)
        rest = [_array(who, "changes", answer[2], (n,))] if count > 2 else []
        return (fields, bounds, *rest, *([_interval(who, answer[3], n)] if count > 3 else []))

    return checked


def _kind(answer: Any) -> str:
    return f"{len(answer)}" if isinstance(answer, tuple) else f"a {type(answer).__name__}"


def _array(who: str, what: str, given: Any, shape: tuple[int, ...]) -> np.ndarray:
    found = np.asarray(given)
    if found.shape != shape or found.dtype.kind not in "fiu":
        raise ValueError(
            f"{who} gave {what} of shape {list(found.shape)} and type {found.dtype}, not numbers of {list(shape)}"
        )
    return np.array(found, dtype=np.float64)


def _bounds(who: str, given: Any, n: int) -> ErrorBounds:
    if not isinstance(given, tuple) or len(given) != len(ErrorBounds._fields):
        raise ValueError(f"{who} must give ErrorBounds, not {_kind(given)}")
    pairs = zip(ErrorBounds._fields, given, strict=True)
    found = ErrorBounds(*(_array(who, name, x, (n,)) for name, x in pairs))  # type: ignore[arg-type]
    known = ~np.isnan(np.stack(found)).any(axis=0)
    for low, high in (("lower", "upper"), ("relative_lower", "relative_upper"), ("square_lower", "square_upper")):
        below, above = np.asarray(getattr(found, low)), np.asarray(getattr(found, high))
        _consistent(who, low, high, below, above, known)
        if (known & (below < 0)).any():
            row = int(np.flatnonzero(known & (below < 0))[0])
            raise ValueError(f"{who} gave a negative {low} in row {row}, {below[row]:.6g}")
    return only_where(known, found)


def _interval(who: str, given: Any, n: int) -> OutputBounds:
    if not isinstance(given, tuple) or len(given) != len(OutputBounds._fields):
        raise ValueError(f"{who} must give OutputBounds last, not {_kind(given)}")
    value, low, high = (_array(who, name, x, (n,)) for name, x in zip(OutputBounds._fields, given, strict=True))
    known = ~(np.isnan(low) | np.isnan(high))
    _consistent(who, "lower", "upper", low, high, known)
    nothing = no_interval(value)
    ends = np.where(known, low, nothing.lower), np.where(known, high, nothing.upper)
    return OutputBounds(value, *ends)  # type: ignore[arg-type]  # arrays of numpy


def _consistent(who: str, low: str, high: str, below: np.ndarray, above: np.ndarray, known: np.ndarray) -> None:
    with np.errstate(invalid="ignore"):  # infinity on both sides
        wrong = known & (below > above + ROUNDING * np.abs(above))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{who} contradicts itself in row {row}: {low} {below[row]:.6g} is above {high} {above[row]:.6g}"
        )
