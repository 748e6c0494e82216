"""`assay conformal`, `assay calibrate` and `assay probability`: what draws say of later inputs, never a proof."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from ..results import save_report
from ..solvers.snapshots.sample import Snapshots, load_snapshots
from ..solvers.snapshots.sample import sample as take_sample
from ..solvers.tolerance import measured_in
from ..targets import Target, find_callable, find_surrogate
from ..terminal.errors import DONE, UNDECIDED, UserError, keeps
from ..terminal.output import check_new, downward, emit, number, progress_bar, upward
from ..terminal.settings import Absolute, Config, Json, ProblemOption, Seed, Set, Tolerance, pairs
from ..terminal.workers import Dask, Workers, flag_of, pool
from ..verify.evidence import Evidence
from ..verify.search.counterexample import Counterexample
from ..verify.search.records import kept_records
from ..verify.statistics.calibrate import calibrate as choose_threshold
from ..verify.statistics.conformal import conformal as error_bars
from ..verify.statistics.failure_probability import METHODS, failure_probability
from .check import RunWord, measured
from .prepare import prepared

AGAIN = "nothing was kept; the same command starts again"
ROWS = 100  # solved where a run holds no solutions that training never saw
Rows = Annotated[
    int | None,
    typer.Option("--n", min=1, help="Solve at this many independent draws; left out, the run's own test rows serve."),
]


def unseen_rows(
    target: Target, n: int | None, seed: int, workers: int | None = None, dask: str | None = None
) -> Snapshots:
    """Solutions that training never saw: those that the run was tested with, or new ones at ``n`` independent draws."""
    file = None if target.folder is None else target.folder.file("test.h5")
    if n is None and file is not None and file.exists():
        if flag := flag_of(workers, dask):
            raise UserError(f"{flag} is about solves, and the run's own test rows serve: leave it out, or say --n")
        return load_snapshots(file, target.problem)
    if not target.problem.has_solver:
        raise UserError(f"{target.label}: no rows were held out of its data, and there is no solver: train with --test")
    with keeps(lambda: AGAIN), pool(workers, dask) as executor, progress_bar("solving") as bar:
        return take_sample(target.problem, n or ROWS, seed, independent=True, executor=executor, progress=bar)


def conformal(
    run: RunWord,
    miscoverage: Annotated[float, typer.Option(help="The share of new errors at most above the bar.")] = 0.1,
    n: Rows = None,
    seed: Seed = 0,
    workers: Workers = None,
    dask: Dask = None,
    problem: ProblemOption = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """An error bar for new inputs, by rows that training never saw, beside the worst error found. Exit code 3: too few.

    Statistical, never a proof, and nothing about the worst case.
    """
    target = find_surrogate(run, problem, pairs(set_ or [], "--set"))
    owner = target.problem
    bars = error_bars(owner, target.surrogate, unseen_rows(target, n, seed, workers, dask), miscoverage)
    found, where = _worst(target, bars.worst)
    payload: dict[str, Any] = {
        "surrogate": target.label,
        "problem": owner.name,
        "miscoverage": bars.miscoverage,
        "level": bars.level,
        "quantile": bars.quantile,
        "band_largest": float(bars.band.max()),
        "band": bars.band,
        "rows": bars.rows,
        "worst_found": found,
        "worst_found_by": where,
        "evidence": Evidence.STATISTICAL if np.isfinite(bars.quantile) else Evidence.NONE,
        "law": bars.law,
        "measured": measured_in(owner.norm_name, owner.zero_scale),
        "notes": list(bars.remarks),
    }
    save_report(target, "conformal", payload)

    def people(console: Console) -> None:
        if np.isfinite(bars.quantile):
            console.print(
                f"statistical: a new error is at most {number(bars.quantile)} with probability {bars.level:g}, for "
                f"{bars.law} (split conformal, {bars.rows} rows)"
            )
        if np.isfinite(bars.band).all():
            console.print(f"statistical: all values at once are within {number(float(bars.band.max()))} at most")
        console.print(f"the worst error found: {number(found)} ({where}): a bar says nothing about the worst case")
        console.print(f"errors are {payload['measured']}")
        for note in bars.remarks:
            console.print(f"note: {note}")

    emit(as_json, payload, people)
    return DONE if np.isfinite(bars.quantile) else UNDECIDED


def _worst(target: Target, among_rows: float) -> tuple[float, str]:
    """The largest error that is known, of these rows and of a run's counterexamples, and where it is from."""
    if target.folder is None:
        return among_rows, "among these rows"
    scale = target.problem.zero_scale
    records = [
        record.error
        for record in kept_records(target.folder.file("counterexamples.jsonl"))
        if isinstance(record, Counterexample)
        and not record.output
        and np.isclose(record.absolute / record.tolerance, scale)
    ]
    if records and max(records) > among_rows:
        return max(records), f"a search, {len(records)} counterexamples on record"
    return among_rows, "among these rows; `assay falsify` searches for larger ones"


