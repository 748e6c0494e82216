"""`assay certify` and `assay guard`: proved bounds, and answers that are only let out with one."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from jaxtyping import Float
from rich.console import Console

from ..drawing.files import check_path
from ..results import save_report
from ..solvers.box import few
from ..solvers.outputs import find_output, values
from ..solvers.processes.rows import attempt_rows
from ..targets import Target, find_callable, find_surrogate
from ..terminal.errors import DONE, FAILED, UNDECIDED, UserError, keeps
from ..terminal.output import check_new, downward, emit, number, table, upward, write_arrays
from ..terminal.settings import (
    Absolute,
    At,
    Config,
    Json,
    OutputOption,
    ProblemOption,
    Seed,
    Set,
    Tolerance,
    pairs,
    point,
    read_inputs,
)
from ..terminal.workers import Dask, Workers, flag_of, pool
from ..verify.answers.evaluate import evaluate
from ..verify.answers.first_call import check_answers
from ..verify.certificate import Certificate, OutputInterval
from ..verify.certify import NOT_FINITE
from ..verify.certify import certify as bound
from ..verify.evidence import Evidence
from ..verify.guard import Answer, Guard
from ..verify.guard import guard as guarded
from ..verify.proofs.prover import proof_of
from ..verify.statistical_guard import StatisticalGuard
from .boxes import over_box
from .check import RunWord, measured
from .prepare import prepared

Inputs = Annotated[Path | None, typer.Option("--inputs", metavar="FILE.csv", help="Rows of inputs, header optional.")]
TrustMapOption = Annotated[
    Path | None,
    typer.Option("--trust-map", metavar="FILE", help="What `certify --box` wrote: no bounds inside its leaves."),
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE.npz", help="What `assay calibrate` wrote: accept by statistics, not proved."),
]
BesideOption = Annotated[
    str | None,
    typer.Option(metavar="RUN", help="The other surrogate, where `assay calibrate --beside` chose by the two."),
]
SHOWN = 12  # rows printed for people


def chosen_inputs(
    target: Target, at: list[str] | None, inputs: Path | None, random: int | None, seed: int
) -> Float[np.ndarray, "n d"]:
    """The inputs that the flags name: --at, --inputs or --random."""
    box = target.problem.inputs
    if sum(bool(given) for given in (at, inputs, random)) != 1:
        raise UserError("say where: one of --at NAME=VALUE,..., --inputs FILE.csv, --random N")
    if at:
        return np.stack([point(box, text) for text in at])
    if inputs:
        return read_inputs(box, inputs)
    return box.from_law(np.random.default_rng([seed, 2]).random((int(random or 0), box.dimension)))


Random = Annotated[int | None, typer.Option("--random", min=1, help="That many inputs from the sampling law.")]


def certify(
    run: RunWord,
    at: At = None,
    inputs: Inputs = None,
    random: Random = None,
    seed: Seed = 0,
    steps: Annotated[int, typer.Option(min=0, help="CG steps that sharpen the bound.")] = 2,
    tolerance: Annotated[float | None, typer.Option(help="Exit code 1 above it, 3 where that is open.")] = None,
    absolute: Absolute = None,
    truth: Annotated[bool, typer.Option("--truth", help="Solve as well, and show bound / error.")] = False,
    box: Annotated[
        list[str] | None, typer.Option(metavar="all|NAME=LOW:HIGH,...", help="A proof over a whole box of inputs.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="With --box: how long to go on proving.")] = 60.0,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="With --box: a picture of the map.")] = None,
    output: OutputOption = None,
    ratio: Annotated[float | None, typer.Option(help="With --box: go on until upper / lower is within it.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="With --box: go on with the run's map.")] = False,
    workers: Workers = None,
    dask: Dask = None,
    problem: ProblemOption = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """Proved bounds of the error at points, or over a whole box of inputs."""
    if tolerance is not None and not 0 < tolerance < float("inf"):
        raise UserError(f"--tolerance is a relative error and must be positive, not {tolerance}")
    for option, given in (("--plot", plot is not None), ("--ratio", ratio is not None), ("--resume", resume)):
        if given and not box:
            raise UserError(f"{option} is about a proof over a box: it goes with --box")
    if plot is not None:
        check_path(plot)
    if (flag := flag_of(workers, dask)) and not truth:
        raise UserError(f"{flag} is about the solves of --truth: bounds take none, and a proof over a box few")
    target = find_surrogate(run, problem, pairs(set_ or [], "--set"), output)
    if box:
        if at or inputs or random or truth:
            raise UserError("--box goes alone: a proof over a box has no points")
        if output is not None:
            raise UserError("--box is about fields: --output goes with points")
        goal = 1e-2 if tolerance is None else tolerance
        return over_box(target, box, goal, seconds, as_json, plot, ratio, resume, absolute)
    P = chosen_inputs(target, at, inputs, random, seed)
    prepared(target.problem)
    check_answers(target.problem, target.surrogate, may_raise=True)
    answers = evaluate(target.surrogate, P, target.problem)
    certificate = bound(target.problem, answers.fields, P, steps=steps, output=output)
    payload = certificate_facts(target, P, certificate)
    payload["notes"] = [*answers.trouble, *(note for note in certificate.notes if note != NOT_FINITE)]
    if truth:
        with pool(workers, dask, target.problem) as executor:
            payload["error"], payload["effectivity"], payload["output_truth"] = _effectivity(
                target, P, answers.fields, certificate, executor
            )
    payload["settings"] = {"steps": steps, "tolerance": tolerance, "absolute": absolute, "seed": seed}
    save_report(target, "certify", payload)
    emit(as_json, payload, lambda console: _show_bounds(console, target, P, certificate, payload))
    return _verdict(target, certificate, tolerance, absolute)


def _verdict(target: Target, certificate: Certificate, tolerance: float | None, absolute: float | None) -> int:
    if certificate.output:
        least, most = certificate.output_error(tolerance or 1.0, absolute or 0.0)
        if tolerance is None:
            return DONE if np.isfinite(certificate.output_upper - certificate.output_lower).all() else UNDECIDED
        return FAILED if (least > tolerance).any() else DONE if (most <= tolerance).all() else UNDECIDED
    if tolerance is None:
        return DONE if np.isfinite(certificate.relative_upper).all() else UNDECIDED
    if certificate.beyond(tolerance, absolute).any():
        return FAILED
    return DONE if certificate.within(tolerance, absolute).all() else UNDECIDED


def certificate_facts(target: Target, P: np.ndarray, c: Certificate) -> dict[str, Any]:
    """What is proved of the fields at P, as JSON values."""
    return {
        "surrogate": target.label,
        "problem": target.problem.name,
        "names": list(target.problem.inputs.names),
        "inputs": P,
        "lower": c.lower,
        "upper": c.upper,
        "relative_lower": c.relative_lower,
        "relative_upper": c.relative_upper,
        "norm": c.norm,
        "against": c.against,
        "evidence": evidence_of(c),
        "assumptions": stands_on(c),
        "output": c.output or None,
        "outputs": {name: _interval(o) for name, o in c.outputs.items()},
        "rounding_floor": c.floor,
        "overwritten": c.overwritten,
        "cost": c.cost,
    }


def _interval(found: OutputInterval) -> dict[str, Any]:
    """The fields' own value where it was asked for."""
    ends = {"lower": found.lower, "upper": found.upper}
    return ends if found.value is None else {**ends, "value": found.value}


