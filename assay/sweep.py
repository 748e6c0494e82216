"""Many training runs of one surrogate: what more solves, more parameters or other seeds buy, with the worst case beside
the mean.

Every combination of the values swept and of the seeds is a run folder of its own under ``runs/``; complete ones are
read again, interrupted ones go on, so that the same command ends what was begun. How errors fall with what is swept is
fitted to all runs (``scaling_laws.py``).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .data_run import DataSource
from .run_folder import RunFolder, own_file, write_json
from .run_training import Plan, run_training
from .scaling_laws import OF_ALL, fits, label, places, series, word
from .solvers.files import parse_json, read_text
from .solvers.identity import first_difference
from .solvers.problem import Problem
from .surrogates.training.options import check_amounts
from .surrogates.training.train import check_options
from .terminal.errors import UserError

BUDGET = 50  # solver calls of the search for the worst error of a run
PLAN = {name: "snapshots" if name == "samples" else name for name in OF_ALL}
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
        name = ",".join(f"{key}={word(value)}" for key, value in point.items())
        if any(row["at"] == _plain(point) for row in rows):
            continue

        def told(stage: str, done: float, total: float | None, note: str, n: int = number, name: str = name) -> None:
            if progress is not None:
                progress(f"{n + 1}/{len(plans)} {name}: {stage}", done, total, note)

        run = path / "runs" / name
        made = _one(run, problem, settings, plan, command, told, sources[number], executor)
        rows.append({"at": _plain(point), **made})
        write_json(own_file(path, "sweep.json"), {"format": FORMAT, "about": _plain(about), "rows": rows})
    result = {"format": FORMAT, "about": _plain(about), "rows": rows, "fits": fits(rows)}
    write_json(own_file(path, "sweep.json"), result)
    from .drawing.learning import plot_sweep

    axes = [axis for axis in ("samples", "parameters") if len(places(rows, axis)) > 1]
    panels = {x: [(label(at), places(among, x)) for at, among in series(rows, x)] for x in axes}
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
    told = row.get("warnings", [])
    worded = isinstance(told, list) and all(isinstance(line, str) for line in told)
    return named and worded and all(isinstance(x, int | float) and not isinstance(x, bool) for x in numbers)


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


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(value))
