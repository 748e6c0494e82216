"""Name and settings of a problem, read from its dataclass, and the checks that the settings of many problems share.

A problem is a dataclass whose fields are what a user may choose: ``ThermalBlock(blocks=(2, 2), cells=64)``. Its name,
"thermal-block", and its settings, {"blocks": [2, 2], "cells": 64, ..}, follow from that and stand in every file.
"""

from __future__ import annotations

import dataclasses
import re
from numbers import Real
from typing import Any

import numpy as np

_NUMBERS: dict[Any, type] = {"int": int, int: int, "float": float, float: float}  # annotations are strings or types


def declared_name(problem: Any) -> str:
    """The name of a problem's dataclass in small letters: ThermalBlock is "thermal-block", Heat1D is "heat-1d".

    Raises:
        TypeError: its class is no dataclass.
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z0-9])", "-", _dataclass_of(problem).__name__).lower()


def declared_settings(problem: Any) -> dict[str, Any]:
    """The fields of a problem's dataclass as JSON values: a pair is a list, a number declared float or int is one.

    Raises:
        TypeError: its class is no dataclass, or a field holds what JSON has no word for.
    """
    fields = [f for f in dataclasses.fields(_dataclass_of(problem)) if f.init]
    return {f.name: _as_json(f"{problem.name}.{f.name}", f.type, getattr(problem, f.name)) for f in fields}


def _dataclass_of(problem: Any) -> Any:
    """The class itself, or the one that it inherits its fields from."""
    for cls in type(problem).__mro__:
        if "__dataclass_fields__" in vars(cls):
            return cls
    raise TypeError(
        f"{type(problem).__name__} is no dataclass, from which name and settings are read: write "
        "@dataclass(frozen=True, eq=False) above the class, or define both as properties"
    )


def _as_json(where: str, declared: Any, value: Any) -> Any:
    if getattr(value, "ndim", None) == 0:  # a number of numpy or JAX
        value = value.item()
    if declared in _NUMBERS:
        kind = _NUMBERS[declared]
        if not isinstance(value, Real) or (kind is int and not float(value).is_integer()):
            raise TypeError(f"{where} is {value!r}, not a number declared {kind.__name__}")
        return kind(value)
    if isinstance(value, tuple | list):
        return [_as_json(where, None, x) for x in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(
        f"{where} is a {type(value).__name__}, which cannot stand in a file as a setting: define the property settings "
        "yourself, and tell what it leaves out by the method identity()"
    )


def check_cells(cells: Any, least: int = 4) -> int:
    """A whole number of cells per side.

    Raises:
        ValueError: not a whole number, or too few.
    """
    if (
        isinstance(cells, bool)
        or not isinstance(cells, int | float | np.integer)
        or int(cells) != cells
        or cells < least
    ):
        raise ValueError(f"cells must be a whole number of at least {least}, not {cells!r}")
    return int(cells)


def check_range(name: str, bounds: object, lowest: float = -np.inf, open_end: bool = False) -> tuple[float, float]:
    """A pair (low, high) of finite numbers with lowest <= low < high (lowest < low where ``open_end``).

    Raises:
        ValueError: anything else; the message names the setting.
    """
    try:
        low, high = (float(value) for value in bounds)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise ValueError(f"{name} is a pair of numbers (low, high), not {bounds!r}") from None
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"{name} needs finite low < high, not ({low}, {high})")
    if low < lowest or (open_end and low == lowest):
        raise ValueError(f"{name} must be {'above' if open_end else 'at least'} {lowest:g}, not from {low:g}")
    return low, high


def halved(cells: int, least: int) -> int:
    """Half the cells of a side, for a coarser grid whose nodes are nodes of the finer one.

    Raises:
        ValueError: not even, or fewer than ``least`` are left.
    """
    if cells % 2 or cells // 2 < least:
        raise ValueError(f"a coarser grid needs an even number of at least {2 * least} cells per side, not {cells}")
    return cells // 2
