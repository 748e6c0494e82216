"""Parameters and data that a fixed worst error needs, against the number of inputs."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from ....solvers.problems.thermal_block import ThermalBlock
from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, exponent_of
from ..small_networks import Regression, adam, count, dense, descend, mean_square, network, regression

CLAIM = Claim(
    claim="Networks grow faster in freedom than the data that they need.",
    said="in the debate",
    theorem="For general smooth functions of d inputs both the parameters (DeVore, Howard, Micchelli 1989, for "
    "continuous choices of them) and the samples (Novak, Wozniakowski 2009) that an error needs are a "
    "power of 1/error that grows with d. For solutions of parametric elliptic equations both may escape "
    "(Cohen, DeVore, Schwab 2011).",
    experiment="Thermal block of 1, 2, 3, 4 and 6 conductivities in a row, contrast 10; 12 x 12 cells; networks of "
    "one hidden tanh layer, Adam for 3000 steps; outputs are the fewest modes that alone are within 1 %. "
    "Parameters: the fewest, of widths 2 to 64, for which the worst error of 256 draws is below 10 %, "
    "from 256 snapshots. Data: the fewest of 4 to 256 snapshots with 64 units. Three starts and designs; "
    "exponents of n ~ d^b.",
    limits="Data are counted in snapshots, which are what costs; the numbers in them grow faster, as outputs do. "
    "Steps of two in widths and snapshots; a size that is not reached counts as twice the largest, which "
    "makes its exponent too small. One tolerance, one optimiser; a number below the largest is what "
    "training finds, more than a network needs that exists. The number of outputs decides: a first whole "
    "run had ten for all numbers of inputs, of which few inputs need fewer; parameters then grew like "
    "inputs^0.70 [0.32, 1.08], snapshots like inputs^1.64 [1.38, 1.90]: failed. The outputs were changed "
    "after that, the rule was not.",
    rule="Held: the exponent of the parameters is above that of the data, intervals apart, and all data were "
    "enough. Failed: below it, intervals apart, and all widths were enough. Depends: else.",
)
INPUTS = (1, 2, 3, 4, 6)
WIDTHS = (2, 4, 8, 16, 32, 64)
SAMPLES = (4, 8, 16, 32, 64, 128, 256)
TOLERANCE, DISCARDED = 0.1, 0.01


def rows(inputs: int, modes: int, samples: int, seed: int) -> Regression:
    return regression(ThermalBlock((1, inputs), 12, low=10**-0.5, high=10**0.5), samples, modes, 256, seed)


def outputs(inputs: int) -> int:
    """The fewest modes whose own error at the tests is small enough."""
    return next(r for r in range(1, 33) if (d := rows(inputs, r, 256, 0)).errors(d.test_y).max() < DISCARDED)


def worst(inputs: int, modes: int, width: int, samples: int, steps: int, seed: int) -> float:
    """The worst error of one trained network."""
    r = rows(inputs, modes, samples, seed)
    start = dense(jax.random.PRNGKey(seed), (inputs, width, modes))
    y = jnp.zeros((len(r.y), modes)).at[:, : r.y.shape[1]].set(r.y)  # few snapshots have fewer modes
    loss = partial(mean_square, x=jnp.asarray(r.x), y=y)
    weights = jax.jit(lambda w: descend(loss, w, adam(steps, 1e-2), steps)[0])(start)
    return float(r.errors(network(weights, jnp.asarray(r.test_x))[:, : r.y.shape[1]]).max())


def needed(run: Run, label: str, sizes: tuple[int, ...], error: Any) -> int:
    """The least size whose error is below the tolerance, tried upwards, twice the largest if none is."""
    for size in sizes:
        if run.row(f"{label} {size}", partial(error, size)) < TOLERANCE:
            return size
    return 2 * sizes[-1]


def measure(run: Run) -> dict[str, Any]:
    seeds, steps = run.seeds(3), 300 if run.quick else 3000
    inputs, widths, samples = (INPUTS[:2], WIDTHS[:3], SAMPLES[:3]) if run.quick else (INPUTS, WIDTHS, SAMPLES)
    table, points, reached = [], [], []
    for d in inputs:
        found, r = [], run.row(f"modes {d}", partial(outputs, d))
        for s in seeds:
            made = partial(worst, d, r, steps=steps, seed=s)
            width = needed(run, f"width {d} {s}", widths, lambda w, f=made: f(width=w, samples=samples[-1]))
            data = needed(run, f"data {d} {s}", samples, lambda n, f=made: f(width=widths[-1], samples=n))
            parameters = count(dense(jax.random.PRNGKey(0), (d, width, r)))
            found.append([width, parameters, data])
            points.append([d, parameters, data])
            reached.append([d, width])
        widths_found, parameters_found, data_found = zip(*found, strict=True)
        table.append(
            {
                "inputs": d,
                "outputs": r,
                "units": _range(widths_found),
                "parameters": _range(parameters_found),
                "snapshots": _range(data_found),
                "numbers in these snapshots": _range([n * r for n in data_found]),
                "evidence": EMPIRICAL,
            }
        )
    columns = np.array(points, dtype=float).T
    exponents = {k: exponent_of(columns[0], columns[i]) for i, k in ((1, "parameters"), (2, "snapshots"))}
    limits = [2 * widths[-1], 2 * samples[-1]]
    return {"rows": table, "points": points, "widths": reached, "exponents": exponents, "limits": limits}


def _range(values: Any) -> str:
    """Lowest to highest over the seeds."""
    return f"{min(values)}" if min(values) == max(values) else f"{min(values)} to {max(values)}"


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    parameters, data = ([float(v) for v in result["exponents"][k]] for k in ("parameters", "snapshots"))
    runs = len(result["points"])
    narrow, few = (
        sum(found >= result["limits"][i] for *_, found in result[k]) for i, k in enumerate(("widths", "points"))
    )
    words = (
        f"For a worst error below 10 % parameters grow like inputs^{parameters[0]:.2f} [{parameters[1]:.2f}, "
        f"{parameters[2]:.2f}] and snapshots like inputs^{data[0]:.2f} [{data[1]:.2f}, {data[2]:.2f}]; of {runs} runs "
        f"{few or 'none'} needed more snapshots than were tried, {narrow or 'none'} more units."
    )
    if parameters[1] > data[2] and not few:
        return HELD, words
    return (FAILED if parameters[2] < data[1] and not narrow else DEPENDS), words


def draw(result: dict[str, Any], figure: Figure) -> None:
    axes, points = figure.subplots(), np.array(result["points"], dtype=float)
    x = np.unique(points[:, 0])
    for i, (name, mark) in enumerate((("parameters", "o"), ("snapshots", "s"))):
        y = points[:, i + 1]
        middle = [np.exp(np.log(y[points[:, 0] == d]).mean()) for d in x]
        label = f"{name}: inputs^{result['exponents'][name][0]:.2f}"
        line = axes.loglog(x, middle, "-", label=label)[0]
        axes.loglog(points[:, 0] * (1 + 0.02 * i), y, mark, color=line.get_color(), alpha=0.5, markersize=5)
    axes.set_xticks(x, [f"{d:g}" for d in x])
    axes.minorticks_off()
    axes.set(xlabel="inputs", ylabel="needed for a worst error below 10 %")
    axes.legend()
    axes.grid(alpha=0.3)
