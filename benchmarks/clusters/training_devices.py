"""Every network trained on JAX's own device, a graphics card say, and on the processor, for the same seconds.

The same snapshots, seeds and seconds, compiling among them: how many steps each does, and how wrong the networks are at
other inputs, relative, in the problem's norm. What was trained on the device answers on both, and must say the same: a
surrogate goes from a cluster to a laptop. Where JAX has the processor alone, it is compared with itself.

    python -m assay.benchmarks.clusters.training_devices [--quick] [--json]
"""

from __future__ import annotations

import sys
import time
from typing import Any

import jax
import numpy as np
from rich.console import Console

from ...run_training import errors_at
from ...solvers.problems.catalogue import problem
from ...solvers.snapshots.sample import sample
from ...surrogates import ARCHITECTURES, train
from .. import command

SECONDS, SNAPSHOTS, TESTS = 12.0, 256, 64
APART = 1e-9  # of answers, relative to their largest value; float64 on both
CASES: dict[str, dict[str, Any]] = {
    "burgers": {"cells": 128, "steps": 50},
    "lognormal-diffusion": {"cells": 64, "d": 10},
}
NETWORKS = [name for name, kind in ARCHITECTURES.items() if kind.kind == "network"]


def rows_of(name: str, settings: dict[str, Any], networks: list[str], seconds: float) -> list[dict[str, Any]]:
    of = problem(name, **settings)
    data, tests = sample(of, SNAPSHOTS, 0), sample(of, TESTS, 1_000_003, independent=True)
    devices = {"device": jax.devices()[0], "processor": jax.devices("cpu")[0]}
    rows = []
    for network in networks:
        if ARCHITECTURES[network].misfit(of):
            continue
        row: dict[str, Any] = {"problem": name, "network": network}
        answers = []
        for label, device in devices.items():
            with jax.default_device(device):
                model = train(of, network, data, seconds=seconds)
                row[f"steps, {label}"] = int(model.training["steps"])
                row[f"error, {label}"] = float(errors_at(of, model, tests).errors.mean())
                if label == "device":
                    trained = model
                answers.append(np.asarray(trained(tests.inputs)))
                start = time.perf_counter()
                trained(tests.inputs)
                row[f"us an answer, {label}"] = 1e6 * (time.perf_counter() - start) / TESTS
        row["apart"] = float(np.abs(answers[0] - answers[1]).max() / np.abs(answers[1]).max())
        rows.append(row)
        command.progress(row)
    return rows


def measure(quick: bool) -> dict[str, Any]:
    if quick:
        rows = rows_of("burgers", {"cells": 32, "steps": 16}, ["pod-mlp", "fno"], 3.0)
    else:
        rows = [row for name, settings in CASES.items() for row in rows_of(name, settings, NETWORKS, SECONDS)]
    claim = f"what the device trained says the same on the processor, to {APART:g}"
    return {
        "device": jax.devices()[0].device_kind,
        "rows": rows,
        "holds": {claim: all(row["apart"] <= APART for row in rows)},
    }


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table(f"Networks trained on {result['device']} and on the processor", result["rows"]))


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
