"""A measured row beside the solver's curve: times at equal error, verdicts, and the sentences that say them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from .fairness import MEASURES, USEFUL, SolverPoint, breakeven, is_curve, matched_time, verdict
from .rows import Row

STATISTICS = ("mean", "worst")


@dataclass(frozen=True)
class Match:
    """The solver's seconds per query at this row's error, and what follows."""

    solver: float
    reached: bool  # whether the solver's curve reaches that error at all
    speedup: float
    breakeven: float


Matches = dict[str, dict[str, dict[str, Match]]]


@dataclass(frozen=True)
class Ranked(Row):
    """A row beside the solver. ``matches[measure][statistic][batch]``, statistic "mean" or "worst", batch "1" or "n";
    a measure in which the solver has no curve has verdict "not comparable" and no matches.
    """

    matches: Matches = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)  # on the least favourable of mean and worst, in batches


def rank(row: Row, curve: list[SolverPoint]) -> Ranked:
    """The row beside the solver at the same error: every measure in which the solver has a curve."""
    matches: Matches = {}
    for measure in (m for m in MEASURES if m in row.errors.mean):
        if not all(is_curve([getattr(p.errors, s)[measure] for p in curve]) for s in STATISTICS):
            continue
        matches[measure] = {}
        for statistic in STATISTICS:
            error = getattr(row.errors, statistic)[measure]
            cells = {}
            for size, mine in (("1", row.one), ("n", row.batch)):
                points = [
                    (getattr(p.errors, statistic)[measure], (p.one if size == "1" else p.batch).median) for p in curve
                ]
                solver, reached = matched_time(points, error)
                cells[size] = Match(solver, reached, solver / mine.median, breakeven(row.training, solver, mine.median))
            matches[measure][statistic] = cells
    words = {
        m: verdict([by["n"].speedup for by in matches[m].values()], row.errors.worst["discrete"])
        if m in matches
        else "not comparable"
        for m in row.errors.mean
    }
    return Ranked(**{f.name: getattr(row, f.name) for f in dataclasses.fields(row)}, matches=matches, verdicts=words)


def sentences(rows: list[Ranked]) -> list[str]:
    """One per row and measure against the solver, and one per baseline that beats a network."""
    said = []
    for row in rows:
        for measure, word in row.verdicts.items():
            if measure not in row.matches:
                said.append(f"{row.name}: {word} ({measure})")
                continue
            mean, worst = (row.matches[measure][s]["n"].speedup for s in STATISTICS)
            why = f"worst error {row.errors.worst['discrete']:.2g}, above {USEFUL:g}; " if word == "no use" else ""
            said.append(
                f"{row.name}: {word} ({measure}; {why}{mean:.3g}x at equal mean error, {worst:.3g}x at equal worst)"
            )
    for network in (r for r in rows if r.kind == "network"):
        for baseline in (r for r in rows if r.kind == "baseline"):
            if (
                baseline.errors.worst["discrete"] <= network.errors.worst["discrete"]
                and baseline.batch.median <= network.batch.median * 1.1
            ):
                said.append(
                    f"{baseline.name} beats {network.name}: worst error {baseline.errors.worst['discrete']:.1e} to "
                    f"{network.errors.worst['discrete']:.1e}, {1e6 * baseline.batch.median:.3g} to "
                    f"{1e6 * network.batch.median:.3g} us a query in batches"
                )
    return said
