"""Many training runs of one surrogate: what more solves, more parameters or other seeds buy, with the worst case beside
the mean.

Every combination of the values swept and of the seeds is a run folder of its own under ``runs/``; complete ones are
read again, interrupted ones go on, so that the same command ends what was begun. Errors fall like a power of what is
swept where they fall at all, error ~ C x^-a: a is fitted to all runs by least squares of the logarithms, with its 95 %
interval by Student's law, as if what the fit leaves were independent and normal.
References: Kaplan et al. 2020 (scaling laws, of means); de Hoop, Huang, Qian, Stuart 2022 (of operator learning).
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from .data_run import DataSource
from .run_folder import RunFolder, own_file, write_json
from .run_training import Plan, run_training
from .solvers.files import parse_json, read_text
from .solvers.identity import first_difference
from .solvers.problem import Problem
from .surrogates.training.options import check_amounts
from .surrogates.training.train import check_options
from .terminal.errors import UserError

BUDGET = 50  # solver calls of the search for the worst error of a run
PLAN = {"samples": "snapshots", "seconds": "seconds", "steps": "steps", "physics_weight": "physics_weight"}
MOST = 1000  # runs
FORMAT = "assay-sweep-1"
LARGEST = 1 << 26


@dataclass(frozen=True)
class Sweep:
    """What is varied: values by name, ``samples``, ``seconds``, ``steps``, ``physics_weight`` or options of the
    architecture; and how many seeds each combination is trained with.
    """

    axes: Mapping[str, Sequence[Any]]
    seeds: int = 1

    def plans(self, base: Plan) -> list[tuple[dict[str, Any], Plan]]:
        """Every combination with the plan of its run.

        Raises:
            UserError: no seeds, an axis without values, or more than ``MOST`` runs.
        """
        if self.seeds < 1 or any(not values for values in self.axes.values()):
            raise UserError("a sweep needs at least one seed, and a value for everything that it varies")
        whole = {"samples", "steps"}
        for name, values in self.axes.items():
            if name in whole and any(type(v) is not int or v < 1 for v in values):
                raise UserError(f"--sweep {name}=... takes whole numbers of at least 1, not {list(values)}")
        combinations = list(itertools.product(*self.axes.values(), range(self.seeds)))
        if len(combinations) > MOST:
            raise UserError(f"{len(combinations)} runs are more than {MOST}: sweep fewer values")
        found = []
        for *values, seed in combinations:
            point = dict(zip(self.axes, values, strict=True))
            own = {PLAN[k]: v for k, v in point.items() if k in PLAN}
            options = {**base.options, **{k: v for k, v in point.items() if k not in PLAN}}
            plan = replace(base, **own, seed=base.seed + seed, options=options)
            found.append(({**point, "seed": plan.seed}, plan))
        return found


def run_sweep(
    path: Path,
    problem: Problem,
    settings: dict[str, Any],
    base: Plan,
    sweep: Sweep,
    command: str,
    progress: Callable[[str, float, float | None, str], None] | None = None,
    source: DataSource | None = None,
    executor: Executor | None = None,
) -> dict[str, Any]:
    """Train all runs, search each for its worst error, fit the exponents; written to ``sweep.json`` and ``sweep.png``.

    Args:
        settings: how the run folders name their problem (``about_problem``).
        source: the rows to learn from and to test with, in the place of solves.
        executor: where the solves run, as in ``sample``.

    Raises:
        UserError: the folder holds something else, or another sweep; more rows than the data has.
        ValueError: a value that makes no sense, before anything is solved.
    """
    plans = sweep.plans(base)
    for _, plan in plans:
        check_options(problem, plan.surrogate, plan.options, plan.physics_weight, plan.snapshots > 0)
        check_amounts(plan.seconds, plan.steps)
    sources = [None if source is None else source.again(plan.snapshots, plan.seed) for _, plan in plans]
    about = {"problem": settings, "training": base.settings(), "sweep": dict(sweep.axes), "seeds": sweep.seeds}
    rows = _begun(path, about)
    for number, (point, plan) in enumerate(plans):
        label = ",".join(f"{key}={_word(value)}" for key, value in point.items())
        if any(row["at"] == _plain(point) for row in rows):
            continue

        def told(stage: str, done: float, total: float | None, note: str, n: int = number, label: str = label) -> None:
            if progress is not None:
                progress(f"{n + 1}/{len(plans)} {label}: {stage}", done, total, note)

        run = path / "runs" / label
        made = _one(run, problem, settings, plan, command, told, sources[number], executor)
        rows.append({"at": _plain(point), **made})
        write_json(own_file(path, "sweep.json"), {"format": FORMAT, "about": _plain(about), "rows": rows})
    result = {"format": FORMAT, "about": _plain(about), "rows": rows, "fits": fits(rows)}
    write_json(own_file(path, "sweep.json"), result)
    from .drawing.learning import plot_sweep

    axes = [axis for axis in ("samples", "parameters") if len(places(rows, axis)) > 1]
    panels = {x: [(_label(at), places(among, x)) for at, among in series(rows, x)] for x in axes}
    plot_sweep(panels or {"run": [("", [[row] for row in rows])]}, path / "sweep.png")
    return result


def _begun(path: Path, about: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of this very sweep that are there already."""
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is a file: choose another --out")
    path.mkdir(parents=True, exist_ok=True)
    file = own_file(path, "sweep.json")
    if not file.exists():
        if any(entry.name != "runs" for entry in path.iterdir()):
            raise UserError(f"{path} is not empty and holds no sweep: choose another --out")
        return []
    try:
        found = parse_json(read_text(file, LARGEST), nan=True)
        there, rows = found["about"], list(found["rows"])
        if found["format"] != FORMAT or not all(_is_row(row) for row in rows):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{file} is damaged, or no sweep of this version: choose another --out") from None
    difference = first_difference(there, _plain(about))
    if difference is not None:
        raise UserError(f"{path} holds another sweep: {difference}. Choose another --out, or the same settings")
    return rows


