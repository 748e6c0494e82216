"""`assay tangent`: whether the surrogate moves as the solver does, where it is moved a little."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from ..drawing.files import check_path
from ..results import save_report
from ..solvers.box import MANY
from ..solvers.snapshots.sample import load_snapshots
from ..solvers.tolerance import measured_in
from ..targets import find_surrogate
from ..terminal.errors import DONE, UNDECIDED, keeps
from ..terminal.output import check_new, emit, number, progress_bar, write_arrays
from ..terminal.settings import Config, Json, ProblemOption, Seed, Set, pairs
from ..terminal.workers import Dask, Workers, pool
from ..verify.evidence import Evidence
from ..verify.tangent.tangent_map import LOW, TangentMap, tangent_map
from .check import RunWord


def tangent(
    run: RunWord,
    n: Annotated[int, typer.Option("--n", min=1, help="Points: independent draws from the sampling law.")] = 64,
    low: Annotated[float, typer.Option(help="Relative Jacobian errors above are a low match.")] = LOW,
    seed: Seed = 0,
    workers: Workers = None,
    dask: Dask = None,
    problem: ProblemOption = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.npz", help="Every number at every point.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="A picture of the map.")] = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """Compare the surrogate's input Jacobian with the solver's tangent over the box. Exit code 3: nowhere possible.

    Observed at the points asked for, never a proof.
    """
    target = find_surrogate(run, problem, pairs(set_ or [], "--set"))
    owner = target.problem
    check_new(out)
    if plot is not None:
        check_path(plot)
    file = None if target.folder is None else target.folder.file("snapshots.h5")
    snapshots = load_snapshots(file, owner) if file is not None and file.exists() else None
    again = "nothing was kept; the same command starts again"
    with keeps(lambda: again), pool(workers, dask, owner) as executor, progress_bar("") as bar:

        def progress(stage: str, done: int, total: int) -> None:
            bar(done, total, "", stage)

        found = tangent_map(
            owner, target.surrogate, owner.inputs.draw(n, seed), low=low, snapshots=snapshots, executor=executor,
            progress=progress,
        )  # fmt: skip
    payload = {"surrogate": target.label, "problem": owner.name, **_facts(found, owner.inputs.names), "seed": seed}
    payload["measured"] = measured_in(owner.norm_name, owner.zero_scale)
    if out is not None:
        whose = {"problem": np.array(owner.name), "surrogate": np.array(target.label)}
        write_arrays(out, **whose, **_arrays(found))
    payload["out"] = None if out is None else str(out)
    if plot is not None:
        found.plot(plot)
    payload["plot"] = None if plot is None else str(plot)
    save_report(target, "tangent", payload)
    emit(as_json, payload, lambda console: _show(console, found, payload))
    return DONE if found.compared else UNDECIDED


def _arrays(found: TangentMap) -> dict[str, np.ndarray]:
    return {name: value for name, value in vars(found).items() if isinstance(value, np.ndarray)}


def _facts(found: TangentMap, names: tuple[str, ...]) -> dict[str, Any]:
    numbers = {"jacobian_error": found.jacobian_errors, "largest_angle": found.largest_angles, "error": found.errors}
    known = ~np.isnan(found.jacobian_errors)
    worst = int(np.nanargmax(found.jacobian_errors)) if known.any() else None
    return {
        "points": len(found.inputs),
        "compared": found.compared,
        "jacobian_error": _spread(found.jacobian_errors),
        "largest_angle": _spread(found.largest_angles),
        "error": _spread(found.errors),
        "truth_rank": _spread(found.truth_rank[known]),
        "surrogate_rank": _spread(found.surrogate_rank[known]),
        "data_dimension": _spread(found.data_dimension),
        "correlation": found.correlation,
        "worst": None if worst is None else dict(zip(names, found.inputs[worst].tolist(), strict=True)),
        "low": found.low,
        "low_share": float((found.jacobian_errors[known] > found.low).mean()) if known.any() else None,
        "regions": [region.to_json(names) for region in found.regions],
        "truth_by": found.truth_by,
        "surrogate_by": found.surrogate_by,
        "solver_calls": found.solver_calls,
        "evidence": Evidence.OBSERVED if known.any() else Evidence.NONE,
        "map": [
            {
                "inputs": dict(zip(names, p.tolist(), strict=True)),
                **{name: column[i] for name, column in numbers.items()},
                "truth_rank": found.truth_rank[i],
                "surrogate_rank": found.surrogate_rank[i],
                "data_dimension": found.data_dimension[i],
                "reason": found.reasons[i],
            }
            for i, p in enumerate(found.inputs)
        ],
        "notes": list(found.notes),
    }


def _spread(values: np.ndarray) -> dict[str, float] | None:
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    return {"median": float(np.median(known)), "largest": float(known.max())}


def _show(console: Console, found: TangentMap, facts: dict[str, Any]) -> None:
    console.print(
        f"observed at {found.compared} of {len(found.inputs)} points, {found.solver_calls} solver calls; derivatives "
        f"of the solver by {found.truth_by}, of the surrogate by {found.surrogate_by}"
    )
    rows = (
        ("relative Jacobian error", facts["jacobian_error"], 1.0),
        ("largest principal angle, degrees", facts["largest_angle"], 180 / np.pi),
        ("relative error of the field", facts["error"], 1.0),
        ("directions that move the solution", facts["truth_rank"], 1.0),
        ("directions that move the surrogate", facts["surrogate_rank"], 1.0),
        ("dimension of the data", facts["data_dimension"], 1.0),
    )
    for what, spread, unit in rows:
        if spread is not None:
            middle, largest = (number(spread[key] * unit) for key in ("median", "largest"))
            console.print(f"{what}: median {middle}, largest {largest}")
    if np.isfinite(found.correlation):
        console.print(f"rank correlation of Jacobian errors with errors: {number(found.correlation)}")
    if facts["low_share"]:
        console.print(f"low match, above {found.low:g}: {100 * facts['low_share']:.3g} % of the points")
    for region in facts["regions"][:MANY]:
        ends = zip(region["lower"].items(), region["upper"].values(), strict=True)
        where = ", ".join(f"{name} {number(low)} to {number(high)}" for (name, low), high in ends)
        console.print(f"  {region['failing']} points, {region['share']:.2g} of the box ({region['share_of']}): {where}")
    console.print(f"lengths are {facts['measured']}")
    for note in found.notes:
        console.print(f"note: {note}")
