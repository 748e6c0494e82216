"""`assay falsify` and `assay replay`: failures searched for, and solved again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from ..drawing.files import check_path
from ..own_code import names_own_problem
from ..results import save_report
from ..solvers.box import MANY, SHOWN
from ..solvers.problem import Problem
from ..solvers.snapshots.sample import Snapshots, load_snapshots
from ..solvers.tolerance import Tolerance
from ..targets import Target, find_callable, find_surrogate
from ..terminal.errors import DONE, FAILED, UNDECIDED, keeps
from ..terminal.output import downward, emit, number, progress_bar, table, upward
from ..terminal.settings import Absolute, Config, Json, OutputOption, ProblemOption, Seed, Set, pairs, point
from ..terminal.settings import Tolerance as ToleranceOption
from ..terminal.workers import Dask, Workers, pool
from ..verify.falsification import VERDICTS, Falsification
from ..verify.falsify import falsify as search
from ..verify.search.methods.catalogue import METHODS, STANDARD, find_method
from ..verify.search.records import add_records, kept_records
from ..verify.search.shrinking import CALLS
from .prepare import prepared

FEW = 10  # of a kind that people are shown
EXIT_CODES = dict(zip(VERDICTS, (FAILED, DONE, UNDECIDED), strict=True))
RunWord = Annotated[
    str, typer.Argument(metavar="RUN", help="A run folder; or model.onnx or module:name, with --problem.")
]


def falsify(
    run: RunWord,
    tolerance: ToleranceOption = 1e-2,
    absolute: Absolute = None,
    budget: Annotated[int, typer.Option(help="At most this many solver calls.")] = 100,
    draws: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Independent draws for the probability of failure, above the budget; a draw that is proved to be "
            "within the tolerance costs no solve. Left out: a tenth of the budget.",
        ),
    ] = None,
    seed: Seed = 0,
    method: Annotated[str, typer.Option(metavar="NAME", help=f"How it is searched: {', '.join(METHODS)}.")] = STANDARD,
    workers: Workers = None,
    dask: Dask = None,
    output: OutputOption = None,
    problem: ProblemOption = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.jsonl", help="Records are added here; RUN/counterexamples.jsonl if left out."),
    ] = None,
    shrink: Annotated[
        int, typer.Option(min=0, help="Solves beside the budget, as many at most, that simplify what was found.")
    ] = CALLS,
    nominal: Annotated[
        str | None, typer.Option(metavar="NAME=VALUE,...", help="What failures are brought near to; the centre.")
    ] = None,
    database: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Known failures, tried first and added to; RUN/database if left out."),
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Another surrogate of it: where the two disagree is looked at, too."),
    ] = None,
    distance: Annotated[
        bool, typer.Option("--distance", help="Look far from the inputs that it learnt from, too.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="A picture of where it fails.")] = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """Search for inputs where the error exceeds the tolerance. Exit code 1: found; 3: undecided."""
    find_method(method)
    target = find_surrogate(run, problem, pairs(set_ or [], "--set"), output)
    other = None if beside is None else find_callable(beside, target.problem)
    default = Path("counterexamples.jsonl") if target.folder is None else target.folder.file("counterexamples.jsonl")
    records = out or default
    kept_records(records)  # what cannot be added to is a mistake to be told before the search, not after it
    if plot is not None:
        check_path(plot)
    near = None if nominal is None else point(target.problem.inputs, nominal)
    if database is None and target.folder is not None:
        database = target.folder.file("database")
    tests = _tests(target)
    prepared(target.problem)
    kept = f"failures found until then are in {database}, which the same command tries first; it searches again"
    lost = "nothing of this search was kept (--database FOLDER keeps failures); the same command searches again"
    with (
        keeps(lambda: lost if database is None else kept),
        progress_bar("") as bar,
        pool(workers, dask, target.problem) as executor,
    ):

        def progress(stage: str, done: int, total: int) -> None:
            bar(done, total, "", stage)

        result = search(
            target.problem,
            target.surrogate,
            tolerance,
            budget,
            seed,
            absolute=absolute,
            method=method,
            executor=executor,
            draws=draws,
            tests=tests,
            output=output,
            shrink=shrink,
            nominal=near,
            database=database,
            beside=other,
            distance=distance,
            progress=progress,
        )
    places = add_records(records, [*result.counterexamples, *result.unsolved])
    payload = falsification_facts(target, result, records, places)
    payload["database"] = None if database is None else str(database)
    if plot is not None:
        result.plot(plot)
    payload["plot"] = None if plot is None else str(plot)
    payload["settings"] = {
        "tolerance": tolerance,
        "absolute": result.absolute,
        "budget": budget,
        "method": method,
        "draws": draws,
        "beside": beside,
        "distance": distance,
        "seed": seed,
    }
    save_report(target, "falsify", {**payload, **compared(result)})
    again = shlex.join(["assay", "replay", f"{records}#{places[0]}", *_words(problem, set_)]) if places else ""
    emit(as_json, payload, lambda console: _show(console, target, result, records, places, again))
    return EXIT_CODES[result.verdict]


def _tests(target: Target) -> Snapshots | None:
    """The solutions that a run was tested with: its training never saw them."""
    file = None if target.folder is None else target.folder.file("test.h5")
    return load_snapshots(file, target.problem) if file is not None and file.exists() else None


def falsification_facts(target: Target, result: Falsification, records: Path, places: list[int]) -> dict[str, Any]:
    """What a search found, as JSON values; ``places``: of its findings in the file of records."""
    names = target.problem.inputs.names
    found = [
        {
            "inputs": dict(zip(names, c.inputs.tolist(), strict=True)),
            "error": c.error,
            "lower": c.lower,
            "upper": c.upper,
            "evidence": c.evidence,
            "solver_calls": c.solver_calls,
            "found": c.found,
            "component_errors": c.component_errors,
            "finer_error": c.finer_error,
            "shrunk": None if c.shrunk is None else dict(zip(names, c.shrunk.tolist(), strict=True)),
            "shrunk_error": None if c.simplest is None else c.simplest.error,
            "record": f"{records}#{place}",
        }
        for c, place in zip(result.counterexamples, places, strict=False)
    ]
    not_solved = [
        {
            "inputs": dict(zip(names, u.inputs.tolist(), strict=True)),
            "reason": u.reason,
            "found": u.found,
            "record": f"{records}#{place}",
        }
        for u, place in zip(result.unsolved, places[len(found) :], strict=True)
    ]
    worst = result.worst_inputs
    return {
        "surrogate": target.label,
        "problem": target.problem.name,
        "counterexamples": found,
        "unsolved": not_solved,
        "regions": [region.to_json(names) for region in result.regions],
        "found": result.words,
        "worst": None if np.isnan(result.worst) else result.worst,
        "component_errors": result.component_errors,
        "worst_inputs": dict(zip(names, worst, strict=True)) if np.isfinite(worst).all() else None,
        "solver_calls": result.solver_calls,
        "shrink_calls": result.shrink_calls,
        "finer_calls": result.finer_calls,
        "tolerance": result.tolerance,
        "absolute": result.absolute,
        "measured": measured(target.problem, result.tolerance, result.absolute, result.output or None),
        "output": result.output or None,
        "verdict": result.verdict,
        "against": result.against,
        "signal": result.signal,
        "evaluations": result.evaluations,
        "draws": result.draws,
        "draws_failed": result.draws_failed,
        "draws_proved": result.draws_proved,
        "draws_unsolved": result.draws_unsolved,
        "failure_probability_upper": result.failure_probability_upper,
        "failure_or_unsolved_upper": result.failure_or_unsolved_upper,
        "seconds": result.seconds,
        "notes": list(result.notes),
    }


def compared(result: Falsification) -> dict[str, Any]:
    """Every input that was compared, for its picture: kept in the file of the run, and not printed."""
    return {"compared": {"inputs": result.asked, "errors": result.errors}}


def _words(problem: str | None, set_: list[str] | None) -> list[str]:
    """What a replay has to be told: a record knows a problem of this library, but not one of the user's own."""
    if problem is None or not names_own_problem(problem):
        return []
    return ["--problem", problem, *(word for text in set_ or [] for word in ("--set", text))]