def _is_row(row: Any) -> bool:
    """Whether a row of a file is one that this module writes, as far as it is read again."""
    numbers = [row["worst_found"], row["seconds"], row["samples"], row["parameters"], *row["errors"].values()]
    named = isinstance(row["at"], dict) and {"mean", "p95"} <= set(row["errors"])
    return named and all(isinstance(x, int | float) and not isinstance(x, bool) for x in numbers)


def _one(
    path: Path,
    problem: Problem,
    settings: dict[str, Any],
    plan: Plan,
    command: str,
    progress: Callable[..., None],
    source: DataSource | None,
    executor: Executor | None,
) -> dict[str, Any]:
    """One run, made or read, and the largest error that a search finds of it; of data that of the rows held out."""
    from .verify.falsify import falsify

    asked = {"problem": settings, "training": plan.settings()}
    if _is_complete(path):
        folder = RunFolder.open(path)
        difference = first_difference(folder.settings, _plain(asked))
        if difference is not None:
            raise UserError(f"{path} holds another run: {difference}. Choose another --out")
        results = folder.facts["results"]
    else:
        folder = RunFolder.start(path, asked, command)
        results = run_training(folder, problem, plan, progress, source, executor)
        folder.complete(results)
    model = folder.surrogate(problem)
    progress("searching", 0.0, None, "")
    tests = source.held if source is not None and len(source.held) else None
    found = falsify(problem, model, 1e-2, BUDGET, seed=plan.seed, draws=0, tests=tests, shrink=0, executor=executor)
    kept = ("errors", "parameters", "seconds", "solver_calls")
    training = results["training"]
    return {
        **{key: results[key] for key in kept},
        "samples": plan.snapshots,
        "worst_found": float(found.worst),
        "search_calls": found.solver_calls,
        "stopped": training.get("stopped", ""),
        "warnings": training.get("warnings", []),
    }


def _is_complete(path: Path) -> bool:
    try:
        RunFolder.open(path)
    except UserError:
        return False
    return True


def series(rows: Sequence[Mapping[str, Any]], x: str) -> list[tuple[dict[str, Any], list[Mapping[str, Any]]]]:
    """The rows that differ in x, "samples" or "parameters", and their seeds alone, and what they share of what was
    swept: a power of samples is one for a given network, and one of parameters for given samples.
    """
    found: dict[str, tuple[dict[str, Any], list[Mapping[str, Any]]]] = {}
    for row in rows:
        at = {key: value for key, value in row.get("at", {}).items() if key not in ("seed", x)}
        if x == "parameters":
            at = {key: value for key, value in at.items() if key in PLAN}
        found.setdefault(json.dumps(at), (at, []))[1].append(row)
    return list(found.values())


def places(rows: Sequence[Mapping[str, Any]], x: str) -> list[list[Mapping[str, Any]]]:
    """The rows by what was asked of x: seeds together, whose parameters may differ by a mode or two."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        at = row.get("at", {x: row[x]})
        asked = row[x] if x == "samples" else {key: value for key, value in at.items() if key not in (*PLAN, "seed")}
        found.setdefault(json.dumps(asked), []).append(row)
    return list(found.values())


def fits(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Exponents a of error ~ C x^-a, x the samples or the parameters, with their 95 % intervals; for mean and worst
    found, of every series in which three values of x or more were tried.
    """
    found = []
    for x in ("samples", "parameters"):
        for at, among in series(rows, x):
            for which in ("mean", "worst found"):
                fit = _fit(among, x, which)
                if fit is not None:
                    found.append({"of": which, "against": x, "at": at, "label": _label(at), **fit})
    return found


def _fit(rows: Sequence[Mapping[str, Any]], x: str, which: str) -> dict[str, Any] | None:
    if len(places(rows, x)) < 3:
        return None
    pairs = np.array([(row[x], _error(row, which)) for row in rows], dtype=np.float64)
    pairs = pairs[np.isfinite(pairs).all(axis=1) & (pairs > 0).all(axis=1)]
    if len(pairs) < 3 or len(np.unique(pairs[:, 0])) < 3:
        return None
    line = stats.linregress(np.log(pairs[:, 0]), np.log(pairs[:, 1]))
    half = float(stats.t.ppf(0.975, len(pairs) - 2) * line.stderr)
    fit = {"exponent": -float(line.slope), "half_width": half, "runs": len(pairs)}
    return {**fit, "constant": float(np.exp(line.intercept)), "r_squared": float(line.rvalue**2)}


def _label(at: Mapping[str, Any]) -> str:
    """Of a series."""
    return ", ".join(f"{key} {_word(value)}" for key, value in at.items())


def _error(row: Mapping[str, Any], which: str) -> float:
    value = row["errors"]["mean"] if which == "mean" else row["worst_found"]
    return float(value)


def _word(value: Any) -> str:
    """A value as part of a folder's name."""
    text = "x".join(str(v) for v in value) if isinstance(value, list | tuple) else str(value)
    return re.sub(r"[^A-Za-z0-9.+_-]", "_", text)


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(value))
