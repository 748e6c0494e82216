"""Error against time, log-log: the solver's ways and every row; what lies below and left of the solver's line wins."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from .table import Table
from .table_output import title

MARKERS = {"network": "*", "baseline": "s", "guarded": "D", "given": "^"}


def plot(table: Table, path: str | Path) -> None:
    """One panel for each measure of error."""
    from ...drawing.canvas import Figure
    from ...drawing.files import save

    measures = [m for m in ("discrete", "PDE") if m in table.curve[0].errors.mean]
    figure = Figure(figsize=(5 * len(measures) + 2.5, 4.8), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(measures)))
    for axis, measure in zip(panels, measures, strict=True):
        _draw(axis, table, measure)
    figure.legend(*panels[0].get_legend_handles_labels(), fontsize=8, loc="outside right upper")
    figure.suptitle(textwrap.fill(title(table), 45 * len(measures) + 15), fontsize=10)
    save(figure, Path(path))


def _draw(axis: Any, table: Table, measure: str) -> None:
    points = [(1e6 * p.batch.median, p.errors.mean[measure], p.cells) for p in table.curve]
    rows = [(1e6 * r.batch.median, r.errors.mean[measure], r.errors.worst[measure]) for r in table.rows]
    sizes = [e for _, e, _ in points] + [e for row in rows for e in row[1:]]
    floor, top = _whole_decades([e for e in sizes if np.isfinite(e) and e > 0] or [1.0])
    left, right = _whole_decades([t for t, _, _ in points] + [t for t, _, _ in rows])
    axis.set(xscale="log", yscale="log", xlim=(left, right), ylim=(floor, top))

    def height(e: float) -> float:
        """Zero, which no logarithmic axis has, is drawn across the lower edge; what is not finite, across the upper."""
        return float(np.clip(e, floor, top)) if np.isfinite(e) else top

    ordered = sorted((t, e) for t, e, _ in points if np.isfinite(e))
    envelope = [(t, height(e)) for i, (t, e) in enumerate(ordered) if all(e < other for _, other in ordered[:i])]
    if len(envelope) > 1:
        axis.plot(*zip(*envelope, strict=True), "-", color="black", linewidth=1, label="solver, lower envelope")
    grids = list(dict.fromkeys(cells for _, _, cells in points))
    for shade, cells in zip(np.linspace(0.0, 0.7, len(grids)), grids, strict=True):
        mine = [(t, height(e)) for t, e, of in points if of == cells]
        label = f"solver, {'own grid' if cells is None else f'{cells} cells'}"
        axis.plot(*zip(*mine, strict=True), "o", color=str(shade), markersize=4, label=label, clip_on=False)
    for i, (row, (t, mean, worst)) in enumerate(zip(table.rows, rows, strict=True)):
        axis.plot([t, t], [height(mean), height(max(worst, mean))], "-", color=f"C{i % 10}", linewidth=1)
        size = 11 if row.kind == "network" else 6
        axis.plot(
            [t], [height(mean)], MARKERS[row.kind], color=f"C{i % 10}", markersize=size, label=row.name, clip_on=False
        )
    _labels(axis, table, measure, any(e == 0 for e in sizes))


def _labels(axis: Any, table: Table, measure: str, has_zero: bool) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    for one in (axis.xaxis, axis.yaxis):
        one.set_major_locator(LogLocator(numticks=7))
        one.set_minor_formatter(NullFormatter())
    axis.set_xlabel(f"microseconds per query, batches of {table.batch}")
    zero = "; lower edge: error 0" if has_zero else ""
    axis.set_ylabel(f"mean error, bars to the worst found{zero}", fontsize=9)
    what = f"{table.norm}, against the discrete truth" if measure == "discrete" else "L2, against the PDE"
    axis.set_title(textwrap.fill(what, 60), fontsize=9)
    axis.grid(True, which="major", alpha=0.3)


def _whole_decades(values: list[float]) -> tuple[float, float]:
    """Powers of ten around the values, at least a decade apart."""
    low, high = np.floor(np.log10(0.8 * min(values))), np.ceil(np.log10(1.25 * max(values)))
    return 10.0**low, 10.0 ** max(high, low + 1)
