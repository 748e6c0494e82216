"""`assay train RUN --repair`: a run trained again on where it fails, beside as many random samples."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from ..run_folder import RunFolder
from ..solvers.tolerance import Tolerance, measured_in
from ..terminal.errors import DONE, UserError, keeps
from ..terminal.output import emit, number, progress_bar, table
from ..terminal.streams import say
from ..terminal.workers import pool
from .run_repair import check_repairable, run_repair

OF_REPAIR = (
    "rounds",
    "budget",
    "search",
    "compare",
    "tolerance",
    "owner_word",
)  # flags that say nothing of other trainings
OF_THE_RUN = ("surrogate", "data", "snapshots", "test", "seconds", "steps", "physics_weight", "box", "option", "sweep",
              "seeds")  # fmt: skip


def check_flags(context: typer.Context, repair: bool) -> None:
    """
    Raises:
        UserError: a flag that is about the other kind of training.
    """
    for name in OF_THE_RUN if repair else OF_REPAIR:
        source = context.get_parameter_source(name)
        if source is not None and source.name not in ("DEFAULT", "DEFAULT_MAP"):
            flag = "--problem" if name == "owner_word" else f"--{name.replace('_', '-')}"
            why = "is as in the run: leave it out with --repair" if repair else "is about --repair: say that, too"
            raise UserError(f"{flag} {why}")


def repair_verb(
    word: str | None,
    owner: str | None,
    settings: dict[str, Any],
    asked: dict[str, Any],
    out: Path | None,
    workers: int | None,
    dask: str | None,
    as_json: bool,
) -> int:
    """Repair a run into a run folder of its own."""
    if word is None:
        raise UserError("say which run is repaired: assay train RUN --repair")
    run = RunFolder.open(Path(word))
    problem = run.problem(owner, settings)
    check_repairable(run)
    Tolerance.of(problem, asked["tolerance"])
    path = out or run.path.with_name(f"{run.path.name}-repaired")
    about = {
        "problem": run.settings["problem"],
        "training": run.settings["training"],
        "repair": {**asked, "of": run.facts["results"]["snapshots_hash"]},
    }
    folder = RunFolder.start(path, about, shlex.join(["assay", *sys.argv[1:]]))
    if folder.resumed:
        say(f"{path} holds an interrupted repair of this run: going on")
    with (
        keeps(lambda: f"what was done is kept in {path}; the same command goes on from there"),
        progress_bar("") as bar,
        pool(workers, dask, problem) as executor,
    ):
        results = run_repair(
            run, folder, problem, asked, lambda stage, done, total, note: bar(done, total, note, stage), executor
        )
    folder.complete(results)
    payload = {"out": str(path), "run": str(run.path), "problem": problem.name, **results}

    def people(console: Console) -> None:
        shown = table("round", "solves", "mean", "worst found", "certified", "random: mean", "worst found", "certified")
        for row in results["rounds"]:
            cells = [
                cell
                for judged in (row["repaired"], row["random"])
                for cell in ([number(judged[key]) for key in ("mean", "worst", "certified")] if judged else [""] * 3)
            ]
            shown.add_row(str(row["number"]), str(row["rows"]), *cells)
        console.print(shown)
        console.print(
            f"(errors are {measured_in(problem.norm_name, problem.zero_scale)}, at {results['test_inputs']} draws and "
            f"by a search that nothing was trained on: {results['judging_calls']} solves beside; certified: the share "
            f"of these draws proved within {asked['tolerance']:g})"
        )
        for note in results["notes"]:
            console.print(f"note: {note}")
        console.print(f"run folder: {path}; next: assay falsify {path} --tolerance {asked['tolerance']:g}")

    emit(as_json, payload, people)
    return DONE
