"""`assay serve` and other people's clients: conformity, answers that are the guard's own, questions a second.

A thermal block is learnt and served. The UM-Bridge project's Python client goes through every call it has; its answers
are held against those of the guard in this process and against the solver. Then the same questions by 1 and by 16
clients at once, which are answered together. With --suite FOLDER the project's own tests of conformity (the folder
testing/protocol_conformity_1.0 of its repository; they need jsonschema) are run against the server.

    python -m assay.benchmarks.connections.served [--suite FOLDER] [--quick] [--json]
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ...serving.guarded_model import EVIDENCE
from ...solvers.problems.thermal_block import ThermalBlock
from ...surrogates import load
from ...verify.evidence import Evidence
from ...verify.guard import guard
from ...verify.guarded import ROUTES
from .. import command
from ..soundness.scratch import environment
from .servers import assay, free_port, wait_for

TOLERANCE = 2e-3
CLIENTS = (1, 16)


def measure(quick: bool, suite: str | None) -> dict[str, Any]:
    cells, steps, count = (8, 300, 64) if quick else (32, 1000, 256)
    problem = ThermalBlock(blocks=(2, 2), cells=cells)
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base)
        size = ("--set", f"cells={cells}", "--set", "blocks=2,2", "--snapshots", "64", "--test", "8")
        assay(folder, "train", "thermal-block", *size, "--steps", str(steps), "--out", "r")
        P = problem.inputs.draw(count, 3)
        guarded = guard(problem, load(folder / "r" / "model.safetensors", problem), TOLERANCE)
        guarded.warm_up()
        began = time.perf_counter()
        expected = guarded(P)
        in_process = count / (time.perf_counter() - began)
        truths = np.asarray(problem.solve_batch(P))
        with serving(folder) as url:
            calls = client_calls(url, problem)
            rows = [{"clients": 0, "questions a second": in_process}]
            for clients in CLIENTS:
                answers, rate = asked(url, P, clients)
                rows.append({"clients": clients, "questions a second": rate})
            conformity = None if suite is None else tests_of_theirs(suite, url)
    fields = np.array([a[0] for a in answers])
    errors = np.array([float(problem.relative_error(p, u, t)) for p, u, t in zip(P, fields, truths, strict=True)])
    bounds = np.array([a[2][0] for a in answers])
    routes = Counter(ROUTES[int(a[1][0])] for a in answers)
    apart = float(np.max(np.abs(fields - expected.u).max(axis=1) / np.abs(expected.u).max(axis=1)))
    holds = {
        "their client goes through every call": all(calls.values()),
        "no answer is beyond its bound, nor beyond the tolerance": bool(
            (errors <= bounds * (1 + 1e-9) + 1e-14).all() and (errors <= TOLERANCE).all()
        ),
        "every answer says that it is proved": all(EVIDENCE[int(a[3][0])] is Evidence.PROVED for a in answers),
        "answers are the guard's own, to 1e-12": apart < 1e-12,
    }
    if conformity is not None:
        holds["the project's tests of conformity pass"] = conformity["failed"] == 0 < conformity["passed"]
    return {"rows": rows, "routes": dict(routes), "apart": apart, "calls": calls, "suite": conformity, "holds": holds}


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of `assay serve` of the run r there."""
    port = free_port()
    words = [sys.executable, "-m", "assay", "serve", "r", "--tolerance", str(TOLERANCE), "--port", str(port)]
    process = subprocess.Popen(words, cwd=folder, env=environment(), stdout=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def client_calls(url: str, problem: ThermalBlock) -> dict[str, bool]:
    """Every call of their Python client, and whether it did what it is to do."""
    import umbridge

    model = umbridge.HTTPModel(url, "forward")
    p = [problem.inputs.centre.tolist()]

    def refuses(call: Any, word: str) -> bool:
        try:
            call()
        except Exception as error:
            return word in str(error)
        return False

    return {
        "supported_models": umbridge.supported_models(url) == ["forward"],
        "get_input_sizes": model.get_input_sizes() == [problem.inputs.dimension],
        "get_output_sizes": model.get_output_sizes() == [problem.size, 1, 1, 1],
        "supports_...": model.supports_evaluate()
        and not (model.supports_gradient() or model.supports_apply_jacobian() or model.supports_apply_hessian()),
        "evaluate": [len(block) for block in model(p)] == [problem.size, 1, 1, 1],
        "evaluate, with a config": refuses(lambda: model(p, {"level": 1}), "InvalidInput"),
        "evaluate, too few inputs": refuses(lambda: model([p[0][:-1]]), "InvalidInput"),
        "evaluate, outside the box": refuses(lambda: model([[-1.0] * len(p[0])]), "is outside"),
        "gradient": refuses(lambda: model.gradient(0, 0, p, [0.0]), "not supported"),
        "apply_jacobian": refuses(lambda: model.apply_jacobian(0, 0, p, [0.0]), "not supported"),
        "apply_hessian": refuses(lambda: model.apply_hessian(0, 0, 0, p, [0.0], [0.0]), "not supported"),
        "another model": refuses(lambda: umbridge.HTTPModel(url, "posterior"), "not supported by server"),
        "shared memory, which is not offered": len(_with_shared_memory(url)(p)) == 4,
    }


def _with_shared_memory(url: str) -> Any:
    """A client that asks for it; it prints that there is none."""
    import umbridge

    with contextlib.redirect_stdout(sys.stderr):
        return umbridge.HTTPModel(url, "forward", use_shmem=True)


def asked(url: str, P: np.ndarray, clients: int) -> tuple[list[Any], float]:
    """Their client's answers in order, and how many there were in a second."""
    import umbridge

    models = [umbridge.HTTPModel(url, "forward") for _ in range(clients)]

    def part(k: int) -> list[Any]:
        return [models[k]([p.tolist()]) for p in P[k::clients]]

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        parts = list(threads.map(part, range(clients)))
    rate = len(P) / (time.perf_counter() - began)
    answers: list[Any] = [None] * len(P)
    for k, found in enumerate(parts):
        answers[k::clients] = found
    return answers, rate


def tests_of_theirs(suite: str, url: str) -> dict[str, int]:
    """How many of the project's tests pass and fail; inputs are 1, which the box holds."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", suite, "--rootdir", suite]
    ended = subprocess.run([*words, f"--model_url={url}", "--input_value=1.0"], capture_output=True, text=True)
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error)", ended.stdout)}
    return {"passed": counts.get("passed", 0), "failed": counts.get("failed", 0) + counts.get("error", 0)}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Questions a second (0 clients: the guard itself, all at once)", result["rows"]))
    console.print(f"routes: {result['routes']}; largest difference from the guard's own answers {result['apart']:.1g}")
    missed = [name for name, good in result["calls"].items() if not good]
    console.print(f"their client: {len(result['calls'])} calls{', missed: ' + ', '.join(missed) if missed else ''}")
    if result["suite"] is not None:
        console.print(
            f"their tests of conformity: {result['suite']['passed']} passed, {result['suite']['failed']} failed"
        )


def main() -> int:
    """The entry point."""
    options = command.parser(__doc__, suite="the project's testing/protocol_conformity_1.0").parse_args()
    return command.finish(measure(options.quick, options.suite), show, "-" if options.json else None)


if __name__ == "__main__":
    sys.exit(main())
