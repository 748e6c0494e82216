"""The methods by name. A name says what is done: one that changes gets another."""

from __future__ import annotations

from typing import Any

from .cma_es import cma_es
from .cobyqa import cobyqa
from .differential_evolution import differences
from .direct import direct_boxes
from .gaussian_process import gaussian_process
from .l_bfgs import l_bfgs
from .random_points import random_points
from .search import Method
from .signal_alone import signal_alone
from .standard_v1 import standard_v1

STANDARD = "standard-v1"
BY_SIGNAL = ("signal",)  # of no use where there is none
BY_SLOPE = ("l-bfgs",)  # of no use where the solver has no derivatives
METHODS: dict[str, Method] = {
    STANDARD: standard_v1,
    "signal": signal_alone,
    "l-bfgs": l_bfgs,
    "cma-es": cma_es,
    "cobyqa": cobyqa,
    "differential-evolution": differences,
    "direct": direct_boxes,
    "gaussian-process": gaussian_process,
    "random": random_points,
}


def find_method(name: Any) -> Method:
    """
    Raises:
        ValueError: there is none of this name; those that there are are named.
    """
    if not isinstance(name, str) or name not in METHODS:
        raise ValueError(f"there is no method {name!r} of falsification: method= is one of {', '.join(METHODS)}")
    return METHODS[name]


def check_method(name: str, signals: bool, derivatives: bool, problem_name: str) -> None:
    """
    Raises:
        ValueError: it climbs slopes, or signals, and there are none.
    """
    if name in BY_SIGNAL and not signals:
        raise ValueError(
            f"method {name!r} climbs what costs no solve, and of {problem_name} and this surrogate there is nothing: "
            f"give a residual (black_box(..., residual=)) or an error_bar, or take {STANDARD!r}, which needs none"
        )
    if name in BY_SLOPE and not derivatives:
        raise ValueError(
            f"method {name!r} needs derivatives of the true error, and the solver or the norm of {problem_name} has "
            f"none: give them (black_box(..., gradient=)), or take {STANDARD!r}, which needs none"
        )
