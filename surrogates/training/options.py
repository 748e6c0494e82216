"""What the options of an architecture may be: their kinds are read from where they are declared, and everything is
refused that can be before anything is solved for a training.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

import numpy as np

from ...solvers.problem import Problem

POINTS, MOST_POINTS = ("physics_points",), 1_000_000
MAY_BE_ZERO = ("derivatives", "degree", "project", "smoothness")  # every other number is positive
MAY_BE_EMPTY = ("branch", "trunk")


def kinds_of(*declarations: Callable[..., Any]) -> dict[str, Any]:
    """What the parameters of functions are declared as, by name."""
    found: dict[str, Any] = {}
    for each in declarations:
        found |= get_type_hints(each.func if isinstance(each, partial) else each)
    return found


def check_option(name: str, value: Any, kind: Any) -> None:
    """Check that a value is of the kind that an option is declared as: ``int``, ``float``, ``bool``, ``str``,
    ``Sequence[int]``, None, or one of several.

    Raises:
        ValueError: it is not, or a number out of range; the message says what it may be.
    """
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if name in POINTS and isinstance(value, int | float) and value > MOST_POINTS:
        raise ValueError(f"{name} is at most {MOST_POINTS}, not {value:g}: a field is kept in memory for each of them")
    if not any(_is(name, value, each) for each in kinds):
        may = " or ".join(_words(name, each) for each in kinds if each is not NoneType)
        raise ValueError(f"{name} is {may}, not {value!r:.80}")


def _is(name: str, value: Any, kind: Any) -> bool:
    if kind is NoneType:
        return value is None
    if kind is bool:
        return isinstance(value, bool | np.bool_)
    if kind is str:
        return isinstance(value, str)
    if kind == Sequence[int]:
        several = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)
        return several and (len(value) > 0 or name in MAY_BE_EMPTY) and all(_is(name, x, int) for x in value)
    number = isinstance(value, int | np.integer) or (kind is float and isinstance(value, float | np.floating))
    if not number or isinstance(value, bool):
        return False
    return bool(np.isfinite(value) and (value > 0 or (value == 0 and name in MAY_BE_ZERO)))


def _words(name: str, kind: Any) -> str:
    if kind is bool:
        return "true or false"
    if kind is str:
        return "a word"
    if kind == Sequence[int]:
        return "one or more whole numbers of at least 1, such as [64, 64]"
    zero = name in MAY_BE_ZERO
    if kind is int:
        return f"a whole number of at least {0 if zero else 1}"
    return "a finite number of at least 0" if zero else "a finite number above 0"


def check_amounts(seconds: Any, steps: Any) -> None:
    """
    Raises:
        ValueError: no positive number of seconds or steps.
    """
    check_option("seconds", seconds, float | None)
    check_option("steps", steps, int | None)


def check_companions(checkpoint: Any, progress: Any) -> None:
    """
    Raises:
        ValueError: the checkpoint is no path, or progress cannot be called.
    """
    if checkpoint is not None and not isinstance(checkpoint, str | os.PathLike):
        raise ValueError(f"checkpoint is the path of a file, not a {type(checkpoint).__name__}")
    if progress is not None and not callable(progress):
        raise ValueError(f"progress is a function of (done, total, note), not a {type(progress).__name__}")


def checked_weight(weight: Any, otherwise: float, with_snapshots: bool) -> float:
    """The share of the physics loss.

    Args:
        otherwise: what it is where it is left out and there are snapshots.

    Raises:
        ValueError: no number between 0 and 1, or less than 1 without snapshots.
    """
    weight = (otherwise if with_snapshots else 1.0) if weight is None else weight
    number = isinstance(weight, int | float | np.integer | np.floating) and not isinstance(weight, bool)
    if not number or not 0 <= weight <= 1:
        raise ValueError(f"physics_weight is a share between 0 (snapshots alone) and 1 (physics alone), not {weight}")
    if not with_snapshots and weight < 1:
        raise ValueError("without snapshots only physics can be trained on: give snapshots, or physics_weight=1")
    return float(weight)


def accepts_all(problem: Problem, options: Mapping[str, Any]) -> None:
    """An architecture whose options make sense as soon as their kinds do."""
