"""``cma-es``: covariance matrix adaptation on the true error (Hansen 2016; the package ``cma``), with restarts of twice
the population (Auger and Hansen 2005)."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from jaxtyping import Float

from .search import Search
from .true_error import Spent, TrueError

HOW = "climbed the true error by evolution"
WIDTH = 0.3  # of the first population
LARGEST = 8  # times the first population


def cma_es(search: Search) -> None:
    """Restarts from uniform points until the solves are spent."""
    larger = 1
    while search.goes_on():
        evolve(search, search.rng.random(search.box.dimension), WIDTH, larger)
        larger = min(2 * larger, LARGEST)


def evolve(search: Search, x: Float[np.ndarray, " d"], width: float, larger: int = 1, limit: float = np.inf) -> None:
    """One run from x, of at most ``limit`` calls, with a population so many times larger than usual."""
    d, truth = len(x), TrueError(search, HOW)
    truth.limit = limit
    strategy = Strategy(x, width, larger * (4 + int(3 * np.log(d))), search.rng)
    with suppress(Spent):
        while not strategy.ended:
            X = strategy.ask()
            strategy.tell(X, truth.heights(X))


class Strategy:
    """The package's strategy, silent, drawing from ``rng`` alone. In one dimension a twin that has no say is added."""

    def __init__(self, x: Float[np.ndarray, " d"], width: float, population: int, rng: np.random.Generator) -> None:
        import cma  # with it comes matplotlib, which takes as long as all of JAX

        self._d = len(x)
        start = x if self._d > 1 else np.array([x[0], 0.5])
        options = {
            "bounds": [0, 1], "popsize": population, "seed": np.nan, "randn": lambda *shape: rng.standard_normal(shape),
            "verbose": -10, "verb_log": 0, "verb_disp": 0, "tolfun": 1e-5, "tolx": 1e-6,
        }  # fmt: skip
        self._strategy = cma.CMAEvolutionStrategy(start, width, options)

    @property
    def ended(self) -> bool:
        return bool(self._strategy.stop())

    def ask(self) -> Float[np.ndarray, "n d"]:
        self._asked = self._strategy.ask()
        return np.stack(self._asked)[:, : self._d]

    def tell(self, X: Float[np.ndarray, "n d"], heights: Float[np.ndarray, " n"]) -> None:
        self._strategy.tell(self._asked, (-heights).tolist())
