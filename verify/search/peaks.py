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
POLISHED, BY_DIFFERENCES = 8, 3  # peaks, with a gradient and without
STEP = 1e-5  # of differences, of the box: peaks may be a thousandth of it wide


@dataclass(frozen=True)
class Peaks:
    """Distinct maxima of the signal, best first."""

    points: Float[np.ndarray, "m d"]  # in unit coordinates
    values: Float[np.ndarray, " m"]
    evaluations: int  # of the signal, and of its slope


def find_peaks(
    signal: Signal,
    box: Box,
    seed: int,
    starts: int = STARTS,
    progress: Callable[[str, int, int], None] | None = None,
) -> Peaks:
    """Climb the signal over the closed box: explore, evolve, polish, keep one peak per basin. It costs evaluations of
    the surrogate and no solves.

    Args:
        signal: what is to be large; its ``values`` are asked for rows of inputs, in the inputs' own units.
        seed: of everything random.
        starts: points of the space-filling start, corners and centres of faces apart.
        progress: told the stage in words, how much of it is done, and how much there is.
    """
    climb = _Climb(signal, box, np.random.default_rng(seed), progress or (lambda stage, done, total: None))
    x, y = climb.explore(starts)
    x, y = climb.evolve(x, y, 0.5 * starts ** (-1 / box.dimension))
    x, y = climb.polish(x, y)
    x, y = climb.one_per_basin(x, y)
    return Peaks(x, y, climb.evaluations)


class _Climb:
    """The stages of one search, and what they share. Points x [m, d] are in unit coordinates, y [m] are their values;
    ``evaluations`` counts points at which the signal, or its slope, was asked for.
    """

    def __init__(
        self, signal: Signal, box: Box, rng: np.random.Generator, report: Callable[[str, int, int], None]
    ) -> None:
        self.signal, self.box, self.rng, self.report = signal, box, rng, report
        self.evaluations = 0

    def values(self, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        self.evaluations += len(X)
        return self.signal.values(self.box.from_unit(X))

    def explore(self, starts: int) -> tuple[np.ndarray, np.ndarray]:
        """The most promising points of a space-filling start, no two of them close."""
        X = _starts(self.box.dimension, starts, self.rng)
        pieces = []
        for i in range(0, len(X), 512):
            pieces.append(self.values(X[i : i + 512]))
            self.report("exploring without solves", min(i + 512, len(X)), len(X))
        values = np.concatenate(pieces)
        climbers = _spread(X, values, CLIMBERS)
        return X[climbers], values[climbers]

    def evolve(self, x: np.ndarray, y: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
        """An evolution strategy from every point by itself: mutations of a step, ``width`` at first, that grows on
        success and shrinks on failure.
        """
        d = self.box.dimension
        step = np.full(len(x), width)
        for generation in range(GENERATIONS):
            noise = self.rng.standard_normal((len(x), OFFSPRING, d))
            one_axis = self.rng.random((len(x), OFFSPRING, 1)) < 0.3  # along single inputs, to find edges and corners
            axis = self.rng.integers(0, d, (len(x), OFFSPRING))
            single = np.zeros_like(noise)
            np.put_along_axis(single, axis[..., None], np.take_along_axis(noise, axis[..., None], 2), 2)
            moves = np.where(one_axis, single, noise) * step[:, None, None]
            children = np.clip(x[:, None, :] + moves, 0, 1)
            fitness = self.values(children.reshape(-1, d)).reshape(len(x), OFFSPRING)
            best = fitness.argmax(axis=1)
            top = np.take_along_axis(fitness, best[:, None], 1)[:, 0]
            better = top > y
            x = np.where(better[:, None], children[np.arange(len(x)), best], x)
            y = np.where(better, top, y)
            success = (fitness > y[:, None]).mean(1) + better / OFFSPRING
            step = np.clip(step * np.where(success > 0.2, 1.5, 0.8), 1e-5, 0.5)
            self.report("climbing without solves, generation", generation + 1, GENERATIONS)
        return x, y

    def polish(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Quasi-Newton ascent of log signal from the best points: by its gradient, else by differences from fewer."""
        known = self.signal.gradient is not None
        negative = self._by_gradient if known else self._by_differences
        x, y = x.copy(), y.copy()
        for i in np.argsort(-y)[: POLISHED if known else BY_DIFFERENCES]:
            found = minimize(
                negative, x[i], jac=True, method="L-BFGS-B", bounds=[(0, 1)] * len(x[i]), options={"maxiter": 60}
            )
            t = np.clip(found.x, 0, 1)
            value = self.signal.values(self.box.from_unit(t[None]))[0]
            if value > y[i]:
                x[i], y[i] = t, value
        return x, y

    def _by_gradient(self, t: np.ndarray) -> tuple[float, np.ndarray]:
        """-log signal and its slope in unit coordinates."""
        gradient, box = self.signal.gradient, self.box
        assert gradient is not None
        self.evaluations += 1
        _, width = box.scaled_ends()
        p = box.from_unit(np.clip(t, 0, 1))
        value, slope = gradient(jnp.asarray(p))
        if not np.isfinite(value) or not np.isfinite(slope).all():
            return 1e10, np.zeros_like(t)
        return -float(value), -np.asarray(slope) * width * np.where(np.array(box.log), p, 1.0)

    def _by_differences(self, t: np.ndarray) -> tuple[float, np.ndarray]:
        """The same by central differences inside the box, all points in one batch."""
        t = np.clip(t, 0, 1)
        low, high = np.clip(t - STEP * np.eye(len(t)), 0, 1), np.clip(t + STEP * np.eye(len(t)), 0, 1)
        values = self.values(np.concatenate([t[None], low, high]))
        if not (values > 0).all():
            return 1e10, np.zeros_like(t)
        height, below, above = -np.log(values[0]), *np.split(-np.log(values[1:]), 2)
        return float(height), (above - below) / np.diag(high - low)

    def one_per_basin(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Peaks joined by a ridge are one: the signal between them never falls below 0.9 of the lower one."""
        kept: list[int] = []
        for i in np.argsort(-y):
            if not any(self._joined(x[i], x[j], 0.9 * min(y[i], y[j])) for j in kept):
                kept.append(int(i))
        return x[kept], y[kept]

    def _joined(self, one: np.ndarray, other: np.ndarray, height: float) -> bool:
        if np.linalg.norm(one - other) < 1e-3:
            return True
        share = np.linspace(0, 1, BASIN_POINTS + 2)[1:-1]
        return bool((self.values(one + share[:, None] * (other - one)) >= height).all())


def _starts(d: int, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
    """Corners, centres of faces, and n Sobol points, a quarter of which are moved to the boundary."""
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
