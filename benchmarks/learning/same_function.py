"""One network in JAX, PyTorch, ONNX and scikit-learn: the same verdicts, counterexamples and guarded answers.

The network has one layer of tanh with drawn weights, and a linear one fitted to solutions: wrong by a few percent. In
float64 everything must be equal up to rounding. In float32 what differs is said: answers are rounded to seven digits.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from rich.console import Console

from ...solvers.problem import Problem
from ...solvers.problems.thermal_block import ThermalBlock
from ...solvers.snapshots.sample import sample
from ...surrogates.adapters.jax_module import jax_surrogate
from ...surrogates.adapters.onnx_file import onnx_surrogate
from ...surrogates.adapters.sklearn_estimator import sklearn_surrogate
from ...surrogates.adapters.torch_module import torch_surrogate
from ...verify.certify import certify
from ...verify.falsify import falsify
from ...verify.guard import guard
from .. import command

TOLERANCES = (2e-2, 5e-1)
INSTALL = "python3 -m venv ENV; ENV/bin/pip install -e '.[test,torch,onnx,sklearn]'; then --peer-python ENV/bin/python"


@dataclass(frozen=True)
class Network:
    """u = V tanh(W p + b) + c."""

    W: np.ndarray
    b: np.ndarray
    V: np.ndarray
    c: np.ndarray

    def astype(self, dtype: str) -> Network:
        return Network(*(a.astype(dtype) for a in (self.W, self.b, self.V, self.c)))


def fitted(problem: Problem, width: int = 32, snapshots: int = 64) -> Network:
    """Drawn features of the inputs, scaled by their box, and the least squares of some solutions."""
    box, rng = problem.inputs, np.random.default_rng(0)
    scale = 2 / (box.upper - box.lower)
    weights, shift = rng.standard_normal((width, box.dimension)), rng.standard_normal(width)
    W = weights * scale
    b = shift - W @ ((box.lower + box.upper) / 2)
    data = sample(problem, snapshots)
    hidden = np.column_stack([np.tanh(data.inputs @ W.T + b), np.ones(snapshots)])
    coefficients = np.linalg.lstsq(hidden, data.fields, rcond=1e-6)[0]
    return Network(W, b, coefficients[:-1].T.copy(), coefficients[-1].copy())


def as_jax(net: Network, problem: Problem) -> Any:
    return jax_surrogate(lambda P: jnp.tanh(P @ net.W.T + net.b) @ net.V.T + net.c, problem, dtype=net.W.dtype)


def as_torch(net: Network, problem: Problem) -> Any:
    return torch_surrogate(torch_module(net), problem)


def torch_module(net: Network) -> Any:
    import torch

    layers = []
    for weight, shift in ((net.W, net.b), (net.V, net.c)):
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=getattr(torch, str(net.W.dtype)))
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(shift))
        layers.append(layer)
    return torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1])


def as_onnx(net: Network, problem: Problem, folder: Path) -> Any:
    return onnx_surrogate(onnx_file(net, folder / f"{net.W.dtype}.onnx"), problem)


def onnx_file(net: Network, path: Path, rows: int | str = "n", activation: str = "Tanh") -> Path:
    """The file; ``rows``: how many it takes at once, a name for any number."""
    import onnx
    from onnx import helper, numpy_helper

    kind = helper.np_dtype_to_tensor_dtype(net.W.dtype)
    constants = {"W": net.W.T, "b": net.b, "V": net.V.T, "c": net.c}
    nodes = [
        helper.make_node("MatMul", ["p", "W"], ["Wp"]),
        helper.make_node("Add", ["Wp", "b"], ["hidden"]),
        helper.make_node(activation, ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "V"], ["Va"]),
        helper.make_node("Add", ["Va", "c"], ["u"]),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("p", kind, [rows, net.W.shape[1]])],
        [helper.make_tensor_value_info("u", kind, [rows, len(net.c)])],
        [numpy_helper.from_array(np.ascontiguousarray(a), name) for name, a in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    return path


def as_sklearn(net: Network, problem: Problem) -> Any:
    return sklearn_surrogate(sklearn_estimator(net), problem, dtype=net.W.dtype)


def sklearn_estimator(net: Network) -> Any:
    """An MLPRegressor that was given its weights instead of fitted."""
    from sklearn.neural_network import MLPRegressor

    made = MLPRegressor((len(net.b),), activation="tanh")
    made.coefs_, made.intercepts_ = [net.W.T, net.V.T], [net.b, net.c]
    made.n_layers_, made.n_outputs_, made.out_activation_ = 3, len(net.c), "identity"
    made.n_features_in_ = net.W.shape[1]
    return made


@dataclass(frozen=True)
class Findings:
    """What the verbs say of one surrogate."""

    verdicts: tuple[str, ...]
    counterexamples: np.ndarray  # inputs and errors, at the first tolerance
    upper: np.ndarray
    routes: np.ndarray
    answers: np.ndarray


def findings(problem: Problem, surrogate: Callable[[Any], Any], budget: int, queries: int) -> Findings:
    P = problem.inputs.draw(queries, seed=1)
    found = [falsify(problem, surrogate, tolerance, budget) for tolerance in TOLERANCES]
    records = np.array([[*c.inputs, c.error] for c in found[0].counterexamples])
    guarded = guard(problem, surrogate, TOLERANCES[0])(P)
    upper = certify(problem, surrogate, P).relative_upper
    return Findings(tuple(f.verdict for f in found), records, upper, guarded.route, guarded.u)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference as a share of the largest value; infinite for other shapes."""
    if one.shape != other.shape:
        return float("inf")
    return float(np.abs(one - other).max(initial=0.0) / max(np.abs(one).max(initial=0.0), 1e-300))


