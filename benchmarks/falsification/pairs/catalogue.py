"""The pairs: grids so small that a solve takes a millisecond, surrogates that are trained in seconds, always the same.

``BEST`` holds the worst relative error known of each, found once with many calls by every method (``find.py``), with
where it is and how it was found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ....solvers.files import parse_json, read_text
from ....solvers.problem import Problem
from ....solvers.problems.catalogue import problem
from ....solvers.snapshots.sample import sample
from ....solvers.tolerance import Tolerance
from ....surrogates import train
from . import solvers

BEST = Path(__file__).with_name("best_known.json")
SIGNAL, SLOPES, NEITHER = "signal", "slopes", "neither"


@dataclass(frozen=True)
class Pair:
    """``kind``: what a search has to go by beside the true error."""

    name: str
    kind: str
    make: Callable[[], Problem]
    architecture: str
    rows: int
    zero: float = 1.0  # times the problem's own, the size below which a solution counts as zero

    @cached_property
    def problem(self) -> Problem:
        return self.make()

    @cached_property
    def surrogate(self) -> Callable[[Any], Any]:
        return train(self.problem, self.architecture, sample(self.problem, self.rows), seed=0)

    def allowed(self, tolerance: float) -> Tolerance:
        """What errors are relative to, beside the solution's size."""
        return Tolerance.of(self.problem, tolerance, tolerance * self.zero * self.problem.zero_scale)

    @property
    def best(self) -> float:
        """The worst relative error known; NaN before any is."""
        return float(parse_json(read_text(BEST, 1 << 20)).get(self.name, {"error": "nan"})["error"])


def _known(name: str, **options: Any) -> Callable[[], Problem]:
    return lambda: problem(name, **options)


PAIRS = (
    Pair("thermal block, d = 4", SIGNAL, _known("thermal-block", blocks=(2, 2), cells=8), "kernel-ridge", 40),
    Pair("thermal block, d = 9", SIGNAL, _known("thermal-block", blocks=(3, 3), cells=9), "kernel-ridge", 100),
    Pair("lognormal, d = 10", SIGNAL, _known("lognormal-diffusion", d=10, cells=16), "kernel-ridge", 200),
    Pair("lognormal, d = 30", SIGNAL, _known("lognormal-diffusion", d=30, cells=16), "kernel-ridge", 400),
    Pair("burgers", SIGNAL, _known("burgers", cells=32, steps=8), "kernel-ridge", 80, zero=100),
    Pair("hyperelastic", SIGNAL, _known("hyperelastic", cells=4), "kernel-ridge", 40),
    Pair("helmholtz", SIGNAL, _known("helmholtz", cells=16, k2=(15.0, 45.0), damping=(0.05, 0.2)), "kernel-ridge", 200),
    Pair("reaction, with an adjoint", SLOPES, solvers.with_adjoint, "kernel-ridge", 100),
    Pair("predators, a black box", NEITHER, solvers.without, "kernel-ridge", 100),
)
