"""The semigroup law u(s + t) = S(s) u(t) of autonomous equations, told by inner products: no other input is needed.

Let states y^n = R^n y^0 follow one linear map R, and G_ab = (y^a, y^b) in an inner product where R is

    symmetric (diffusion):  (R^a y^0, R^b y^0) = (y^0, R^(a+b) y^0): G_ab depends on a + b alone,
    an isometry (waves):    (R^a y^0, R^b y^0) = (y^0, R^(b-a) y^0): G_ab depends on b - a alone,

for all a and b, whatever R is. Of a surrogate's states Y = y + f, with x = (Y^a, Y^b) - (Y^c, Y^d) where G_ab = G_cd,

    |x| <= sum_i C_i |f^i| + sum_i |f^i|^2,   C_a = |Y^b|, C_b = |Y^a|, C_c = |Y^d|, C_d = |Y^c|,

over the indices that occur; of one that occurs twice the two are added, whose square is at most twice the sum of their
squares; of the products (f, f) each is at most half of two squares, and no index is in more than two. Where for
distinct indices sum_i |f^i|^2 <= share ||e||^2, t = share^(1/2) ||e|| has |x| <= C t + t^2, C^2 = sum_i C_i^2. So

    defect = max over (a, b) of  2 |x| / (C + (C^2 + 4 |x|)^(1/2)) / share^(1/2)  <=  ||e||.

``Semigroup`` takes y for states themselves or, where a source makes them affine, u^{n+1} = R u^n + g, for differences
u^{n+lag} - u^n: e^{n+lag} - e^n has at most 2 (|e^{n+lag}|^2 + |e^n|^2), and a state is in two of these: share is four
times that of states. Reference: Pazy 1983; Engel and Nagel 2000.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..size import powers
from .relation import Relation

STATES = 25  # of one field that are compared with each other, evenly spread: powers of R^k are a semigroup, too
LEAST = 3  # states that two different products need
LARGEST = 1e100  # and its inverse: fields whose squares are far inside float64


@dataclass(frozen=True, eq=False)
class Semigroup(Relation):
    """``states``: field to states [m, S], whose errors have sum_n |e^n|^2 <= ``share`` ||e||^2; ``products``: (p, rows
    [r, S]) -> their inner products [r, r]; ``symmetric``: what R is, else an isometry; ``lag``: 0 for states
    themselves; ``holds``: rows of inputs at which float64 resolves the steps; None: all.
    """

    name: str
    statement: str
    states: Callable[[Float[Array, " N"]], Float[Array, "m S"]]
    products: Callable[[Float[Array, " d"], Float[Array, "r S"]], Float[Array, "r r"]]
    count: int  # m
    share: float
    symmetric: bool
    lag: int = 0
    holds: Callable[[Float[np.ndarray, "n d"]], Bool[np.ndarray, " n"]] | None = None

    def images(self, problem: Any, P: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        good = np.ones(len(P), dtype=bool) if self.holds is None else self.holds(P)
        return np.where(good[:, None], P, np.nan)[:, None, :]

    @cached_property
    def compared(self) -> Int[np.ndarray, " r"]:
        """The numbers n of the y^n that are compared."""
        last = self.count - 1 - self.lag
        return np.arange(0, last + 1, max(1, -(-last // (STATES - 1))))

    @cached_property
    def equal(self) -> Int[np.ndarray, "4 pairs"]:
        """All a <= b with (c, d) of the same product: the furthest apart of the same sum, or the first of the same
        difference.
        """
        r = len(self.compared)
        a, b = np.triu_indices(r)
        c = np.maximum(0, a + b - r + 1) if self.symmetric else np.zeros_like(a)
        d = a + b - c if self.symmetric else b - a
        return np.stack([a, b, c, d])[:, a != c]

    def defect(self, problem: Any, Q: Array, U: Array) -> Array:
        down, up = powers(U[0])
        states = self.states(U[0] * down)
        at = self.compared
        Y = states[at + self.lag] - states[at] if self.lag else states[at]
        G = self.products(Q[0], Y)
        a, b, c, d = self.equal
        x = jnp.abs(G[a, b] - G[c, d])
        squares = jnp.maximum(jnp.diagonal(G), 0.0)
        repeated = np.array([len(set(pair)) < len(pair) for pair in self.equal.T])
        C = jnp.sqrt(np.where(repeated, 2.0, 1.0) * (squares[a] + squares[b] + squares[c] + squares[d]))
        whole = C + jnp.sqrt(C**2 + 4 * x)
        t = jnp.max(jnp.where(whole > 0, 2 * x / jnp.where(whole > 0, whole, 1.0), 0.0))
        share = self.share * (4 if self.lag else 1)
        says = (up <= LARGEST) & (up >= 1 / LARGEST)
        return jnp.where(says, t / np.sqrt(share) * up, jnp.nan)

    def weights(self, problem: Any, Q: Array) -> Array:
        return jnp.ones(1)


def semigroup(
    name: str, statement: str, states: Any, products: Any, count: int, share: float, *, symmetric: bool, lag: int = 0,
    holds: Any = None,
) -> tuple[Semigroup, ...]:  # fmt: skip
    """The relation, where there are states enough for it; else none."""
    one = Semigroup(name, statement, states, products, count, share, symmetric, lag, holds)
    return (one,) if len(one.compared) >= LEAST else ()