def calibrate(
    run: RunWord,
    tolerance: Tolerance = 1e-2,
    absolute: Absolute = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Solve at this many independent draws.")] = 200,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Take the solutions that the run was tested with: nothing is solved.")
    ] = False,
    miscoverage: Annotated[
        float, typer.Option(help="The share at most of accepted answers beyond the tolerance.")
    ] = 0.05,
    confidence: Annotated[float, typer.Option(help="Of that statement, over the draws.")] = 0.95,
    beside: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Accept by how far another surrogate disagrees; then `assay guard --beside`."),
    ] = None,
    distance: Annotated[
        bool, typer.Option("--distance", help="Accept by how far inputs are from those that RUN learnt from.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.npz", help="RUN/calibration.npz if left out, written anew.")
    ] = None,
    seed: Seed = 0,
    workers: Workers = None,
    dask: Dask = None,
    problem: ProblemOption = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """Choose which answers `assay guard --calibration FILE` may accept without a proof. Exit code 3: none qualified.

    With the confidence at most the share --miscoverage of these is beyond the tolerance, for inputs drawn from the
    problem's sampling law: statistical, never proved.
    """
    target = find_surrogate(run, problem, pairs(set_ or [], "--set"))
    owner = target.problem
    check_new(out)
    if beside is not None and distance:
        raise UserError("a calibration is by one signal: leave out --beside or --distance")
    other = None if beside is None else find_callable(beside, owner)
    if out is None:
        out = Path("calibration.npz") if target.folder is None else target.folder.file("calibration.npz")
    prepared(owner)
    rows = unseen_rows(target, None, seed, workers, dask) if held_out or not owner.has_solver else None
    there = (None, None) if rows is not None else (workers, dask)
    with keeps(lambda: AGAIN), pool(*there, owner) as executor, progress_bar("solving") as bar:
        made = choose_threshold(
            owner, target.surrogate, rows, n=n, tolerance=tolerance, miscoverage=miscoverage, confidence=confidence,
            seed=seed, absolute=absolute, beside=other, distance=distance, executor=executor, progress=bar,
        )  # fmt: skip
    made.save(out)
    payload: dict[str, Any] = {
        "surrogate": target.label,
        "problem": owner.name,
        "out": str(out),
        "qualifies": made.qualifies,
        "threshold": made.threshold,
        "signal": made.signal,
        "beside": beside,
        "share_accepted": made.share,
        "n": made.n,
        "accepted": made.accepted,
        "failed": made.failed,
        "tolerance": made.tolerance,
        "absolute": made.absolute,
        "miscoverage": made.miscoverage,
        "confidence": made.confidence,
        "evidence": Evidence.STATISTICAL if made.qualifies else Evidence.NONE,
        "law": made.law,
        "statement": made.words,
        "measured": measured(owner, made.tolerance, made.absolute),
        "hash": made.hash,
        "notes": list(made.notes),
    }
    save_report(target, "calibrate", payload)

    def people(console: Console) -> None:
        console.print(made.words)
        if made.qualifies:
            console.print(f"about {100 * made.share:.3g} % of inputs are accepted without a proof or a solve")
        else:
            console.print("more draws (--n), a larger tolerance or another signal (--beside RUN, --distance) may do")
        console.print(f"errors are {payload['measured']}")
        for note in made.notes:
            console.print(f"note: {note}")
        console.print(f"written: {out}")
        if made.qualifies:
            given = {"absolute": absolute, "beside": beside, "problem": problem}
            words = [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]
            words += [word for setting in set_ or [] for word in ("--set", setting)]
            words = ["assay", "guard", run, "--calibration", str(out), "--tolerance", str(tolerance), *words]
            console.print(f"next: {shlex.join(words)} --random 10")

    emit(as_json, payload, people)
    return DONE if made.qualifies else UNDECIDED


def probability(
    run: RunWord,
    tolerance: Tolerance = 1e-2,
    absolute: Absolute = None,
    calls: Annotated[int, typer.Option(min=1, help="At most this many solves.")] = 1000,
    method: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(METHODS)}; left out: two phases where proofs decide draws, or draws."),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the interval.")] = 0.95,
    population: Annotated[
        int | None, typer.Option(min=1, help="Of two phases: how many draws to bound, without a solve.")
    ] = None,
    seed: Seed = 0,
    workers: Workers = None,
    dask: Dask = None,
    problem: ProblemOption = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """How likely the error is beyond the tolerance, with an interval. Exit code 3: the interval is not reliable."""
    target = find_surrogate(run, problem, pairs(set_ or [], "--set"))
    prepared(target.problem)
    with keeps(lambda: AGAIN), pool(workers, dask, target.problem) as executor, progress_bar("") as bar:

        def progress(stage: str, done: int, total: int) -> None:
            bar(done, total, "", stage)

        found = failure_probability(
            target.problem, target.surrogate, tolerance, calls, seed, absolute=absolute, method=method,
            confidence=confidence, population=population, executor=executor, progress=progress,
        )  # fmt: skip
    payload: dict[str, Any] = {"surrogate": target.label, "problem": target.problem.name, **vars(found)}
    payload |= {"tolerance": tolerance, "absolute": absolute, "seed": seed, "notes": list(found.notes)}
    payload["law"] = "the sampling law of the problem's box"
    save_report(target, "probability", payload)

    def people(console: Console) -> None:
        console.print(
            f"statistical: the probability of failure is about {number(found.estimate)}, between "
            f"{downward(found.lower)} and {upward(found.upper)} ({100 * confidence:g} % confidence, over the sampling "
            "law)"
        )
        console.print(f"by {found.method}: {found.failed} failures in {found.calls} solves")
        if not found.reliable:
            console.print("the interval is not reliable")
        for note in found.notes:
            console.print(f"note: {note}")

    emit(as_json, payload, people)
    return DONE if found.reliable else UNDECIDED
