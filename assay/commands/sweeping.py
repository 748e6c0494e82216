"""`assay train --sweep`, `--seeds`: many runs, one table, one picture."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from rich.console import Console

from ..data_run import DataSource
from ..solvers.files import parse_json
from ..solvers.problem import Problem
from ..surrogates.architectures import ARCHITECTURES
from ..sweep import Plan, Sweep, run_sweep
from ..terminal.errors import DONE, UserError, keeps
from ..terminal.output import emit, number, progress_bar, table

SHOWN = 5  # warnings of a sweep; all stand in sweep.json


def asked_sweep(sweep: list[str], seeds: int, surrogate: str) -> Sweep:
    """What ``--sweep KEY=VALUE,VALUE,...`` and ``--seeds`` ask for.

    A value that is a list is written [64,32]; one number stands for as many layers as the architecture has by default.
    """
    axes: dict[str, list[Any]] = {}
    for text in sweep:
        key, equals, values = text.partition("=")
        if not equals or not key.strip() or not values.strip():
            raise UserError(f"--sweep takes KEY=VALUE,VALUE,..., such as --sweep samples=32,64,128, not {text!r}")
        axes[key.strip().replace("-", "_")] = _values(values)
    for key, default in ARCHITECTURES[surrogate].options.items():
        if isinstance(default, tuple | list) and key in axes:
            axes[key] = [v if isinstance(v, list) else [v] * len(default) for v in axes[key]]
    return Sweep(axes, seeds)


def _values(text: str) -> list[Any]:
    try:
        found = parse_json(f"[{text}]")
    except ValueError:
        found = [part.strip() for part in text.split(",")]
    return list(found)


def sweep_verb(
    path: Path,
    owner: Problem,
    settings: dict[str, Any],
    plan: Plan,
    sweep: Sweep,
    command: str,
    as_json: bool,
    source: DataSource | None = None,
    executor: Executor | None = None,
) -> int:
    """Run it, and show a table of all runs with the fitted exponents."""
    with (
        keeps(lambda: f"complete runs are kept in {path}; the same command goes on from there"),
        progress_bar("") as bar,
    ):
        result = run_sweep(
            path,
            owner,
            settings,
            plan,
            sweep,
            command,
            lambda stage, done, total, note: bar(done, total, note, stage),
            source,
            executor,
        )
    rows = result["rows"]

    def people(console: Console) -> None:
        names = list(rows[0]["at"])
        out = table(*names, "parameters", "mean", "p95", "worst found", "training s", "warnings")
        for row in rows:
            at = [str(row["at"][name]) for name in names]
            errors = [number(row["errors"]["mean"]), number(row["errors"]["p95"]), number(row["worst_found"])]
            out.add_row(
                *at, str(row["parameters"]), *errors, f"{row['seconds']:.1f}", str(len(row.get("warnings", [])))
            )
        console.print(out)
        for warning, runs in Counter(line for row in rows for line in row.get("warnings", [])).most_common(SHOWN):
            console.print(f"warning of {runs} of {len(rows)} runs: {warning}")
        for fit in result["fits"]:
            power, half = -fit["exponent"], fit["half_width"]
            console.print(
                f"{fit['label'] + ': ' if fit['label'] else ''}{fit['of']} error ~ {fit['against']}^"
                f"{power:+.2f} (95 % interval {power - half:+.2f} to {power + half:+.2f}, "
                f"{fit['runs']} runs, r^2 {fit['r_squared']:.2f})"
            )
        held = "at rows held out; worst found the largest of these"
        drawn = "at independent draws; worst found by a search of each run"
        console.print(f"(mean and p95 observed {drawn if source is None else held})")
        console.print(f"sweep folder: {path} (sweep.json, sweep.png, runs/)")

    emit(as_json, {"out": str(path), **result}, people)
    return DONE
