"""Pictures of draws: errors under shifts, and the draws that a calibration rests on."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from ..verify.shifts.shifts import Shifts
from ..verify.statistics.calibration import CONSTANT, Calibration
from .canvas import Figure

DRAW, MEAN, BEYOND = "#0072b2", "black", "#d55e00"
FLOOR = 1e-16  # of an error on a logarithmic axis
SPREAD = 0.3  # of a row, over which its points are laid


def shifts_figure(found: Shifts) -> Figure:
    """A row a shift, the unshifted one at the top: every error, and their mean.

    Raises:
        ValueError: nothing was solved.
    """
    rows = [row for row in found.rows if len(row.known)]
    if not rows:
        raise ValueError("no solve succeeded: there is no error to draw")
    figure = Figure(figsize=(7.2, 1.4 + 0.45 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    infinite = 0
    for k, row in enumerate(rows):
        errors = row.known
        finite = np.maximum(errors[np.isfinite(errors)], FLOOR)
        infinite += len(errors) - len(finite)
        heights = k + SPREAD * np.linspace(-1, 1, len(finite)) if len(finite) > 1 else np.full(len(finite), float(k))
        axes.plot(finite, heights, ".", color=DRAW, markersize=4, alpha=0.6, label="error" if k == 0 else None)
        if len(finite):
            axes.plot(
                finite.mean(), k, "|", color=MEAN, markersize=16, markeredgewidth=2, label="mean" if k == 0 else None
            )
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set(xscale="log", xlabel="relative error", ylim=(len(rows) - 0.5, -0.5))
    axes.grid(alpha=0.3, axis="x")
    axes.legend(fontsize=8, loc="best")
    left = [f"{infinite} infinite errors are not here"] * (infinite > 0)
    left += [f"no row for {', '.join(each.name for each in found.refused)}"] * bool(found.refused)
    axes.set_title("; ".join(["errors under shifts (observed)", *left]), fontsize=9)
    return figure


def calibration_figure(found: Calibration) -> Figure:
    """Errors of all draws over their signals, with the threshold and the tolerance. Where the signal says nothing, one
    after the other.
    """
    figure = Figure(figsize=(6.6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    ordered = found.signal == CONSTANT
    x = np.arange(found.n, dtype=float) if ordered else np.asarray(found.signals, dtype=float)
    y = np.asarray(found.errors, dtype=float)
    good = y <= found.tolerance
    shown = np.isfinite(x) & np.isfinite(y)
    for mine, colour, what in ((good, DRAW, "within"), (~good, BEYOND, "beyond")):
        some = shown & mine
        axes.plot(x[some], np.maximum(y[some], FLOOR), ".", color=colour, markersize=5, label=f"{what}: {some.sum()}")
    axes.axhline(found.tolerance, color=MEAN, linewidth=1, label=f"tolerance {found.tolerance:g}")
    _threshold(axes, found, ordered)
    positive = not ordered and bool((x[shown] > 0).all()) and shown.any()
    axes.set(xlabel="draws" if ordered else found.signal, ylabel="relative error", yscale="log")
    axes.set_xscale("log" if positive else "linear")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="best")
    left = int((~shown).sum())
    title = (
        f"{found.n} draws, {100 * found.share:.3g} % of inputs accepted" if found.qualifies else "nothing is accepted"
    )
    axes.set_title(title + (f"; {left} infinite ones are not here" if left else ""), fontsize=9)
    return figure


def _threshold(axes: Axes, found: Calibration, ordered: bool) -> None:
    if ordered or not np.isfinite(found.threshold):
        return
    axes.axvline(found.threshold, color=MEAN, linewidth=1, linestyle="--", label=f"threshold {found.threshold:.3g}")
