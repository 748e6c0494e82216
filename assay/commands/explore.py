"""`assay problems`, `assay solve`, `assay sample`: what can be solved, one solve, many."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import typer
from rich.console import Console

from ..drawing.files import check_path
from ..own_code import find_problem
from ..solvers.problem import Problem
from ..solvers.problems.black_box import BlackBox
from ..solvers.problems.catalogue import PROBLEMS
from ..solvers.snapshots.sample import sample as take_sample
from ..terminal.errors import DONE, UNDECIDED, UserError, keeps
from ..terminal.output import check_new, emit, number, plain, progress_bar, table, write_arrays
from ..terminal.settings import At, Config, Json, Seed, Set, pairs, point
from ..terminal.workers import Dask, Workers, pool
from ..verify.proofs.prover import proof_of

SHOWN = 10  # failed inputs that people are shown
ProblemWord = Annotated[
    str,
    typer.Argument(
        metavar="PROBLEM", help="A name of `assay problems`, module:name, command:WORDS, umbridge:URL#MODEL."
    ),
]


def evidence_for(problem: Problem) -> str:
    """The strongest evidence that this library can give for a surrogate of this problem."""
    return "proved" if proof_of(problem).proves else "observed, statistical"


def outputs_of(problem: Problem) -> list[dict[str, str]]:
    """The outputs that a problem names, with the evidence that there is for each."""
    proof = proof_of(problem)
    proved = {name: proof.proves and not proof.why_no_output(output) for name, output in problem.outputs.items()}
    return [
        {"name": name, "evidence": "proved" if known else "observed, statistical"} for name, known in proved.items()
    ]


def describe(word: str, problem: Problem) -> dict[str, Any]:
    """A problem for programs."""
    box = problem.inputs
    columns = zip(box.names, box.lower, box.upper, box.log, box.units, box.laws, strict=True)
    keys = ("name", "lower", "upper", "log", "unit", "law")
    times, nodes, components = problem.shape
    text = inspect.getdoc(inspect.getmodule(type(problem))) or word
    return {
        "name": word,
        "description": text.splitlines()[0],
        "inputs": [dict(zip(keys, column, strict=True)) for column in columns],
        "unknowns": problem.size,
        "shape": {"times": times, "nodes": nodes, "components": components},
        "norm": problem.norm_name,
        "evidence": evidence_for(problem),
        "outputs": outputs_of(problem),
        "settings": problem.settings,
    }


def problems(
    name: Annotated[str | None, typer.Argument(metavar="[PROBLEM]", help="One problem in detail.")] = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """What can be solved, with inputs, ranges, unknowns, and which evidence is available."""
    if name is None and set_:
        raise UserError("--set needs a problem: assay problems PROBLEM --set KEY=VALUE")
    words = [name] if name else list(PROBLEMS)
    found = [describe(word, find_problem(word, pairs(set_ or [], "--set"))) for word in words]

    def people(console: Console) -> None:
        if name:
            _detail(console, found[0])
            return
        rows = table("problem", "inputs", "unknowns", "evidence")
        rows.columns[3].justify = "left"
        for about in found:
            rows.add_row(about["name"], str(len(about["inputs"])), str(about["unknowns"]), about["evidence"])
        console.print(rows)
        console.print("\n`assay problems PROBLEM` shows one with its inputs and settings.")

    emit(as_json, {"problems": found}, people)
    return DONE


def _detail(console: Console, about: dict[str, Any]) -> None:
    console.print(f"[bold]{about['name']}[/bold]: {about['description']}", markup=True)
    console.print(f"{about['unknowns']} values in a field; norm: {about['norm']}; evidence: {about['evidence']}")
    rows = table("input", "from", "to", "scale", "law", "unit")
    for entry in about["inputs"]:
        scale = "log" if entry["log"] else "linear"
        rows.add_row(
            entry["name"], number(entry["lower"], 6), number(entry["upper"], 6), scale, entry["law"], entry["unit"]
        )
    console.print(rows)
    if about["outputs"]:
        proved = {one["name"]: one["evidence"] == "proved" for one in about["outputs"]}
        console.print(f"outputs: {', '.join(proved)}")
        if not all(proved.values()):
            console.print(f"outputs with proved intervals: {', '.join(n for n in proved if proved[n]) or 'none'}")
    settings = " ".join(f"--set {key}={_flag(value)}" for key, value in about["settings"].items())
    console.print(f"settings: {settings or 'none'}")


def _flag(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(_flag(v) for v in value)
    return "null" if value is None else str(value)


def solve(
    problem: ProblemWord,
    at: At = None,
    tolerance: Annotated[float | None, typer.Option(help="Relative residual; the problem's own if left out.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="A picture of the field.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.npz", help="Coordinates and field, for numpy.load.")] = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """One truth solve, at the centre of the box unless --at says where."""
    owner = find_problem(problem, pairs(set_ or [], "--set"))
    box = owner.inputs
    if at and len(at) > 1:
        raise UserError("solve takes one --at; `assay sample` solves many")
    p = point(box, at[0]) if at else box.centre
    check_new(out)
    if plot is not None:
        check_path(plot)
    if tolerance is not None and not 0 < tolerance < 1:
        raise UserError(f"--tolerance is a relative residual between 0 and 1, not {tolerance}")
    solution = owner.solve_report(p, tolerance)
    payload = {
        "problem": problem,
        "settings": owner.settings,
        "inputs": dict(zip(box.names, p, strict=True)),
        "unknowns": owner.size,
        "residual": solution.residual,
        "iterations": solution.iterations,
        "method": solution.method,
        "seconds": solution.seconds,
        "norm": float(owner.norm(jnp.asarray(p), jnp.asarray(solution.u))),
        "norm_name": owner.norm_name,
        "minimum": float(solution.u.min()),
        "maximum": float(solution.u.max()),
        "plot": None if plot is None else str(plot),
        "out": None if out is None else str(out),
    }
    if plot is not None:
        from ..drawing.fields import plot_field

        plot_field(owner, solution.u, plot, owner.name)
    if out is not None:
        write_arrays(out, coordinates=owner.coordinates, u=solution.u, inputs=p)

    def people(console: Console) -> None:
        console.print(f"{owner.name} at {box.named(p)}")
        how = "your solver" if isinstance(owner, BlackBox) else solution.method
        steps = f", {solution.iterations} iterations" if solution.iterations else ""
        known = np.isfinite(solution.residual)
        residual = f", relative residual {solution.residual:.1e}" if known else "; it has no residual to check"
        console.print(f"solved by {how} in {1e3 * solution.seconds:.3g} ms{steps}{residual}")
        console.print(
            f"{owner.size} values from {payload['minimum']:.6g} to {payload['maximum']:.6g}; "
            f"{owner.norm_name} {payload['norm']:.6g}"
        )
        for file in (plot, out):
            if file is not None:
                console.print(f"written: {file}")

    emit(as_json, payload, people)
    return DONE


def sample(
    problem: ProblemWord,
    n: Annotated[int, typer.Option("--n", min=1, help="How many snapshots.")] = 256,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(metavar="FILE.h5", help="Continued where it exists.")] = Path("snapshots.h5"),
    retry: Annotated[bool, typer.Option(help="Solve rows again that failed when OUT was made.")] = True,
    workers: Workers = None,
    dask: Dask = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """The truth at a Sobol design, into an HDF5 file; interrupted, the same command goes on."""
    owner = find_problem(problem, pairs(set_ or [], "--set"))
    done = [0]

    def kept() -> str:
        return f"{done[0]} of {n} snapshots are kept beside {out}; the same command goes on from there"

    with keeps(kept), progress_bar("solving") as bar, pool(workers, dask, owner) as executor:

        def progress(count: int, total: int) -> None:
            done[0] = count
            bar(count, total)

        snapshots = take_sample(owner, n, seed, path=out, executor=executor, progress=progress, retry=retry)
    names, rows = owner.inputs.names, np.flatnonzero(~snapshots.valid).tolist()
    places = [dict(zip(names, snapshots.inputs[i].tolist(), strict=True)) for i in rows]
    unsolved = [{"inputs": p, "reason": snapshots.reasons.get(i)} for p, i in zip(places, rows, strict=True)]
    failed = len(unsolved)
    payload = {
        "problem": problem,
        "settings": owner.settings,
        "out": str(out),
        "n": len(snapshots),
        "failed": failed,
        "reasons": snapshots.why_failed(),
        "unsolved": [
            {
                "inputs": dict(zip(owner.inputs.names, snapshots.inputs[i], strict=True)),
                "reason": snapshots.reasons.get(i),
            }
            for i in np.flatnonzero(~snapshots.valid).tolist()
        ],
        "seed": seed,
        "worst_residual": float(np.max(snapshots.residuals)),
        "hash": snapshots.hash,
    }

    def people(console: Console) -> None:
        console.print(f"{len(snapshots)} snapshots of {owner.name} in {out}, {failed} of them failed")
        for why, count in snapshots.why_failed().items():
            console.print(f"failed, {count}: {why}")
        for i in rows[:SHOWN]:
            at = owner.inputs.named(snapshots.inputs[i])
            console.print(f"the truth fails at {at}: the solver {snapshots.reasons.get(i, 'does not say why')}")
        if failed > SHOWN:
            console.print(f"and at {failed - SHOWN} more inputs: --json lists all")
        if failed:
            console.print("the same command tries them again (--no-retry leaves them)")

    emit(as_json, plain(payload), people)
    return UNDECIDED if failed else DONE
