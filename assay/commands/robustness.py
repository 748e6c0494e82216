"""`assay shifts` and `assay precision`: errors where the question changes, and where the arithmetic does."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from ..results import save_report
from ..solvers.tolerance import measured_in
from ..targets import Target, find_surrogate
from ..terminal.errors import DONE, UserError, keeps
from ..terminal.output import emit, number, progress_bar, table
from ..terminal.settings import Absolute, Config, Json, ProblemOption, Seed, Set, Tolerance, pairs
from ..terminal.workers import Dask, Workers, pool
from ..verify.precision.precision import precision as changed_answers
from ..verify.search.counterexample import Counterexample
from ..verify.search.records import kept_records
from ..verify.shifts.shifts import KINDS
from ..verify.shifts.shifts import shifts as shifted_errors
from .check import RunWord

AGAIN = "nothing was kept; the same command starts again"


def shifts(
    run: RunWord,
    n: Annotated[int, typer.Option("--n", min=1, help="Solves of each shift.")] = 64,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", metavar="NAME", help=f"Only these: {', '.join(KINDS)}; repeated.")
    ] = None,
    widen: Annotated[float, typer.Option(help="Ranges so many times as wide, of which the added part is drawn.")] = 1.5,
    rough: Annotated[float, typer.Option(help="So many times as many modes.")] = 2.0,
    only: Annotated[
        list[str] | None, typer.Option("--input", metavar="NAME", help="Widen only this input alone; repeated.")
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--change", metavar="KEY=VALUE", help="A setting that the surrogate is not told; repeated."),
    ] = None,
    seed: Seed = 0,
    workers: Workers = None,
    dask: Dask = None,
    problem: ProblemOption = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """Errors where the question is not what was learnt, a row for each change by its name, beside the unshifted one."""
    settings = [{key: value} for key, value in pairs(change or [], "--change").items()]
    target = find_surrogate(run, problem, pairs(set_ or [], "--set"))
    owner = target.problem
    for changed in settings:
        key = next(iter(changed))
        if key not in owner.settings:
            raise UserError(f"--change: {owner.name} has no setting {key!r}: {', '.join(owner.settings) or 'none'}")
    with keeps(lambda: AGAIN), pool(workers, dask, owner) as executor, progress_bar("solving") as bar:

        def progress(name: str, done: int, total: int) -> None:
            bar(done, total, "", name)

        found = shifted_errors(
            owner, target.surrogate, n=n, seed=seed, kinds=tuple(kind or KINDS), widen=widen, rough=rough,
            inputs=only, settings=settings, executor=executor, progress=progress,
        )  # fmt: skip
    names = owner.inputs.names
    payload: dict[str, Any] = {
        "surrogate": target.label,
        "problem": owner.name,
        "rows": [
            {
                "shift": row.name,
                "what": row.what,
                "n": len(row.errors),
                "solved": len(row.known),
                "mean": row.mean,
                "p95": row.p95,
                "worst": row.worst,
                "worst_inputs": dict(zip(names, row.worst_inputs.tolist(), strict=True)),
                "notes": list(row.notes),
            }
            for row in found.rows
        ],
        "refused": [{"shift": each.name, "why": each.why} for each in found.refused],
        "solver_calls": found.solver_calls,
        "measured": measured_in(owner.norm_name, owner.zero_scale),
        "notes": list(found.notes),
        "settings": {"n": n, "widen": widen, "rough": rough, "seed": seed, "kinds": list(kind or KINDS)},
    }
    save_report(target, "shifts", payload)

    def people(console: Console) -> None:
        shown = table("shift", "mean", "p95", "worst", "solved of", "what")
        shown.columns[-1].justify = "left"
        for row in found.rows:
            errors = [number(row.mean), number(row.p95), number(row.worst)]
            shown.add_row(row.name, *errors, f"{len(row.known)} of {len(row.errors)}", row.what)
        console.print(shown)
        console.print(f"(errors are {payload['measured']}; {found.solver_calls} solves)")
        for each in found.refused:
            console.print(f"not shifted: {each.name}: {each.why}")
        for row in found.rows:
            for note in row.notes:
                console.print(f"note: {row.name}: {note}")
        for note in found.notes:
            console.print(f"note: {note}")

    emit(as_json, payload, people)
    return DONE


def precision(
    run: RunWord,
    tolerance: Tolerance = 1e-2,
    absolute: Absolute = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Draws, beside corners and the failures on record.")] = 256,
    seed: Seed = 0,
    problem: ProblemOption = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """How far answers move in float32, float16 and bfloat16, by other roundings and orders of sums. Nothing is solved.

    Found by a search, never proved; it adds to the surrogate's own error.
    """
    target = find_surrogate(run, problem, pairs(set_ or [], "--set"))
    owner = target.problem
    with keeps(lambda: AGAIN), progress_bar("") as bar:

        def progress(stage: str, done: int, total: int) -> None:
            bar(done, total, "", stage)

        found = changed_answers(
            owner, target.surrogate, tolerance, n=n, seed=seed, inputs=_on_record(target), absolute=absolute,
            progress=progress,
        )  # fmt: skip
    names = owner.inputs.names
    payload: dict[str, Any] = {
        "surrogate": target.label,
        "problem": owner.name,
        "keeps": list(found.keeps),
        "changes": [
            {
                "format": change.format,
                "way": change.way,
                "mean": change.mean,
                "worst": change.worst,
                "worst_inputs": dict(zip(names, change.worst_inputs.tolist(), strict=True)),
                "keeps": change.keeps,
            }
            for change in found.changes
        ],
        "tolerance": found.tolerance,
        "inputs": found.inputs,
        "measured": measured_in(owner.norm_name, owner.zero_scale),
        "notes": list(found.notes),
    }
    save_report(target, "precision", payload)

    def people(console: Console) -> None:
        shown = table("format", "mean change", "worst found", "how")
        for change in found.changes:
            shown.add_row(change.format, number(change.mean), number(change.worst), change.way)
        console.print(shown)
        console.print(f"no change beyond {found.tolerance:g} was found in: {', '.join(found.keeps) or 'none of them'}")
        console.print(
            f"(changes of the answer in float64, {payload['measured']}, at {found.inputs} inputs and by a climb from "
            "the worst; they add to the surrogate's own error; nothing is proved)"
        )
        for note in found.notes:
            console.print(f"note: {note}")

    emit(as_json, payload, people)
    return DONE


def _on_record(target: Target) -> np.ndarray | None:
    """Inputs of the failures that a run has on record."""
    if target.folder is None:
        return None
    file = target.folder.file("counterexamples.jsonl")
    records = [c.inputs for c in kept_records(file) if isinstance(c, Counterexample)] if file.exists() else []
    return np.stack(records) if records else None
