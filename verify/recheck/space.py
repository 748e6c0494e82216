"""Monomials of d variables up to a total degree, in graded order: products, and control points on [-1, 1]^d."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int


class Space:
    """``exponents`` [n, d], degree by degree; ``count[k]``: how many there are of degree k or less."""

    def __init__(self, d: int, order: int) -> None:
        self.d, self.order = d, order
        by_degree = [_of_degree(d, k) for k in range(order + 1)]
        self.exponents = np.array([e for part in by_degree for e in part])
        self.count = np.cumsum([len(part) for part in by_degree])
        self.starts = np.concatenate([[0], self.count[:-1]])
        self.degree = self.exponents.sum(axis=1)
        place = {tuple(e): i for i, e in enumerate(self.exponents.tolist())}
        n = len(self.exponents)
        self.table: Int[np.ndarray, "n n"] = np.full((n, n), -1)
        for i, j in itertools.product(range(n), repeat=2):
            self.table[i, j] = place.get(tuple(self.exponents[i] + self.exponents[j]), -1)

    def degree_of(self, rows: int) -> int:
        """The degree of a polynomial with so many coefficients."""
        return int(self.degree[rows - 1])

    @lru_cache(maxsize=32)  # noqa: B019  # spaces live as long as the process: see ``space``
    def fold(self, rows: int) -> sp.csr_matrix:
        """[n, rows^2]: from products of coefficients to those of the product, without degrees above the order."""
        table = self.table[:rows, :rows].ravel()
        pairs = np.flatnonzero(table >= 0)
        return sp.csr_matrix((np.ones(len(pairs)), (table[pairs], pairs)), shape=(len(self.degree), rows**2))

    @lru_cache(maxsize=32)  # noqa: B019
    def multiplier(self, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(target, column, source): entries of the matrix that multiplies ``columns`` coefficients by ``rows``."""
        table = self.table[:rows, :columns]
        source, column = np.nonzero(table >= 0)
        return table[source, column], column, source

    @lru_cache(maxsize=32)  # noqa: B019
    def controls(self, degree: int) -> tuple[Float[np.ndarray, "c n"], Float[np.ndarray, "c n"]]:
        """Bernstein control points on [-1, 1]^d of every monomial of that degree or less, and their sizes' bounds.

        On [-1, 1] t^k is (2s - 1)^k, s in [0, 1]; s^i has the control points C(j, i)/C(m, i): whole numbers divided
        once.
        """
        m = max(degree, 1)
        one = np.zeros((m + 1, m + 1))
        for k, j in itertools.product(range(m + 1), repeat=2):
            over = math.lcm(*(math.comb(m, i) for i in range(m + 1)))
            terms = (
                math.comb(k, i) * 2**i * (-1) ** (k - i) * math.comb(j, i) * (over // math.comb(m, i))
                for i in range(min(j, k) + 1)
            )
            one[j, k] = sum(terms) / over
        rows = self.exponents[: self.count[degree]]
        out = np.ones((m + 1,) * self.d + (len(rows),))
        for a in range(self.d):
            shape = [1] * self.d + [len(rows)]
            shape[a] = m + 1
            out = out * one[:, rows[:, a]].reshape(shape)
        return out.reshape(-1, len(rows)), np.abs(out).reshape(-1, len(rows))


@lru_cache(maxsize=16)
def space(d: int, order: int) -> Space:
    return Space(d, order)


def _of_degree(d: int, k: int) -> list[tuple[int, ...]]:
    if d == 1:
        return [(k,)]
    return [(i, *rest) for i in range(k, -1, -1) for rest in _of_degree(d - 1, k - i)]