def evidence_of(c: Certificate) -> Evidence:
    """Where every bound is infinite nothing was proved."""
    return c.evidence if np.isfinite(c.upper).any() else Evidence.NONE


def stands_on(c: Certificate) -> list[str]:
    """What the bounds stand on, where there are any."""
    return list(c.assumptions) if evidence_of(c) is not Evidence.NONE else []


def _effectivity(
    target: Target, P: np.ndarray, fields: np.ndarray, c: Certificate, executor: Executor | None = None
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"] | None]:
    """Absolute errors against the solver, and bound / error; NaN where there is no truth or no error. The truth's
    output, where one was asked for.
    """
    owner = target.problem
    inside = owner.inputs.contains(P)
    truths = np.full_like(fields, np.nan)
    if inside.any():
        truths[inside] = np.asarray(attempt_rows(owner, P[inside], executor)[0].u)
    pairs_ = zip(P, fields, truths, strict=True)
    errors = np.array([float(owner.norm(p, owner.prescribe(p, u) - t)) for p, u, t in pairs_])
    with np.errstate(divide="ignore", invalid="ignore"):
        effectivity = np.where(errors > 0, c.upper / errors, np.nan)
    return errors, effectivity, values(owner, find_output(owner, c.output), P, truths) if c.output else None


def _show_bounds(console: Console, target: Target, P: np.ndarray, c: Certificate, payload: dict[str, Any]) -> None:
    extra = [name for name in ("error", "effectivity") if name in payload]
    if c.output:
        _show_output(console, target, P, c, payload)
    rows = table(
        "row",
        f"input ({target.problem.inputs.listed})",
        "relative error at least",
        "at most",
        "absolute at most",
        *extra,
    )
    worst_first = np.argsort(-np.nan_to_num(c.relative_upper, nan=np.inf), kind="stable")[:SHOWN]
    for i in worst_first:
        more = [number(float(payload[name][i]), 4) for name in extra]
        where = few([number(x, 4) for x in P[i]])
        rows.add_row(
            str(i), where, downward(c.relative_lower[i]), upward(c.relative_upper[i]), upward(c.upper[i]), *more
        )
    console.print(rows)
    if len(P) > SHOWN:
        console.print(f"largest bounds first; {len(P) - SHOWN} rows with smaller ones are not shown")
    console.print(f"evidence: [bold]{evidence_of(c)}[/bold], {c.against} ({c.norm})", markup=True)
    for note in payload["notes"]:
        console.print(f"note: {note}")
    for assumption in stands_on(c):
        console.print(f"assumes: {assumption}", style="dim")


def _show_output(console: Console, target: Target, P: np.ndarray, c: Certificate, payload: dict[str, Any]) -> None:
    truth = payload.get("output_truth")
    heads = (
        "row",
        f"input ({target.problem.inputs.listed})",
        f"{c.output} at least",
        "at most",
        "surrogate's",
    )
    rows = table(*heads, *(["truth's"] if truth is not None else []))
    widest = np.argsort(-np.nan_to_num(c.output_upper - c.output_lower, nan=np.inf), kind="stable")[:SHOWN]
    for i in widest:
        more = [] if truth is None else [number(float(truth[i]), 9)]
        where = few([number(x, 4) for x in P[i]])
        ends = downward(c.output_lower[i], 9), upward(c.output_upper[i], 9)
        rows.add_row(str(i), where, *ends, number(float(c.output_value[i]), 9), *more)
    console.print(rows)


def guard(
    run: RunWord,
    inputs: Inputs = None,
    at: At = None,
    random: Random = None,
    seed: Seed = 0,
    tolerance: Tolerance = 1e-2,
    absolute: Absolute = None,
    output: OutputOption = None,
    trust_map: TrustMapOption = None,
    calibration: CalibrationOption = None,
    beside: BesideOption = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.npz", help="The answers, for numpy.load.")] = None,
    workers: Workers = None,
    dask: Dask = None,
    problem: ProblemOption = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """Guarded answers: the surrogate where its error is proved small enough, else polished, else solved.

    With --calibration first by the calibrated signal, on statistical evidence.
    """
    target = find_surrogate(run, problem, pairs(set_ or [], "--set"), output)
    P = chosen_inputs(target, at, inputs, random, seed)
    check_new(out)
    prepared(target.problem)
    again = "nothing was written; the same command starts again"
    with keeps(lambda: again), pool(workers, dask, target.problem) as executor:
        guarding = asked_guard(target, tolerance, absolute, output, trust_map, calibration, beside)
        answer = guarding(P, executor=executor)
    payload = answer_facts(target, P, answer, tolerance)
    payload["absolute"] = guarding.absolute
    payload["measured"] = measured(target.problem, tolerance, guarding.absolute, output)
    payload["output"] = output
    payload["trust_map"] = None if trust_map is None else str(trust_map)
    payload["calibration"] = None if calibration is None else {"file": str(calibration), "says": answer.calibration}
    payload["out"] = None if out is None else str(out)
    if out is not None:
        about = {key: np.array(str(payload[key])) for key in ("evidence", "against", "norm")}
        if answer.output is not None:
            about |= {"output": answer.output, "output_name": np.array(output)}
        fields = {"u": answer.u, "route": answer.route, "relative_upper": answer.relative_upper}
        if calibration is not None:
            fields["statistical"] = answer.statistical
        allowed = {"tolerance": np.array(tolerance), "absolute": np.array(guarding.absolute)}
        write_arrays(out, inputs=P, **fields, error_upper=answer.error_upper, **allowed, **about)
    save_report(target, "guard", payload)
    emit(as_json, payload, lambda console: _show_answers(console, P, answer, payload, out))
    proved = answer.error_upper <= tolerance
    trusted = answer.route == "solved"  # without a bound the solver's own word is what there is
    good = proved if proof_of(target.problem).proves else trusted
    if calibration is not None:
        good = good | answer.statistical
    return DONE if good.all() else UNDECIDED


def asked_guard(
    target: Target,
    tolerance: float,
    absolute: float | None,
    output: str | None,
    trust_map: Path | None,
    calibration: Path | None,
    beside: str | None,
) -> Guard | StatisticalGuard:
    """The guard that the flags ask for."""
    if calibration is None:
        if beside is not None:
            raise UserError("--beside is the other surrogate of a --calibration: give both, or leave it out")
        return guarded(target.problem, target.surrogate, tolerance, trust_map, absolute, output)
    if trust_map is not None or output is not None:
        raise UserError("--calibration is of fields, and goes without --trust-map and --output")
    other = None if beside is None else find_callable(beside, target.problem)
    return guarded(target.problem, target.surrogate, tolerance, None, absolute, calibration=calibration, beside=other)


def answer_facts(target: Target, P: np.ndarray, answer: Answer, tolerance: float) -> dict[str, Any]:
    """What guarded answers are worth, as JSON values."""
    names = target.problem.inputs.names
    assumed = answer.evidence is not Evidence.NONE
    rows: list[dict[str, Any]] = [
        {"inputs": dict(zip(names, p.tolist(), strict=True)), "route": str(route), "upper": float(upper)}
        for p, route, upper in zip(P, answer.route, answer.error_upper, strict=True)
    ]
    if answer.calibration:
        for row, by_statistics in zip(rows, answer.statistical, strict=True):
            row["statistical"] = bool(by_statistics)
    if answer.output is not None:
        c = answer.certificate
        for row, *numbers in zip(rows, answer.output, c.output_lower, c.output_upper, strict=True):
            row |= dict(zip(("output", "output_lower", "output_upper"), map(float, numbers), strict=True))
    return {
        "surrogate": target.label,
        "problem": target.problem.name,
        "rows": rows,
        "totals": {
            "n": len(P),
            **answer.counts,
            "worst_upper": float(answer.error_upper.max()),
            "seconds": answer.seconds,
            "solver_calls": answer.counts["solved"] + answer.counts["failed"],
        },
        "tolerance": tolerance,
        "norm": answer.certificate.norm,
        "against": answer.certificate.against,
        "evidence": answer.evidence,
        "assumptions": list(answer.certificate.assumptions) if assumed else [],
        "unsolved": [
            {"inputs": dict(zip(names, u.inputs.tolist(), strict=True)), "reason": u.reason} for u in answer.unsolved
        ],
        "notes": list(answer.notes),
    }


def _show_answers(console: Console, P: np.ndarray, answer: Answer, payload: dict[str, Any], out: Path | None) -> None:
    names = few(list(payload["rows"][0]["inputs"]))
    heads = () if answer.output is None else (str(payload["output"]),)
    rows = table("row", f"input ({names})", "route", *heads, "error at most")
    worst_first = np.lexsort((-answer.error_upper, answer.route != "failed"))
    for i in worst_first[:SHOWN]:
        bound = "not known" if np.isinf(answer.error_upper[i]) else upward(answer.error_upper[i])
        bound = "statistical" if answer.statistical.any() and answer.statistical[i] else bound
        numbers = () if answer.output is None else (number(float(answer.output[i]), 9),)
        rows.add_row(str(i), few([number(x, 4) for x in P[i]]), answer.route[i], *numbers, bound)
    console.print(rows)
    if len(P) > SHOWN:
        first = "rows without an answer first, then" if answer.counts["failed"] else "first"
        console.print(f"{first} the largest bounds; {len(P) - SHOWN} more rows are not shown")
    counts = ", ".join(f"{count} {route}" for route, count in answer.counts.items() if count)
    console.print(f"answers: {counts}, in {answer.seconds:.2f} s (compilation included)")
    console.print(f"evidence: {payload['evidence']}, {payload['against']}; errors are {payload['measured']}")
    for note in [*payload["notes"], *(f"the truth fails: {u.reason}" for u in answer.unsolved[1:SHOWN])]:
        console.print(f"note: {note}")
    if out is not None:
        console.print(f"written: {out}")
