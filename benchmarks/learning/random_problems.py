"""Problems drawn at random, for claims about defaults: built in, from matrices, black boxes of analytic functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ...solvers.box import Box
from ...solvers.problem import Problem
from ...solvers.problems.affine import affine
from ...solvers.problems.black_box import black_box
from ...solvers.problems.catalogue import problem
from ...solvers.problems.thermal_block import ThermalBlock

SIZES = (16, 512)


class Case(NamedTuple):
    """A problem, and how many snapshots of it are learnt from with what seed."""

    title: str
    problem: Problem
    snapshots: int
    seed: int


def cases(count: int, seed: int = 0) -> list[Case]:
    """``count`` of them, of the three kinds in turn; sizes log-uniform in ``SIZES``."""
    rng = np.random.default_rng(seed)
    kinds = (_built_in, _affine, _analytic)
    found = []
    for i in range(count):
        title, drawn = kinds[i % 3](rng)
        n = round(float(np.exp(rng.uniform(*np.log(SIZES)))))
        found.append(Case(title, drawn, n, int(rng.integers(100))))
    return found


def thermal_block_matrices(cells: int, blocks: tuple[int, int], low: float, high: float) -> Problem:
    """The thermal block as somebody poses it who has its matrices: inputs are weights, not logarithmic."""
    parts = ThermalBlock(blocks=blocks, cells=cells).affine_decomposition
    assert parts is not None
    d = blocks[0] * blocks[1]
    matrices = [parts.matrix(e) for e in np.eye(d)]
    names = tuple(f"k{i}" for i in range(d))
    return affine(matrices, None, parts.load_terms[0][parts.free], Box(names, np.full(d, low), np.full(d, high)))


def _built_in(rng: np.random.Generator) -> tuple[str, Problem]:
    choices: tuple[tuple[str, dict[str, Any]], ...] = (
        ("thermal-block", {"cells": 12, "blocks": (2, 2), "low": 0.1, "high": 10.0}),
        ("elasticity", {"cells": 8}),
        ("lognormal-diffusion", {"cells": 12, "d": int(rng.integers(2, 7))}),
        ("heat", {"cells": 8, "steps": 10}),
        ("burgers", {"cells": 48, "steps": 24}),
        ("allen-cahn", {"cells": 32, "steps": 20}),
        ("bratu", {"cells": 12}),
        ("helmholtz", {"cells": 16}),
        ("advection-diffusion", {"cells": 12}),
        ("wave", {"cells": 32, "steps": 80}),
        ("cavity", {"cells": 16}),
    )
    name, settings = choices[int(rng.integers(len(choices)))]
    return name, problem(name, **settings)


def _affine(rng: np.random.Generator) -> tuple[str, Problem]:
    low = float(np.exp(rng.uniform(np.log(0.02), np.log(0.5))))
    which = int(rng.integers(3))
    if which < 2:
        blocks = ((2, 2), (3, 1))[which]
        return f"block {blocks[0]} x {blocks[1]} from matrices, [{low:.2g}, 1]", thermal_block_matrices(
            12, blocks, low, 1.0
        )
    parts = ThermalBlock(blocks=(2, 1), cells=12).affine_decomposition
    assert parts is not None
    f = parts.load_terms[0][parts.free]
    other = np.linspace(0, 1, len(f)) ** 2
    drawn = affine(
        [parts.matrix(e) for e in np.eye(2)],
        lambda p: jnp.stack([p[0], 1 + p[0] * p[1]]),
        [f, other],
        Box(("k", "l", "source"), np.array([low, 0.0, 0.0]), np.array([1.0, 5.0, 3.0])),
        load_weights=lambda p: jnp.stack([jnp.ones(()), p[2]]),
    )
    return "two terms and a source from matrices", drawn


def _analytic(rng: np.random.Generator) -> tuple[str, Problem]:
    d = int(rng.integers(1, 6))
    x = np.linspace(0, 1, 24)
    a, c = rng.uniform(0.5, 2.0, d), rng.uniform(0, 1, d)

    def wave(p: np.ndarray) -> np.ndarray:
        return 2 + np.sin(3 * x + p @ a) * np.exp(-x * p[0])

    def peak(p: np.ndarray) -> np.ndarray:
        return 1 / (0.1 + np.sum((p - c) ** 2) + (x - p[0]) ** 2)

    def decay(p: np.ndarray) -> np.ndarray:
        return np.exp(-x * np.prod(p)) / p[0] + x / (1 + p.sum())

    def kink(p: np.ndarray) -> np.ndarray:
        return 1 + np.abs(p @ a - c.sum()) * x + np.maximum(p[0] - 0.5, 0) * x**2

    def front(p: np.ndarray) -> np.ndarray:
        return 1.5 + np.tanh(20 * (x - 0.2 - 0.6 * p.mean()))

    shapes: tuple[Callable[[np.ndarray], np.ndarray], ...] = (wave, peak, decay, kink, front)
    shape = shapes[int(rng.integers(len(shapes)))]
    low = 1e-2 if shape is decay else 0.0
    box = Box(tuple(f"p{i}" for i in range(d)), np.full(d, low), np.ones(d))
    return f"black box: {shape.__name__}, d = {d}", black_box(shape, box)
