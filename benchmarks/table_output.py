"""The speed/accuracy table as rich table, Markdown, JSON and picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

if TYPE_CHECKING:
    from .table import Row, Table

COLOURS = {"win": "green", "tie": "yellow", "lose": "red"}
HEADINGS = (
    "", "error, mean", "error, worst", "L2 to PDE, mean", "us alone", "us in batch", "speedup, discrete",
    "speedup, PDE", "training s", "repaid after queries", "discrete", "PDE", "remarks",
)  # fmt: skip


def _microseconds(timing: Any) -> str:
    return f"{1e6 * timing.median:.3g} [{1e6 * timing.low:.3g}, {1e6 * timing.high:.3g}]"


def _speedups(row: Row, measure: str) -> str:
    """At equal mean and at equal worst error, in batches; ">" where the solver does not reach the error."""
    if measure not in row.matches:
        return "-"
    found = [row.matches[measure][s]["n"] for s in ("mean", "worst")]
    return " / ".join(f"{'' if m.reached else '>'}{m.speedup:.2g}x" for m in found)


def _queries(n: float) -> str:
    return "never" if not np.isfinite(n) else f"{n:,.0f}"


def _cells(row: Row) -> list[str]:
    low, high = row.spread
    spread = f" [{low:.1e}, {high:.1e}]" if row.seeds > 1 else ""
    measure = "PDE" if "PDE" in row.matches else "discrete"
    return [
        row.name,
        f"{row.errors.mean['discrete']:.1e}{spread}",
        f"{row.errors.worst['discrete']:.1e}",
        f"{row.errors.mean['PDE']:.1e}" if "PDE" in row.errors.mean else "-",
        _microseconds(row.one),
        _microseconds(row.batch),
        _speedups(row, "discrete"),
        _speedups(row, "PDE"),
        f"{row.training:.3g}",
        _queries(max(row.matches[measure][s]["n"].breakeven for s in ("mean", "worst"))),
        row.verdicts["discrete"],
        row.verdicts.get("PDE", "-"),
        row.note,
    ]


def _solver_cells(table: Table) -> Iterator[list[str]]:
    for p in table.curve:
        way = f"{p.method}, {p.cells or 'own'} cells" + ("" if p.tolerance is None else f", residual {p.tolerance:g}")
        pde = f"{p.errors.mean['PDE']:.1e}" if "PDE" in p.errors.mean else "-"
        mean, worst = p.errors.mean["discrete"], p.errors.worst["discrete"]
        yield [way, f"{mean:.1e}", f"{worst:.1e}", pde, _microseconds(p.one), _microseconds(p.batch)]


def title(table: Table) -> str:
    settings = ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in table.settings.items())
    return f"{table.problem} ({settings}), batches of {table.batch}"


def caption(table: Table) -> list[str]:
    """What the columns mean."""
    return [
        f"error: relative {table.norm} against the discrete truth on this grid; brackets: least and most of the seeds",
        "times: median [smallest, largest] of at least 5 runs, compilation apart; speedups at equal mean / equal worst "
        "error, in batches (> where no solve on this grid is that accurate)",
        "repaid after: queries after which training and snapshots are repaid, at the less favourable error",
        *table.notes,
        ", ".join(f"{k} {v}" for k, v in table.machine.items()),
    ]


def to_rich(table: Table) -> Group:
    top = RichTable(title=title(table), title_justify="left")
    for i, heading in enumerate(HEADINGS):
        top.add_column(heading, justify="left" if i == 0 else "right")
    for row in table.rows:
        cells: list[Any] = _cells(row)
        for i in (-3, -2):
            cells[i] = Text(cells[i], style=COLOURS.get(cells[i], ""))
        top.add_row(*cells)
    solver = RichTable(title="The solver's own curve", title_justify="left")
    for i, heading in enumerate(HEADINGS[:6]):
        solver.add_column(heading, justify="left" if i == 0 else "right")
    for line in _solver_cells(table):
        solver.add_row(*line)
    return Group(top, solver, *(Text(v) for v in table.verdicts), *(Text(c, style="dim") for c in caption(table)))


def to_markdown(table: Table) -> str:
    def grid(headings: tuple[str, ...], rows: list[list[str]]) -> list[str]:
        rule = "|".join(["---", *["---:"] * (len(headings) - 1)])
        return [f"| {' | '.join(headings)} |", f"|{rule}|", *(f"| {' | '.join(r)} |" for r in rows)]

    lines = [f"**{title(table)}**", "", *grid(HEADINGS, [_cells(r) for r in table.rows]), ""]
    lines += ["The solver's own curve:", "", *grid(HEADINGS[:6], list(_solver_cells(table))), ""]
    lines += [f"- {v}" for v in table.verdicts] + [""] + [f"- {c}" for c in caption(table)]
    return "\n".join(lines) + "\n"


def to_json(table: Table) -> dict[str, Any]:
    return _plain(asdict(table))


def _plain(x: Any) -> Any:
    if isinstance(x, dict):
        return {str(k): _plain(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [_plain(v) for v in x]
    if isinstance(x, np.bool_ | np.integer):
        return x.item()
    if isinstance(x, float):
        return float(x) if np.isfinite(x) else str(float(x))
    return x


def plot(table: Table, path: Any) -> None:
    """Mean error against seconds per query in batches; what lies below and left of the solver's line wins."""
    from matplotlib.figure import Figure

    from ..pictures import save

    measures = [m for m in ("discrete", "PDE") if m in table.curve[0].errors.mean]
    figure = Figure(figsize=(5 * len(measures) + 2, 4.8), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(measures)))
    for axis, measure in zip(panels, measures, strict=True):
        _draw(axis, table, measure)
    figure.legend(*panels[0].get_legend_handles_labels(), fontsize=8, loc="outside right upper")
    figure.suptitle(title(table), fontsize=10)
    save(figure, Path(path))


def _draw(axis: Any, table: Table, measure: str) -> None:
    floor = 1e-12
    points = sorted((1e6 * p.batch.median, max(p.errors.mean[measure], floor)) for p in table.curve)
    envelope = [point for i, point in enumerate(points) if all(point[1] < e for _, e in points[:i])]
    axis.plot(*zip(*envelope, strict=True), "-", color="black", linewidth=1, label="solver, lower envelope")
    grids = list(dict.fromkeys(p.cells for p in table.curve))
    for shade, cells in zip(np.linspace(0.0, 0.7, len(grids)), grids, strict=True):
        mine = [p for p in table.curve if p.cells == cells]
        x, y = [1e6 * p.batch.median for p in mine], [max(p.errors.mean[measure], floor) for p in mine]
        axis.plot(x, y, "o", color=str(shade), markersize=4, label=f"solver, {cells or 'own'} cells")
    markers = {"network": "*", "baseline": "s", "guarded": "D", "given": "^"}
    for i, row in enumerate(table.rows):
        mean, worst, t = max(row.errors.mean[measure], floor), row.errors.worst[measure], 1e6 * row.batch.median
        axis.plot([t, t], [mean, max(worst, mean)], "-", color=f"C{i}", linewidth=1)
        size = 11 if row.kind == "network" else 6
        axis.plot([t], [mean], markers[row.kind], color=f"C{i}", markersize=size, label=row.name)
    axis.set(xscale="log", yscale="log", xlabel=f"microseconds per query, batches of {table.batch}")
    axis.set_ylabel("mean relative error, bars up to the worst found", fontsize=9)
    axis.set_title("energy, against the discrete truth" if measure == "discrete" else "L2, against the PDE", fontsize=9)
    axis.grid(True, which="major", alpha=0.3)
