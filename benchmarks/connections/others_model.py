"""A model that other people's package serves, from nothing to guarded answers, by our command line alone.

The rod of umbridge_worker.py behind the UM-Bridge project's own Python server: sampled and learnt, its gradients used,
searched for failures, calibrated, guarded. Nothing can be proved of a model behind a server: what the guard does not
accept on its calibration it asks the server for. With --cpp FOLDER, where umbridge.h, httplib.h and json.hpp lie, the
same rod in C++ is compiled and sampled, too.

    python -m assay.benchmarks.connections.others_model [--cpp FOLDER] [--quick] [--json]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from ...connections import box_of
from ...solvers.external.umbridge import umbridge
from ...solvers.snapshots.sample import load_snapshots, sample
from .. import command
from .servers import BOX, TheirServer, assay, free_port, wait_for
from .umbridge_worker import rod

TOLERANCE = "1e-2"
RANDOM = 2000
SOURCE = Path(__file__).with_name("rod.cpp")


def measure(quick: bool, cpp: str | None) -> dict[str, Any]:
    snapshots, steps = (64, 300) if quick else (256, 6000)
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base)
        with TheirServer(folder) as server:
            word = f"umbridge:{server.url}#forward"
            asked = ("--set", BOX, "--set", "output=0")
            own = ("--problem", word, *asked)
            about = ("--surrogate", "pod-mlp", "--snapshots", str(snapshots), "--test", "64", "--steps", str(steps))
            rows = []
            _, trained, seconds = assay(folder, "train", word, *asked, *about, "--out", "r")
            rows.append({"verb": "train", "seconds": seconds, "said": _errors(trained)})
            code, search, seconds = assay(folder, "falsify", "r", *own, "--tolerance", TOLERANCE, "--budget", "200")
            rows.append({"verb": "falsify", "seconds": seconds, "said": _search(search)})
            draws = ("--n", "200" if quick else "1000", "--out", "c.npz")
            _, calibrated, seconds = assay(folder, "calibrate", "r", *own, "--tolerance", TOLERANCE, *draws)
            rows.append({"verb": "calibrate", "seconds": seconds, "said": _calibrated(calibrated)})
            many = ("--random", str(RANDOM), "--seed", "7", "--tolerance", TOLERANCE, "--out", "a.npz")
            _, guarded, seconds = assay(folder, "guard", "r", *own, *many, "--calibration", "c.npz")
            rows.append({"verb": "guard", "seconds": seconds, "said": _routes(guarded)})
            answers = np.load(folder / "a.npz")
            errors = _relative(answers["u"], np.array([rod(p)[:-1] for p in answers["inputs"]]))
            stored = load_snapshots(folder / "r" / "snapshots.h5")
            exact = bool((stored.fields == [rod(p)[:-1] for p in stored.inputs]).all())
            slope = _slope_error(server.url)
        compiled = None if cpp is None else _cpp(Path(cpp), folder)
    beyond = int((errors > float(TOLERANCE)).sum())
    holds = {
        "snapshots are the model's own, to the bit": exact,
        "derivatives are the server's: as differences give them, to 1e-6": slope < 1e-6,
        f"of {RANDOM} guarded answers at most 5 %, as calibrated, are beyond the tolerance": beyond <= RANDOM // 20,
        "what is reported as found is beyond the tolerance": (code == 1) == bool(search["counterexamples"]),
    }
    if compiled is not None:
        holds["the C++ server's rod is that of the Python server, to rounding"] = compiled["difference"] < 1e-11
    return {
        "rows": rows,
        "beyond": beyond,
        "largest": float(errors.max()),
        "slope": slope,
        "cpp": compiled,
        "holds": holds,
    }


def _relative(u: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(u - truth, axis=1) / np.linalg.norm(truth, axis=1))


def _errors(found: dict[str, Any]) -> str:
    return ", ".join(f"{key} {float(value):.2g}" for key, value in found["errors"].items())


def _search(found: dict[str, Any]) -> str:
    errors = [float(one["error"]) for one in found["counterexamples"]]
    about = f", worst {max(errors):.3g}" if errors else ""
    return f"{found['verdict']}: {len(found['counterexamples'])} in {found['solver_calls']} solves{about}"


def _calibrated(found: dict[str, Any]) -> str:
    statement = f"at most {found['miscoverage']:g} of these beyond, confidence {found['confidence']:g}"
    return f"accepts {float(found['share_accepted']):.1%} of draws, {statement}"


def _routes(found: dict[str, Any]) -> str:
    statistical = sum(bool(row.get("statistical")) for row in found["rows"])
    totals = found["totals"]
    return f"{statistical} accepted by statistics, {totals['solved']} solved, {totals['failed']} failed"


def _slope_error(url: str) -> float:
    """Of the server's gradient beside central differences of the rod."""
    problem = umbridge(url, "forward", box_of(BOX.removeprefix("box=").split(",")))
    p, w = problem.inputs.centre, np.linspace(-1, 1, problem.size)
    steps = 1e-4 * p
    differences = [(w @ rod(p + s) - w @ rod(p - s)) / (2 * s.sum()) for s in np.diag(steps)]
    slopes = np.asarray(jax.grad(lambda q: w @ problem.solve(q))(p))
    return float(np.max(np.abs(slopes - differences) / np.abs(differences)))


def _cpp(headers: Path, folder: Path) -> dict[str, Any]:
    """The same model behind the C++ header: compiled, served, sampled."""
    program, port = folder / "rod", free_port()
    libraries = [*headers.glob("libcpp-httplib.so")]
    links = [f"-L{headers}", "-lcpp-httplib", f"-Wl,-rpath,{headers.resolve()}"] if libraries else []
    build = ["g++", "-std=c++17", "-O1", f"-I{headers}", str(SOURCE), "-o", str(program), "-pthread", *links]
    subprocess.run(build, check=True)
    process = subprocess.Popen([str(program), str(port)], stdout=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        problem = umbridge(f"http://127.0.0.1:{port}", None, box_of(BOX.removeprefix("box=").split(",")))
        found = sample(problem, 64)
        try:
            problem.solve(problem.inputs.lower)
            refused = ""
        except Exception as error:
            refused = str(error)
    finally:
        process.kill()
        process.wait()
    difference = _relative(found.fields, np.array([rod(p) for p in found.inputs]))
    return {"rows": int(found.valid.sum()), "difference": float(difference.max()), "refused": refused}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("A model that others serve", result["rows"]))
    console.print(
        f"{result['beyond']} of {RANDOM} guarded answers beyond {TOLERANCE}, largest error {result['largest']:.3g}; "
        f"derivatives within {result['slope']:.1g} of differences"
    )
    if result["cpp"] is not None:
        about = result["cpp"]
        console.print(f"in C++: {about['rows']} of 64 rows, within {about['difference']:.1g}; {about['refused']}")


def main() -> int:
    """The entry point."""
    options = command.parser(
        __doc__, cpp="where the C++ headers lie, and libcpp-httplib.so if it is split"
    ).parse_args()
    return command.finish(measure(options.quick, options.cpp), show, "-" if options.json else None)


if __name__ == "__main__":
    sys.exit(main())
