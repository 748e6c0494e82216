"""The search for failures: climb a signal in batch, keep one peak per basin.

Space-filling start (Sobol, corners, centres of faces), evolution strategies from the most promising points (mutation
with a step size that grows on success and shrinks on failure: the one-fifth rule, Rechenberg 1973), then a
quasi-Newton ascent where the signal is differentiable. Never gradients alone: on some architectures a search without
them does better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.stats import qmc

from ...solvers.box import Box
from .signal import Signal

STARTS = 4096
CLIMBERS = 32
OFFSPRING = 8
GENERATIONS = 40
BASIN_POINTS = 5


@dataclass(frozen=True)
class Peaks:
    """Distinct maxima of the signal, best first, in unit coordinates."""

    points: Float[np.ndarray, "m d"]
    values: Float[np.ndarray, " m"]
    evaluations: int


def find_peaks(
    signal: Signal,
    box: Box,
    seed: int,
    starts: int = STARTS,
    progress: Callable[[str, int, int], None] | None = None,
) -> Peaks:
    """Climb the signal over the closed box; costs evaluations of the surrogate and no solves."""
    rng = np.random.default_rng(seed)
    report = progress or (lambda stage, done, total: None)
    X = _starts(box.dimension, starts, rng)
    pieces = []
    for i in range(0, len(X), 512):
        pieces.append(signal.values(box.from_unit(X[i : i + 512])))
        report("exploring without solves", min(i + 512, len(X)), len(X))
    values = np.concatenate(pieces)
    evaluations = len(X)
    climbers = _spread(X, values, CLIMBERS)
    x, y = X[climbers], values[climbers]
    step = np.full(len(x), 0.5 * starts ** (-1 / box.dimension))
    for generation in range(GENERATIONS):
        noise = rng.standard_normal((len(x), OFFSPRING, box.dimension))
        one_axis = rng.random((len(x), OFFSPRING, 1)) < 0.3  # moves along single inputs find edges and corners
        axis = rng.integers(0, box.dimension, (len(x), OFFSPRING))
        single = np.zeros_like(noise)
        np.put_along_axis(single, axis[..., None], np.take_along_axis(noise, axis[..., None], 2), 2)
        moves = np.where(one_axis, single, noise) * step[:, None, None]
        children = np.clip(x[:, None, :] + moves, 0, 1)
        fitness = signal.values(box.from_unit(children.reshape(-1, box.dimension))).reshape(len(x), OFFSPRING)
        evaluations += fitness.size
        best = fitness.argmax(axis=1)
        top = np.take_along_axis(fitness, best[:, None], 1)[:, 0]
        better = top > y
        x = np.where(better[:, None], children[np.arange(len(x)), best], x)
        y = np.where(better, top, y)
        step = np.clip(step * np.where((fitness > y[:, None]).mean(1) + better / OFFSPRING > 0.2, 1.5, 0.8), 1e-5, 0.5)
        report("climbing without solves, generation", generation + 1, GENERATIONS)
    if signal.gradient is not None:
        x, y, extra = _ascend(signal, box, x, y)
        evaluations += extra
    points, heights, extra = _one_per_basin(signal, box, x, y)
    return Peaks(points, heights, evaluations + extra)


def _starts(d: int, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
    sobol = qmc.Sobol(d, scramble=True, rng=rng).random_base2(int(np.ceil(np.log2(n))))[:n]
    corners = rng.integers(0, 2, (min(2**d, 256), d)).astype(float)
    if 2**d <= 256:
        corners = np.array(np.meshgrid(*[[0.0, 1.0]] * d, indexing="ij")).reshape(d, -1).T
    faces = np.full((2 * d, d), 0.5)
    faces[np.arange(d), np.arange(d)], faces[np.arange(d, 2 * d), np.arange(d)] = 0.0, 1.0
    snapped = sobol[: n // 4].copy()  # a quarter on the boundary, where training data are rare
    side = rng.integers(0, d, len(snapped))
    snapped[np.arange(len(snapped)), side] = rng.integers(0, 2, len(snapped))
    return np.concatenate([corners, faces, snapped, sobol[: n - n // 4]])


def _spread(X: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """The best points, no two of them close: half by value alone, half far from those."""
    order = np.argsort(-values)
    radius = 0.15 * np.sqrt(X.shape[1])
    chosen: list[int] = []
    for i in order[: 40 * count]:
        if all(np.linalg.norm(X[i] - X[j]) > radius for j in chosen):
            chosen.append(int(i))
        if len(chosen) == count // 2:
            break
    for i in order:
        if len(chosen) >= count:
            break
        if int(i) not in chosen:
            chosen.append(int(i))
    return np.array(chosen)


def _ascend(signal: Signal, box: Box, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Quasi-Newton ascent of log signal from the eight best climbers, in unit coordinates."""
    assert signal.gradient is not None
    gradient, count = signal.gradient, 0
    low, width = box.scaled_ends()
    log = np.array(box.log)
    x, y = x.copy(), y.copy()
    for i in np.argsort(-y)[:8]:

        def negative(t: np.ndarray) -> tuple[float, np.ndarray]:
            p = box.from_unit(np.clip(t, 0, 1))
            value, slope = gradient(jnp.asarray(p))
            if not np.isfinite(value) or not np.isfinite(slope).all():
                return 1e10, np.zeros_like(t)
            return -float(value), -np.asarray(slope) * width * np.where(log, p, 1.0)

        result = minimize(
            negative, x[i], jac=True, method="L-BFGS-B", bounds=[(0, 1)] * len(x[i]), options={"maxiter": 60}
        )
        count += int(result.nfev)
        t = np.clip(result.x, 0, 1)
        value = signal.values(box.from_unit(t[None]))[0]
        if value > y[i]:
            x[i], y[i] = t, value
    return x, y, count


def _one_per_basin(signal: Signal, box: Box, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Peaks joined by a ridge are one: the signal between them never falls below 0.9 of the lower one."""
    order = np.argsort(-y)
    kept: list[int] = []
    evaluations = 0
    share = np.linspace(0, 1, BASIN_POINTS + 2)[1:-1]
    for i in order:
        apart = True
        for j in kept:
            if np.linalg.norm(x[i] - x[j]) < 1e-3:
                apart = False
                break
            between = x[i] + share[:, None] * (x[j] - x[i])
            evaluations += len(between)
            if (signal.values(box.from_unit(between)) >= 0.9 * min(y[i], y[j])).all():
                apart = False
                break
        if apart:
            kept.append(int(i))
    return x[kept], y[kept], evaluations
