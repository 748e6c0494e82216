"""`assay train`: snapshots and training into a run folder."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ..connections import file_name
from ..data_run import NO_BAR, find_data
from ..own_code import find_problem, names_own_problem
from ..repairs.repair import SEARCH
from ..repairs.verb import check_flags, repair_verb
from ..run_folder import RunFolder, about_problem
from ..run_training import Plan, run_training
from ..solvers.problem import Problem
from ..solvers.tolerance import measured_in
from ..surrogates.architectures import surrogate_name
from ..surrogates.training.optimise import steps_done
from ..surrogates.training.train import check_options
from ..terminal.errors import DONE, UserError, keeps
from ..terminal.output import emit, number, progress_bar
from ..terminal.settings import Config, Json, Option, Seed, Set, Tolerance, box_inside, pairs
from ..terminal.streams import say
from ..terminal.workers import Dask, Workers, check_workers, pool
from ..verify.certificate import against
from .sweeping import asked_sweep, sweep_verb

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FILE.h5",
        help="Instead of a problem: a data set in the layout of PDEBench or The Well, or of save_dataset; --set "
        "samples=, every_time=, every_node=, norm=, periodic=true, drop=true say how it is read.",
    ),
]
OwnerOption = Annotated[
    str | None,
    typer.Option("--problem", metavar="PROBLEM", help="With --repair: the run's problem, if it is your own."),
]

LEFT_OUT = {"failed": "failed", "outside": "outside the box", "repeated": "averaged into others of the same input"}


def train(
    context: typer.Context,
    owner_word: OwnerOption = None,  # before the problem, which a configuration file means by that word
    problem: Annotated[
        str | None,
        typer.Argument(metavar="[PROBLEM]", help="A problem as for `assay solve`; with --repair a run."),
    ] = None,
    surrogate: Annotated[str, typer.Option("--surrogate", metavar="NAME", help="What is trained.")] = "pod-mlp",
    data: DataOption = None,
    snapshots: Annotated[
        int | None, typer.Option(min=0, help="How many solves to learn from (256); rows of data (all not held out).")
    ] = None,
    test: Annotated[
        int | None,
        typer.Option(min=0, help="How many further solves to measure errors at (64); rows of data (a fifth)."),
    ] = None,
    seed: Seed = 0,
    seconds: Annotated[float | None, typer.Option(help="Training time.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps.")] = None,
    physics_weight: Annotated[
        float | None, typer.Option(help="Share of the physics loss, 0 to 1; 1 with --snapshots 0: physics alone.")
    ] = None,
    box: Annotated[list[str] | None, typer.Option(metavar="NAME=LOW:HIGH,...", help="Learn only here.")] = None,
    option: Option = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE,...", help="Train for every value: samples, seconds, steps, physics_weight or an option."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Train with so many seeds, from --seed on.")] = 1,
    repair: Annotated[
        bool, typer.Option("--repair", help="Train a run again, in rounds, on where it fails, into RUN-repaired.")
    ] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Of a repair.")] = 3,
    budget: Annotated[int, typer.Option(min=2, max=2048, help="Solves of each round to learn from.")] = 32,
    search: Annotated[int, typer.Option(min=0, help="Solves that look for the worst error after each round.")] = SEARCH,
    compare: Annotated[
        bool, typer.Option("--compare/--no-compare", help="Solve and learn from as many random samples beside.")
    ] = True,
    tolerance: Tolerance = 1e-2,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="runs/PROBLEM-SURROGATE if left out.")] = None,
    workers: Workers = None,
    dask: Dask = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """Snapshots and training into a run folder; interrupted, the same command goes on.

    With --repair RUN is trained again on where it fails, its solves a mixture of that and of fresh samples.
    """
    asked = pairs(set_ or [], "--set")
    check_flags(context, repair)
    check_workers(workers, dask)
    if repair:
        wanted: dict[str, Any] = {"rounds": rounds, "budget": budget, "search": search, "compare": compare}
        wanted |= {"tolerance": tolerance, "seed": seed}
        return repair_verb(problem, owner_word, asked, wanted, out, workers, dask, as_json)
    source = None if data is None else find_data(data, problem, asked, snapshots, test, seed)
    owner: Problem
    if source is not None:
        owner, problem, snapshots, test = source.data.problem, source.word, len(source.learn), len(source.held)
    elif problem is None:
        raise UserError("say which problem is learnt, or with --data FILE.h5 which data: `assay problems` lists them")
    else:
        owner = find_problem(problem, asked)
    check_workers(workers, dask, owner)
    snapshots, test = 256 if snapshots is None else snapshots, 64 if test is None else test
    if seconds is not None and not 0 < seconds < float("inf"):
        raise UserError(f"--seconds must be positive, not {seconds}")
    plan = Plan(
        surrogate_name(surrogate),
        snapshots,
        test,
        seed,
        box_inside(owner.inputs, box) if box else None,
        physics_weight,
        seconds,
        steps,
        pairs(option or [], "--option"),
    )
    about = about_problem(problem, asked, owner) | ({} if source is None else {"data": str(data)})
    if sweep or seeds > 1:
        path = out or Path("runs") / f"{file_name(problem)}-{plan.surrogate}-sweep"
        command = shlex.join(["assay", *sys.argv[1:]])
        many = asked_sweep(sweep or [], seeds, plan.surrogate)
        with pool(workers, dask, owner) as executor:
            return sweep_verb(path, owner, about, plan, many, command, as_json, source, executor)
    check_options(owner, plan.surrogate, plan.options, physics_weight, snapshots > 0)
    path = out or Path("runs") / f"{file_name(problem)}-{plan.surrogate}"
    settings = {"problem": about, "training": plan.settings()}
    start = ["--data", str(data)] if data is not None else [problem]
    folder = RunFolder.start(path, settings, _command(start, plan, asked, path, box or [], option or []))
    if folder.resumed:
        done = steps_done(folder.file("training.checkpoint"))
        where = f"training goes on from step {done}" if done else "going on"
        say(f"{path} holds an interrupted run of these settings: {where}")
    with keeps(lambda: f"what was done is kept in {path}; the same command goes on from there"):
        with progress_bar("") as bar, pool(workers, dask, owner) as executor:
            results = run_training(
                folder, owner, plan, lambda stage, done, total, note: bar(done, total, note, stage), source, executor
            )
        folder.complete(results)
    payload: dict[str, Any] = {"out": str(path), "problem": problem, "surrogate": plan.surrogate, **results}

    def people(console: Console) -> None:
        errors = results["errors"]
        size = "" if results["parameters"] is None else f", {results['parameters']} parameters"
        training = results["training"]
        more = training.get("solved_in_training", 0)
        console.print(
            f"{plan.surrogate} for {owner.name}: trained in {results['seconds']:.1f} s on {plan.snapshots} "
            f"{'solves' if source is None else 'rows of data'} "
            f"({results['sampling_seconds']:.1f} s){f', with {more} solves in training' if more else ''}{size}"
        )
        left_out = ", ".join(f"{n} {LEFT_OUT[why]}" for why, n in training.get("dropped", {}).items() if n)
        if left_out:
            console.print(f"rows left out: {left_out}")
        if "stopped" in training:
            more = {"seconds": "stopped by the clock, which compilation runs on too: with more seconds it learns more"}
            more |= {"steps": "all that were asked for", "converged": "the loss had stalled"}
            why = more.get(training["stopped"], training["stopped"])
            console.print(f"{training['steps']} steps ({why}), loss {number(training['loss'])}")
        for line in _of_network(training):
            console.print(line)
        if plan.test:
            shown = ", ".join(f"{key} {number(errors[key])}" for key in ("mean", "median", "p95", "max"))
            console.print(f"errors observed at {results['test_inputs']} other inputs: {shown}")
            parts = ", ".join(f"{name} {number(e['max'])}" for name, e in results["component_errors"].items())
            if parts:
                console.print(f"largest errors of the components by themselves: {parts}")
            if "conformal" in results:
                bar = str(results["conformal"])
                console.print(bar if bar.startswith(NO_BAR) else f"statistical: {bar}")
            console.print(f"(errors are {measured_in(owner.norm_name, owner.zero_scale)}; {against(owner)})")
        for warning in training.get("warnings", ()):
            console.print(f"warning: {warning}")
        for note in results["notes"]:
            console.print(f"note: {note}")
        own = source is None and names_own_problem(problem)
        again = shlex.join(["--problem", problem, *_set_words(asked)]) if own else ""
        console.print(f"run folder: {path}; next: assay falsify {path} --tolerance 1e-2 {again}".rstrip())

    emit(as_json, payload, people)
    return DONE


def _of_network(training: dict[str, Any]) -> Iterator[str]:
    """What architectures say of themselves, a line each."""
    if changes := training.get("change_per_layer"):
        told, mean = ", ".join(number(x) for x in changes), number(training["mean_change_per_layer"])
        yield f"change of the weights from layer to layer: {told} (mean {mean})"
    if "latent" in training:
        found = training["intrinsic_dimension"]
        own = "not known of so few or such snapshots" if found is None else f"about {found:.2g}, estimated"
        code, inputs = training["latent"], training["inputs"]
        yield f"numbers of the code: {code}; inputs: {inputs}; dimension of the snapshots: {own}"


def _command(start: list[str], plan: Plan, asked: dict[str, Any], path: Path, box: list[str], option: list[str]) -> str:
    """The command line that makes this run, every setting spelled out."""
    words = ["assay", "train", *start, "--surrogate", plan.surrogate]
    words += ["--snapshots", str(plan.snapshots), "--test", str(plan.test), "--seed", str(plan.seed)]
    flags = (("--seconds", plan.seconds), ("--steps", plan.steps), ("--physics-weight", plan.physics_weight))
    for flag, value in flags:
        words += [] if value is None else [flag, str(value)]
    words += [word for text in box for word in ("--box", text)]
    words += [word for text in option for word in ("--option", text)]
    return shlex.join([*words, *_set_words(asked), "--out", str(path)])


def _set_words(asked: dict[str, Any]) -> list[str]:
    """The flags that ask for these settings of the problem."""
    return [word for key, value in asked.items() for word in ("--set", f"{key}={json.dumps(value)}")]
