"""Where a surrogate fails: errors along each input, and failing inputs in each pair of them, as a search compared them.

Of many inputs those are shown that tell most of what failed.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.lines import Line2D

from ..solvers.box import Box
from ..verify.falsification import Falsification
from .canvas import Figure

SHOWN = 4  # inputs
PASSED, FAILED = "#56b4e9", "#d55e00"  # told apart by all kinds of colour vision
SMALLEST = 1e-16  # an error that a logarithmic scale can show


@dataclass(frozen=True)
class Searched:
    """What a search compared: ``errors`` of ``inputs``; where the truth failed; hulls of regions."""

    box: Box
    inputs: Float[np.ndarray, "n d"]
    errors: Float[np.ndarray, " n"]
    tolerance: float
    unsolved: Float[np.ndarray, "m d"]
    hulls: list[Float[np.ndarray, "k d"]] = field(default_factory=list)
    title: str = ""

    @staticmethod
    def of(result: Falsification, box: Box) -> Searched:
        d = box.dimension
        unsolved = np.array([one.inputs for one in result.unsolved]).reshape(-1, d)
        title = f"{result.verdict} at tolerance {result.tolerance:g}: {result.words}"
        hulls = [region.inputs for region in result.regions]
        return Searched(box, result.asked.reshape(-1, d), result.errors, result.tolerance, unsolved, hulls, title)

    @property
    def failing(self) -> np.ndarray:
        """Which are beyond the tolerance; an error that is no number is."""
        return ~(self.errors <= self.tolerance)

    @property
    def heights(self) -> np.ndarray:
        """Errors as a logarithmic axis can show them: what is infinite or no number at the upper edge."""
        known = self.errors[np.isfinite(self.errors)]
        top = 3 * max([float(known.max()) if len(known) else 0.0, self.tolerance])
        return np.where(np.isfinite(self.errors), np.maximum(self.errors, SMALLEST), top)


def failures_figure(found: Searched) -> Figure:
    """One panel for one input; for more of them a triangle, errors along each input on its diagonal."""
    chosen = telling_inputs(found)
    d = len(chosen)
    figure = Figure(figsize=(5.6, 4.0) if d == 1 else (2.5 * d + 1.6, 2.3 * d + 1.0), layout="constrained")
    panels = figure.subplots(d, d, squeeze=False)
    norm = LogNorm(found.tolerance / 30, found.tolerance * 30)
    for a, i in enumerate(chosen):
        for b, j in enumerate(chosen):
            axes = panels[a, b]
            if b > a:
                axes.axis("off")
                continue
            _along(axes, found, i) if a == b else _pair(axes, found, j, i, norm)
            axes.tick_params(labelsize=7)
            _scale(axes, "x", found.box, j)
            if a < d - 1:
                axes.set_xlabel("")
    if d > 1:
        bar = figure.colorbar(
            ScalarMappable(norm, "coolwarm"), ax=list(panels.ravel()), extend="both", aspect=40, pad=0.02
        )
        bar.set_label("error", fontsize=8)
        bar.ax.axhline(found.tolerance, color="black", lw=1.2)
        bar.ax.tick_params(labelsize=7)
    figure.legend(handles=_handles(found), loc="outside lower center", ncols=4, fontsize=7, frameon=False)
    left = found.box.dimension - d
    more = f" ({left} more inputs are not shown)" if left else ""
    figure.suptitle(textwrap.fill(found.title + more, 26 * d + 36), fontsize=9)
    return figure


def telling_inputs(found: Searched) -> list[int]:
    """Those that are shown."""
    failing = found.inputs[found.failing]
    if not len(failing):
        failing = found.box.centre[None]
    return telling(found.box.to_unit(failing), SHOWN)


def telling(X: Float[np.ndarray, "n d"], count: int = 2) -> list[int]:
    """The inputs in which these points lie furthest from the middle, or closest together, in their own order."""
    away = np.abs(X.mean(axis=0) - 0.5) - X.std(axis=0)
    return sorted(np.argsort(-away, kind="stable")[:count].tolist())


def _along(axes: Axes, found: Searched, i: int) -> None:
    for which, colour, mark in ((~found.failing, PASSED, "o"), (found.failing, FAILED, "X")):
        axes.plot(found.inputs[which, i], found.heights[which], mark, color=colour, markersize=3.5, alpha=0.8, mew=0)
    for p in found.unsolved:
        axes.axvline(p[i], color="black", linewidth=0.6, linestyle=":")
    axes.axhline(found.tolerance, color="black", linewidth=0.9)
    axes.set(yscale="log", ylabel="error")


def _pair(axes: Axes, found: Searched, i: int, j: int, norm: LogNorm) -> None:
    order = np.argsort(found.heights, kind="stable")  # the worst on top
    for which, mark, size in ((~found.failing, "o", 12), (found.failing, "X", 30)):
        rows = [k for k in order if which[k]]
        shown: Any = found.heights[rows]
        axes.scatter(
            found.inputs[rows, i], found.inputs[rows, j], c=shown, s=size, marker=mark, norm=norm, cmap="coolwarm",
            edgecolors="black", linewidths=0.25, zorder=2,
        )  # fmt: skip
    for inputs in found.hulls:
        outline(axes, inputs[:, [i, j]], FAILED, behind=True)
    axes.plot(found.unsolved[:, i], found.unsolved[:, j], "s", color="black", markersize=4, mfc="none")
    if found.failing.any():
        worst = int(np.argmax(found.heights))
        axes.plot(
            found.inputs[worst, i], found.inputs[worst, j], "*", ms=11, mfc="#f0e442", mec="black", mew=0.7, zorder=3
        )
    _scale(axes, "y", found.box, j)


def _scale(axes: Axes, which: str, box: Box, i: int) -> None:
    low, high = float(box.lower[i]), float(box.upper[i])
    unit = f" [{box.units[i]}]" if box.units[i] else ""
    axes.set(**{f"{which}scale": "log" if box.log[i] else "linear", f"{which}label": box.names[i] + unit})
    margin = 0.03
    if box.log[i]:
        factor = (high / low) ** margin
        axes.set(**{f"{which}lim": (low / factor, high * factor)})
    else:
        axes.set(**{f"{which}lim": (low - margin * (high - low), high + margin * (high - low))})


def _handles(found: Searched) -> list[Line2D]:
    failing, several = found.failing, found.box.dimension > 1
    marks = [(~failing).any() and ("o", PASSED, "within the tolerance"), failing.any() and ("X", FAILED, "beyond it")]
    handles = [Line2D([], [], linestyle="", marker=m[0], color=m[1], markersize=5, label=m[2]) for m in marks if m]
    if several and failing.any():
        handles.append(
            Line2D([], [], linestyle="", marker="*", mfc="#f0e442", mec="black", ms=9, label="the worst found")
        )
    if len(found.unsolved):
        handles.append(Line2D([], [], color="black", linestyle=":", label="the truth fails"))
    return [*handles, Line2D([], [], color="black", linewidth=0.9, label="tolerance")]


def outline(axes: Axes, points: np.ndarray, colour: str, behind: bool = False) -> None:
    """Draw the convex hull of points [m, 2]; nothing where they lie on a line."""
    from scipy.spatial import ConvexHull, QhullError

    if len(points) < 3:
        return
    try:
        corners = points[ConvexHull(points).vertices]
    except QhullError:  # on a line
        return
    axes.fill(corners[:, 0], corners[:, 1], facecolor=colour, edgecolor=colour, alpha=0.2, zorder=0 if behind else None)
