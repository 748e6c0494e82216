"""Bounds of errors: between their ends, sorted; and against errors, where these are known.

A bound that is infinite has no place on an axis: it is drawn at the upper edge, and counted in the legend.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .canvas import Figure

BOUND, ERROR, TOLERANCE = "#0072b2", "#d55e00", "black"
ROUTES = {"accepted": "#56b4e9", "polished": "#009e73", "solved": "#cc79a7", "failed": "#4d4d4d"}
FLOOR = 1e-16  # a share of the axis' upper end below which nothing is shown


def bounds_figure(
    lower: Float[np.ndarray, " n"],
    upper: Float[np.ndarray, " n"],
    errors: Float[np.ndarray, " n"] | None = None,
    tolerance: float | None = None,
    routes: Any = None,
    title: str = "",
) -> Figure:
    """Every row from its lower to its upper bound, by the upper one.

    Args:
        errors: of the same rows, against the truth; they get a panel of their own, bound against error.
        routes: of a guard's answers: the colours.
    """
    figure = Figure(figsize=(6.6 if errors is None else 10.2, 4.0), layout="constrained")
    axes = figure.add_subplot(1, 1 if errors is None else 2, 1)
    low, high = _window([upper, lower, *([] if errors is None else [errors])], tolerance)
    order = np.argsort(np.where(np.isnan(upper), np.inf, upper), kind="stable")
    _sorted(axes, lower, upper, errors, order, (low, high), routes)
    if tolerance is not None:
        axes.axhline(tolerance, color=TOLERANCE, linewidth=1, label=f"tolerance {tolerance:g}")
    axes.set(yscale="log", ylim=(low, high), xlabel="queries, by their bound", ylabel="relative error")
    axes.grid(alpha=0.3, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=8, loc="best")
    if errors is not None:
        _against(figure.add_subplot(1, 2, 2), upper, errors, _window([upper, errors], None))
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def _window(values: list[np.ndarray], tolerance: float | None) -> tuple[float, float]:
    shown = np.concatenate([np.ravel(v) for v in values] + ([] if tolerance is None else [np.array([tolerance])]))
    shown = shown[np.isfinite(shown) & (shown > 0)]
    if not len(shown):
        return 1e-3, 1.0
    high = float(shown.max())
    return max(float(shown.min()), high * FLOOR) / 2, high * 3


def _sorted(
    axes: Axes,
    lower: np.ndarray,
    upper: np.ndarray,
    errors: Any,
    order: np.ndarray,
    ends: tuple[float, float],
    routes: Any,
) -> None:
    low, high = ends
    x = np.arange(len(order))
    bounded = np.isfinite(upper[order])
    bottom = np.clip(np.nan_to_num(lower[order], nan=low), low, high)
    top = np.clip(np.where(bounded, upper[order], high), low, high)
    if routes is None:
        axes.vlines(x, bottom, top, color=BOUND, linewidth=_width(len(x)), alpha=0.6)
        axes.plot(x[bounded], top[bounded], ".", color=BOUND, markersize=4, label="between lower and upper bound")
    else:
        for route, colour in ROUTES.items():
            mine = bounded & (np.asarray(routes)[order] == route)
            if mine.any():
                axes.plot(x[mine], top[mine], ".", color=colour, markersize=5, label=f"{route}: {mine.sum()}")
    if not bounded.all():
        none = np.full(int((~bounded).sum()), high / 1.3)
        axes.plot(x[~bounded], none, "^", color="#4d4d4d", markersize=5, label=f"no bound: {len(none)}")
    if errors is not None:
        axes.plot(x, np.clip(errors[order], low, high), "x", color=ERROR, markersize=4, label="error against a solve")


def _width(count: int) -> float:
    return float(np.clip(200 / max(count, 1), 0.5, 3.0))


def _against(axes: Axes, upper: np.ndarray, errors: np.ndarray, ends: tuple[float, float]) -> None:
    known = np.isfinite(upper) & np.isfinite(errors)
    axes.plot(ends, ends, color="black", linewidth=0.8, label="bound = error")
    axes.plot(np.clip(errors[known], *ends), upper[known], ".", color=BOUND, markersize=5)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="error against a solve", ylabel="upper bound")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    left = int((~known).sum())
    axes.set_title(f"{left} rows without a bound or an error are not here" if left else "", fontsize=8)