def _show(
    console: Console, target: Target, result: Falsification, records: Path, places: list[int], again: str
) -> None:
    found = result.counterexamples
    allowed = f"tolerance {result.tolerance:g}" + (f" and absolute {result.absolute:.3g}" if result.absolute else "")
    console.print(
        f"[bold]{result.verdict}[/bold] at {allowed}: "
        f"{len(found)} counterexamples, {result.solver_calls} solver calls, {result.seconds:.1f} s", markup=True,
    )  # fmt: skip
    if found:
        names = target.problem.inputs.names
        few = names if len(names) <= MANY else (f"the first {SHOWN} of {len(names)} inputs",)
        rows = table("record", "error", "at least", "evidence", *few)
        for c, place in list(zip(found, places, strict=False))[:10]:
            inputs = [number(x, 4) for x in c.inputs]
            inputs = inputs if len(names) <= MANY else [", ".join(inputs[:SHOWN])]
            rows.add_row(f"{records}#{place}", number(c.error), downward(c.lower), str(c.evidence), *inputs)
        console.print(rows)
        if len(found) > 10:
            console.print(f"and {len(found) - 10} more in {records}")
        _show_simplest(console, target.problem, result)
        console.print(f"solve one again: {again}")
    elif np.isnan(result.worst):
        console.print("no error could be measured")
    else:
        console.print(f"{result.words}: largest error observed {number(result.worst)}; it proves nothing")
    if result.component_errors:
        parts = ", ".join(f"{name} {number(error)}" for name, error in result.component_errors.items())
        console.print(f"largest errors of the components by themselves: {parts}")
    for line in [*_likelihood(result), *_truth_fails(result)]:
        console.print(line)
    for note in result.notes:
        console.print(f"note: {note}")
    about = measured(target.problem, result.tolerance, result.absolute, result.output or None)
    console.print(f"errors are {about}, {result.against}")


