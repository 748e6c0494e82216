"""`assay serve`: the guarded surrogate as a UM-Bridge model, for any of its clients in any language."""

from __future__ import annotations

import errno
from typing import Annotated, Any

import typer
from rich.console import Console

from ..serving.guarded_model import EVIDENCE, NO_BOUND, GuardedModel, Log, account
from ..serving.http_server import MODEL, Listener
from ..targets import find_surrogate
from ..terminal.errors import DONE, UserError, keeps
from ..terminal.output import emit
from ..terminal.settings import Absolute, Config, Json, OutputOption, ProblemOption, Set, Tolerance, pairs
from ..terminal.streams import say
from ..terminal.workers import Dask, Workers, pool
from ..verify.guarded import ROUTES
from .answers import BesideOption, CalibrationOption, TrustMapOption, asked_guard
from .check import RunWord, measured
from .prepare import prepared

LOOPBACK = "127.0.0.1"


def serve(
    run: RunWord,
    tolerance: Tolerance = 1e-2,
    absolute: Absolute = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where it listens; 0 for any port that is free.")] = 4242,
    host: Annotated[str, typer.Option(help="The address it listens at: by default of this machine alone.")] = LOOPBACK,
    output: OutputOption = None,
    trust_map: TrustMapOption = None,
    calibration: CalibrationOption = None,
    beside: BesideOption = None,
    workers: Workers = None,
    dask: Dask = None,
    problem: ProblemOption = None,
    set_: Set = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """The guarded surrogate as a UM-Bridge model, until Ctrl-C: field, route, bound and evidence for every input.

    Its model is called forward and takes one block of inputs. Blocks of its outputs: 0 the field, or the output; 1 the
    route (0 accepted, 1 polished, 2 solved); 2 the bound of the error, 1.797e308 where none is known; 3 the evidence (0
    undecided, 1 observed, 2 statistical, 3 proved).
    """
    target = find_surrogate(run, problem, pairs(set_ or [], "--set"), output)
    if not target.problem.has_solver and calibration is None:
        raise UserError(
            f"{target.problem.name} has neither a solver nor a proof: nothing could be answered without --calibration "
            "(`assay calibrate`)"
        )
    prepared(target.problem)
    guard = asked_guard(target, tolerance, absolute, output, trust_map, calibration, beside)
    model = GuardedModel(guard, target.problem, output)
    server = _listening(model, host, port)
    try:
        say("compiling all that a question may need; then questions are taken")
        with keeps(lambda: "no question was taken"):
            seconds = guard.warm_up()
        payload = {
            "url": _url(host, server.server_port),
            "model": MODEL,
            "surrogate": target.label,
            "problem": target.problem.name,
            "inputs": list(target.problem.inputs.names),
            "input_sizes": [target.problem.inputs.dimension],
            "output_sizes": list(model.output_sizes),
            "output": output,
            "tolerance": tolerance,
            "absolute": guard.absolute,
            "measured": measured(target.problem, tolerance, guard.absolute, output),
            "routes": {str(i): route for i, route in enumerate(ROUTES[:3])},
            "evidence": {str(i): str(evidence) for i, evidence in enumerate(EVIDENCE)},
            "no_bound": NO_BOUND,
            "seconds": seconds,
        }
        log = Log(model, say)
        with keeps(lambda: account(model.counts)), pool(workers, dask, target.problem) as executor, server.answering():
            emit(as_json, payload, lambda console: _show(console, payload))
            model.work(log, executor)
    finally:
        model.stop()
        server.server_close()
    return DONE


def _listening(model: GuardedModel, host: str, port: int) -> Listener:
    try:
        return Listener(model, host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(
                f"port {port} of {host} is taken: choose another --port (0 takes any that is free)"
            ) from None
        raise UserError(f"--host {host} --port {port}: {error.strerror or error}") from None


def _url(host: str, port: int) -> str:
    return f"http://{host}:{port}"


def _show(console: Console, about: dict[str, Any]) -> None:
    first = about["output"] or "field"
    console.print(
        f"serving {about['surrogate']} for {about['problem']} at {about['url']} as the model {about['model']!r}"
    )
    console.print(f"input: one block of {about['input_sizes'][0]} numbers ({', '.join(about['inputs'])})")
    console.print(
        f"outputs: {first} [{about['output_sizes'][0]}], route ({_codes(about['routes'])}), "
        f"bound ({about['no_bound']!r}: none is known), evidence ({_codes(about['evidence'])})"
    )
    console.print(f"errors are {about['measured']}; Ctrl-C ends it")
    console.file.flush()


def _codes(names: dict[str, str]) -> str:
    return ", ".join(f"{code} {name}" for code, name in names.items())
