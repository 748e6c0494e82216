"""A picture of where failures lie: inputs that failed and that passed, with the hull of each region."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.spatial import ConvexHull, QhullError

from ..solvers.problem import Problem
from ..verify.falsification import Falsification
from .files import save


def plot_regions(problem: Problem, result: Falsification, path: Path) -> Path:
    """Draw the inputs that a search compared, in the two inputs that tell most of what failed; returns the path.

    Raises:
        OSError: the file cannot be written; it names the path.
    """
    box = problem.inputs
    figure = Figure(figsize=(5.2, 4.4), layout="constrained")
    axes = figure.add_subplot()
    failing = [region.inputs for region in result.regions]
    passing = np.array([p for p, e in zip(result.asked, result.errors, strict=True) if e <= result.tolerance])
    if box.dimension == 1:
        known = np.isfinite(result.errors)
        axes.plot(result.asked[known, 0], result.errors[known], ".", color="tab:gray")
        for k, region in enumerate(result.regions):
            axes.axvspan(region.lower[0], region.upper[0], color=f"C{k % 10}", alpha=0.25)
        axes.axhline(result.tolerance, color="black", linewidth=0.8, label="tolerance")
        axes.set(xlabel=box.names[0], ylabel="error")
    else:
        i, j = telling(box.to_unit(np.concatenate(failing)) if failing else np.full((1, box.dimension), 0.5))
        if len(passing):
            axes.plot(passing[:, i], passing[:, j], ".", color="tab:gray", markersize=4, label="passed")
        for k, inputs in enumerate(failing):
            axes.plot(inputs[:, i], inputs[:, j], "x", color=f"C{k % 10}", label=f"region {k + 1}" if k < 8 else None)
            outline(axes, inputs[:, [i, j]], f"C{k % 10}")
        axes.set(xlabel=box.names[i], ylabel=box.names[j])
        axes.set(xlim=(box.lower[i], box.upper[i]), ylim=(box.lower[j], box.upper[j]))
        axes.set(xscale="log" if box.log[i] else "linear", yscale="log" if box.log[j] else "linear")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    axes.set_title(f"{problem.name}: {result.words}", fontsize=8, wrap=True)
    return save(figure, path)


def telling(X: np.ndarray) -> tuple[int, int]:
    """The two inputs in which what failed lies furthest from the middle, or closest together."""
    away = np.abs(X.mean(axis=0) - 0.5) - X.std(axis=0)
    first, second = np.argsort(-away, kind="stable")[:2]
    return int(min(first, second)), int(max(first, second))


def outline(axes: Axes, points: np.ndarray, colour: str, behind: bool = False) -> None:
    """Draw the convex hull of points [m, 2]; nothing where they lie on a line."""
    if len(points) < 3:
        return
    try:
        corners = points[ConvexHull(points).vertices]
    except QhullError:  # on a line
        return
    axes.fill(corners[:, 0], corners[:, 1], facecolor=colour, edgecolor=colour, alpha=0.2, zorder=0 if behind else None)
