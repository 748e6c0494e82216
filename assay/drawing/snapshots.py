"""Pictures of solutions: few of them, each at its inputs; of time-dependent fields a row of frames."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from jaxtyping import Float

from ..solvers.box import Box
from ..solvers.problem import Problem
from ..solvers.snapshots.snapshot_file import Snapshots
from .canvas import Figure
from .layout import Layout, Part, arrows, colours, panel

LINES = 8  # of fields over x, in one panel
ALONE, WITH_PARTS, IN_TIME = 4, 3, 2  # fields shown: of one panel each, of several parts, of several times
NAMED = 3  # inputs in a title
WRAPPED = 30  # letters of a line in it


def snapshots_figure(found: Snapshots, problem: Problem | None = None) -> Figure:
    """The first solutions that there are.

    Args:
        problem: where values lie; without it they are drawn by their numbers.

    Raises:
        ValueError: the problem's fields have another size.
    """
    rows = np.flatnonzero(found.valid)
    if problem is not None and problem.size != found.fields.shape[1]:
        raise ValueError(f"{problem.name} has fields of {problem.size} values, these have {found.fields.shape[1]}")
    failed = len(found) - len(rows)
    title = f"{found.problem_name}: " + (f"the first of {len(rows)} solutions" if len(rows) else "no solutions")
    title += f", {failed} solves failed" if failed else ""
    return fields_figure(problem, found.box, found.inputs[rows], found.fields[rows], title)


def fields_figure(
    problem: Problem | None, box: Box, P: Float[np.ndarray, "n d"], U: Float[np.ndarray, "n N"], title: str
) -> Figure:
    """The first of these fields, as many as can be seen."""
    layout = Layout(problem, U.shape[1])
    if not len(U):
        figure = Figure(figsize=(5.0, 1.2))
        figure.text(0.04, 0.5, title, va="center", fontsize=9)
        return figure
    if layout.axes == 1 and layout.times == 1:
        return _lines(layout, box, P[:LINES], U[:LINES], title)
    parts = len(layout.parts(U[0]))
    count = IN_TIME if len(layout.frames) > 1 else WITH_PARTS if parts > 1 else ALONE
    return _panels(layout, box, P[:count], U[:count], title)


def _lines(layout: Layout, box: Box, P: np.ndarray, U: np.ndarray, title: str) -> Figure:
    fields = [layout.parts(u) for u in U]
    order = np.argsort(layout.places[:, 0], kind="stable")
    figure = Figure(figsize=(7.2 if len(fields[0]) == 1 else 10.0, 4.0), layout="constrained")
    for k, part in enumerate(fields[0]):
        axes = figure.add_subplot(1, len(fields[0]), k + 1)
        for p, parts in zip(P, fields, strict=True):
            axes.plot(layout.places[order, 0], parts[k].values[0][order], label=at(box, p), linewidth=1)
        axes.set(xlabel=layout.axis_name, title=part.name)
        axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize=7)
    figure.suptitle(title, fontsize=10)
    return figure


def _panels(layout: Layout, box: Box, P: np.ndarray, U: np.ndarray, title: str) -> Figure:
    fields, frames = [layout.parts(u) for u in U], layout.frames
    parts = len(fields[0])
    in_time = len(frames) > 1
    if in_time:  # a row of frames for each part of each field
        grid = [[(i, k, f) for f in frames] for i in range(len(U)) for k in range(parts)]
    elif parts > 1:
        grid = [[(i, k, -1) for k in range(parts)] for i in range(len(U))]
    else:
        grid = [[(i, 0, -1) for i in range(len(U))]]
    shades = [colours(fields[0][k], [_shown(f[k], frames, layout) for f in fields]) for k in range(parts)]
    width, height = _panel_size(layout)
    figure = Figure(figsize=(width * len(grid[0]) + 1.1, height * len(grid) + 0.5), layout="constrained")
    panels = np.atleast_2d(figure.subplots(len(grid), len(grid[0]), squeeze=False))
    for row, cells in zip(panels, grid, strict=True):
        drawn: Any = None
        for column, (axes, (i, k, frame)) in enumerate(zip(row, cells, strict=True)):
            part = fields[i][k]
            drawn = panel(axes, layout, part.values, shades[k], frame)
            arrows(axes, layout, part, frame)
            again = column > 0 and parts + len(frames) > 2  # the field of the panel on the left
            where = "" if again else textwrap.fill(at(box, P[i]), WRAPPED)
            words = [part.name if parts > 1 and not (in_time and again) else "", where, layout.when(frame)]
            axes.set_title("\n".join(word for word in words if word), fontsize=8)
            axes.tick_params(labelsize=7)
            if column > 0:
                axes.set_ylabel("")
            if parts > 1 and not in_time:
                figure.colorbar(drawn, ax=axes, shrink=0.85)
        if parts == 1 or in_time:
            figure.colorbar(drawn, ax=list(row), shrink=0.85, aspect=15)
    named = [part.name for part in fields[0] if part.name and parts == 1]
    figure.suptitle(", ".join([title, *named]), fontsize=10)
    return figure


def _shown(part: Part, frames: list[int], layout: Layout) -> np.ndarray:
    return part.values if layout.axes == 1 else part.values[frames]


def _panel_size(layout: Layout) -> tuple[float, float]:
    if layout.axes == 1:
        return 2.8, 2.6
    low, high = layout.places[:, :2].min(axis=0), layout.places[:, :2].max(axis=0)
    wide, tall = np.maximum(high - low, 1e-12)
    return 2.4, float(np.clip(2.1 * tall / wide, 0.9, 3.2)) + 0.7


def at(box: Box, p: np.ndarray) -> str:
    """An input in a title."""
    pairs = [f"{name}={x:.3g}" for name, x in zip(box.names[:NAMED], p[:NAMED], strict=True)]
    return ", ".join(pairs) + (", ..." if box.dimension > NAMED else "")
