"""`assay falsify` and `assay replay`: failures searched for, and solved again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from ..own_code import find_problem, is_own
from ..run_folder import write_json
from ..solvers.box import MANY, SHOWN
from ..solvers.files import locked
from ..solvers.problem import Problem, SolveError
from ..solvers.problems.catalogue import stored_problem
from ..solvers.snapshots.sample import Snapshots, load_snapshots
from ..solvers.tolerance import Tolerance
from ..targets import Target, find_callable, find_surrogate
from ..verify.falsify import VERDICTS, Falsification
from ..verify.falsify import falsify as search
from ..verify.search.counterexample import Counterexample, read_counterexamples, write_counterexamples
from ..verify.search.counterexample import replay as solve_again
from ..verify.search.methods.catalogue import STANDARD, find_method
from .errors import DONE, FAILED, UNDECIDED, UserError, keeps
from .output import downward, emit, number, plain, progress_bar, table, upward
from .prepare import prepared
from .settings import Absolute, Config, Json, OutputOption, ProblemOption, Seed, Set, pairs
from .settings import Tolerance as ToleranceOption
from .workers import Workers, pool

EXIT_CODES = dict(zip(VERDICTS, (FAILED, DONE, UNDECIDED), strict=True))
RunWord = Annotated[
    str, typer.Argument(metavar="RUN", help="A run folder; or model.onnx or module:name, with --problem.")
]


def save_report(target: Target, name: str, payload: dict[str, Any]) -> None:
    """Keep what a verb found beside the run that it is about."""
    if target.folder is not None:
        write_json(target.folder.file(name), plain(payload))


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
    method: Annotated[str, typer.Option(metavar="NAME", help="How it is searched.")] = STANDARD,
    workers: Workers = None,
    output: OutputOption = None,
    problem: ProblemOption = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.jsonl", help="Records are added here; RUN/counterexamples.jsonl if left out."),
    ] = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """Search for inputs where the error exceeds the tolerance. Exit code 1: found; 3: undecided."""
    find_method(method)
    target = find_surrogate(run, problem, pairs(set_ or [], "--set"), output)
    default = Path("counterexamples.jsonl") if target.folder is None else target.folder.file("counterexamples.jsonl")
    records = out or default
    read_kept(records)  # what cannot be added to is a mistake to be told before the search, not after it
    tests = _tests(target)
    prepared(target.problem)
    lost = "nothing of this search was kept; the same command searches again"
    with keeps(lambda: lost), progress_bar("") as bar, pool(workers) as executor:

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
            progress=progress,
        )
    places = store_records(records, result.counterexamples)
    payload = _falsification(target, result, records, places)
    payload["settings"] = {
        "tolerance": tolerance,
        "absolute": result.absolute,
        "budget": budget,
        "method": method,
        "draws": draws,
        "seed": seed,
    }
    save_report(target, "falsify.json", payload)
    again = shlex.join(["assay", "replay", f"{records}#{places[0]}", *_words(problem, set_)]) if places else ""
    emit(as_json, payload, lambda console: _show(console, target, result, records, places, again))
    return EXIT_CODES[result.verdict]


def _tests(target: Target) -> Snapshots | None:
    """The solutions that a run was tested with: its training never saw them."""
    file = None if target.folder is None else target.folder.file("test.h5")
    return load_snapshots(file, target.problem) if file is not None and file.exists() else None


def read_kept(path: Path) -> list[Counterexample]:
    """The records of a file that may not exist yet."""
    return read_counterexamples(path) if path.exists() and path.stat().st_size else []


def store_records(path: Path, new: list[Counterexample]) -> list[int]:
    """Add records to a file; returns the place of each. One that is there already is not added again.

    The file is read anew and locked meanwhile: searches that run at the same time all keep their records.
    """
    if not new:
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        return _added(path, read_kept(path), new)


def _added(path: Path, kept: list[Counterexample], new: list[Counterexample]) -> list[int]:
    known = {_key(record): i for i, record in enumerate(kept)}
    places = []
    for record in new:
        key = _key(record)
        if key not in known:
            known[key] = len(kept)
            kept.append(record)
        places.append(known[key])
    write_counterexamples(path, kept)
    return places


def _key(record: Counterexample) -> tuple[bytes, float, float, bytes]:
    return record.inputs.tobytes(), record.tolerance, record.absolute, record.field.tobytes()


def _falsification(target: Target, result: Falsification, records: Path, places: list[int]) -> dict[str, Any]:
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
            "record": f"{records}#{place}",
        }
        for c, place in zip(result.counterexamples, places, strict=True)
    ]
    worst = result.worst_inputs
    return {
        "surrogate": target.label,
        "problem": target.problem.name,
        "counterexamples": found,
        "worst": None if np.isnan(result.worst) else result.worst,
        "component_errors": result.component_errors,
        "worst_inputs": dict(zip(names, worst, strict=True)) if np.isfinite(worst).all() else None,
        "solver_calls": result.solver_calls,
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


def _words(problem: str | None, set_: list[str] | None) -> list[str]:
    """What a replay has to be told: a record knows a problem of this library, but not one of the user's own."""
    if problem is None or not is_own(problem):
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
        for c, place in list(zip(found, places, strict=True))[:10]:
            inputs = [number(x, 4) for x in c.inputs]
            inputs = inputs if len(names) <= MANY else [", ".join(inputs[:SHOWN])]
            rows.add_row(f"{records}#{place}", number(c.error), downward(c.lower), str(c.evidence), *inputs)
        console.print(rows)
        if len(found) > 10:
            console.print(f"and {len(found) - 10} more in {records}")
        console.print(f"solve one again: {again}")
    elif np.isnan(result.worst):
        console.print("no error could be measured")
    else:
        console.print(f"largest error observed: {number(result.worst)}; that nothing was found proves nothing")
    if result.component_errors:
        parts = ", ".join(f"{name} {number(error)}" for name, error in result.component_errors.items())
        console.print(f"largest errors of the components by themselves: {parts}")
    for line in _likelihood(result):
        console.print(line)
    for note in result.notes:
        console.print(f"note: {note}")
    about = measured(target.problem, result.tolerance, result.absolute, result.output or None)
    console.print(f"errors are {about}, {result.against}")


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


