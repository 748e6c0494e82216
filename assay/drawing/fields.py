"""Pictures of fields: one field, or truth, surrogate and error side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..solvers.problem import Problem
from .files import save


class _Layout:
    """How a field of this problem is drawn: over x and y, over x and t, or over x."""

    def __init__(self, problem: Problem) -> None:
        self.times, self.nodes, self.components = problem.shape
        points = np.asarray(problem.coordinates)
        self.own_time = self.times > 1 and len(points) == self.times * self.nodes  # coordinates list (time, place)
        places = points[: self.nodes, 1:] if self.own_time else points
        self.axes = places.shape[1]
        self.places = places
        self.clock = points[:: self.nodes, 0] if self.own_time else np.arange(self.times, dtype=float)

    def values(self, u: np.ndarray) -> Float[np.ndarray, "times nodes"]:
        v = np.asarray(u, dtype=np.float64).reshape(self.times, self.nodes, self.components)
        return v[..., 0] if self.components == 1 else np.linalg.norm(v, axis=-1)

    def note(self) -> str:
        parts = ["magnitude"] if self.components > 1 else []
        if self.times > 1 and self.axes > 1:
            parts.append(f"at t = {self.clock[-1]:.3g}")
        return ", ".join(parts)

    def grid(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """x ticks, y ticks and the node's number at each crossing, where the nodes form a rectangular grid."""
        x, i = np.unique(np.round(self.places[:, 0], 12), return_inverse=True)
        y, j = np.unique(np.round(self.places[:, 1], 12), return_inverse=True)
        if len(x) * len(y) != self.nodes:
            return None
        number = np.full((len(y), len(x)), -1)
        number[j.ravel(), i.ravel()] = np.arange(self.nodes)
        return (x, y, number) if (number >= 0).all() else None


def _draw(axes: Axes, layout: _Layout, values: np.ndarray, colours: dict[str, Any]) -> Any:
    if layout.axes == 1 and layout.times == 1:
        axes.plot(layout.places[:, 0], values[0], color="tab:blue")
        axes.set_xlabel("x")
        return None
    if layout.axes == 1:
        order = np.argsort(layout.places[:, 0])
        drawn = axes.pcolormesh(
            layout.places[order, 0], layout.clock, values[:, order], shading="nearest", rasterized=True, **colours
        )
        axes.set_xlabel("x")
        axes.set_ylabel("t")
        return drawn
    axes.set_aspect("equal")
    axes.set_xlabel("x")
    axes.set_ylabel("y")
    grid = layout.grid()
    if grid is None:
        return axes.tripcolor(
            layout.places[:, 0], layout.places[:, 1], values[-1], shading="gouraud", rasterized=True, **colours
        )
    x, y, number = grid
    return axes.pcolormesh(x, y, values[-1][number], shading="gouraud", rasterized=True, **colours)


def _colours(values: np.ndarray) -> dict[str, Any]:
    low, high = float(values.min()), float(values.max())
    return {"cmap": "viridis", "vmin": low, "vmax": high if high > low else low + 1.0}


def plot_field(problem: Problem, u: Any, path: Path, title: str = "") -> Path:
    """Draw one field [N] of the problem; returns the path.

    Raises:
        OSError: the file cannot be written; it names the path.
    """
    layout = _Layout(problem)
    values = layout.values(u)
    figure = Figure(figsize=(4.6, 4.0), layout="constrained")
    axes = figure.add_subplot()
    drawn = _draw(axes, layout, values, _colours(values[-1:] if layout.axes > 1 else values))
    if drawn is not None:
        figure.colorbar(drawn, ax=axes, shrink=0.85)
    axes.set_title(", ".join(part for part in (title, layout.note()) if part), fontsize=10)
    return save(figure, path)


def plot_triptych(problem: Problem, p: Any, truth: Any, answer: Any, path: Path, title: str = "") -> Path:
    """Draw two fields [N] at the input p [d], truth and surrogate on one scale, and their signed difference on its own.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written; it names the path.
    """
    layout = _Layout(problem)
    true, got = layout.values(truth), layout.values(answer)
    error = got - true
    figure = Figure(figsize=(11.5, 3.8), layout="constrained")
    shown = slice(-1, None) if layout.axes > 1 else slice(None)
    both = _colours(np.concatenate([true[shown], got[shown]]))
    largest = float(np.abs(error[shown]).max()) or 1.0
    signed = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}
    names = ("truth", "surrogate", "surrogate - truth")
    for k, (name, values, colours) in enumerate(zip(names, (true, got, error), (both, both, signed), strict=True)):
        axes = figure.add_subplot(1, 3, k + 1)
        drawn = _draw(axes, layout, values, colours)
        if drawn is not None:
            figure.colorbar(drawn, ax=axes, shrink=0.85)
        axes.set_title(name, fontsize=10)
    at = ", ".join(f"{n}={x:.3g}" for n, x in zip(problem.inputs.names, np.asarray(p), strict=True))
    lines = [part for part in (title, layout.note(), f"{problem.name} at {at}") if part]
    figure.suptitle("; ".join(lines), fontsize=10)
    return save(figure, path)
