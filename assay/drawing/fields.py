"""Pictures of fields: one field, or truth, surrogate and error side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..solvers.problem import Problem
from .canvas import Figure
from .files import save
from .layout import Layout, panel, scale


def plot_field(problem: Problem, u: Any, path: Path, title: str = "") -> Path:
    """Draw one field [N] of the problem; returns the path.

    Raises:
        OSError: the file cannot be written; it names the path.
    """
    layout = Layout(problem)
    values = layout.magnitude(u)
    figure = Figure(figsize=(4.6, 4.0), layout="constrained")
    axes = figure.add_subplot()
    drawn = panel(axes, layout, values, scale(values[-1:] if layout.axes > 1 else values))
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
    layout = Layout(problem)
    true, got = layout.magnitude(truth), layout.magnitude(answer)
    error = got - true
    figure = Figure(figsize=(11.5, 3.8), layout="constrained")
    shown = slice(-1, None) if layout.axes > 1 else slice(None)
    both = scale(np.concatenate([true[shown], got[shown]]))
    largest = float(np.abs(error[shown]).max()) or 1.0
    signed = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}
    names = ("truth", "surrogate", "surrogate - truth")
    for k, (name, values, colours) in enumerate(zip(names, (true, got, error), (both, both, signed), strict=True)):
        axes = figure.add_subplot(1, 3, k + 1)
        drawn = panel(axes, layout, values, colours)
        if drawn is not None:
            figure.colorbar(drawn, ax=axes, shrink=0.85)
        axes.set_title(name, fontsize=10)
    at = ", ".join(f"{n}={x:.3g}" for n, x in zip(problem.inputs.names, np.asarray(p), strict=True))
    lines = [part for part in (title, layout.note(), f"{problem.name} at {at}") if part]
    figure.suptitle("; ".join(lines), fontsize=10)
    return save(figure, path)