def measure(quick: bool) -> dict[str, Any]:
    problem = ThermalBlock((2, 2), 8 if quick else 32, low=0.5, high=2.0)
    budget, queries = (10, 16) if quick else (60, 200)
    net = fitted(problem)
    rows: list[dict[str, Any]] = []
    holds: dict[str, bool] = {}
    with tempfile.TemporaryDirectory() as folder:
        models: dict[str, Callable[[Network], Any]] = {
            "JAX": lambda net: as_jax(net, problem),
            "PyTorch": lambda net: as_torch(net, problem),
            "ONNX": lambda net: as_onnx(net, problem, Path(folder)),
            "scikit-learn": lambda net: as_sklearn(net, problem),
        }
        truth = findings(problem, models["JAX"](net), budget, queries)
        for dtype in ("float64", "float32"):
            for name, make in models.items():
                found = findings(problem, make(net.astype(dtype)), budget, queries)
                row: dict[str, Any] = {
                    "model": f"{name}, {dtype}",
                    "verdicts": " / ".join(found.verdicts),
                    "failures": len(found.counterexamples),
                    "apart": apart(truth.counterexamples, found.counterexamples),
                    "bounds apart": apart(truth.upper, found.upper),
                    "routes": " ".join(f"{sum(found.routes == r)} {r}" for r in dict.fromkeys(truth.routes)),
                    "answers apart": apart(truth.answers, found.answers),
                }
                command.progress(row)
                rows.append(row)
                if dtype == "float64":
                    holds[f"{name}: verdicts, counterexamples, bounds, routes and answers as of JAX, to 1e-9"] = (
                        found.verdicts == truth.verdicts
                        and (found.routes == truth.routes).all()
                        and max(row["apart"], row["bounds apart"], row["answers apart"]) <= 1e-9
                    )
                else:
                    holds[f"{name} in float32: the same verdicts, bounds and answers to 1e-3"] = (
                        found.verdicts == truth.verdicts and max(row["bounds apart"], row["answers apart"]) <= 1e-3
                    )
    return {"problem": f"{problem.name}, {problem.size} values", "rows": rows, "holds": holds}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table(f"one function, {result['problem']}; apart: from JAX in float64", result["rows"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer-python", help=f"an interpreter with torch, if this one has none: {INSTALL}")
    parser.add_argument("--quick", action="store_true", help="the same on a coarse grid with fewer solves")
    parser.add_argument("--json", action="store_true", help="the numbers as JSON instead of a table")
    options = parser.parse_args()
    if options.peer_python:
        words = [word for word, given in (("--quick", options.quick), ("--json", options.json)) if given]
        return subprocess.run([options.peer_python, "-m", __spec__.name, *words], check=False).returncode
    return command.finish(measure(options.quick), show, "-" if options.json else None)


if __name__ == "__main__":
    sys.exit(main())
