"""The speed/accuracy table as rich table, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from ...terminal.output import plain
from .fairness import USEFUL
from .ranking import Ranked
from .table import Table

COLOURS = {"win": "green", "tie": "yellow", "lose": "red", "no use": "red"}
BY_COMPONENT = "L2 error by component, mean / worst, relative to the component's root mean square over the test inputs"
HEADINGS = (
    "", "error, mean", "error, worst", "L2 to PDE, mean", "us alone", "us in batch", "speedup, discrete",
    "speedup, PDE", "training s", "repaid after queries", "discrete", "PDE", "remarks",
)  # fmt: skip


def _microseconds(timing: Any) -> str:
    return f"{1e6 * timing.median:.3g} [{1e6 * timing.low:.3g}, {1e6 * timing.high:.3g}]"


def _speedups(row: Ranked, measure: str) -> str:
    """At equal mean and at equal worst error, in batches; ">" where the solver does not reach the error."""
    if measure not in row.matches:
        return "-"
    found = [row.matches[measure][s]["n"] for s in ("mean", "worst")]
    return " / ".join(f"{'' if m.reached else '>'}{m.speedup:.2g}x" for m in found)


def _queries(n: float) -> str:
    return "never" if not np.isfinite(n) else f"{n:,.0f}"


def _repaid(row: Ranked, measure: str) -> str:
    if measure not in row.matches:
        return "-"
    return _queries(max(statistic["n"].breakeven for statistic in row.matches[measure].values()))


def _cells(row: Ranked) -> list[str]:
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
        _repaid(row, measure),
        row.verdicts["discrete"],
        row.verdicts.get("PDE", "-"),
        row.note,
    ]


def _solver_cells(table: Table) -> Iterator[list[str]]:
    for p in table.curve:
        pde = f"{p.errors.mean['PDE']:.1e}" if "PDE" in p.errors.mean else "-"
        mean, worst = p.errors.mean["discrete"], p.errors.worst["discrete"]
        yield [p.label, f"{mean:.1e}", f"{worst:.1e}", pde, _microseconds(p.one), _microseconds(p.batch)]


def _component_cells(table: Table) -> tuple[tuple[str, ...], list[list[str]]]:
    """(headings, rows) of the errors by component; no rows where there is one component."""
    named = [row for row in table.rows if row.errors.components]
    headings = ("", *(named[0].errors.components if named else ()))
    return headings, [[r.name, *(f"{a:.1e} / {b:.1e}" for a, b in r.errors.components.values())] for r in named]


def title(table: Table) -> str:
    """The problem with its settings, and the size of a batch."""
    settings = ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in table.settings.items())
    return table.problem + f" ({settings})" * bool(settings) + f", batches of {table.batch}"


def caption(table: Table) -> list[str]:
    """What the columns mean."""
    return [
        f"error: relative, {table.norm}, against the discrete truth on this grid; brackets: over the seeds",
        "times: median [smallest, largest] of at least 5 runs, compilation apart; speedups at equal mean / equal worst "
        "error, in batches (> where no solve on this grid is that accurate)",
        "repaid after: queries after which training and snapshots are repaid, at the less favourable error",
        f"win, tie, lose: by the less favourable speedup; no use: no loss, but the worst error is above {USEFUL:g}",
        *table.notes,
        ", ".join(f"{k} {v}" for k, v in table.machine.items()),
    ]


def to_rich(table: Table) -> Group:
    """For the terminal."""
    top = RichTable(title=title(table), title_justify="left")
    for i, heading in enumerate(HEADINGS):
        top.add_column(heading, justify="left" if i == 0 else "right", overflow="fold")
    for row in table.rows:
        cells: list[Any] = _cells(row)
        for i in (-3, -2):
            cells[i] = Text(cells[i], style=COLOURS.get(cells[i], ""))
        top.add_row(*cells)
    solver = RichTable(title="The solver's own curve", title_justify="left")
    for i, heading in enumerate(HEADINGS[:6]):
        solver.add_column(heading, justify="left" if i == 0 else "right", overflow="fold")
    for line in _solver_cells(table):
        solver.add_row(*line)
    components = RichTable(title=BY_COMPONENT, title_justify="left")
    names, lines = _component_cells(table)
    for i, heading in enumerate(names):
        components.add_column(heading, justify="left" if i == 0 else "right", overflow="fold")
    for line in lines:
        components.add_row(*line)
    tables = [top, components, solver] if lines else [top, solver]
    remarks = [*(Text(v) for v in table.verdicts), *(Text(c, style="dim") for c in caption(table))]
    return Group(*tables, *remarks)


def to_markdown(table: Table) -> str:
    """For a README."""

    def grid(headings: tuple[str, ...], rows: list[list[str]]) -> list[str]:
        rule = "|".join(["---", *["---:"] * (len(headings) - 1)])
        return [f"| {' | '.join(headings)} |", f"|{rule}|", *(f"| {' | '.join(r)} |" for r in rows)]

    lines = [f"**{title(table)}**", "", *grid(HEADINGS, [_cells(r) for r in table.rows]), ""]
    names, components = _component_cells(table)
    if components:
        lines += [f"{BY_COMPONENT}:", "", *grid(names, components), ""]
    lines += ["The solver's own curve:", "", *grid(HEADINGS[:6], list(_solver_cells(table))), ""]
    lines += [f"- {v}" for v in table.verdicts] + [""] + [f"- {c}" for c in caption(table)]
    return "\n".join(lines) + "\n"


def to_json(table: Table) -> dict[str, Any]:
    """For programs; numbers that JSON does not have are strings ("inf", "nan")."""
    found: dict[str, Any] = plain(asdict(table))
    return found
