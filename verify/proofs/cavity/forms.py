"""The cavity's forms as matrices over the interior nodes, with what rounding may have made of their entries.

With s and m the stiffness and the lumped mass along one axis (interior nodes), o the tensor product, and Thom's wall
vorticity in the two ends of b = (1/(h^2 dual), 0, ..., 0, 1/(h^2 dual)),

    X = s o m + m o s,    V = W'MW = B o m + 2 s o s + m o B,    B = s m^-1 s + diag(b)
    t' C(q) e = sum_i (We)_i (q x t)_i + sum_i (Wq)_i (e x t)_i,    W = m^-1 s o 1 + 1 o m^-1 s  (interior rows)
    (q x t) = ((q_E - q_W)(t_N - t_S) - (q_N - q_S)(t_E - t_W)) / 4

C(Re v) + V is the Jacobian at v, whatever the lid: Arakawa's J, tested with t, is that sum over interior nodes. The
second sum is antisymmetric in e and t: the symmetric part of C knows q by its differences alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

from ....solvers.precision import gamma
from ....solvers.problems.cavity import Cavity

ENTRY = gamma(40)  # relative to the sum of its terms' sizes, an entry: at most 24 roundings in V, 20 in C, 4 to combine


class Form(NamedTuple):
    """A matrix, and the same with every term's size added: entries are right to ``ENTRY`` of the latter."""

    value: sp.csr_matrix
    size: sp.csr_matrix


def combined(*terms: tuple[float, Form]) -> Form:
    """sum factor form; at most three terms."""
    value = sum(factor * form.value for factor, form in terms)
    size = sum(abs(factor) * form.size for factor, form in terms)
    return Form(value.tocsr(), size.tocsr())


class Forms:
    """Fields q are values in the interior nodes [m^2], float64 numbers taken as they are."""

    def __init__(self, problem: Cavity) -> None:
        h, dual = problem.widths
        self.m = m = problem.cells - 1
        mass = sp.diags(dual[1:-1])
        off = -1 / h[1:-1]
        s = sp.diags([off, 1 / h[:-1] + 1 / h[1:], off], [-1, 0, 1]).tocsr()
        ends = np.zeros(m)
        ends[0], ends[-1] = 1 / (h[0] ** 2 * dual[0]), 1 / (h[-1] ** 2 * dual[-1])
        inverse = sp.diags(1 / dual[1:-1])

        def form(stiff: sp.csr_matrix, sign: float) -> tuple[sp.csr_matrix, ...]:
            bending = stiff @ inverse @ stiff + sp.diags(ends)
            X = sp.kron(stiff, mass) + sp.kron(mass, stiff)
            V = sp.kron(bending, mass) + 2 * sp.kron(stiff, stiff) + sp.kron(mass, bending)
            slope = inverse @ stiff
            one = sp.identity(m)
            return X.tocsr(), V.tocsr(), (sp.kron(slope, one) + sp.kron(one, slope)).tocsr()

        plain, sizes = form(s, 1.0), form(abs(s), 1.0)
        self.X, self.V, self._W = (Form(a, b) for a, b in zip(plain, sizes, strict=True))
        central = sp.diags([-np.ones(m - 1), np.ones(m - 1)], [-1, 1])
        one = sp.identity(m)
        self._east, self._north = sp.kron(central, one).tocsr(), sp.kron(one, central).tocsr()
        self.mass = np.outer(dual[1:-1], dual[1:-1]).ravel()

    def carried(self, q: Float[np.ndarray, " n"]) -> Form:
        """The first sum of C(q): vorticity of e, carried by q."""

        def cross(sign: float, weight: sp.csr_matrix) -> sp.csr_matrix:
            east, north, x = (self._east, self._north, q) if sign < 0 else (abs(self._east), abs(self._north), abs(q))
            A = sp.diags(east @ x / 4) @ north + sign * sp.diags(north @ x / 4) @ east
            return (A.T @ weight).tocsr()

        return Form(cross(-1.0, self._W.value), cross(1.0, self._W.size))

    def carrying(self, q: Float[np.ndarray, " n"]) -> Form:
        """The second sum: vorticity of q, carried by e."""

        def cross(sign: float, w: np.ndarray) -> sp.csr_matrix:
            east, north = (self._east, self._north) if sign < 0 else (abs(self._east), abs(self._north))
            weight = sp.diags(w / 4)
            return (north.T @ weight @ east + sign * (east.T @ weight @ north)).tocsr()

        return Form(cross(-1.0, self._W.value @ q), cross(1.0, self._W.size @ abs(q)))

    def jacobian(self, q: Float[np.ndarray, " n"]) -> sp.csr_matrix:
        """V + C(q)."""
        return (self.V.value + self.carried(q).value + self.carrying(q).value).tocsr()


def symmetric(form: Form) -> Form:
    """(A + A') / 2."""
    return Form((form.value + form.value.T).tocsr() / 2, (form.size + form.size.T).tocsr() / 2)
