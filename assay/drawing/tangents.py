"""A picture of a tangent map: where the surrogate moves as the solver does, over two inputs, or over one."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from ..solvers.box import Box
from ..verify.tangent.tangent_map import TangentMap
from .canvas import Figure
from .failures import outline, telling

SMALLEST = 1e-16  # a Jacobian error that a logarithmic scale can show


def tangents_figure(box: Box, found: TangentMap) -> Figure:
    """Relative Jacobian errors with the regions of low match, largest angles, ranks, and errors. Of many inputs the
    two are shown in which low matches are told from others most.
    """
    figure = Figure(figsize=(9.6, 7.2), layout="constrained")
    panels = [figure.add_subplot(2, 2, k + 1) for k in range(4)]
    titles = (
        "relative Jacobian error",
        "largest principal angle (degrees)",
        "rank of the solver's tangent (red: surrogate's is +/-)",
        "relative error of the field",
    )
    values = (
        np.maximum(found.jacobian_errors, SMALLEST),
        np.degrees(found.largest_angles),
        np.where(np.isnan(found.jacobian_errors), np.nan, found.truth_rank),
        np.maximum(found.errors, SMALLEST),
    )
    if box.dimension == 1:
        for k, axes in enumerate(panels):
            _along(axes, box.names[0], found.inputs[:, 0], values[k], log=k in (0, 3))
        panels[0].axhline(found.low, color="black", linewidth=0.8)
        for region in found.regions:
            panels[0].axvspan(region.lower[0], region.upper[0], color="tab:red", alpha=0.2)
        panels[0].set_xscale("log" if box.log[0] else "linear")
    else:
        low = np.concatenate([region.inputs for region in found.regions]) if found.regions else found.inputs
        i, j = telling(box.to_unit(low))
        for k, axes in enumerate(panels):
            _over(figure, axes, found.inputs[:, [i, j]], values[k], log=k in (0, 3), whole=k == 2)
            axes.set(xlabel=box.names[i], ylabel=box.names[j])
            axes.set(xlim=(box.lower[i], box.upper[i]), ylim=(box.lower[j], box.upper[j]))
            axes.set(xscale="log" if box.log[i] else "linear", yscale="log" if box.log[j] else "linear")
        for region in found.regions:
            outline(panels[0], region.inputs[:, [i, j]], "tab:red", behind=True)
        _differing(panels[2], found, [i, j])
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, fontsize=9)
    figure.suptitle(f"{found.compared} points, low match above {found.low:g} (hulls)", fontsize=10)
    return figure


def _along(axes: Axes, name: str, x: np.ndarray, y: np.ndarray, log: bool) -> None:
    order = np.argsort(x)
    axes.plot(x[order], y[order], ".-", color="tab:blue", linewidth=0.8, markersize=4)
    axes.set(xlabel=name, yscale="log" if log else "linear")


def _over(figure: Figure, axes: Axes, x: np.ndarray, values: np.ndarray, log: bool, whole: bool) -> None:
    known = np.isfinite(values)
    axes.plot(*x[~known].T, "x", color="tab:gray", markersize=4)
    if not known.any():
        return
    low, high = float(values[known].min()), float(values[known].max())
    norm = LogNorm(low, high if high > low else 10 * low) if log else Normalize(low, high if high > low else low + 1)
    colours: Any = "viridis"
    if whole:
        norm, colours = Normalize(low - 0.5, high + 0.5), colormaps["viridis"].resampled(int(high - low) + 1)
    drawn = axes.scatter(x[known, 0], x[known, 1], c=values[known], s=14, cmap=colours, norm=norm)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.85)
    if whole:
        bar.set_ticks([float(k) for k in range(int(low), int(high) + 1)])


def _differing(axes: Axes, found: TangentMap, pair: list[int]) -> None:
    """Marks where the surrogate moves in more, or fewer, directions than the solver."""
    known = ~np.isnan(found.jacobian_errors)
    for sign, marker in ((1, "+"), (-1, "_")):
        where = known & (np.sign(found.surrogate_rank - found.truth_rank) == sign)
        axes.plot(*found.inputs[where][:, pair].T, marker, color="tab:red", markersize=7)
