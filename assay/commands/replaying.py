"""`assay replay`: a finding solved again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ..own_code import find_problem, names_own_problem
from ..solvers.identity import check_fingerprint
from ..solvers.problem import Problem, SolveError
from ..solvers.problems.catalogue import stored_problem
from ..targets import find_callable
from ..terminal.errors import DONE, FAILED, UNDECIDED, UserError
from ..terminal.output import emit, number
from ..terminal.settings import Absolute, Config, Json, ProblemOption, Set, pairs
from ..verify.search.counterexample import replay as solve_again
from ..verify.search.records import Record, read_records
from ..verify.search.unsolved_input import UnsolvedInput
from .check import measured


def replay(
    record: Annotated[
        str, typer.Argument(metavar="RECORD[#INDEX]", help="A file or database of findings; #INDEX counts from 0.")
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
    records = read_records(path)
    if not 0 <= index < len(records):
        raise UserError(f"{path} holds the records 0 to {len(records) - 1}, not {index}")
    chosen = records[index]
    owner = _owner(chosen, path, problem, pairs(set_ or [], "--set"))
    if isinstance(chosen, UnsolvedInput):
        return _solve_again(owner, chosen, f"{path}#{index}", as_json)
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
        if chosen.shrunk is not None:
            console.print(f"shrunk to {owner.inputs.named(chosen.shrunk)}")
        console.print(f"errors are {measured(owner, chosen.tolerance, again.absolute, chosen.output or None)}")
        if again.fails is None:
            console.print("undecided: the error is not a number")
        else:
            console.print("the failure stands" if again.fails else "it no longer fails")

    emit(as_json, payload, people)
    if again.fails is None:
        return UNDECIDED
    return FAILED if again.fails else DONE


def _solve_again(owner: Problem, chosen: UnsolvedInput, where: str, as_json: bool) -> int:
    """An input at which the truth failed: whether it still does."""
    check_fingerprint("the record", chosen.fingerprint, owner)
    try:
        owner.solve_report(chosen.inputs)
        why = ""
    except SolveError as error:
        why = str(error)
    names = owner.inputs.names
    payload = {
        "record": where,
        "inputs": dict(zip(names, chosen.inputs.tolist(), strict=True)),
        "recorded_reason": chosen.reason,
        "reason": why,
        "fails": bool(why),
    }

    def people(console: Console) -> None:
        console.print(f"{where}: recorded: {chosen.reason}")
        console.print(f"the truth still fails: {why}" if why else "it is solved now")

    emit(as_json, payload, people)
    return FAILED if why else DONE


def _place(word: str) -> tuple[Path, int]:
    """FILE#3 -> FILE and 3; of a folder, a database, the file in it."""
    text, hash_, index = word.rpartition("#")
    if not hash_ or Path(word).exists():
        return _file(Path(word)), 0
    if not index.isdigit():
        raise UserError(f"RECORD#INDEX takes a whole number from 0, not {index!r}")
    return _file(Path(text)), int(index)


def _file(path: Path) -> Path:
    """A file of records as it is; of a database the only one in it."""
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.jsonl"))
    if len(files) != 1:
        holds = f"records of {len(files)} problems: name one of its files" if files else "no records"
        raise UserError(f"{path} holds {holds}")
    return files[0]


def _owner(chosen: Record, path: Path, word: str | None, asked: dict[str, Any]) -> Problem:
    """The record's problem: named by the user, or one of this library that the record names."""
    if word is not None:
        return find_problem(word, asked if names_own_problem(word) else {**chosen.problem_settings, **asked})
    if asked:
        raise UserError("--set goes with --problem: a record knows its problem's settings")
    try:
        return stored_problem(chosen.problem_name, chosen.problem_settings)
    except ValueError as error:
        raise UserError(f"{path}: {error}: say with --problem which problem it is of") from None