def _show_simplest(console: Console, problem: Problem, result: Falsification) -> None:
    """The worst failure as it was shrunk, and where failures lie."""
    first = next((c for c in result.counterexamples if c.simplest is not None), None)
    if first is not None and first.simplest is not None:
        console.print(
            f"the simplest failing input found ({result.shrink_calls} more solves): "
            f"{problem.inputs.named(first.simplest.inputs)}, error {number(first.simplest.error)}"
        )
    if first is not None and first.finer_error is not None:
        grid = " (most of that is the grid's own error)" if first.finer_error > 2 * first.error else ""
        console.print(
            f"on the doubled grid the worst one's error is {number(first.finer_error)}: it fails there, too{grid}"
        )
    for region in result.regions[:FEW]:
        console.print(f"{region!r}, at {problem.inputs.named(region.worst)}")
    if len(result.regions) > FEW:
        console.print(f"and {len(result.regions) - FEW} more regions")


def _truth_fails(result: Falsification) -> list[str]:
    """The inputs that the solver did not answer: findings of their own."""
    lines = [f"the truth fails: {one.reason} ({one.found})" for one in result.unsolved[:FEW]]
    more = len(result.unsolved) - FEW
    return lines + ([f"the truth fails at {more} more inputs: all are in the file of records"] if more > 0 else [])


def measured(problem: Problem, tolerance: float, absolute: float, output: str | None = None) -> str:
    """What the printed errors are, in words."""
    return Tolerance(tolerance, absolute).words(problem.norm_name, output)


def _likelihood(result: Falsification) -> list[str]:
    """What the independent draws say, and about what."""
    if not result.draws:
        return []
    free = f", {result.draws_proved} of them decided by a proof without a solve" if result.draws_proved else ""
    about = " where the solver answers" if result.draws_unsolved else ""
    lines = [
        f"statistical: {result.draws_failed} of {result.draws} independent draws failed{free}: the probability of "
        f"failure{about} is at most {upward(result.failure_probability_upper)} (95 % confidence, over the sampling law)"
    ]
    if result.draws_unsolved:
        lines.append(
            f"statistical: the solver failed at {result.draws_unsolved} more draws; with these counted as failures the "
            f"probability is at most {upward(result.failure_or_unsolved_upper)}"
        )
    return lines
