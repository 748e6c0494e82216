"""A data set without a solver: the share of new errors within the conformal bars, and its files there and back.

Solutions of Burgers' equation stand for data that somebody else computed, their first states for inputs: the viscosity
is not told, so that errors stay large. The bars are promised to hold for at least their level of new inputs, over
random splits and inputs together.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ...solvers.datasets.dataset import Dataset, dataset, rows_of
from ...solvers.datasets.files import LAYOUTS, load_dataset, save_dataset
from ...solvers.problems.burgers import Burgers
from ...surrogates.training.train import train
from ...verify.statistics.conformal import conformal
from .. import command

LEVELS = (0.8, 0.9)
NEW, HELD, LEARN = 50, 39, 60  # rows of a split


def data_of(rows: int) -> Dataset:
    """First states and later ones, in float32 as files of others hold them."""
    problem = Burgers(cells=32, steps=32)
    times, nodes, _ = problem.shape
    fields = np.asarray(problem.solve_batch(problem.inputs.sample(rows, seed=3)), dtype=np.float32)
    states = fields.reshape(rows, times, nodes)[:, :: max(times // 4, 1)]
    ticks = np.linspace(0, 1, nodes, dtype=np.float32)
    count = states.shape[1] - 1
    return dataset(
        states[:, 0, :, None], states[:, 1:], (ticks,), times=np.arange(1, count + 1) / count, name="burgers-data"
    )


def share_within(data: Dataset, splits: int) -> dict[float, list[float]]:
    """Of each split, the share of new errors within the bars; by level."""
    found: dict[float, list[float]] = {level: [] for level in LEVELS}
    for k in range(splits):
        order = np.random.default_rng([11, k]).permutation(len(data))
        learn, held, new = np.split(order, [LEARN, LEARN + HELD])
        model = train(data.problem, "kernel-ridge", rows_of(data.snapshots, learn))
        tests = rows_of(data.snapshots, held)
        some = rows_of(data.snapshots, new[:NEW])
        answers = model(some.inputs)
        errors = [
            float(data.problem.relative_error(p, u, truth))
            for p, u, truth in zip(some.inputs, answers, some.fields, strict=True)
        ]
        for level in LEVELS:
            bar = conformal(data.problem, model, tests, level=level).error
            found[level].append(float(np.mean(np.array(errors) <= bar)))
    return found


def measure(quick: bool) -> dict[str, Any]:
    data = data_of(LEARN + HELD + NEW)
    rows, holds = [], {}
    shares = share_within(data, 4 if quick else 60)
    for level, found in shares.items():
        spread = float(np.std(found) / np.sqrt(len(found)))
        rows.append({"level": level, "within": float(np.mean(found)), "standard error": spread, "splits": len(found)})
        holds[f"at least {level:g} of new errors within the bars, up to three standard errors"] = float(
            np.mean(found)
        ) >= level - 3 * max(spread, 0.02 if quick else 0.0)
    with tempfile.TemporaryDirectory() as folder:
        for layout in LAYOUTS:
            back = load_dataset(save_dataset(data, Path(folder) / f"{layout}.h5", layout))
            one, other = data.snapshots, back.snapshots
            same = [np.array_equal(one.inputs, other.inputs), np.array_equal(one.fields, other.fields)]
            holds[f"{layout}: inputs and fields come back to the bit"] = all(same)
    return {"problem": repr(data.problem), "rows": rows, "holds": holds}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table(result["problem"], result["rows"]))


if __name__ == "__main__":
    raise SystemExit(command.run(__doc__, measure, show))