def replay(
    record: Annotated[
        str, typer.Argument(metavar="RECORD[#INDEX]", help="A file of counterexamples; #INDEX counts from 0.")
    ],
    surrogate: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Ask this surrogate again: a run folder, model.onnx or module:name."),
    ] = None,
    absolute: Absolute = None,
    problem: ProblemOption = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """Solve a counterexample again. Exit code 1 where the failure stands, 0 where it does not, 3 where that is open.

    --absolute replaces what the record was made with.
    """
    path, index = _place(record)
    records = read_counterexamples(path)
    if not 0 <= index < len(records):
        raise UserError(f"{path} holds the records 0 to {len(records) - 1}, not {index}")
    chosen = records[index]
    owner = _owner(chosen, path, problem, pairs(set_ or [], "--set"))
    answer = None if surrogate is None else find_callable(surrogate, owner)
    try:
        again = solve_again(owner, chosen, answer, absolute)
    except SolveError as error:
        raise UserError(f"the truth could not be computed again: {error}") from error
    payload = {
        "record": f"{path}#{index}",
        "against_surrogate": surrogate or "the field in the record",
        "inputs": dict(zip(owner.inputs.names, chosen.inputs.tolist(), strict=True)),
        "tolerance": chosen.tolerance,
        "absolute": again.absolute,
        "recorded_absolute": chosen.absolute,
        "recorded_error": chosen.error,
        "error": again.error,
        "lower": again.lower,
        "upper": again.upper,
        "evidence": str(again.evidence),
        "fails": again.fails,
    }

    def people(console: Console) -> None:
        console.print(f"{path}#{index}: {owner.name} at {owner.inputs.named(chosen.inputs)}")
        console.print(
            f"error {number(again.error, 6)} of {payload['against_surrogate']}, "
            f"recorded {number(chosen.error, 6)}, tolerance {chosen.tolerance:g}"
        )
        console.print(f"errors are {measured(owner, chosen.tolerance, again.absolute, chosen.output or None)}")
        if again.fails is None:
            console.print("undecided: the error is not a number")
        else:
            console.print("the failure stands" if again.fails else "it no longer fails")

    emit(as_json, payload, people)
    if again.fails is None:
        return UNDECIDED
    return FAILED if again.fails else DONE


def _place(word: str) -> tuple[Path, int]:
    """FILE#3 -> FILE and 3."""
    text, hash_, index = word.rpartition("#")
    if not hash_ or Path(word).exists():
        return Path(word), 0
    if not index.isdigit():
        raise UserError(f"RECORD#INDEX takes a whole number from 0, not {index!r}")
    return Path(text), int(index)


def _owner(chosen: Counterexample, path: Path, word: str | None, asked: dict[str, Any]) -> Problem:
    """The record's problem: named by the user, or one of this library that the record names."""
    if word is not None:
        return find_problem(word, asked if is_own(word) else {**chosen.problem_settings, **asked})
    if asked:
        raise UserError("--set goes with --problem: a record knows its problem's settings")
    try:
        return stored_problem(chosen.problem_name, chosen.problem_settings)
    except ValueError as error:
        raise UserError(f"{path}: {error}: say with --problem which problem it is of") from None
